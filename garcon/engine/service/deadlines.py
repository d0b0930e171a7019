"""All deadlines in one heap.

What it never does: call anything. Its one law: a reference has at most one deadline; setting it
again costs a push, and dead entries never outnumber the living for long.
"""

from __future__ import annotations

import heapq
from typing import Any, Final

from garcon.engine.core.timeouts import DueKind

Ref = tuple[int, DueKind, Any]

_SLACK: Final = 1024


class Deadlines:
    """Which execution wants to be looked at, and when."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Ref]] = []
        self._armed: dict[Ref, int] = {}
        self._queued: dict[Ref, int] = {}
        self._count = 0

    def set(self, ref: Ref, due_ms: int | None) -> None:
        """Give a reference its deadline, or take it away."""
        if due_ms is None:
            self._armed.pop(ref, None)
            self._queued.pop(ref, None)
            return
        self._armed[ref] = due_ms
        queued_ms = self._queued.get(ref)
        # An entry that comes earlier than needed is put back when it surfaces: a heartbeat is free.
        if queued_ms is None or due_ms < queued_ms:
            self._push(ref, due_ms)

    def next_ms(self) -> int | None:
        """When to look again; never later than the first deadline."""
        heap = self._heap
        while heap:
            due_ms, _, ref = heap[0]
            if self._queued.get(ref) == due_ms:
                return due_ms
            heapq.heappop(heap)
        return None

    def pop_due(self, now_ms: int, limit: int) -> list[Ref]:
        """Take out what is due by ``now_ms``, earliest first, ``limit`` at most."""
        due: list[Ref] = []
        while len(due) < limit:
            next_ms = self.next_ms()
            if next_ms is None or next_ms > now_ms:
                break
            _, _, ref = heapq.heappop(self._heap)
            del self._queued[ref]
            if self._armed[ref] > next_ms:
                self._push(ref, self._armed[ref])
            else:
                del self._armed[ref]
                due.append(ref)
        return due

    def _push(self, ref: Ref, due_ms: int) -> None:
        self._count += 1
        self._queued[ref] = due_ms
        heapq.heappush(self._heap, (due_ms, self._count, ref))
        if len(self._heap) > 2 * len(self._queued) + _SLACK:
            self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [entry for entry in self._heap if self._queued.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)

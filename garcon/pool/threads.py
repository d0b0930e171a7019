"""Threads of a worker that runs several instances at once.

The worker's main thread goes on reading its socket, so that cancels and further tasks are heard
while the threads work. Law: a thread is started for one task and ends with it; none is kept, so a
worker between two sittings is as single-threaded as any other, and its tasks may fork.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context

_RING = b"."


class Threads:
    """What runs beside the main thread, and a bell that rings when something of it ends."""

    def __init__(self) -> None:
        """Run nothing; nothing is opened before the first start."""
        self._lock = threading.Lock()
        self._running = 0
        self._bell: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        """Whether something runs."""
        return self._running > 0

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` on a thread of its own, in a copy of this thread's context variables."""
        if self._bell is None:
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            os.set_blocking(writing, False)
            self._bell = reading, writing
        with self._lock:
            self._running += 1
        context = copy_context()
        threading.Thread(target=context.run, args=(self._run, work), name=name, daemon=True).start()

    def wait(self, descriptor: int) -> None:
        """Wait until `descriptor` can be read, or something has ended."""
        if self._bell is None:
            return
        reading, _ = self._bell
        select.select([descriptor, reading], [], [])
        with suppress(BlockingIOError):
            os.read(reading, 4096)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._running -= 1
            if self._bell is not None:
                # A full pipe rings as well as one byte more would.
                with suppress(BlockingIOError):
                    os.write(self._bell[1], _RING)

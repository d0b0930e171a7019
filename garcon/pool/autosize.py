"""`--procs auto`: looks at pool and machine, and says when another number of workers is wanted.

What follows from a look is decided in `sizing`; here is only the looking. Law: the engine is asked
for its backlog no more than once a second, and only while every worker is busy, since AWS allows
six such questions a second for a whole account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from garcon.errors import EngineError
from garcon.pool import sizing
from garcon.pool.answers import read_answer
from garcon.pool.dataplane import DataPlane
from garcon.pool.dispatcher import Dispatcher
from garcon.pool.resources import Machine

LOOK_S = 1.0
COUNT_TIMEOUT_S = 5.0

#: At each look this part of what workers were seen to use is forgotten: half of it in six minutes.
FORGOTTEN_PART = 0.01


def bounds_for(machine: Machine, max_procs: int | None) -> sizing.Bounds:
    """Return between which numbers an automatic pool moves on this machine."""
    cap = max_procs or sizing.default_cap(machine.cpus())
    return sizing.Bounds(floor=min(cap, machine.cpus()), cap=cap)


def first_size(machine: Machine, max_procs: int | None) -> int:
    """Return how many workers an automatic pool starts with."""
    return sizing.start(bounds_for(machine, max_procs), machine.cpus(), 0.0).workers


class AutoSize:
    """The watch over one pool's size."""

    def __init__(
        self,
        machine: Machine,
        max_procs: int | None,
        on_size: Callable[[int, frozenset[int]], None],
    ) -> None:
        """Look at `machine`.

        Args:
            machine: CPUs, memory and load.
            max_procs: the cap; None for the machine's own.
            on_size: told the wanted number of workers and the slots that are busy.
        """
        self._machine = machine
        self._bounds = bounds_for(machine, max_procs)
        self._on_size = on_size
        self._worker_memory = 0

    def note_memory(self, used: Iterable[int]) -> None:
        """Take note of what the workers have for themselves at this moment, bytes each.

        The most that one had counts, for a while after it has gone as well: the next one may be
        given the same work.
        """
        kept = int(self._worker_memory * (1.0 - FORGOTTEN_PART))
        self._worker_memory = max(kept, max(used, default=0))

    @property
    def cap(self) -> int:
        """Workers at most."""
        return self._bounds.cap

    async def run(self, plane: DataPlane, dispatcher: Dispatcher, domain: str) -> None:
        """Look every second, until cancelled."""
        loop = asyncio.get_running_loop()
        size = sizing.start(self._bounds, self._machine.cpus(), loop.time())
        turn = 0
        while True:
            await asyncio.sleep(LOOK_S)
            waits, lists = dispatcher.has_in_hand, dispatcher.task_lists
            if not waits and not dispatcher.idle and lists:
                turn = (turn + 1) % len(lists)
                waits = await _has_backlog(plane, domain, lists[turn])
            try:
                seen = self._see(size.workers, len(dispatcher.busy), waits)
            except OSError:
                # No descriptor is free to read the figures by: the size stays until one is.
                continue
            wanted = sizing.resize(size, seen, self._bounds, loop.time())
            if wanted.workers != size.workers:
                self._on_size(wanted.workers, dispatcher.busy)
            size = wanted

    def _see(self, workers: int, busy: int, waits: bool) -> sizing.Seen:
        load = self._machine.sample()
        return sizing.Seen(
            workers=workers,
            busy=busy,
            work_waits=waits,
            cpu_busy=load.busy,
            memory_limit=load.memory_limit,
            memory_free=load.memory_free,
            worker_memory=self._worker_memory,
        )


async def _has_backlog(plane: DataPlane, domain: str, task_list: str) -> bool:
    body = {"domain": domain, "taskList": {"name": task_list}}
    try:
        answer = await plane.call("CountPendingActivityTasks", body, timeout_s=COUNT_TIMEOUT_S)
        return bool(read_answer(answer).get("count"))
    except EngineError:
        # Not known is no reason to grow; the next second asks again.
        return False

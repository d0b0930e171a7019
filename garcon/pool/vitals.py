"""Memory and CPU time of the pool's children, looked at every few seconds.

Reading a process's memory costs the kernel a walk over its pages, so it is done now and then on a
helper thread, never for a task and never on the loop. Memory is what a process has for itself:
pages that it shares with the zygote are counted by nobody.
Law: a process that cannot be read (it is gone, or somebody else's) has no figures, and no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import psutil

#: Between two looks, seconds; the first few, while children come up, are nearer to each other.
EVERY_S = 5.0
FIRST_EVERY_S = 1.0
FIRST_LOOKS = 5


@dataclass(frozen=True)
class Vital:
    """One process at one moment.

    Attributes:
        memory: bytes that are its own.
        cpu_s: CPU seconds since its start.
        cpu: CPUs used since the look before, 1.0 for one whole CPU; None at the first look.
        is_stopped: it was stopped by a signal and runs no more until it is told to go on.
    """

    memory: int
    cpu_s: float
    cpu: float | None = None
    is_stopped: bool = False


def read_vital(pid: int) -> Vital | None:
    """Return the figures of a process, None where it cannot be read."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            is_stopped = process.status() == psutil.STATUS_STOPPED
            memory = process.memory_full_info().uss
    except (psutil.Error, OSError):
        return None
    return Vital(memory, times.user + times.system, is_stopped=is_stopped)


class Vitals:
    """The last figures of the pool's processes."""

    def __init__(self, pids: Callable[[], Iterable[int]], executor: Executor) -> None:
        """Look at the processes that `pids` returns, on a thread of `executor`."""
        self._pids = pids
        self._executor = executor
        self._seen: dict[int, Vital] = {}
        self._seen_s = 0.0
        self.on_look: list[Callable[[Mapping[int, Vital], float], None]] = []

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        for _ in range(FIRST_LOOKS):
            await self.look()
            await asyncio.sleep(FIRST_EVERY_S)
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Look once, and tell those who listen, with the loop's time."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._executor, _read_all, list(self._pids()))
        now_s = loop.time()
        self._seen = {pid: self._with_cpu(pid, vital, now_s) for pid, vital in found.items()}
        self._seen_s = now_s
        for listener in self.on_look:
            listener(self._seen, now_s)

    def of(self, pid: int) -> Vital | None:
        """Return what was seen last of a process, None where nothing was."""
        return self._seen.get(pid)

    def _with_cpu(self, pid: int, vital: Vital, now_s: float) -> Vital:
        before = self._seen.get(pid)
        if before is None or now_s <= self._seen_s:
            return vital
        used = (vital.cpu_s - before.cpu_s) / (now_s - self._seen_s)
        return replace(vital, cpu=max(0.0, used))


def _read_all(pids: list[int]) -> dict[int, Vital]:
    found = {pid: read_vital(pid) for pid in pids}
    return {pid: vital for pid, vital in found.items() if vital is not None}

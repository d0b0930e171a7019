"""How many workers `--procs auto` keeps, as a pure function.

It starts small, doubles while every worker is busy, work waits, and CPU and memory have room, and
gives back after a minute what that minute did not need. Flows that wait for others (I/O) keep the
CPUs idle and so grow past their number. Law: between two changes lies at least `SETTLE_S`, and
nothing that was in use within the last minute is taken away, so the size does not flap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: After a change the new workers need this long to show what they do to CPU and memory, seconds.
SETTLE_S = 2.0

#: Workers that nobody needed for this long leave, seconds.
IDLE_S = 60.0

#: Above this share of busy CPU more workers only wait for each other.
CPU_FULL = 0.85

#: This share of the memory stays free: for the engine, the supervisor and tasks that grow.
MEMORY_RESERVE = 0.1

#: What a worker is taken to need before any was measured, bytes.
WORKER_MEMORY = 50 * 1024 * 1024

START_MAX = 4


@dataclass(frozen=True)
class Bounds:
    """Between which numbers of workers the pool moves.

    Attributes:
        floor: kept even when nothing is to be done; at least 1.
        cap: never exceeded (`--max-procs`).
    """

    floor: int = 1
    cap: int = 16


@dataclass(frozen=True)
class Seen:
    """The pool and its machine at one moment.

    Attributes:
        workers: processes there are or will be.
        busy: how many of them have a task.
        work_waits: whether more tasks are known to wait.
        cpu_busy: share of the CPU time in use, 0 to 1.
        memory_limit: bytes there are in all.
        memory_free: bytes that are free.
        worker_memory: the largest private memory seen of a worker, bytes; 0 while unknown.
    """

    workers: int
    busy: int
    work_waits: bool
    cpu_busy: float
    memory_limit: int
    memory_free: int
    worker_memory: int = 0


@dataclass(frozen=True)
class Sizing:
    """The size, and what is remembered to choose the next.

    Attributes:
        workers: how many are wanted.
        changed_s: when that was last changed, monotonic.
        window_s: when the present look-back began.
        peak: most busy workers since then.
    """

    workers: int
    changed_s: float
    window_s: float
    peak: int = 0


def default_cap(cpus: int) -> int:
    """Return the cap without `--max-procs`: room for flows that mostly wait, within reason.

    A figure of the machine's own size, since hundreds of workers in a small container end in its
    OOM killer (field report: thatmattlove/hyperglass 360).
    """
    return max(8, 4 * cpus)


def start(bounds: Bounds, cpus: int, now_s: float) -> Sizing:
    """Return the size of a pool that has not seen any work yet."""
    workers = _clamp(min(cpus, START_MAX), bounds)
    return Sizing(workers, changed_s=now_s, window_s=now_s)


def resize(sizing: Sizing, seen: Seen, bounds: Bounds, now_s: float) -> Sizing:
    """Return the size after what was seen at `now_s` (monotonic seconds)."""
    sizing = replace(sizing, peak=max(sizing.peak, seen.busy))
    if now_s - sizing.changed_s < SETTLE_S:
        return sizing
    if _is_short_of_memory(seen):
        return _changed(sizing, _clamp(sizing.workers - 1, bounds), now_s)
    if seen.work_waits and seen.busy >= sizing.workers and seen.cpu_busy < CPU_FULL:
        more = min(sizing.workers, _room(seen))
        return _changed(sizing, _clamp(sizing.workers + more, bounds), now_s)
    if now_s - sizing.window_s >= IDLE_S:
        kept = _clamp(min(sizing.workers, _with_spare(sizing.peak)), bounds)
        shrunk = _changed(sizing, kept, now_s)
        return replace(shrunk, window_s=now_s, peak=seen.busy)
    return sizing


def _changed(sizing: Sizing, workers: int, now_s: float) -> Sizing:
    if workers == sizing.workers:
        return sizing
    # A larger pool gets a whole minute to show that it is needed.
    return Sizing(workers, changed_s=now_s, window_s=now_s, peak=sizing.peak)


def _with_spare(peak: int) -> int:
    """Return what a peak needs: with idle ones, or the next minute would grow again."""
    return peak + peak // 8 + 1 if peak else 0


def _clamp(workers: int, bounds: Bounds) -> int:
    return max(1, bounds.floor, min(workers, bounds.cap))


def _room(seen: Seen) -> int:
    """Return how many more workers the free memory holds."""
    spare = seen.memory_free - MEMORY_RESERVE * seen.memory_limit
    return max(0, int(spare // (seen.worker_memory or WORKER_MEMORY)))


def _is_short_of_memory(seen: Seen) -> bool:
    return seen.memory_free < MEMORY_RESERVE / 2 * seen.memory_limit

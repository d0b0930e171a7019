"""When a worker has had its share and is to be replaced, as a pure function.

Tasks leak: memory, descriptors, temporary state. A worker that has run so many tasks, lived so
long or grown so far leaves after its task and a fresh one takes its slot; one that grows far past
its bound while a task runs is killed before the kernel chooses whom to kill. Law: memory counts
above the worker's own baseline only, so no bound, however small, sends a fresh worker away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: Bounds of tasks and age are shortened by up to this part, or all workers would leave together.
JITTER = 0.1

#: A running task may take a worker to so many times its memory bound.
OVERRUN = 2


class Fate(str, Enum):
    """What is to happen to a worker."""

    RETIRE = "retire"  #: leave after its task
    OUT_OF_MEMORY = "out of memory"  #: be killed now


@dataclass(frozen=True)
class Share:
    """What one worker may have; None for no bound.

    Attributes:
        tasks: tasks run (`--max-tasks`).
        age_s: seconds lived (`--max-age`).
        memory: bytes above its baseline (`--max-memory`).
    """

    tasks: int | None = None
    age_s: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Use:
    """What one worker has had.

    Attributes:
        slot: its place.
        pid: its process.
        tasks: tasks that it has ended.
        age_s: seconds since it was ready.
        memory: bytes above its baseline; 0 where nothing is known.
        busy: whether it has a task in hand.
        fresh: bytes that it had when it was ready.
        shared: whether it runs several tasks at once, so that there need be no moment between.
    """

    slot: int
    pid: int
    tasks: int
    age_s: float
    memory: int
    busy: bool
    fresh: int = 0
    shared: bool = False


@dataclass(frozen=True)
class Verdict:
    """What is to happen to a worker, and why, in words for the log."""

    fate: Fate
    text: str


def judge(share: Share, use: Use) -> Verdict | None:
    """Return what is to happen to a worker, None for nothing.

    A worker without a finished task stays, whatever it uses: replacing it would change nothing.
    """
    if use.busy and share.memory is not None and use.memory > _most(share.memory, use):
        text = f"its task took {_mb(use.memory)}, the bound is {_mb(share.memory)}"
        return Verdict(Fate.OUT_OF_MEMORY, text)
    if use.tasks == 0:
        return None
    if share.tasks is not None and use.tasks >= max(1, round(_early(share.tasks, use))):
        return Verdict(Fate.RETIRE, f"it has run {use.tasks} tasks")
    if share.age_s is not None and use.age_s >= _early(share.age_s, use):
        return Verdict(Fate.RETIRE, f"it is {use.age_s:.0f} s old")
    between = not use.busy or use.shared
    if share.memory is not None and between and use.memory > share.memory:
        text = f"it has grown by {_mb(use.memory)}, the bound is {_mb(share.memory)}"
        return Verdict(Fate.RETIRE, text)
    return None


def _most(bound: int, use: Use) -> int:
    """Return what a running task may take a worker to.

    A bound below what a fresh worker has says little of what a task needs for a moment: to import a
    library, above all. Such a task is measured by the worker.
    """
    return OVERRUN * max(bound, use.fresh)


def _early(bound: float, use: Use) -> float:
    """Return a bound shortened for this worker, always the same for the same process."""
    # Multiplicative hashing (Knuth): spreads neighbouring numbers over the whole range.
    spread = (use.slot * 31 + use.pid) * 2_654_435_761 % 2**32 / 2**32
    return bound * (1.0 - JITTER * spread)


def _mb(count: int) -> str:
    return f"{count / 1_000_000:.0f} MB"

"""The replacement of workers that have had their share: of tasks, of age, of memory.

Counts what each has done, reads how much memory those with a task have, and has `recycling` judge.
A worker is judged when a task of it has ended, before it is given the next, and while a task runs.
Law: nobody is sent away for what a fresh worker would need just as well: where the first task alone
passes the bound, that is said once, and counted from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from garcon.log import log_event
from garcon.pool.crew import Crew, Seat
from garcon.pool.endings import Endings
from garcon.pool.facts import Fact, KillAsked, RetireAsked
from garcon.pool.recycling import Fate, Share, Use, judge
from garcon.pool.resources import own_memory

logger = logging.getLogger("garcon.pool")


@dataclass
class _Life:
    """What is known of one worker's life.

    Attributes:
        pid: its process.
        since_s: when it was ready, loop time.
        fresh: bytes that it had then.
        baseline: bytes above which its growth counts.
        tasks: tasks that it has ended.
    """

    pid: int
    since_s: float
    fresh: int
    baseline: int
    tasks: int = 0


class Turnover:
    """The watch over one pool's workers."""

    def __init__(
        self,
        share: Share,
        crew: Crew,
        endings: Endings,
        tell: Callable[[Fact], None],
        read_memory: Callable[[int], int | None] = own_memory,
    ) -> None:
        """Give each worker of `crew` its `share`.

        Args:
            share: what one worker may have.
            crew: the workers.
            endings: answers for those that are killed.
            tell: told which workers are to be replaced or killed.
            read_memory: returns the bytes that a process has, None where it is gone.
        """
        self._share = share
        self._crew = crew
        self._endings = endings
        self._tell = tell
        self._read_memory = read_memory
        self._lives: dict[int, _Life] = {}
        self._has_said_low = False
        self._has_bounds = share != Share()

    def begin(self, slot: int, pid: int, now_s: float) -> None:
        """A worker is ready."""
        if not self._has_bounds:
            return
        fresh = self._memory(pid)
        self._lives[slot] = _Life(pid, now_s, fresh, fresh)
        if self._share.memory is not None and fresh > self._share.memory:
            self._say_low(f"a fresh worker has {_mb(fresh)}")

    def end(self, slot: int) -> None:
        """A worker is gone."""
        self._lives.pop(slot, None)

    def task_ended(self, seat: Seat, now_s: float) -> None:
        """Judge a worker after one of its tasks; one that is to leave gets nothing more."""
        life = self._lives.get(seat.child.slot)
        if life is None:
            return
        life.tasks += 1
        memory = self._memory(life.pid)
        bound = self._share.memory
        if bound is not None and life.tasks == 1 and memory - life.baseline > bound:
            self._say_low(
                f"a worker has grown by {_mb(memory - life.baseline)} with its first task"
            )
            life.baseline = memory
        self._judge(seat, life, memory, now_s)

    def look(self, now_s: float) -> None:
        """Judge every worker that may have changed without the end of a task."""
        if not self._has_bounds:
            return
        for seat in self._crew:
            life = self._lives.get(seat.child.slot)
            if life is not None and not seat.ended:
                # Who is idle has no more memory than when its last task ended.
                memory = life.baseline if seat.is_empty else self._memory(life.pid)
                self._judge(seat, life, memory, now_s)

    def _judge(self, seat: Seat, life: _Life, memory: int, now_s: float) -> None:
        slot = seat.child.slot
        use = Use(
            slot,
            life.pid,
            tasks=life.tasks,
            age_s=now_s - life.since_s,
            memory=memory - life.baseline,
            busy=not seat.is_empty,
            fresh=life.fresh,
            shared=any(task.activity.threads > 1 for task in seat.tasks.values()),
        )
        verdict = judge(self._share, use)
        if verdict is None:
            return
        if verdict.fate is Fate.OUT_OF_MEMORY:
            self._endings.end_oversized(seat, verdict.text)
            self._tell(KillAsked(slot))
        elif not seat.leaving:
            log_event(
                logger, logging.INFO, "worker.worn", slot=slot, pid=life.pid, why=verdict.text
            )
            self._crew.retire(slot)
            self._tell(RetireAsked(slot))

    def _memory(self, pid: int) -> int:
        """Return the bytes that a process has, 0 where nobody asks or it is gone."""
        return (self._read_memory(pid) or 0) if self._share.memory is not None else 0

    def _say_low(self, text: str) -> None:
        if self._has_said_low or self._share.memory is None:
            return
        self._has_said_low = True
        why = f"--max-memory is {_mb(self._share.memory)}, but {text}: it counts above that"
        log_event(logger, logging.WARNING, "memory.low_bound", why=why)


def _mb(count: int) -> str:
    return f"{count / 1_000_000:.0f} MB"

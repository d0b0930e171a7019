"""Tasks that have to end, and the ending of workers that do not let them.

A task ends when its time is over, when it was canceled or has vanished, or when it has outgrown its
worker's memory. Alone on its worker it ends with the worker. On a thread beside others it is
answered at once, and the worker goes when the others are done. Law: a task is answered before its
worker is ended, so that the history tells why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from garcon.log import log_event
from garcon.outcome import Failure, Kind
from garcon.pool.bounds import DEAF_GRACE_S, overdue_at_s
from garcon.pool.crew import Crew, Seat
from garcon.pool.delivery import Delivery
from garcon.pool.frames import FrameError
from garcon.pool.tasks import ActivityTask

logger = logging.getLogger("garcon.pool")


class InHand(Protocol):
    """Tasks that wait for a worker."""

    def __contains__(self, task: object, /) -> bool: ...

    def remove(self, task: ActivityTask, /) -> None:
        """Take one of them out."""
        ...


class Endings:
    """Watches the bounds of one pool's tasks."""

    def __init__(
        self,
        crew: Crew,
        delivery: Delivery,
        in_hand: InHand,
        *,
        on_overdue: Callable[[int], None],
        cancel_grace_s: float,
    ) -> None:
        """Watch the tasks of `crew`.

        Args:
            crew: who has which.
            delivery: answers.
            in_hand: tasks that wait for a worker.
            on_overdue: told the slot of a worker that has to go.
            cancel_grace_s: seconds that a canceled task has to end by itself.
        """
        self._crew = crew
        self._delivery = delivery
        self._in_hand = in_hand
        self._on_overdue = on_overdue
        self._cancel_grace_s = cancel_grace_s

    def next_s(self, latest_s: float) -> float:
        """Return when the next task's time is over, loop time; `latest_s` at the latest."""
        return min(latest_s, min(self._ends(), default=latest_s))

    def _ends(self) -> Iterator[float]:
        for seat in self._crew:
            for task in seat.tasks.values():
                yield overdue_at_s(task.taken_at_s, task.start_to_close_s)
                if task.cancel_by_s is not None:
                    yield task.cancel_by_s
            if seat.ghosts and not seat.tasks and not seat.ended:
                yield seat.end_by_s

    def end_due(self, now_s: float) -> None:
        """End the tasks whose time, or whose time to react to a cancel, is over by `now_s`."""
        for seat in self._crew:
            for task in list(seat.tasks.values()):
                self._end_if_due(seat, task, now_s)
            if seat.ghosts and not seat.tasks and now_s >= seat.end_by_s:
                self._end_worker(seat)

    def _end_if_due(self, seat: Seat, task: ActivityTask, now_s: float) -> None:
        late = now_s >= overdue_at_s(task.taken_at_s, task.start_to_close_s)
        if late and not task.vanished:
            text = f"took longer than its {task.start_to_close_s:g} s"
            log_event(logger, logging.WARNING, "task.overdue", **task.fields, why=text)
            seat.abandon(task, now_s)
            self._delivery.note_end(task, "failed")
            facts = {"worker": seat.child.slot, "pid": seat.child.pid}
            self._delivery.fail(task, Failure(Kind.FAILED, text, ("TimeoutError",), facts=facts))
        elif task.cancel_by_s is not None and now_s >= task.cancel_by_s:
            text = f"did not end within {task.grace_s:g} s of its cancel"
            log_event(logger, logging.WARNING, "task.deaf", **task.fields, why=text)
            seat.abandon(task, now_s)
            self._delivery.cancel(task)

    def _end_worker(self, seat: Seat) -> None:
        if not seat.ended:
            seat.ended = True
            self._crew.retire(seat.child.slot)
            self._on_overdue(seat.child.slot)

    # -- at the engine's wish -----------------------------------------------------------------

    async def give_up(self, task: ActivityTask) -> None:
        """Have a task end that the engine knows no more."""
        task.vanished = True
        text = "the engine knows the task no more"
        log_event(logger, logging.WARNING, "task.vanished", **task.fields, why=text)
        await self.cancel(task)

    async def cancel(self, task: ActivityTask) -> None:
        """Have a task end: by itself within its grace, else with its worker."""
        if task in self._in_hand:
            self._in_hand.remove(task)
            self._delivery.cancel(task)
            return
        seat = self._crew.seat(task.slot)
        if seat is None or task.number not in seat.tasks:
            return
        if task.cancel_by_s is None:
            now_s = asyncio.get_running_loop().time()
            task.grace_s = self._cancel_grace_s
            if not task.can_hear():
                task.grace_s = min(DEAF_GRACE_S, self._cancel_grace_s)
            task.cancel_by_s = now_s + task.grace_s
        if task.activity.threads > 1:
            # Its thread cannot be ended alone, and the worker not yet: nobody is to wait for it.
            seat.abandon(task, task.cancel_by_s)
            self._delivery.cancel(task)
        try:
            await seat.child.stream.send("cancel", task=task.number)
        except FrameError as error:
            slot, pid = seat.child.slot, seat.child.pid
            log_event(logger, logging.WARNING, "worker.deaf", slot=slot, pid=pid, why=error)

    # -- for want of memory -------------------------------------------------------------------

    def end_oversized(self, seat: Seat, text: str) -> None:
        """Answer for a worker that is killed for what its tasks have taken.

        Args:
            seat: the worker.
            text: how much that is, in words.
        """
        tasks = list(seat.tasks.values())
        facts = {"worker": seat.child.slot, "pid": seat.child.pid}
        seat.ended = True
        self._crew.retire(seat.child.slot)
        for task in tasks:
            seat.abandon(task, 0.0)
            if len(tasks) == 1:
                log_event(logger, logging.WARNING, "task.oversized", **task.fields, why=text)
                self._delivery.note_end(task, "failed")
                errors = ("MemoryError",)
                self._delivery.fail(task, Failure(Kind.OUT_OF_MEMORY, text, errors, facts=facts))
            else:
                # Whose memory it is nobody can say: none of them has to pay with its retries.
                together = f"{text}, with {len(tasks)} tasks on its threads"
                self._delivery.lose(task, together, facts)

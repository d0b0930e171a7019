"""How activity tasks end, and the bringing of their answers to the engine.

Counts every end, words it as SWF wants it, and repeats an answer until the engine has taken it or
the task's own time is over. Law: a token is let go in one place only, `_answer`, so no path (a
worker's death, a stop, a lost connection) can forget a task.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from garcon.errors import EngineUnreachable, ServiceError
from garcon.log import log_event
from garcon.outcome import Failure, Kind, encode_failure
from garcon.pool.answers import ABOUT_THE_CALLER, is_about_content
from garcon.pool.dataplane import DataPlane
from garcon.pool.frames import Frame
from garcon.pool.jobs import Jobs
from garcon.pool.journal import Journal
from garcon.pool.tally import Tally, TaskEnd
from garcon.pool.tasks import ActivityTask

logger = logging.getLogger("garcon.pool")

#: An answer is repeated at least this long, whatever the task's own time, seconds.
ANSWER_S = 120.0

#: Between two answers that the engine refuses to take from us, such as with keys out of date.
REFUSED_REST_S = 10.0


class Delivery:
    """The tasks in this pool's hands, and their answers."""

    def __init__(
        self,
        plane: DataPlane,
        journal: Journal,
        jobs: Jobs,
        on_end: Callable[[TaskEnd], None] | None = None,
        on_trip: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Hold nothing yet.

        Args:
            plane: the calls.
            journal: keeps the tokens in hand.
            jobs: runs the answers.
            on_end: told how each task ended.
            on_trip: told how many seconds an answer took that the engine took in.
        """
        self._plane = plane
        self._journal = journal
        self._jobs = jobs
        self._on_end = on_end
        self._on_trip = on_trip
        #: Tasks whose answer the engine has not taken yet, by number.
        self.held: dict[int, ActivityTask] = {}
        self.tally = Tally()

    def hold(self, task: ActivityTask) -> None:
        """Take a task into the pool's hands."""
        self.held[task.number] = task
        self._journal.hold_activity(task.token)

    # -- ends ---------------------------------------------------------------------------------

    def finish(self, task: ActivityTask, frame: Frame) -> None:
        """Answer as the worker says: `done`, `failed` or `canceled`."""
        if frame.kind == "done":
            self.note_end(task, "completed", frame.head)
            self.reply(task, "Completed", {"result": frame.body.decode()})
        elif frame.kind == "canceled":
            self.cancel(task, frame.head)
        else:
            told = json.loads(frame.body)
            self.note_end(task, "failed", frame.head)
            log_event(logger, logging.WARNING, "task.failed", **task.fields, reason=told["reason"])
            self.reply(task, "Failed", told)

    def cancel(self, task: ActivityTask, used: Mapping[str, Any] | None = None) -> None:
        """Answer that it was canceled, and how far it was."""
        self.note_end(task, "canceled", used)
        words = task.hear()
        self.reply(task, "Canceled", {} if words is None else {"details": words})

    def lose(self, task: ActivityTask, text: str, facts: Mapping[str, Any]) -> None:
        """Answer that its worker died."""
        self.note_end(task, "lost", facts)
        log_event(logger, logging.WARNING, "task.lost", **task.fields, why=text)
        self.fail(task, Failure(Kind.LOST, text, facts=facts))

    def hand_back(self, task: ActivityTask, text: str) -> None:
        """Answer that it never ran here."""
        self.note_end(task, "handed_back")
        log_event(logger, logging.INFO, "task.handed_back", **task.fields, why=text)
        self.fail(task, Failure(Kind.HANDED_BACK, text))

    def note_end(
        self, task: ActivityTask, outcome: str, used: Mapping[str, Any] | None = None
    ) -> None:
        """Count how a task ended, and tell what it used where its worker says so."""
        setattr(self.tally, outcome, getattr(self.tally, outcome) + 1)
        begun_at_s, used = task.begun_at_s, used or {}
        ended_s = asyncio.get_running_loop().time()
        end = TaskEnd(
            task.activity.name,
            outcome,
            0.0 if begun_at_s is None else ended_s - begun_at_s,
            cpu_s=used.get("cpu_s"),
            peak_kb=used.get("peak_kb"),
        )
        log_event(
            logger, logging.DEBUG, "task.done", **task.fields, outcome=outcome,
            seconds=end.seconds, cpu_s=end.cpu_s, peak_kb=end.peak_kb,
        )  # fmt: skip
        if self._on_end is not None:
            self._on_end(end)

    # -- answers ------------------------------------------------------------------------------

    def fail(self, task: ActivityTask, failure: Failure) -> None:
        """Answer that it failed so, and how far it was; its end is counted elsewhere."""
        if (words := task.hear()) is not None:
            failure = replace(failure, facts={**failure.facts, "heartbeat": words})
        reason, details = encode_failure(failure)
        self.reply(task, "Failed", {"reason": reason, "details": details})

    def reply(self, task: ActivityTask, how: str, attributes: Mapping[str, str]) -> None:
        """Send `RespondActivityTask<how>`, beside whatever else goes on."""
        task.is_ending = True
        self._jobs.spawn(self._answer(task, how, attributes))

    async def _answer(self, task: ActivityTask, how: str, attributes: Mapping[str, str]) -> None:
        # Cancelled here (a stop that does not wait), the token stays in the journal: the next pool
        # on this host answers it.
        if not task.vanished:
            await self._deliver(task, how, attributes)
        self.held.pop(task.number, None)
        self._journal.let_go(task.token)

    async def _deliver(self, task: ActivityTask, how: str, attributes: Mapping[str, str]) -> None:
        body = {"taskToken": task.token, **attributes}
        deadline_s = task.taken_at_s + max(ANSWER_S, task.start_to_close_s)
        try:
            await self._say(f"RespondActivityTask{how}", body, deadline_s)
        except EngineUnreachable as error:
            log_event(logger, logging.ERROR, "answer.lost", **task.fields, why=error)
        except ServiceError as error:
            level = logging.WARNING if error.is_unknown_resource else logging.ERROR
            log_event(logger, level, "answer.refused", **task.fields, how=how, why=error)
            if how == "Completed" and is_about_content(error):
                refused = Failure(Kind.FAILED, f"the engine refused the result: {error}")
                reason, details = encode_failure(refused)
                await self._deliver(task, "Failed", {"reason": reason, "details": details})

    async def _say(self, operation: str, body: Mapping[str, str], deadline_s: float) -> None:
        """Answer; keys that are refused may be renewed while there is time."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._plane.answer(operation, body, deadline_s=deadline_s)
            except ServiceError as error:
                left_s = deadline_s - loop.time()
                if error.code not in ABOUT_THE_CALLER or left_s <= 0:
                    raise
                await asyncio.sleep(min(left_s, REFUSED_REST_S))
            else:
                self._on_trip(loop.time() - began_s)
                return

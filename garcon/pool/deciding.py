"""Decision tasks: polled, given to the decider that knows the run, held, answered.

A decider sees pages of history and gives back decisions; it has no token and no connection. The
supervisor keeps both, so a decider that dies or hangs costs one 0-second timer, which makes the
engine ask again at once. Law: every decision task that was polled is answered exactly once before
its time is over, or known to be gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from garcon.description import FlowDescription
from garcon.errors import EngineError, EngineUnreachable, ServiceError
from garcon.log import log_event
from garcon.pool.dataplane import DataPlane
from garcon.pool.frames import Frame, FrameError
from garcon.pool.jobs import Jobs
from garcon.pool.journal import Journal
from garcon.pool.nursery import Child

logger = logging.getLogger("garcon.pool")

#: A decider has this part of the decision's time; the rest is for the hold and the answer.
DECIDING_PART = 0.5

#: Polling stops while each decider has this many tasks before it.
QUEUE_A_DECIDER = 2

#: Timer that makes the engine ask again when a decision could not be made.
AGAIN = "garcon.again"

PAGE_EVENTS = 1_000  # SWF's maximum
CALL_TIMEOUT_S = 20.0
REST_FIRST_S = 0.2
REST_MAX_S = 30.0


@dataclass
class DecisionTask:
    """One decision task in this pool's hands.

    Attributes:
        number: its name between supervisor and decider.
        token: SWF's task token.
        pages: raw responses of the poll, in the order of events.
        taken_at_s: when it came, loop time.
        replies: what the decider says; None when the decider is gone.
    """

    number: int
    token: str
    workflow_id: str
    run_id: str
    head: Mapping[str, Any]
    pages: list[bytes]
    taken_at_s: float
    replies: asyncio.Queue[Frame | None] = field(default_factory=asyncio.Queue)

    @property
    def fields(self) -> dict[str, Any]:
        """Return what a log line says of this task."""
        return {"workflow": self.workflow_id, "run": self.run_id}


class _CannotDecide(Exception):
    """This task gets the timer; the text says why."""


@dataclass
class _Decider:
    child: Child
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    task: DecisionTask | None = None
    queued: int = 0
    overdue: bool = False


class Deciding:
    """The way of decision tasks between one engine and the deciders of one pool."""

    def __init__(
        self,
        plane: DataPlane,
        journal: Journal,
        flow: FlowDescription,
        identity: str,
        *,
        on_overdue: Callable[[int], None],
        on_closing: Callable[[str], None],
    ) -> None:
        """Decide for executions of `flow`.

        Args:
            plane: the calls.
            journal: keeps the tokens in hand.
            flow: names and timeouts.
            identity: names this pool in the histories.
            on_overdue: told the slot of a decider that took too long and has to go.
            on_closing: told the run id when an answer that closes it was taken.
        """
        self._plane = plane
        self._journal = journal
        self._flow = flow
        self._identity = identity
        self._on_overdue = on_overdue
        self._on_closing = on_closing
        self._deciders: dict[int, _Decider] = {}
        self._jobs = Jobs()
        self._held: dict[int, DecisionTask] = {}
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._last_number = 0

    # -- deciders -----------------------------------------------------------------------------

    def add_decider(self, child: Child) -> None:
        """Give decision tasks to this child from now on."""
        self._deciders[child.slot] = _Decider(child)
        self._wake.set()

    def remove_decider(self, slot: int) -> None:
        """Take note of a decider's end; its task gets the timer."""
        decider = self._deciders.pop(slot, None)
        if decider is not None and decider.task is not None:
            decider.task.replies.put_nowait(None)

    def is_busy(self, slot: int) -> bool:
        """Whether the decider in this slot has a task."""
        decider = self._deciders.get(slot)
        return decider is not None and decider.task is not None

    async def on_frame(self, child: Child, frame: Frame) -> None:
        """Pass on what a decider says about the task it has."""
        decider = self._deciders.get(child.slot)
        if decider is None or decider.child is not child or decider.task is None:
            return
        if frame.head.get("task") == decider.task.number:
            decider.task.replies.put_nowait(frame)

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Poll while a decider has room, until stopped or cancelled."""
        failures = 0
        while not self._stopping.is_set():
            if not self._has_room():
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._poll()
                failures = 0
            except EngineError as error:
                failures += 1
                await self._rest(failures, error)

    async def drain(self, deadline_s: float) -> None:
        """Poll no more; return when every task in hand is answered, or at `deadline_s`."""
        self.stop_taking()
        loop = asyncio.get_running_loop()
        while len(self._jobs) and loop.time() < deadline_s:
            await self._jobs.wait_any(deadline_s - loop.time())

    def stop_taking(self) -> None:
        """Send no further poll, and hold no answer any longer."""
        self._stopping.set()
        self._wake.set()

    @property
    def held(self) -> int:
        """Tasks that the engine waits for."""
        return len(self._held)

    async def abort(self) -> None:
        """Drop every call under way: for a stop that does not wait."""
        await self._jobs.cancel()

    def _has_room(self) -> bool:
        return any(one.queued < QUEUE_A_DECIDER for one in self._deciders.values())

    async def _rest(self, failures: int, error: EngineError) -> None:
        pause_s = random.uniform(0, min(REST_MAX_S, REST_FIRST_S * 2**failures))
        if isinstance(error, ServiceError):
            log_event(
                logger, logging.WARNING, "poll.failed", list=self._flow.task_list,
                error=str(error), pause_s=round(pause_s, 2),
            )  # fmt: skip
        await asyncio.sleep(pause_s)

    # -- one task -----------------------------------------------------------------------------

    async def _poll(self) -> None:
        body = {
            "domain": self._flow.domain,
            "taskList": {"name": self._flow.task_list},
            "identity": self._identity,
            "maximumPageSize": PAGE_EVENTS,
            "startAtPreviousStartedEvent": True,
        }
        page = await self._plane.poll("PollForDecisionTask", body)
        head = json.loads(page)
        if not head.get("taskToken"):
            return
        self._last_number += 1
        task = DecisionTask(
            number=self._last_number,
            token=head["taskToken"],
            workflow_id=head["workflowExecution"]["workflowId"],
            run_id=head["workflowExecution"]["runId"],
            head={key: value for key, value in head.items() if key != "events"},
            pages=[page],
            taken_at_s=asyncio.get_running_loop().time(),
        )
        self._held[task.number] = task
        self._journal.hold_decision(task.token)
        # What arrives while the pool stops is left to whoever polls next.
        decider = None if self._stopping.is_set() else self._choose(task.run_id)
        if decider is not None:
            decider.queued += 1
        self._jobs.spawn(self._handle(task, decider, body))

    def _choose(self, run_id: str) -> _Decider | None:
        """Return the decider that has most likely seen this run before."""
        slots = sorted(self._deciders)
        if not slots:
            return None
        return self._deciders[slots[crc32(run_id.encode()) % len(slots)]]

    async def _handle(
        self, task: DecisionTask, decider: _Decider | None, poll: Mapping[str, Any]
    ) -> None:
        try:
            if decider is None:
                raise _CannotDecide("the pool is stopping, or has no decider up")
            answer = await self._decide_in_time(task, decider, poll)
        except _CannotDecide as verdict:
            log_event(logger, logging.WARNING, "decision.again", **task.fields, why=verdict)
            await self._respond(task, ask_again(task.token), closes=False)
        except EngineError as error:
            # The history could not be read: on a line that is cut the timer may not arrive either,
            # and then the decision's own timeout asks again.
            log_event(logger, logging.WARNING, "decision.again", **task.fields, why=error)
            await self._respond(task, ask_again(task.token), closes=False)
        else:
            for note in answer.head.get("notes", ()):
                log_event(logger, logging.INFO, "decision.note", **task.fields, note=note)
            await self._hold(float(answer.head["hold_s"]))
            closes = bool(answer.head["closes"])
            await self._respond(task, with_token(task.token, answer.body), closes=closes)
        self._held.pop(task.number, None)
        self._journal.let_go(task.token)

    async def _decide_in_time(
        self, task: DecisionTask, decider: _Decider, poll: Mapping[str, Any]
    ) -> Frame:
        limit_s = DECIDING_PART * self._flow.decision_timeout_s
        try:
            return await asyncio.wait_for(self._decide(task, decider, poll), limit_s)
        except asyncio.TimeoutError:
            if decider.task is task:
                decider.overdue = True
                self._on_overdue(decider.child.slot)
            raise _CannotDecide(f"the decider took more than {limit_s:.0f} s") from None
        finally:
            decider.queued -= 1
            if decider.task is task and not decider.overdue:
                decider.task = None
            self._wake.set()

    async def _decide(
        self, task: DecisionTask, decider: _Decider, poll: Mapping[str, Any]
    ) -> Frame:
        await self._fetch_pages(task, poll)
        async with decider.turn:
            if self._deciders.get(decider.child.slot) is not decider or decider.overdue:
                raise _CannotDecide("the decider is gone")
            decider.task = task
            try:
                await self._send_task(task, decider)
                return await self._converse(task, decider)
            except FrameError as error:
                raise _CannotDecide(str(error)) from error

    async def _fetch_pages(self, task: DecisionTask, poll: Mapping[str, Any]) -> None:
        token = task.head.get("nextPageToken")
        while token:
            body = {**poll, "nextPageToken": token}
            page = await self._plane.call("PollForDecisionTask", body, timeout_s=CALL_TIMEOUT_S)
            answer = json.loads(page)
            if not answer.get("taskToken"):
                raise _CannotDecide("its history broke off: the task is gone")
            task.pages.append(page)
            token = answer.get("nextPageToken")

    async def _send_task(self, task: DecisionTask, decider: _Decider) -> None:
        stream, head = decider.child.stream, task.head
        await stream.send(
            "task",
            task=task.number,
            domain=self._flow.domain,
            workflow_id=task.workflow_id,
            run_id=task.run_id,
            workflow_type=head["workflowType"]["name"],
            version=head["workflowType"]["version"],
            started=head["startedEventId"],
            previous=head.get("previousStartedEventId", 0),
            pages=len(task.pages),
            allowance=None,
        )
        for page in task.pages:
            await stream.send("page", page, task=task.number)
        task.pages.clear()

    async def _converse(self, task: DecisionTask, decider: _Decider) -> Frame:
        """Serve the decider's requests for older events until it answers."""
        next_page: str | None = ""
        while True:
            frame = await task.replies.get()
            if frame is None:
                raise _CannotDecide("the decider died over it")
            if frame.kind == "answer":
                return frame
            if frame.kind == "gave_up":
                raise _CannotDecide(str(frame.head["text"]))
            if next_page is None:
                raise _CannotDecide("the decider asks for events before the first")
            next_page = await self._send_older(task, decider, next_page)

    async def _send_older(self, task: DecisionTask, decider: _Decider, token: str) -> str | None:
        body: dict[str, Any] = {
            "domain": self._flow.domain,
            "execution": {"workflowId": task.workflow_id, "runId": task.run_id},
            "reverseOrder": True,
            "maximumPageSize": PAGE_EVENTS,
        }
        if token:
            body["nextPageToken"] = token
        page = await self._plane.call("GetWorkflowExecutionHistory", body, timeout_s=CALL_TIMEOUT_S)
        following: str | None = json.loads(page).get("nextPageToken")
        await decider.child.stream.send("page", page, task=task.number, last=following is None)
        return following

    async def _hold(self, hold_s: float) -> None:
        """Wait `hold_s` seconds so that one decision serves many completions; less on a stop."""
        if hold_s > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), hold_s)
            except asyncio.TimeoutError:
                return

    async def _respond(self, task: DecisionTask, body: bytes, *, closes: bool) -> None:
        deadline_s = task.taken_at_s + self._flow.decision_timeout_s
        try:
            await self._plane.answer("RespondDecisionTaskCompleted", body, deadline_s=deadline_s)
        except EngineUnreachable as error:
            log_event(logger, logging.ERROR, "answer.lost", **task.fields, why=error)
        except ServiceError as error:
            await self._on_refused(task, error)
        else:
            if closes:
                self._on_closing(task.run_id)

    async def _on_refused(self, task: DecisionTask, error: ServiceError) -> None:
        """A refusal of the decisions fails the execution: asked again, they would be the same."""
        log_event(logger, logging.ERROR, "answer.refused", **task.fields, why=error)
        if error.is_unknown_resource or error.is_passing:
            return
        body = fail_execution(task.token, f"the engine refused the decisions: {error}")
        deadline_s = task.taken_at_s + self._flow.decision_timeout_s
        try:
            await self._plane.answer("RespondDecisionTaskCompleted", body, deadline_s=deadline_s)
        except EngineError as second:
            log_event(logger, logging.ERROR, "answer.lost", **task.fields, why=second)


def with_token(token: str, body: bytes) -> bytes:
    """Return the decider's JSON object `body` with the task's token as its first member."""
    rest = body[1:]
    comma = b"" if rest == b"}" else b","
    return b'{"taskToken":' + json.dumps(token).encode() + comma + rest


def ask_again(token: str) -> bytes:
    """Return an answer that decides nothing and has the engine ask again at once."""
    timer = {
        "decisionType": "StartTimer",
        "startTimerDecisionAttributes": {"timerId": AGAIN, "startToFireTimeout": "0"},
    }
    return json.dumps({"taskToken": token, "decisions": [timer]}).encode()


def fail_execution(token: str, text: str) -> bytes:
    """Return an answer that fails the execution with `text`."""
    attributes = {"reason": text[:256], "details": text[:32_768]}
    decision = {
        "decisionType": "FailWorkflowExecution",
        "failWorkflowExecutionDecisionAttributes": attributes,
    }
    return json.dumps({"taskToken": token, "decisions": [decision]}).encode()

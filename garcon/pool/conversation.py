"""One decider and what is said to it: a task with its pages, older pages, and its answer.

A decider works on one task at a time; others wait for their turn. It may need the engine (older
events), die, hang or go deaf meanwhile, and each of them has its own meaning for the run. It never
answers the engine. Law: whoever waits here waits within a bound, and a decider that is left in the
middle of a task is told so, or ended.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from garcon.description import FlowDescription
from garcon.errors import EngineUnreachable, GarconError, ServiceError
from garcon.pool.answers import read_answer
from garcon.pool.dataplane import DataPlane
from garcon.pool.frames import Frame, FrameError
from garcon.pool.nursery import UNREADABLE, Child
from garcon.pool.pace import Allowances

PAGE_EVENTS = 1_000  # SWF's maximum
CALL_TIMEOUT_S = 10.0

#: Between two tries to read history, full jitter over a doubling bound, seconds.
REST_FIRST_S = 0.2
REST_MAX_S = 2.0

#: An attempt that was called off and goes on is called off again after so long, seconds.
CALL_OFF_S = 0.2

#: Of a decision's time, what reading the history may take before the decider itself gives up.
READING_PART = 0.35


@dataclass
class Fetched:
    """Events that deciders were given, for what they cost the line and the engine.

    Attributes:
        polled: with the decision tasks.
        read: asked for besides: after a gap, or of other executions (results, resuming).
        checked: asked for to compare a kept state with its history.
    """

    polled: int = 0
    read: int = 0
    checked: int = 0


@dataclass
class DecisionTask:
    """One decision task in this pool's hands.

    Attributes:
        number: its name between supervisor and decider.
        token: SWF's task token.
        poll: the body that it was polled with, for its further pages.
        head: the poll's answer without its events.
        pages: raw responses of the poll, in the order of events.
        events: how many events the first of them has.
        taken_at_s: when it came, loop time.
        timeout_s: how long the engine waits for its answer.
        replies: what the decider says.
        pid: the decider's process, None before there is one.
    """

    number: int
    token: str
    workflow_id: str
    run_id: str
    poll: Mapping[str, Any]
    head: Mapping[str, Any]
    pages: list[bytes]
    events: int
    taken_at_s: float
    timeout_s: float
    replies: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    pid: int | None = None

    @property
    def polled(self) -> str:
        """The list that it came from."""
        return str(self.poll["taskList"]["name"])

    @property
    def deadline_s(self) -> float:
        """When the engine waits no longer, loop time."""
        return self.taken_at_s + self.timeout_s

    @property
    def fields(self) -> dict[str, Any]:
        """Return what a log line says of this task: `pid` is its decider's, once it has one."""
        return {**self.names, "pid": self.pid}

    @property
    def names(self) -> dict[str, Any]:
        """Return whose decision it is."""
        return {"workflow": self.workflow_id, "run": self.run_id}


@dataclass(frozen=True)
class Decision:
    """What a decider answers, as far as the supervisor has to know it.

    Attributes:
        body: the decisions, JSON that is passed on unread.
        hold_s: how long the answer may wait for further completions, seconds.
        closes: it ends the execution.
        cancels: it asks for the end of running activities.
        throttled: the engine had refused schedules for their rate.
        scheduled: activities that it schedules.
        terminate: executions that are to end before this one closes, by workflow id and run id.
        notes: lines for the log.
    """

    body: bytes
    hold_s: float
    closes: bool
    cancels: bool
    throttled: bool
    scheduled: int
    terminate: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, frame: Frame) -> Decision:
        """Return what a frame `answer` says.

        Raises:
            ValueError, LookupError, TypeError: it is no answer.
        """
        head = frame.head
        hold_s = float(head["hold_s"])
        if not math.isfinite(hold_s):
            raise ValueError(f"it is to be held for {hold_s} s")
        return cls(
            body=frame.body,
            hold_s=hold_s,
            closes=bool(head["closes"]),
            cancels=bool(head.get("cancels")),
            throttled=bool(head.get("throttled")),
            scheduled=int(head.get("scheduled", 0)),
            terminate=tuple((str(name), str(run)) for name, run in head.get("terminate", ())),
            notes=tuple(map(str, head.get("notes", ()))),
        )


@dataclass(frozen=True)
class _Wanted:
    """A page of a history that a decider asks for.

    Attributes:
        run: workflow id and run id.
        token: what asks for it; empty for the first page.
        is_check: it is to be compared with what is kept.
    """

    run: tuple[str, str]
    token: str
    is_check: bool

    @classmethod
    def of(cls, frame: Frame) -> _Wanted:
        head = frame.head
        run = (str(head["workflow_id"]), str(head["run_id"]))
        return cls(run, str(head["token"]), bool(head.get("is_check")))


class CannotDecide(GarconError):
    """No decision comes of this attempt; the text says why.

    Attributes:
        blames_run: it was deciding this run that went wrong, and not something around it.
    """

    def __init__(self, text: str, *, blames_run: bool = False) -> None:
        super().__init__(text)
        self.blames_run = blames_run


class Decider:
    """The supervisor's view of one decider.

    Attributes:
        child: its process.
        task: what it is deciding.
        queued: tasks that were given to it and are not over, the present one included.
        is_leaving: it gets nothing more.
    """

    def __init__(
        self,
        child: Child,
        plane: DataPlane,
        flow: FlowDescription,
        on_useless: Callable[[int], None],
        allowances: Allowances,
        fetched: Fetched,
    ) -> None:
        """Talk to `child`.

        Args:
            child: the process.
            plane: reads history.
            flow: names the domain.
            allowances: how many activities its decisions may schedule.
            fetched: counts the events that go to it.
            on_useless: told the slot of a decider that hangs or is deaf, and has to be ended.
        """
        self.child = child
        self.task: DecisionTask | None = None
        self.queued = 0
        self.is_leaving = False
        self._plane = plane
        self._flow = flow
        self._on_useless = on_useless
        self._allowances = allowances
        self._fetched = fetched
        self._turn = asyncio.Lock()
        self._is_reading = False
        self._is_innocent = False  # of its process' end
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hear(self, frame: Frame) -> None:
        """Take what it says; about another task than its present one it is passed over."""
        if self.task is not None and frame.head.get("task") == self.task.number:
            self.task.replies.put_nowait(frame)

    def end(self, status: str, *, with_zygote: bool = False) -> None:
        """Note that its process is no more, and how it ended: `was killed by SIGKILL`."""
        self.is_leaving = True
        self._is_innocent = with_zygote
        if not self._ended.done():
            self._ended.set_result(status)

    async def decide(self, task: DecisionTask, limit_s: float) -> Decision:
        """Return the decider's answer to `task`.

        Raises:
            CannotDecide: there is none within `limit_s` seconds, or the decider has ended.
            ServiceError: the engine refuses to give the history.
        """
        self.queued += 1
        task.pid = self.child.pid
        attempt = asyncio.ensure_future(self._attempt(task))
        ends: set[asyncio.Future[Any]] = {attempt, self._ended}
        try:
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if attempt.done():
                return attempt.result()
            raise self._why_not(task, limit_s)
        finally:
            while not attempt.done():
                # More than once: before Python 3.12 `wait_for` swallows a cancel that meets the end
                # of what it waits for, and the attempt would then wait for an answer for ever.
                attempt.cancel()
                await asyncio.wait({attempt}, timeout=CALL_OFF_S)
            if not attempt.cancelled():
                attempt.exception()  # looked at: another end was quicker
            self.queued -= 1

    def _why_not(self, task: DecisionTask, limit_s: float) -> CannotDecide:
        is_its_turn = self.task is task
        if self._ended.done():
            text = f"the decider {self._ended.result()}"
            return CannotDecide(text, blames_run=is_its_turn and not self._is_innocent)
        if not is_its_turn:
            return CannotDecide(f"no decider was free for {limit_s:.0f} s")
        if self._is_reading:
            return CannotDecide(f"its history was not read within {limit_s:.0f} s")
        self._give_up()
        return CannotDecide(f"the decider took more than {limit_s:.0f} s", blames_run=True)

    async def _attempt(self, task: DecisionTask) -> Decision:
        await self._fetch_pages(task)
        async with self._turn:
            if self.is_leaving:
                raise CannotDecide("its decider is leaving")
            self.task = task
            allowance, scheduled = self._allowances.take(), 0
            try:
                await self._send_task(task, allowance)
                decision = await self._converse(task)
                scheduled = decision.scheduled
                return decision
            except FrameError as error:
                self._give_up()
                raise CannotDecide(f"the decider cannot be spoken to: {error}") from error
            finally:
                self._allowances.settle(allowance, scheduled)
                self.task = None
                if self._is_reading:
                    # It still waits for a page, and would take the next task's frames for it.
                    self._is_reading = False
                    self._say_gone(task)

    def _give_up(self) -> None:
        self.is_leaving = True
        if not self._ended.done():
            self._on_useless(self.child.slot)

    async def _fetch_pages(self, task: DecisionTask) -> None:
        self._fetched.polled += task.events
        token = task.head.get("nextPageToken")
        while token:
            page = await self._read("PollForDecisionTask", {**task.poll, "nextPageToken": token})
            answer = read_answer(page)
            if not answer.get("taskToken"):
                raise CannotDecide("its history broke off: the task is gone")
            task.pages.append(page)
            self._fetched.polled += len(answer.get("events", ()))
            token = answer.get("nextPageToken")

    async def _send_task(self, task: DecisionTask, allowance: int | None) -> None:
        stream, head = self.child.stream, task.head
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
            allowance=allowance,
            read_s=self._reading_time_s(task),
        )
        for page in task.pages:
            await stream.send("page", page, task=task.number)
        task.pages.clear()

    async def _converse(self, task: DecisionTask) -> Decision:
        """Serve the decider's requests for histories, newest first, until it answers."""
        while True:
            frame = await task.replies.get()
            if frame.kind == "gave_up":
                raise CannotDecide(str(frame.head.get("text")), blames_run=True)
            try:
                if frame.kind == "answer":
                    return Decision.of(frame)
                wanted = _Wanted.of(frame)
            except UNREADABLE as error:
                raise FrameError(f"it says what nobody can read: {error!r}") from error
            self._is_reading = True
            page, token = await self._read_older(task, wanted)
            self._is_reading = False
            if page is None:
                await self.child.stream.send("unknown", task=task.number)
            else:
                await self.child.stream.send("page", page, task=task.number, next=token)

    def _reading_time_s(self, task: DecisionTask) -> float:
        """Return how long the decider may read; it is told, so that it keeps what it has read."""
        used_s = asyncio.get_running_loop().time() - task.taken_at_s
        return max(0.0, READING_PART * task.timeout_s - used_s)

    def _say_gone(self, task: DecisionTask) -> None:
        """Say it at once, and in no job: the next task's frames have to come behind it."""
        try:
            self.child.stream.write("gone", task=task.number)
        except FrameError:
            self._give_up()

    async def _read_older(self, task: DecisionTask, wanted: _Wanted) -> tuple[bytes | None, str]:
        """Return a page of a history, and what the page after it is asked for with.

        None where it is another execution's, which the engine does not know.
        """
        run = wanted.run
        body: dict[str, Any] = {
            "domain": self._flow.domain,
            "execution": {"workflowId": run[0], "runId": run[1]},
            "reverseOrder": True,
            "maximumPageSize": PAGE_EVENTS,
        }
        if wanted.token:
            body["nextPageToken"] = wanted.token
        try:
            page = await self._read("GetWorkflowExecutionHistory", body)
        except ServiceError as error:
            if error.is_unknown_resource and run != (task.workflow_id, task.run_id):
                return None, ""
            raise
        answer = read_answer(page)
        events = len(answer.get("events", ()))
        if wanted.is_check:
            self._fetched.checked += events
        else:
            self._fetched.read += events
        return page, answer.get("nextPageToken") or ""

    async def _read(self, operation: str, body: Mapping[str, Any]) -> bytes:
        """Read from the engine, over throttles and cuts of the line; `decide` bounds it.

        Raises:
            ServiceError: the engine refuses.
        """
        bound_s = REST_FIRST_S
        while True:
            try:
                return await self._plane.call(operation, body, timeout_s=CALL_TIMEOUT_S)
            except ServiceError as error:
                if not error.is_passing:
                    raise
            except EngineUnreachable:
                # Told by the data plane, once for all who meet it.
                pass
            await asyncio.sleep(random.uniform(0, bound_s))
            bound_s = min(REST_MAX_S, 2 * bound_s)

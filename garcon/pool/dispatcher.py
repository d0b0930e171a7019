"""Activity tasks: polled, given to an idle worker, kept alive, answered.

The dispatcher owns the token of every task that it polled until the engine has taken the answer.
Law: a token leaves `_held` in one place only, `_answer`, so no path (a worker's death, a stop, a
lost connection) can forget a task. Everything here runs on the supervisor's loop; nothing blocks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from garcon.description import (
    HEARTBEAT_S,
    START_TO_CLOSE_S,
    ActivityDescription,
    FlowDescription,
)
from garcon.errors import EngineError, EngineUnreachable, ServiceError
from garcon.log import log_event
from garcon.outcome import Failure, Kind, encode_failure
from garcon.pool.answers import ABOUT_THE_CALLER, is_about_content, read_answer
from garcon.pool.bounds import CANCEL_GRACE_S, overdue_at_s
from garcon.pool.choice import choose_activities
from garcon.pool.dataplane import DataPlane
from garcon.pool.frames import Frame, FrameError
from garcon.pool.jobs import Jobs
from garcon.pool.journal import Journal
from garcon.pool.nursery import Child
from garcon.pool.polling import PollLevels
from garcon.pool.tally import Tally, TaskEnd

logger = logging.getLogger("garcon.pool")

#: A task in hand goes back after the lesser of this and this part of its time.
IN_HAND_S = 10.0
IN_HAND_PART = 0.05

#: An answer is repeated at least this long, whatever the task's own time, seconds.
ANSWER_S = 120.0

#: A heartbeat that meets a throttle or a cut line is repeated at the next turn; seconds of one try.
BEAT_TIMEOUT_S = 10.0
BEATS_A_TIMEOUT = 3

#: After a failed poll its list rests, full jitter over a doubling bound, seconds.
REST_FIRST_S = 0.2
REST_MAX_S = 30.0

#: Between two answers that the engine refuses to take from us, such as with keys out of date.
REFUSED_REST_S = 10.0

TICK_S = 0.5
TICK_MIN_S = 0.02


@dataclass
class ActivityTask:
    """One task that the engine counts as started by this pool.

    Attributes:
        number: its name between supervisor and worker.
        token: SWF's task token.
        activity: what the flow says of it.
        taken_at_s: when it came, loop time.
        next_beat_s: when the engine is to hear of it next, loop time.
        slot: the worker that runs it, None while it waits for one.
        begun_at_s: when that worker got it, loop time.
        vanished: the engine knows it no more: nothing is to be answered.
        heartbeat_s: seconds within which the engine wants to hear of it.
        start_to_close_s: seconds that it may take.
        cancel_by_s: when a task that was told to end is ended, loop time.
        details: what it said last of itself.
        is_ending: its answer is under way.
    """

    number: int
    token: str
    activity: ActivityDescription
    activity_id: str
    workflow_id: str
    run_id: str
    input: bytes
    taken_at_s: float
    next_beat_s: float
    slot: int | None = None
    begun_at_s: float | None = None
    vanished: bool = False
    heartbeat_s: float = HEARTBEAT_S
    start_to_close_s: float = START_TO_CLOSE_S
    cancel_by_s: float | None = None
    details: str | None = None
    is_ending: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """Return what a log line says of this task."""
        return {
            "activity": self.activity.name,
            "id": self.activity_id,
            "workflow": self.workflow_id,
            "run": self.run_id,
        }


@dataclass
class _Worker:
    child: Child
    task: ActivityTask | None = None
    leaving: bool = False


class Dispatcher:
    """The way of activity tasks between one engine and the workers of one pool."""

    def __init__(
        self,
        plane: DataPlane,
        journal: Journal,
        flow: FlowDescription,
        identity: str,
        *,
        on_overdue: Callable[[int], None],
        activities: Iterable[str] | None = None,
        cancel_grace_s: float = CANCEL_GRACE_S,
        on_end: Callable[[TaskEnd], None] | None = None,
    ) -> None:
        """Serve the activities of `flow`.

        Args:
            plane: the calls.
            journal: keeps the tokens in hand.
            flow: names, timeouts and caps.
            identity: names this pool in the histories.
            on_overdue: told the slot of a worker that has to go, its task being answered.
            activities: names of those to poll for; None for all that are not external.
            cancel_grace_s: seconds that a canceled task has to end by itself.
            on_end: told how each task ended.
        Raises:
            UsageError: an activity of that name is not this pool's to serve.
        """
        self._plane = plane
        self._journal = journal
        self._identity = identity
        self._on_overdue = on_overdue
        self._on_end = on_end
        self._cancel_grace_s = cancel_grace_s
        self._chosen = tuple(activities) if activities is not None else None
        self._levels = PollLevels(())
        self.adopt(flow)
        self._failed_polls: dict[str, int] = {}
        self._workers: dict[int, _Worker] = {}
        self._idle: deque[int] = deque()
        self._in_hand: deque[ActivityTask] = deque()
        self._held: dict[int, ActivityTask] = {}
        self._jobs = Jobs()
        self._stopping = False
        self._last_number = 0
        self.tally = Tally()
        #: When `run` last went round, loop time.
        self.ticked_s = asyncio.get_running_loop().time()

    def adopt(self, flow: FlowDescription) -> None:
        """Serve the activities of `flow`, as it is now, from the next poll on.

        Raises:
            UsageError: an activity that was asked for is not this pool's to serve.
        """
        served = choose_activities(flow, self._chosen)
        self._levels.serve(one.task_list for one in served)
        # A list may be shared with an activity that was not chosen: what comes is run all the same.
        known = [one for one in flow.activities if not one.external]
        self._by_type = {(one.type_name, one.version): one for one in known}
        self._caps = {one.name: one.max_procs for one in known if one.max_procs is not None}
        self._capped_lists = _capped_lists(known)
        self._flow = flow

    # -- workers ------------------------------------------------------------------------------

    def add_worker(self, child: Child) -> None:
        """Give work to this child from now on."""
        self._workers[child.slot] = _Worker(child)
        self._idle.append(child.slot)
        self._pump()

    def retire_worker(self, slot: int) -> None:
        """Give this worker nothing more; what it has in hand it may finish."""
        worker = self._workers.get(slot)
        if worker is not None:
            worker.leaving = True
            self._forget_idle(slot)

    def remove_worker(self, slot: int, status: str, facts: Mapping[str, Any]) -> None:
        """Take note of a worker's end, and answer the task that it had.

        Args:
            slot: its place.
            status: how it ended, in words, such as `killed by SIGKILL`.
            facts: pid, signal, CPU seconds, peak memory: for the failure's details.
        """
        worker = self._workers.pop(slot, None)
        if worker is None:
            return
        self._forget_idle(slot)
        if worker.task is not None:
            self._lose(worker.task, f"worker {slot} (pid {worker.child.pid}) {status}", facts)
        self._pump()

    def is_busy(self, slot: int) -> bool:
        """Whether the worker in this slot has a task."""
        worker = self._workers.get(slot)
        return worker is not None and worker.task is not None

    @property
    def busy(self) -> frozenset[int]:
        """Slots with a task."""
        return frozenset(slot for slot, one in self._workers.items() if one.task is not None)

    def count_workers(self) -> tuple[int, int]:
        """Return how many workers have a task, and how many there are."""
        return len(self.busy), len(self._workers)

    @property
    def idle(self) -> int:
        """Workers that wait for a task."""
        return len(self._idle)

    @property
    def has_in_hand(self) -> bool:
        """Whether a task came that no worker has begun."""
        return bool(self._in_hand)

    @property
    def in_hand(self) -> int:
        """Tasks that came and that no worker has begun."""
        return len(self._in_hand)

    @property
    def polls_waiting(self) -> int:
        """Polls under way."""
        return self._levels.waiting

    def tasks_of(self, slot: int) -> list[ActivityTask]:
        """Return what the worker in this slot has."""
        worker = self._workers.get(slot)
        return [worker.task] if worker is not None and worker.task is not None else []

    @property
    def task_lists(self) -> list[str]:
        """Lists that this pool serves."""
        return self._levels.names

    async def on_frame(self, child: Child, frame: Frame) -> None:
        """Act on what a worker says."""
        worker = self._workers.get(child.slot)
        if worker is None or worker.child is not child or worker.task is None:
            return
        task = worker.task
        if frame.head.get("task") != task.number:
            return
        if frame.kind == "beat":
            task.details = str(frame.head.get("details") or "") or None
        elif frame.kind == "timing":
            self._set_timing(task, frame.head)
        elif frame.kind in ("done", "failed", "canceled"):
            self._end(task, frame)
            self._free(worker)

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Beat for tasks, end what is overdue, hand back what waited too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._next_tick_s(loop.time()))
            self.ticked_s = now_s = loop.time()
            for task in list(self._held.values()):
                if task.next_beat_s <= now_s and not task.vanished:
                    task.next_beat_s = now_s + task.heartbeat_s / BEATS_A_TIMEOUT
                    self._jobs.spawn(self._beat(task))
            self.end_overdue(now_s)
            self.hand_back_stale(now_s)
            self._pump()

    def _next_tick_s(self, now_s: float) -> float:
        """Return for how long the loop may sleep without being late for a task's end."""
        # Those that workers have: one whose answer is under way has ended already.
        running = [worker.task for worker in self._workers.values() if worker.task is not None]
        ends = [overdue_at_s(one.taken_at_s, one.start_to_close_s) for one in running]
        return min(TICK_S, max(TICK_MIN_S, min(ends, default=now_s + TICK_S) - now_s))

    async def drain(self, deadline_s: float) -> None:
        """Take nothing more; return when nothing is held and no poll waits, or at the deadline.

        Args:
            deadline_s: loop time.
        """
        self.stop_taking()
        loop = asyncio.get_running_loop()
        while (self._held or len(self._jobs)) and loop.time() < deadline_s:
            await self._jobs.wait_any(min(TICK_S, deadline_s - loop.time()))

    def stop_taking(self) -> None:
        """Send no further poll and hand back what no worker has begun."""
        self._stopping = True
        while self._in_hand:
            self._hand_back(self._in_hand.popleft(), "the pool is stopping")

    @property
    def held(self) -> int:
        """Tasks whose answer the engine has not taken yet."""
        return len(self._held)

    @property
    def under_way(self) -> int:
        """Tasks that are not answered, and calls that have no answer yet, polls among them."""
        return max(len(self._held), len(self._jobs))

    async def abort(self) -> None:
        """Drop every call under way: for a stop that does not wait."""
        await self._jobs.cancel()

    # -- polls --------------------------------------------------------------------------------

    def _pump(self) -> None:
        if self._stopping:
            return
        now_s = asyncio.get_running_loop().time()
        due = self._levels.take_due(
            len(self._idle), len(self._in_hand), len(self._workers), now_s, self._rooms()
        )
        for task_list in due:
            self._jobs.spawn(self._poll(task_list))

    async def _poll(self, task_list: str) -> None:
        body = {
            "domain": self._flow.domain,
            "taskList": {"name": task_list},
            "identity": self._identity,
        }
        try:
            answer = read_answer(await self._plane.poll("PollForActivityTask", body))
            task = self._task_of(answer) if answer.get("taskToken") else None
        except EngineError as error:
            self._rest(task_list, error)
            return
        except asyncio.CancelledError:
            self._levels.empty(task_list)
            raise
        self._failed_polls.pop(task_list, None)
        if task is None:
            self._levels.empty(task_list)
        else:
            self._levels.brought(task_list, len(self._idle))
            self._hold(task)
        self._pump()

    def _rest(self, task_list: str, error: EngineError) -> None:
        failures = self._failed_polls.get(task_list, 0) + 1
        self._failed_polls[task_list] = failures
        bound_s = min(REST_MAX_S, REST_FIRST_S * 2**failures)
        pause_s = random.uniform(0, bound_s)
        self._levels.failed(task_list, asyncio.get_running_loop().time() + pause_s)
        # A cut line is told once by the data plane; all else is told here, each time it is met.
        if not isinstance(error, EngineUnreachable):
            log_event(
                logger, logging.WARNING, "poll.failed", list=task_list, error=str(error),
                pause_s=round(pause_s, 2),
            )  # fmt: skip

    def _task_of(self, answer: Mapping[str, Any]) -> ActivityTask:
        """Return the task that a poll's answer holds.

        Raises:
            EngineError: it lacks what a task has.
        """
        try:
            kind = (answer["activityType"]["name"], answer["activityType"]["version"])
            activity_id = str(answer["activityId"])
            workflow_id = str(answer["workflowExecution"]["workflowId"])
            run_id = str(answer["workflowExecution"]["runId"])
        except (KeyError, TypeError) as error:
            raise EngineError(f"a task of the engine's lacks {error}") from error
        described = self._by_type.get(kind) or ActivityDescription(kind[0], kind[0], kind[1], "")
        now_s = asyncio.get_running_loop().time()
        self._last_number += 1
        return ActivityTask(
            number=self._last_number,
            token=str(answer["taskToken"]),
            activity=described,
            activity_id=activity_id,
            workflow_id=workflow_id,
            run_id=run_id,
            input=str(answer.get("input", "")).encode("utf-8", "surrogatepass"),
            taken_at_s=now_s,
            next_beat_s=now_s + described.heartbeat_s / BEATS_A_TIMEOUT,
            heartbeat_s=float(described.heartbeat_s),
            start_to_close_s=float(described.start_to_close_s),
        )

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._hold(self._task_of(answer))

    def _hold(self, task: ActivityTask) -> None:
        self._held[task.number] = task
        self._journal.hold_activity(task.token)
        kind = (task.activity.type_name, task.activity.version)
        if kind not in self._by_type:
            known = ", ".join(sorted(f"{name} {version}" for name, version in self._by_type))
            text = f"this pool has no activity {kind[0]!r} of version {kind[1]!r} (known: {known})"
            self._fail(task, Failure(Kind.FAILED, text))
        elif self._stopping:
            self._hand_back(task, "the pool is stopping")
        else:
            self._in_hand.append(task)
            self._assign()

    def _assign(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._idle and (task := self._next_in_hand()) is not None:
            worker = self._workers[self._idle.popleft()]
            self._in_hand.remove(task)
            task.slot = worker.child.slot
            task.begun_at_s = now_s
            worker.task = task
            self._jobs.spawn(self._send(worker, task))

    def _next_in_hand(self) -> ActivityTask | None:
        """Return the oldest task that its activity's cap lets run, None where there is none."""
        if not self._caps:
            return self._in_hand[0] if self._in_hand else None
        running = self._running()
        for task in self._in_hand:
            name = task.activity.name
            if name not in self._caps or running[name] < self._caps[name]:
                return task
        return None

    def _running(self) -> Counter[str]:
        """Return how many tasks of each activity workers have."""
        return Counter(one.task.activity.name for one in self._workers.values() if one.task)

    def _rooms(self) -> dict[str, int] | None:
        """Return how many more tasks each capped list may bring, None where none is capped."""
        if not self._capped_lists:
            return None
        here = self._running() + Counter(task.activity.name for task in self._in_hand)
        return {
            task_list: sum(max(0, self._caps[name] - here[name]) for name in names)
            for task_list, names in self._capped_lists.items()
        }

    async def _send(self, worker: _Worker, task: ActivityTask) -> None:
        try:
            await worker.child.stream.send(
                "run",
                task.input,
                task=task.number,
                activity=task.activity.name,
                activity_id=task.activity_id,
                workflow_id=task.workflow_id,
                run_id=task.run_id,
                domain=self._flow.domain,
                heartbeat_s=task.activity.heartbeat_s,
                start_to_close_s=task.activity.start_to_close_s,
            )
        except FrameError as error:
            # The worker is dying or deaf: its exit is told soon, and answers the task.
            log_event(logger, logging.WARNING, "worker.deaf", slot=worker.child.slot, why=error)

    def _free(self, worker: _Worker) -> None:
        worker.task = None
        if not worker.leaving:
            self._idle.append(worker.child.slot)
            self._assign()
        self._pump()

    def _forget_idle(self, slot: int) -> None:
        if slot in self._idle:
            self._idle.remove(slot)

    def hand_back_stale(self, now_s: float) -> None:
        """Give back what has waited for a worker too long by `now_s` (loop time)."""
        stale = [
            task
            for task in self._in_hand
            if now_s - task.taken_at_s
            > min(IN_HAND_S, IN_HAND_PART * task.activity.start_to_close_s)
        ]
        for task in stale:
            self._in_hand.remove(task)
            self._hand_back(task, "no worker of this pool came free in time")

    # -- answers ------------------------------------------------------------------------------

    def _end(self, task: ActivityTask, frame: Frame) -> None:
        if frame.kind == "done":
            self._note_end(task, "completed", frame.head)
            self._reply(task, "Completed", {"result": frame.body.decode()})
        elif frame.kind == "canceled":
            self._note_end(task, "canceled", frame.head)
            self._reply(task, "Canceled", {})
        else:
            told = json.loads(frame.body)
            self._note_end(task, "failed", frame.head)
            log_event(logger, logging.WARNING, "task.failed", **task.fields, reason=told["reason"])
            self._reply(task, "Failed", told)

    def _note_end(
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

    def _lose(self, task: ActivityTask, text: str, facts: Mapping[str, Any]) -> None:
        self._note_end(task, "lost", facts)
        log_event(logger, logging.WARNING, "task.lost", **task.fields, why=text)
        self._fail(task, Failure(Kind.LOST, text, facts=facts))

    def _hand_back(self, task: ActivityTask, text: str) -> None:
        self._note_end(task, "handed_back")
        log_event(logger, logging.INFO, "task.handed_back", **task.fields, why=text)
        self._fail(task, Failure(Kind.HANDED_BACK, text))

    # -- bounds -------------------------------------------------------------------------------

    def end_overdue(self, now_s: float) -> None:
        """End the tasks whose time, or whose time to react to a cancel, is over by `now_s`."""
        for worker in list(self._workers.values()):
            task = worker.task
            if task is None:
                continue
            late = now_s >= overdue_at_s(task.taken_at_s, task.start_to_close_s)
            if late and not task.vanished:
                text = f"took longer than its {task.start_to_close_s:g} s"
                self._take_away(worker, task, "failed", "task.overdue", text)
                self._fail(task, Failure(Kind.FAILED, text, errors=("TimeoutError",)))
            elif task.cancel_by_s is not None and now_s >= task.cancel_by_s:
                text = f"did not end within {self._cancel_grace_s:g} s of its cancel"
                self._take_away(worker, task, "canceled", "task.deaf", text)
                self._reply(task, "Canceled", {})

    def _take_away(
        self, worker: _Worker, task: ActivityTask, outcome: str, event: str, text: str
    ) -> None:
        """Have the worker of a task that will not end be ended itself."""
        self._note_end(task, outcome)
        pid = worker.child.pid
        log_event(logger, logging.WARNING, event, **task.fields, pid=pid, why=text)
        worker.task = None
        worker.leaving = True
        self._on_overdue(worker.child.slot)

    def _fail(self, task: ActivityTask, failure: Failure) -> None:
        reason, details = encode_failure(failure)
        self._reply(task, "Failed", {"reason": reason, "details": details})

    def _reply(self, task: ActivityTask, how: str, attributes: Mapping[str, str]) -> None:
        task.is_ending = True
        self._jobs.spawn(self._answer(task, how, attributes))

    async def _answer(self, task: ActivityTask, how: str, attributes: Mapping[str, str]) -> None:
        # Cancelled here (a stop that does not wait), the token stays in the journal: the next pool
        # on this host answers it.
        if not task.vanished:
            await self._deliver(task, how, attributes)
        self._held.pop(task.number, None)
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
            try:
                await self._plane.answer(operation, body, deadline_s=deadline_s)
            except ServiceError as error:
                left_s = deadline_s - loop.time()
                if error.code not in ABOUT_THE_CALLER or left_s <= 0:
                    raise
                await asyncio.sleep(min(left_s, REFUSED_REST_S))
            else:
                return

    # -- heartbeats ---------------------------------------------------------------------------

    def _set_timing(self, task: ActivityTask, head: Mapping[str, Any]) -> None:
        task.heartbeat_s = float(head.get("heartbeat_s", task.heartbeat_s))
        task.start_to_close_s = float(head.get("start_to_close_s", task.start_to_close_s))
        beat_s = asyncio.get_running_loop().time() + task.heartbeat_s / BEATS_A_TIMEOUT
        task.next_beat_s = min(task.next_beat_s, beat_s)

    async def _beat(self, task: ActivityTask) -> None:
        body = {"taskToken": task.token}
        if task.details is not None:
            body["details"] = task.details
        try:
            answer = await self._plane.call(
                "RecordActivityTaskHeartbeat", body, timeout_s=BEAT_TIMEOUT_S
            )
            cancel_requested = read_answer(answer).get("cancelRequested")
        except ServiceError as error:
            # An answer may have overtaken the beat: then it is known no more, and all is well.
            if error.is_unknown_resource and task.number in self._held and not task.is_ending:
                await self._give_up(task, "the engine knows the task no more")
            return
        except EngineError:
            return
        if cancel_requested and task.number in self._held and not task.is_ending:
            await self._ask_to_cancel(task)

    async def _give_up(self, task: ActivityTask, text: str) -> None:
        task.vanished = True
        log_event(logger, logging.WARNING, "task.vanished", **task.fields, why=text)
        await self._ask_to_cancel(task)

    async def _ask_to_cancel(self, task: ActivityTask) -> None:
        if task in self._in_hand:
            self._in_hand.remove(task)
            self._note_end(task, "canceled")
            self._reply(task, "Canceled", {})
            return
        if task.cancel_by_s is None:
            task.cancel_by_s = asyncio.get_running_loop().time() + self._cancel_grace_s
        worker = self._workers.get(task.slot) if task.slot is not None else None
        if worker is None or worker.task is not task:
            return
        try:
            await worker.child.stream.send("cancel", task=task.number)
        except FrameError as error:
            log_event(logger, logging.WARNING, "worker.deaf", slot=worker.child.slot, why=error)


def _capped_lists(activities: Iterable[ActivityDescription]) -> dict[str, list[str]]:
    """Return the names of the activities behind each list on which all of them are capped."""
    by_list: dict[str, list[ActivityDescription]] = {}
    for one in activities:
        by_list.setdefault(one.task_list, []).append(one)
    return {
        task_list: [one.name for one in found]
        for task_list, found in by_list.items()
        if all(one.max_procs is not None for one in found)
    }

"""Activity tasks: polled, given to a worker, watched, answered.

The dispatcher is where the parts meet: `polling` says which lists to ask, `crew` who takes what,
`heartbeats` and `endings` watch what runs, `delivery` answers. It owns the token of every task that
it polled until the engine has taken the answer. Everything here runs on the supervisor's loop.
Law: nothing blocks, and nothing that came is dropped: it runs, is handed back, or is refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import EngineError, EngineUnreachable
from garcon.log import log_event
from garcon.outcome import Failure, Kind
from garcon.pool.answers import read_answer
from garcon.pool.bounds import CANCEL_GRACE_S
from garcon.pool.choice import choose_activities
from garcon.pool.crew import Crew, Seat
from garcon.pool.dataplane import DataPlane
from garcon.pool.delivery import Delivery
from garcon.pool.endings import Endings
from garcon.pool.facts import Fact
from garcon.pool.frames import Frame, FrameError
from garcon.pool.heartbeats import Heartbeats
from garcon.pool.jobs import Jobs
from garcon.pool.journal import Journal
from garcon.pool.lookahead import LookAhead
from garcon.pool.nursery import Child
from garcon.pool.polling import PollLevels
from garcon.pool.recycling import Share
from garcon.pool.tally import Tally, TaskEnd
from garcon.pool.tasks import ActivityTask, read_task, type_of
from garcon.pool.turnover import Turnover

logger = logging.getLogger("garcon.pool")

#: A task in hand goes back after the lesser of this and this part of its time.
IN_HAND_S = 10.0
IN_HAND_PART = 0.05

#: After a failed poll its list rests, full jitter over a doubling bound, seconds.
REST_FIRST_S = 0.2
REST_MAX_S = 30.0

TICK_S = 0.5
TICK_MIN_S = 0.02


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
        share: Share = Share(),  # noqa: B008 - a value that cannot be changed
        on_end: Callable[[TaskEnd], None] | None = None,
        on_fact: Callable[[Fact], None] = lambda _: None,
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
            share: what a worker may have before it is replaced.
            on_end: told how each task ended.
            on_fact: told which workers are to be replaced, or killed at once.
        Raises:
            UsageError: an activity of that name is not this pool's to serve.
        """
        self._plane = plane
        self._identity = identity
        self._chosen = tuple(activities) if activities is not None else None
        self._levels = PollLevels(())
        self._failed_polls: dict[str, int] = {}
        self._crew = Crew()
        self._look_ahead = LookAhead()
        self._in_hand: deque[ActivityTask] = deque()
        self._jobs = Jobs()
        self._delivery = Delivery(plane, journal, self._jobs, on_end, self._look_ahead.note_trip)
        self._held = self._delivery.held
        self._endings = Endings(
            self._crew,
            self._delivery,
            self._in_hand,
            on_overdue=on_overdue,
            cancel_grace_s=cancel_grace_s,
        )
        self._turnover = Turnover(share, self._crew, self._endings, on_fact)
        self._heartbeats = Heartbeats(
            plane,
            self._jobs,
            on_cancel=self._endings.cancel,
            on_vanished=self._endings.give_up,
        )
        self._stopping = False
        self._aborted = False
        self._last_number = 0
        #: When `run` last went round, loop time.
        self.ticked_s = asyncio.get_running_loop().time()
        self.adopt(flow)

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
        self._crew.adopt(known)
        self._flow = flow

    # -- workers ------------------------------------------------------------------------------

    def add_worker(self, child: Child) -> None:
        """Give work to this child from now on."""
        self._crew.add(child)
        child.stream.tap(lambda frame: self._take_result(child, frame))
        self._turnover.begin(child.slot, child.pid, asyncio.get_running_loop().time())
        self._assign()  # a task may have come ahead of the one in whose place it is
        self._pump()

    def retire_worker(self, slot: int) -> None:
        """Give this worker nothing more; what it has in hand it may finish."""
        self._crew.retire(slot)

    def remove_worker(self, slot: int, status: str, facts: Mapping[str, Any]) -> None:
        """Take note of a worker's end, and answer the tasks that it had.

        Args:
            slot: its place.
            status: how it ended, in words, such as `killed by SIGKILL`.
            facts: pid, signal, CPU seconds, peak memory: for the failure's details.
        """
        self._turnover.end(slot)
        seat = self._crew.remove(slot)
        if seat is None:
            return
        for task in seat.tasks.values():
            self._delivery.lose(task, f"worker {slot} (pid {seat.child.pid}) {status}", facts)
        self._pump()

    def is_busy(self, slot: int) -> bool:
        """Whether the worker in this slot has a task."""
        return bool(self.tasks_of(slot))

    @property
    def busy(self) -> frozenset[int]:
        """Slots with a task."""
        return self._crew.busy

    def count_workers(self) -> tuple[int, int]:
        """Return how many workers have a task, and how many there are."""
        return len(self._crew.busy), len(self._crew)

    @property
    def idle(self) -> int:
        """Workers that wait for a task."""
        return self._crew.idle

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

    @property
    def tally(self) -> Tally:
        """What was done so far."""
        return self._delivery.tally

    def tasks_of(self, slot: int) -> list[ActivityTask]:
        """Return what the worker in this slot has."""
        seat = self._crew.seat(slot)
        return list(seat.tasks.values()) if seat is not None else []

    @property
    def task_lists(self) -> list[str]:
        """Lists that this pool serves."""
        return self._levels.names

    def _take_result(self, child: Child, frame: Frame) -> bool:
        """Act on a result in the turn in which it comes: its worker waits for the next task."""
        if frame.kind != "done" or self._aborted:
            return False
        self._act_on(child, frame)
        return True

    async def on_frame(self, child: Child, frame: Frame) -> None:
        """Act on what a worker says."""
        self._act_on(child, frame)

    def _act_on(self, child: Child, frame: Frame) -> None:
        seat, number = self._crew.seat(child.slot), frame.head.get("task")
        if seat is None or seat.child is not child or not isinstance(number, int):
            return
        task = seat.tasks.get(number)
        if frame.kind in ("done", "failed", "canceled"):
            if task is not None:
                self._note_run(task)
                self._delivery.finish(task, frame)
            # One that was answered before its thread has ended leaves its place all the same.
            self._free(seat, number, went_well=frame.kind == "done")
        elif frame.kind == "timing" and task is not None:
            self._heartbeats.set_timing(task, frame.head)

    def _note_run(self, task: ActivityTask) -> None:
        if task.begun_at_s is not None:
            run_s = asyncio.get_running_loop().time() - task.begun_at_s
            self._look_ahead.note_run(task.activity.name, run_s)

    def ask_after(self, run_id: str) -> None:
        """Beat at once for the tasks of this run: some of them may have to end."""
        for task in self._held.values():
            if task.run_id == run_id and not task.vanished and not task.is_ending:
                self._jobs.spawn(self._heartbeats.beat(task))

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Beat for tasks, end what is overdue, hand back what waited too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._next_tick_s(loop.time()))
            self.ticked_s = now_s = loop.time()
            self._heartbeats.send_due(self._held, now_s)
            self._endings.end_due(now_s)
            self._turnover.look(now_s)
            self.hand_back_stale(now_s)
            self._pump()

    def _next_tick_s(self, now_s: float) -> float:
        """Return for how long the loop may sleep without being late for a task's end or beat."""
        due_s = min(
            self._endings.next_s(now_s + TICK_S),
            self._heartbeats.next_s(self._held, now_s + TICK_S),
        )
        return max(TICK_MIN_S, due_s - now_s)

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
            self._delivery.hand_back(self._in_hand.popleft(), "the pool is stopping")

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
        self._aborted = True
        await self._jobs.cancel()

    # -- polls --------------------------------------------------------------------------------

    def _pump(self) -> None:
        if self._stopping:
            return
        now_s = asyncio.get_running_loop().time()
        rooms = self._crew.rooms(self._in_hand)
        due = self._levels.take_due(
            self._crew.idle,
            len(self._in_hand),
            len(self._crew),
            now_s,
            rooms,
            self._look_ahead.number(self._crew.running_alone(), now_s),
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
            most = max(self._crew.idle, len(self._crew) // 2)
            room = self._crew.rooms(self._in_hand).get(task_list, most)
            self._levels.brought(task_list, room, asyncio.get_running_loop().time())
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
        kind = type_of(answer)
        activity = self._by_type.get(kind) or ActivityDescription(kind[0], kind[0], kind[1], "")
        self._last_number += 1
        return read_task(answer, activity, self._last_number, asyncio.get_running_loop().time())

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._hold(self._task_of(answer))

    def _hold(self, task: ActivityTask) -> None:
        self._delivery.hold(task)
        kind = (task.activity.type_name, task.activity.version)
        if kind not in self._by_type:
            known = ", ".join(sorted(f"{name} {version}" for name, version in self._by_type))
            text = f"this pool has no activity {kind[0]!r} of version {kind[1]!r} (known: {known})"
            self._delivery.fail(task, Failure(Kind.FAILED, text))
        elif self._stopping:
            self._delivery.hand_back(task, "the pool is stopping")
        else:
            self._in_hand.append(task)
            self._assign()

    def _assign(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while (found := self._crew.match(self._in_hand)) is not None:
            task, seat = found
            self._in_hand.remove(task)
            self._crew.give(task, seat, now_s)
            self._send(seat, task)

    def _send(self, seat: Seat, task: ActivityTask) -> None:
        try:
            is_full = seat.child.stream.write(
                "run",
                task.input,
                task=task.number,
                activity=task.activity.name,
                activity_id=task.activity_id,
                workflow_id=task.workflow_id,
                run_id=task.run_id,
                attempt=task.attempt,
                domain=self._flow.domain,
                heartbeat_s=task.activity.heartbeat_s,
                start_to_close_s=task.activity.start_to_close_s,
                threads=task.activity.threads,
                place=task.place,
            )
        except FrameError as error:
            _tell_deaf(seat, error)
        else:
            if is_full:
                self._jobs.spawn(self._wait_taken(seat))

    async def _wait_taken(self, seat: Seat) -> None:
        try:
            await seat.child.stream.wait_taken()
        except FrameError as error:
            _tell_deaf(seat, error)

    def _free(self, seat: Seat, number: int, *, went_well: bool) -> None:
        self._crew.take_back(seat, number, went_well=went_well)
        self._turnover.task_ended(seat, asyncio.get_running_loop().time())
        self._assign()
        self._pump()

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
            self._delivery.hand_back(task, "no worker of this pool came free in time")


def _tell_deaf(seat: Seat, error: FrameError) -> None:
    """Note a worker that is dying or deaf: its exit is told soon, and answers the task."""
    slot, pid = seat.child.slot, seat.child.pid
    log_event(logger, logging.WARNING, "worker.deaf", slot=slot, pid=pid, why=error)

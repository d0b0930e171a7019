"""Decision tasks: polled, given to the decider that knows the run, held, answered.

A decider sees pages of history and gives back decisions; it has no token and no connection. The
supervisor keeps both, so a decider that dies or hangs costs one 0-second timer, which makes the
engine ask again at once. Law: every decision task that was polled is answered exactly once before
its time is over, or known to be gone; and no run is asked again for ever.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from zlib import crc32

from garcon.description import FlowDescription
from garcon.errors import EngineError, EngineUnreachable, ServiceError
from garcon.log import log_event
from garcon.planning.shardfold import is_shard_type
from garcon.pool.answers import decision_timeout_s, is_about_content, read_answer
from garcon.pool.conversation import (
    PAGE_EVENTS,
    CannotDecide,
    Decider,
    Decision,
    DecisionTask,
    Fetched,
)
from garcon.pool.dataplane import DataPlane
from garcon.pool.frames import Frame
from garcon.pool.jobs import Jobs
from garcon.pool.journal import Journal, OwnList
from garcon.pool.nursery import UNREADABLE, Child
from garcon.pool.orphans import terminate, terminate_shards_of
from garcon.pool.pace import Allowances, Pace
from garcon.pool.replies import (
    ask_again,
    fail_execution,
    refused_text,
    unmade_text,
    with_members,
)
from garcon.pool.sticky import GIVE_BACK_S, KEPT_S, StickyRuns, own_list

logger = logging.getLogger("garcon.pool")

#: A decider has this part of the decision's time; the rest is for the hold and the answer.
DECIDING_PART = 0.5

#: When an answer that is held goes out at the latest, as part of the decision's time.
HOLD_PART = 0.75

#: Polling stops while each decider has this many tasks before it.
QUEUE_A_DECIDER = 2

#: A run whose decisions kill or overrun their decider this often in a row is failed.
BLAMES_MAX = 3

#: Runs whose blames are remembered; the longest untouched is forgotten first.
BLAMED_MAX = 10_000

#: After a failed poll, full jitter over a doubling bound, seconds.
REST_FIRST_S = 0.2
REST_MAX_S = 30.0

#: An answer that asks again waits so long, seconds, where the engine refuses this pool a history (a
#: policy, say): asked at once it would refuse again, and each turn writes five events.
REFUSED_S = 20.0

#: Lists of dead pools that are polled; each has a connection that workers' tasks need too.
INHERITED_MAX = 4

#: After a stop, the runs that are kept are waited for at the pool's own list. Where the pool has no
#: task in hand, no poll for them begins later than this, seconds: on AWS one may last a minute.
LAST_POLL_S = 3.0


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
        on_ending_tasks: Callable[[str], None] = lambda _: None,
        stays: Callable[[], bool] = lambda: False,
        pace: Pace | None = None,
    ) -> None:
        """Decide for executions of `flow`.

        Args:
            plane: the calls.
            journal: keeps the tokens in hand.
            flow: names and timeouts.
            identity: names this pool in the histories.
            on_overdue: told the slot of a decider that is of no use any more and has to go.
            on_closing: told the run id when an answer that closes it was taken.
            on_ending_tasks: told the run id when one was taken after which tasks of it are to end.
            stays: whether the pool stays a while after its stop in any case, and a poll that it
                begins then can be called off.
            pace: bounds what all decisions together schedule a second; None for no bound.
        """
        self._plane = plane
        self._journal = journal
        self._flow = flow
        self._identity = identity
        self._on_overdue = on_overdue
        self._on_closing = on_closing
        self._on_ending_tasks = on_ending_tasks
        self._stays = stays
        self._allowances = Allowances(pace, asyncio.get_running_loop().time)
        self._deciders: dict[int, Decider] = {}
        self._jobs = Jobs()
        self._held: dict[int, DecisionTask] = {}
        self._blames: OrderedDict[str, int] = OrderedDict()
        self._inherited = 0
        self._sticky = StickyRuns(identity, own_list(flow.task_list, uuid.uuid4().hex))
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._last_number = 0
        #: Decision tasks answered so far.
        self.decided = 0
        #: Events that its deciders were given so far.
        self.fetched = Fetched()

    def adopt(self, flow: FlowDescription) -> None:
        """Decide for `flow` as it is after a reload; its domain is the same."""
        self._flow = flow

    def forget(self, run_id: str) -> None:
        """Wait for no further decision of a run that was seen closed."""
        self._sticky.forget(run_id)

    # -- deciders -----------------------------------------------------------------------------

    def add_decider(self, child: Child) -> None:
        """Give decision tasks to this child from now on."""
        self._deciders[child.slot] = Decider(
            child,
            self._plane,
            self._flow,
            self._on_overdue,
            self._allowances,
            self.fetched,
        )
        self._wake.set()

    def retire_decider(self, slot: int) -> None:
        """Give this decider nothing more; what it is deciding it may finish."""
        if slot in self._deciders:
            self._deciders[slot].is_leaving = True

    def remove_decider(
        self, slot: int, status: str = "is gone", *, with_zygote: bool = False
    ) -> None:
        """Take note of a decider's end.

        Args:
            slot: its place.
            status: how it ended: `was killed by SIGKILL`.
            with_zygote: it only went down with its zygote.
        """
        decider = self._deciders.pop(slot, None)
        if decider is not None:
            decider.end(status, with_zygote=with_zygote)

    def is_busy(self, slot: int) -> bool:
        """Whether the decider in this slot has a task."""
        decider = self._deciders.get(slot)
        return decider is not None and decider.task is not None

    def task_of(self, slot: int) -> DecisionTask | None:
        """Return what the decider in this slot has."""
        decider = self._deciders.get(slot)
        return decider.task if decider is not None else None

    async def on_frame(self, child: Child, frame: Frame) -> None:
        """Pass on what a decider says about the task it has."""
        decider = self._deciders.get(child.slot)
        if decider is not None and decider.child is child:
            decider.hear(frame)

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Poll while a decider has room, until stopped or cancelled."""
        await asyncio.gather(
            self._poll_list(lambda: self._flow.task_list),
            self._poll_list(lambda: self._flow.shard_list),
            self._poll_list(lambda: self._sticky.task_list, self._has_own_runs),
        )

    async def inherit(self, own: OwnList) -> None:
        """Decide what comes over a dead pool's own list, for as long as that pool would have.

        That of another flow is left alone, since nobody here can decide for it: its runs are back
        at their common list after `sticky.WAIT_S`.
        """
        is_of_flow = (own.domain, own.home) == (self._flow.domain, self._flow.task_list)
        if not is_of_flow or self._inherited == INHERITED_MAX:
            return
        self._inherited += 1
        self._sticky.inherit(own.name)
        until_s = asyncio.get_running_loop().time() + KEPT_S + GIVE_BACK_S
        await self._poll_list(lambda: own.name, until_s=until_s)

    async def _poll_list(
        self,
        task_list: Callable[[], str],
        is_wanted: Callable[[], bool] = lambda: True,
        until_s: float = math.inf,
    ) -> None:
        """Poll one list while it is wanted, whatever it is called after the last reload."""
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set() and loop.time() < until_s:
            if not (is_wanted() and self._has_room()):
                self._wake.clear()
                await self._wake.wait()
                continue
            # A job of its own, so that no end of this coroutine aborts a poll under way.
            poll = self._jobs.spawn(self._poll(task_list()))
            await asyncio.wait({poll})
            failures = 0 if poll.cancelled() or poll.result() else failures + 1
            if failures:
                bound_s = min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(failures, 20))
                await self._unless_stopped(random.uniform(0, bound_s))

    async def drain(self, deadline_s: float) -> None:
        """Poll no more; return when no poll waits and every task in hand is answered.

        Args:
            deadline_s: loop time at which it returns in any case.
        """
        self.stop_taking()
        loop = asyncio.get_running_loop()
        while len(self._jobs) and loop.time() < deadline_s:
            await self._jobs.wait_any(deadline_s - loop.time())

    def stop_taking(self) -> None:
        """Send no further poll, and hold no answer any longer."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        own = self._sticky.task_list
        if self._has_own_runs() or any(task.polled == own for task in self._held.values()):
            self._jobs.spawn(self._leave_own_list())
        else:
            self._journal.let_go(own)

    async def _leave_own_list(self) -> None:
        """Give back what comes to the list that nobody polls after this pool.

        A kept run's next decision comes there whenever it is scheduled: when one of its tasks ends,
        mostly. And the answer that gives a run back leaves one there that was scheduled before.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LAST_POLL_S
        stayed = True
        while stayed or loop.time() < until_s:
            # As it is before the poll, for that finds only what was scheduled by its end.
            stayed, taken, was_idle = self._stays(), self._last_number, not self._held
            if not await self._poll(self._sticky.task_list):
                break
            is_empty = was_idle and taken == self._last_number
            if is_empty and not self._awaits_runs(soon=not stayed):
                break
        if not self._awaits_runs():
            self._journal.let_go(self._sticky.task_list)
        # Else the next pool on the host polls it, as where this is cancelled: a stop in a hurry.

    @property
    def held(self) -> int:
        """Tasks that the engine waits for."""
        return len(self._held)

    @property
    def under_way(self) -> int:
        """Polls that wait, and tasks that are not answered."""
        return len(self._jobs)

    @property
    def kept_here(self) -> int:
        """Runs whose decisions come to this pool alone, since other pools decide too."""
        return len(self._sticky)

    async def abort(self) -> None:
        """Drop every call under way, for a stop that does not wait, and tell what was done."""
        await self._jobs.cancel()
        fetched = {f"events_{name}": count for name, count in asdict(self.fetched).items()}
        log_event(logger, logging.INFO, "decisions.made", decisions=self.decided, **fetched)

    def _usable(self) -> list[Decider]:
        return [one for one in self._deciders.values() if not one.is_leaving]

    def _has_own_runs(self) -> bool:
        return self._sticky.has_runs(asyncio.get_running_loop().time())

    def _awaits_runs(self, *, soon: bool = False) -> bool:
        return self._sticky.awaits_runs(asyncio.get_running_loop().time(), soon=soon)

    def _has_room(self) -> bool:
        return any(one.queued < QUEUE_A_DECIDER for one in self._usable())

    async def _unless_stopped(self, seconds: float) -> None:
        """Wait so long, or until the pool stops."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return

    # -- polls --------------------------------------------------------------------------------

    async def _poll(self, task_list: str) -> bool:
        """Poll once; return whether the engine answered as it should."""
        body = {
            "domain": self._flow.domain,
            "taskList": {"name": task_list},
            "identity": self._identity,
            "maximumPageSize": PAGE_EVENTS,
            "startAtPreviousStartedEvent": True,
        }
        try:
            page = await self._plane.poll("PollForDecisionTask", body)
            head = read_answer(page)
            if head.get("taskToken"):
                self._take(head, page, body)
        except EngineUnreachable:
            return False  # the data plane tells of cuts, once for all who meet them
        except (EngineError, *UNREADABLE) as error:
            text = str(error) if isinstance(error, EngineError) else f"no task of SWF's: {error!r}"
            log_event(logger, logging.WARNING, "poll.failed", list=task_list, error=text)
            return False
        return True

    def _take(self, head: Mapping[str, Any], page: bytes, poll: Mapping[str, Any]) -> None:
        self._last_number += 1
        task = DecisionTask(
            number=self._last_number,
            token=head["taskToken"],
            workflow_id=head["workflowExecution"]["workflowId"],
            run_id=head["workflowExecution"]["runId"],
            poll=poll,
            head={key: value for key, value in head.items() if key != "events"},
            pages=[page],
            events=len(head.get("events", ())),
            taken_at_s=asyncio.get_running_loop().time(),
            timeout_s=decision_timeout_s(head) or float(self._flow.decision_timeout_s),
        )
        is_kept = self._sticky.take(task.run_id, head, task.polled, task.taken_at_s)
        # From here on nothing can fail before it is handled: what is held is answered.
        self._held[task.number] = task
        self._journal.hold_decision(task.token)
        if is_kept and not self._stopping.is_set():
            own = OwnList(self._sticky.task_list, self._flow.domain, self._flow.task_list)
            self._journal.hold_list(own)
            log_event(logger, logging.INFO, "run.kept", **task.fields, list=own.name)
            self._wake.set()
        # What arrives while the pool stops is left to whoever polls next.
        decider = None if self._stopping.is_set() else self._choose(task.run_id)
        self._jobs.spawn(self._handle(task, decider))

    def _choose(self, run_id: str) -> Decider | None:
        """Return the decider that has most likely seen this run before and has room.

        Each run has its own order of the deciders (rendezvous hashing), so that one that comes or
        goes moves no other's runs.
        """
        usable = self._usable()
        if not usable:
            return None
        first = max(usable, key=lambda one: crc32(f"{one.child.slot} {run_id}".encode()))
        if first.queued < QUEUE_A_DECIDER:
            return first
        return min(usable, key=lambda one: one.queued)

    # -- one task -----------------------------------------------------------------------------

    async def _handle(self, task: DecisionTask, decider: Decider | None) -> None:
        try:
            decision = await self._decided(task, decider)
        except CannotDecide as verdict:
            await self._respond_without_decision(task, verdict)
        except EngineError as error:
            log_event(logger, logging.WARNING, "decision.again", **task.fields, why=error)
            refusal = error if isinstance(error, ServiceError) else None
            if refusal is None or not refusal.is_unknown_resource:
                if refusal is not None and not is_about_content(refusal):
                    await self._hold(task, REFUSED_S)
                await self._ask_again(task, blames_run=False)
        else:
            self._blames.pop(task.run_id, None)
            self._take_notes(task, decision)
            await self._hold(task, decision.hold_s)
            await terminate(self._plane, self._flow.domain, decision.terminate, task.deadline_s)
            body = with_members(decision.body, self._members(task, self._stopping.is_set()))
            await self._respond(task, body, closes=decision.closes)
            if decision.closes or decision.cancels:
                self._on_ending_tasks(task.run_id)
        self._held.pop(task.number, None)
        self._journal.let_go(task.token)
        self._wake.set()  # a run that was given back may have left a decision on the own list

    async def _decided(self, task: DecisionTask, decider: Decider | None) -> Decision:
        if decider is None:
            raise CannotDecide("the pool is stopping, or has no decider up")
        try:
            return await decider.decide(task, DECIDING_PART * task.timeout_s)
        finally:
            self._wake.set()

    def _take_notes(self, task: DecisionTask, decision: Decision) -> None:
        for note in decision.notes:
            log_event(logger, logging.INFO, "decision.note", **task.fields, note=note)
        if decision.throttled and self._allowances.refused():
            log_event(logger, logging.WARNING, "schedule.throttled", **task.fields)

    async def _respond_without_decision(self, task: DecisionTask, verdict: CannotDecide) -> None:
        """Answer a task that could not be decided: with the timer, mostly."""
        if not verdict.blames_run:
            level = logging.INFO if self._stopping.is_set() else logging.WARNING
            log_event(logger, level, "decision.again", **task.fields, why=verdict)
            await self._ask_again(task, blames_run=False)
            return
        # Kept over the end as well: with shards that were open, SWF takes a close only once it has
        # told of theirs.
        blames = self._blames[task.run_id] = self._blames.pop(task.run_id, 0) + 1
        while len(self._blames) > BLAMED_MAX:
            self._blames.popitem(last=False)
        if blames >= BLAMES_MAX:
            text = unmade_text(blames, verdict)
            log_event(logger, logging.ERROR, "decision.impossible", **task.fields, why=text)
            await self._fail(task, text)
            return
        level = logging.WARNING
        log_event(logger, level, "decision.again", **task.fields, why=verdict, in_a_row=blames)
        await self._ask_again(task, blames_run=True)

    async def _hold(self, task: DecisionTask, hold_s: float) -> None:
        """Wait `hold_s` seconds so that one decision serves many completions; less on a stop."""
        latest_s = task.taken_at_s + HOLD_PART * task.timeout_s
        await self._unless_stopped(min(hold_s, latest_s - asyncio.get_running_loop().time()))

    # -- answers ------------------------------------------------------------------------------

    def _members(self, task: DecisionTask, gives_back: bool) -> dict[str, Any]:
        """Return what every answer to `task` says beside its decisions."""
        is_shard = is_shard_type(task.head["workflowType"]["name"])
        home = self._flow.shard_list if is_shard else self._flow.task_list
        now_s = asyncio.get_running_loop().time()
        of_list = self._sticky.members(task.run_id, task.polled, home, now_s, gives_back=gives_back)
        return {"taskToken": task.token, **of_list}

    async def _ask_again(self, task: DecisionTask, *, blames_run: bool) -> None:
        """Answer with the timer; whoever is free first may try the decision then."""
        members = self._members(task, gives_back=True)
        await self._respond(task, ask_again(members, blames_run=blames_run))

    async def _respond(self, task: DecisionTask, body: bytes, *, closes: bool = False) -> None:
        try:
            await self._send_answer(task, body)
        except ServiceError as error:
            level = logging.WARNING if error.is_unknown_resource else logging.ERROR
            log_event(logger, level, "answer.refused", **task.fields, why=error)
            if is_about_content(error):
                # Asked again, the decisions would be the same.
                await self._fail(task, refused_text(error))
        except EngineUnreachable as error:
            log_event(logger, logging.ERROR, "answer.lost", **task.fields, why=error)
        else:
            if closes:
                self._note_end(task)

    async def _fail(self, task: DecisionTask, text: str) -> None:
        """Close an execution that its decider cannot close."""
        await terminate_shards_of(
            self._plane, self._flow.domain, task.workflow_id, task.run_id, task.deadline_s
        )
        try:
            await self._send_answer(task, fail_execution(task.token, text))
        except EngineError as error:
            log_event(logger, logging.ERROR, "answer.lost", **task.fields, why=error)
        else:
            self._note_end(task)

    def _note_end(self, task: DecisionTask) -> None:
        self._sticky.closed(task.run_id, asyncio.get_running_loop().time())
        self._on_closing(task.run_id)

    async def _send_answer(self, task: DecisionTask, body: bytes) -> None:
        await self._plane.answer("RespondDecisionTaskCompleted", body, deadline_s=task.deadline_s)
        self.decided += 1

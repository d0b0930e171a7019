"""The engine's turn: requests that arrive together are worked off, kept, adopted, answered.

What it never does: answer before the commit, or wait for anything in the middle of a turn. Its one
law: a turn runs from its first request to its last answer without giving up the loop, so a batch
always begins on what is kept.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from garcon.engine.core import faults, timeouts, transitions
from garcon.engine.core.draft import CallLambda
from garcon.engine.core.tables import MAX_POLLERS
from garcon.engine.service.batch import Batch
from garcon.engine.service.clock import Clock
from garcon.engine.service.deadlines import Ref
from garcon.engine.service.lists import Assignment, ListKey, Poll, TaskKey
from garcon.engine.service.retention import Retention
from garcon.engine.service.world import World

logger = logging.getLogger("garcon.engine")

Act = Callable[[Batch], Any]

_MATCH_LIMIT: Final = 256
_DUE_LIMIT: Final = 512
# Clients that ask at the same time get turns so far apart: more of them share a commit, and a
# commit costs as much as two requests. One that asks alone never waits.
_GATHER_S: Final = 0.001
# Before the end of a function call is told again that could not be kept.
_AGAIN_S: Final = 1.0


class Kernel:
    """Runs batches over a world on one asyncio loop.

    Args:
        world: What is kept and open.
        clock: The engine's time.
        poll_hold_s: How long an empty poll waits, seconds.

    Attributes:
        call: Runs a function outside; set when the engine has functions.
        alone: Whether the client that asks now is the only one that does: nobody shares its turn.
    """

    def __init__(self, world: World, clock: Clock, *, poll_hold_s: float = 60.0) -> None:
        self.world = world
        self.clock = clock
        self.poll_hold_s = poll_hold_s
        self.call: Callable[[CallLambda], None] | None = None
        self.alone = False
        self._retention = Retention(world, clock)
        self._loop = asyncio.get_running_loop()
        self._acts: list[tuple[Act, asyncio.Future[Any]]] = []
        self._turn: asyncio.Handle | None = None
        self._rest_until_s = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ms = 0
        # Waiting polls and when they end, the oldest first: all are held equally long.
        self._held: dict[Poll, float] = {}
        self._end_of_hold: asyncio.TimerHandle | None = None
        self._checkpoint: asyncio.Future[None] | None = None
        self._stopping = False

    def look(self) -> None:
        """Look at deadlines and lists in the next turn."""
        self._ask_turn()

    def stop(self) -> None:
        """Answer every waiting poll with the empty result and start nothing new."""
        self._stopping = True
        for poll in self.world.lists.all_polls():
            self._end_poll(poll)
        for handle in (self._turn, self._alarm, self._end_of_hold):
            if handle is not None:
                handle.cancel()
        for _, future in self._acts:
            if not future.done():
                future.set_exception(faults.internal())
        self._acts.clear()

    async def finish(self) -> None:
        """Wait for the work outside the loop."""
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])

    # -- requests -----------------------------------------------------------------------------

    def submit(self, act: Act) -> asyncio.Future[Any]:
        """Do something in the next turn; the future is set once it is kept.

        Raises (through the future):
            Fault: The act's refusal, or InternalFailure when the batch could not be kept.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._stopping:
            future.set_exception(faults.internal())
            return future
        self._acts.append((act, future))
        self._ask_turn_for_client()
        return future

    async def poll(
        self,
        where: ListKey,
        identity: str | None,
        invocation: str | None,
        alive: Callable[[], bool],
    ) -> Assignment | None:
        """Wait for a task; None when none came in time.

        Args:
            where: The task list.
            identity: Free text that goes into the Started event.
            invocation: The client's id of this call; a repeated call gets the same task again.
            alive: Whether the poller can still be answered.
        """
        lists = self.world.lists
        if invocation is not None:
            known = self.world.invocations.get(invocation)
            if known is not None and known[0] == where:
                return known[1]
            twin = lists.poll_of_invocation(invocation)
            if twin is not None and twin.where == where:
                self._end_poll(twin)
        if lists.pollers(where) >= MAX_POLLERS:
            raise faults.limit_exceeded(
                "Limit on maximum concurrent poll requests per task list reached"
            )
        if self._stopping:
            return None
        poll = Poll(where, identity, invocation, alive, self.new_answer())
        task = lists.take(where) if self._may_turn_now() and alive() else None
        if task is not None:
            self._take_turn((poll, task))
            return poll.answer.result()
        lists.wait(poll)
        self._hold(poll)
        if lists.pending(where):
            self._ask_turn_for_client()
        try:
            return await poll.answer
        finally:
            del self._held[poll]
            lists.leave(poll)

    def _hold(self, poll: Poll) -> None:
        """See to it that a poll is answered in time; one timer serves all of them."""
        self._held[poll] = end_s = self._loop.time() + self.poll_hold_s
        if self._end_of_hold is None:
            self._end_of_hold = self._loop.call_at(end_s, self._end_held)

    def _end_held(self) -> None:
        """End the polls whose time is over, and look again when the next one's is."""
        self._end_of_hold = None
        now_s = self._loop.time()
        for poll, end_s in self._held.items():
            if end_s > now_s and not poll.answer.done():
                self._end_of_hold = self._loop.call_at(end_s, self._end_held)
                return
            self._end_poll(poll)

    def new_answer(self) -> asyncio.Future[Assignment | None]:
        """What a waiting poll is answered through."""
        return self._loop.create_future()

    def release_polls(self, identity: str) -> int:
        """Answer all waiting polls of an identity with the empty result; how many they were."""
        polls = self.world.lists.polls_of(identity)
        for poll in polls:
            self._end_poll(poll)
        return len(polls)

    def _end_poll(self, poll: Poll) -> None:
        if self.world.lists.leave(poll) and not poll.answer.done():
            poll.answer.set_result(None)

    def end_lambda(
        self, key: int, scheduled_id: int, event: str, attributes: dict[str, Any]
    ) -> None:
        """Write how a function call ended; late news change nothing."""

        def act(batch: Batch) -> None:
            state = batch.state(key)
            if state is not None:
                batch.apply(
                    transitions.lambda_ended(state, batch.now_ms, scheduled_id, event, attributes)
                )

        def again(ended: asyncio.Future[Any]) -> None:
            # The disk is full, say: nobody else would ever tell this end.
            if ended.exception() is not None and not self._stopping:
                news = (key, scheduled_id, event, attributes)
                self._loop.call_later(_AGAIN_S, self.end_lambda, *news)

        self.submit(act).add_done_callback(again)

    # -- turns --------------------------------------------------------------------------------

    def _ask_turn(self) -> None:
        if self._turn is not None or self._stopping:
            return
        if self._rest_until_s > self._loop.time():
            self._turn = self._loop.call_at(self._rest_until_s, self._take_turn)
        else:
            self._turn = self._loop.call_soon(self._take_turn)

    def _ask_turn_for_client(self) -> None:
        """Take the turn at once for a client that asks alone: two rounds of the loop less."""
        if self._may_turn_now():
            self._take_turn()
        else:
            self._ask_turn()

    def _may_turn_now(self) -> bool:
        return self.alone and self._turn is None and not self._stopping

    def _take_turn(self, *pairs: tuple[Poll, TaskKey]) -> None:
        """Work off what waits; ``pairs`` are taken out of their lists already."""
        self._turn = None
        self.alone = False
        acts, self._acts = self._acts, []
        self._rest_until_s = self._loop.time() + _GATHER_S if len(acts) > 1 else 0.0
        lists = self.world.lists
        # What waits already starts in the same commit as the requests; what they bring, behind it.
        self._run(acts, [*pairs, *lists.match(_MATCH_LIMIT)])
        now_ms = self.clock.now_ms()
        self.run_due(now_ms)
        brought = lists.match(_MATCH_LIMIT)
        if brought:
            self._run([], brought)
            if len(brought) >= _MATCH_LIMIT:
                self._ask_turn()
        self._retention.step(now_ms)
        self._set_alarm()
        if self._checkpoint is None and self.world.database.wants_checkpoint():
            self._start_checkpoint()

    def _run(
        self,
        acts: list[tuple[Act, asyncio.Future[Any]]],
        pairs: list[tuple[Poll, TaskKey]],
    ) -> None:
        """Work off requests and start tasks for pollers, keep it all at once, answer."""
        if not acts and not pairs:
            return
        culprits: set[int] = set()
        while True:
            batch = Batch(self.world, self.clock.now_ms())
            outcomes, culprit = self._try_acts(batch, acts, culprits)
            if culprit is None:
                break
            culprits.add(culprit)
        started = [(poll, self._start(batch, poll, task)) for poll, task in pairs]
        kept = self._keep(batch)
        for (_, future), (value, fault) in zip(acts, outcomes, strict=True):
            _settle(future, value, fault if kept else faults.internal())
        for poll, assignment in started:
            _settle(poll.answer, assignment, None if kept else faults.internal())
        if not kept:
            self.world.reread([task[0] for _, task in pairs])

    def _try_acts(
        self,
        batch: Batch,
        acts: list[tuple[Act, asyncio.Future[Any]]],
        culprits: set[int],
    ) -> tuple[list[tuple[Any, Exception | None]], int | None]:
        """Run the acts on a batch; the number of one that broke off half-way, if any.

        Such a batch must not be kept: it is begun anew without the culprit.
        """
        outcomes: list[tuple[Any, Exception | None]] = []
        for number, (act, _) in enumerate(acts):
            if number in culprits:
                outcomes.append((None, faults.internal()))
                continue
            applied = batch.applied
            try:
                outcomes.append((act(batch), None))
            except faults.Fault as fault:
                if batch.applied != applied:
                    return outcomes, number
                outcomes.append((None, fault))
            except Exception:
                logger.exception("a request broke the engine's own rules and was dropped")
                return outcomes, number
        return outcomes, None

    def _keep(self, batch: Batch) -> bool:
        """Commit and adopt; after a failed commit the touched states are read again."""
        if not batch.applied:
            return True
        try:
            self.world.database.commit(batch.writes())
        except sqlite3.Error as error:
            logger.error("a batch could not be kept, its callers are told so: %s", error)
        except Exception:
            logger.exception("a batch could not be written down, its callers are told so")
        else:
            self._adopt(batch)
            return True
        self.world.reread(list(batch.states))
        return False

    def _adopt(self, batch: Batch) -> None:
        """Make a kept batch the present, and see to what it set off."""
        self.world.adopt(batch)
        if self.call is not None:
            for call in batch.calls:
                self.call(call)
        for key in batch.closed:
            domain = self.world.registry.domains[batch.states[key].profile.domain]
            if domain.retention_days is None:
                self._retention.hurry()

    def _start(self, batch: Batch, poll: Poll, task: TaskKey) -> Assignment | None:
        key, scheduled_id = task
        state = batch.state(key)
        now_ms, identity, invocation = batch.now_ms, poll.identity, poll.invocation
        if state is None:
            return None
        try:
            if poll.where[0] == "activity":
                step = transitions.start_activity(state, now_ms, scheduled_id, identity, invocation)
            else:
                step = transitions.start_decision(state, now_ms, identity, invocation)
        except faults.Fault:
            # This very batch closed the task, or its whole run.
            return None
        batch.apply(step)
        started = step.state.started
        if poll.where[0] == "activity":
            item = step.state.activities.get(scheduled_id)
            return Assignment(key, scheduled_id, item.started_id) if item else None
        return Assignment(key, scheduled_id, started.started_id) if started else None

    # -- deadlines ----------------------------------------------------------------------------

    def run_due(self, now_ms: int) -> int:
        """Let everything happen that is due by ``now_ms``; how many deadlines that were."""
        due = self.world.deadlines.pop_due(now_ms, _DUE_LIMIT)
        if not due:
            return 0
        if not self._fire(due, now_ms):
            # The disk is full, say: what is due stays due.
            for ref in due:
                self.world.deadlines.set(ref, now_ms + 1000)
        if len(due) >= _DUE_LIMIT:
            self._ask_turn()
        return len(due)

    def _fire(self, due: list[Ref], now_ms: int) -> bool:
        """Let deadlines do what they do; False when nothing of it could be kept."""
        batch = Batch(self.world, now_ms)
        try:
            for key, kind, item_key in due:
                state = batch.state(key)
                if state is not None:
                    batch.apply(timeouts.fire(state, kind, item_key, now_ms))
        except sqlite3.Error as error:
            logger.error("deadlines could not be carried out, they are tried again: %s", error)
            return False
        return self._keep(batch)

    def _set_alarm(self) -> None:
        due_ms = self.world.deadlines.next_ms()
        next_ms = (
            self._retention.next_ms if due_ms is None else min(due_ms, self._retention.next_ms)
        )
        if self._alarm is not None:
            # An alarm that rings too early costs one idle turn; setting it anew costs each turn.
            if self._alarm_ms <= next_ms:
                return
            self._alarm.cancel()
            self._alarm = None
        delay_s = self.clock.delay_s(next_ms)
        if delay_s is not None and not self._stopping:
            self._alarm_ms = next_ms
            self._alarm = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._ask_turn()

    # -- the file -----------------------------------------------------------------------------

    def _start_checkpoint(self) -> None:
        database = self.world.database
        self._checkpoint = self._loop.run_in_executor(None, database.checkpoint)
        self._checkpoint.add_done_callback(self._end_checkpoint)

    def _end_checkpoint(self, done: asyncio.Future[None]) -> None:
        self._checkpoint = None
        error = None if done.cancelled() else done.exception()
        if error is not None:
            logger.warning("the log could not be folded into the file: %s", error)
        elif not self._stopping:
            self.world.database.restart_log()


def _settle(future: asyncio.Future[Any], value: Any, fault: Exception | None) -> None:
    """Answer a caller that is still there."""
    if future.done():
        return
    if fault is not None:
        future.set_exception(fault)
    else:
        future.set_result(value)

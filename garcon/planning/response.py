"""The making of one response: what is known, what has failed, how it ends, when it is asked again.

`garcon.planner` adds the freezing and scheduling. Pure. Law: a run that is not closed is decided
again, on an event or on one of the timers `garcon.more` (0 seconds, behind a full response) and
`garcon.due` (the next retry or the end of a wait); of each it has one at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from math import ceil

from garcon.description import FlowDescription
from garcon.errors import DecisionError
from garcon.history import FanOutKey, RunState
from garcon.manifest import size_of
from garcon.outcome import DETAILS_MAX, REASON_MAX, cut
from garcon.planning import batch as make
from garcon.planning.batch import DUE_TIMER, MORE_TIMER, Batch, Decision
from garcon.planning.fanout import FanOut
from garcon.planning.pacing import refused_until_s
from garcon.planning.plan import PROGRESS_COUNTS, Plan, progress_text
from garcon.planning.resuming import LEFT_OUT
from garcon.planning.sharding import DRAIN_EVENTS, result_of
from garcon.planning.shards import RESULTS_MARKER, SCHEDULED_SIGNAL
from garcon.planning.soundness import check_run
from garcon.planning.verdict import Failed, Judged, failure_text, failures_allowed, judge

#: After a request to cancel, how long running activities may take to end, seconds.
CANCEL_GRACE_S = 60.0


@dataclass
class Response:
    """What one response will say.

    Attributes:
        state: the execution, folded up to this decision.
        flow: what the flow declares.
    """

    state: RunState
    flow: FlowDescription
    _batch: Batch = field(init=False, default_factory=Batch)
    _fresh: dict[FanOutKey, FanOut] = field(init=False, default_factory=dict)
    _judged: dict[FanOutKey, Judged] = field(init=False, default_factory=dict)
    _open: dict[str, int] = field(init=False, default_factory=dict)
    _scheduled: int = field(init=False, default=0)
    _scheduled_of: dict[str, int] = field(init=False, default_factory=dict)
    _started_of: dict[str, int] = field(init=False, default_factory=dict)
    _timers: set[str] = field(init=False, default_factory=set)
    _more: bool = field(init=False, default=False)
    _is_paced: bool = field(init=False, default=False)
    _due_s: list[float] = field(init=False, default_factory=list)
    _notes: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for key, fan_out in self.state.fan_outs.items():
            activity = self.flow.activity(key[0])
            if activity is not None:
                judged = self._judged[key] = judge(fan_out, activity, self.state.now_s)
                self._open[key[0]] = self._open.get(key[0], 0) + fan_out.open + len(judged.later)
                if not self.is_draining:
                    self._due_s += judged.later.values()

    @property
    def is_draining(self) -> bool:
        """Whether this is a shard that schedules nothing more."""
        return self.state.order is not None and self.state.last_event_id > DRAIN_EVENTS

    @property
    def decisions(self) -> list[Decision]:
        """What has been planned so far."""
        return self._batch.decisions

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, nothing was scheduled now and no later moment is waited for."""
        runs = self.state.open or self.state.children or self._started_of
        return not (runs or self._scheduled or self._more or self._due_s)

    def begin(self) -> Plan | None:
        """Return the plan of a run that schedules nothing more, None for all others.

        Raises:
            DecisionError: the execution cannot go on.
        """
        if self.state.cancel_requested_s is not None:
            return self._wind_down(self.state.cancel_requested_s, self._canceled)
        check_run(self.state, self.flow, self._left())
        stopped_s = self._stopped_s()
        return None if stopped_s is None else self._wind_down(stopped_s, self._stopped)

    def _stopped_s(self) -> float | None:
        """Return when more instances had failed than an activity allows, None if none had."""
        moments = []
        for failed in self._own_failures():
            allowed = failures_allowed(failed.activity, failed.fan_out.manifest.count)
            if allowed is not None and len(failed.instances) > allowed:
                moments.append(sorted(one.ended_s for one in failed.instances)[allowed])
        return min(moments, default=None)

    def known(self, activity: str, schedule_id: str = "") -> FanOut | None:
        """Return the fan-out that this activity and schedule id have, frozen earlier or now."""
        key = (activity, schedule_id)
        return self.state.fan_outs.get(key) or self._fresh.get(key)

    def _fan_outs(self) -> Iterator[FanOut]:
        return chain(self.state.fan_outs.values(), self._fresh.values())

    def _left(self) -> int:
        return sum(one.unscheduled for one in self._fan_outs() if not one.manifest.sharded)

    def timer(self, timer_id: str, seconds: int) -> bool:
        """Start a timer of the user's unless it is known; return whether it has fired.

        Behind what the pace has cut short it waits as everything does: the decider may want it only
        because something is not there yet, and would be found to decide otherwise without a pace.
        """
        if timer_id in self.state.fired:
            return True
        is_known = timer_id in self.state.timers or timer_id in self._timers
        if not is_known and not self._is_paced:
            self._timers.add(timer_id)
            if self._more or not self._batch.add(make.start_timer(timer_id, seconds)):
                self._more = True
        return False

    def open_of(self, activity: str) -> int:
        """Return how many instances of an activity this history has open or waiting to retry."""
        return self._open.get(activity, 0) + self._scheduled_of.get(activity, 0)

    def shards_of(self, activity: str | None = None) -> int:
        """Return how many shards of an activity, or of all, are open or start now."""
        if activity is None:
            return len(self.state.children) + sum(self._started_of.values())
        own = (one for key, one in self.state.fan_outs.items() if key[0] == activity)
        started = self._started_of.get(activity, 0)
        return started + sum(len(one.open_slices) for one in own)

    def filling(self) -> int:
        """Return how many shards have unscheduled work, those that start now among them."""
        shards = (one for one, _ in self.state.children.values())
        return sum(not one.is_scheduled for one in shards) + sum(self._started_of.values())

    def start_shard(self, activity: str, decision: Decision) -> bool:
        """Add the start of a shard of an activity; return False where it has to wait."""
        if self._waits():
            return False
        if not self._batch.add(decision):
            self._more = True
            return False
        self._started_of[activity] = self._started_of.get(activity, 0) + 1
        return True

    def _waits(self) -> bool:
        """Whether nothing is said to other executions now: SWF refused, or the response is cut.

        What the pace cuts short has to be the beginning of what would be decided without one.
        """
        refused = self.state.now_s < refused_until_s(self.state)
        return self._more or self._is_paced or refused

    def signal_parent(self) -> None:
        """Tell a shard's parent that all is scheduled; a full response leaves it for the next."""
        parent = self.state.start.parent
        if parent is not None and not self._waits():
            self._batch.add(
                make.signal_execution(parent["workflowId"], parent["runId"], SCHEDULED_SIGNAL)
            )

    def failure(self, only: FanOut | None = None) -> DecisionError | None:
        """Return why the execution, or one fan-out, cannot complete; None if nothing failed."""
        failures = [one for one in self.failures() if only in (None, one.fan_out)]
        lost = [
            f"shard {number} of {one.manifest.activity} ended without a result: {reason}"
            for one in self._fan_outs()
            if only in (None, one)
            for number, reason in one.lost.items()
        ]
        left_out = [
            f"{size_of(one.manifest.left_out):,} of {one.manifest.count:,} instances of "
            f"{one.manifest.activity}"
            for one in self._fan_outs()
            if only in (None, one) and one.manifest.left_out
        ]
        if not failures and not lost and left_out:
            return DecisionError(f"{LEFT_OUT}: {' and '.join(left_out)}")
        if not failures:
            return DecisionError(lost[0], "\n".join(lost)) if lost else None
        line, details = failure_text(failures)
        return DecisionError(line, "\n".join([details, *lost]))

    def failures(self) -> list[Failed]:
        """Return what has failed for good, fan-out by fan-out."""
        found = []
        for key, judged in self._judged.items():
            activity = self.flow.activity(key[0])
            if judged.final and activity is not None:
                fan_out = self.state.fan_outs.get(key) or self._fresh[key]
                found.append(Failed(fan_out, activity, judged.final))
        return found

    def _own_failures(self) -> list[Failed]:
        """Return what has failed but for instances that ended because they were asked to."""
        found = []
        for failed in self.failures():
            own = [one for one in failed.instances if not one.cancel_requested]
            if own:
                found.append(replace(failed, instances=own))
        return found

    def fail(self, error: DecisionError) -> Plan:
        """Return the plan that fails the execution with the text of `error`, and does no more."""
        text = str(error)
        details = f"{text}\n\n{error.details}" if error.details else text
        self._batch = Batch()
        decision = make.fail_execution(cut(text, REASON_MAX), cut(details, DETAILS_MAX))
        plan = self._close(decision, f"failed: {cut(text, REASON_MAX)}")
        return replace(plan, error=error)

    def _close(self, decision: Decision, note: str) -> Plan:
        self._batch.force(decision)
        self._notes.append(note)
        return self._plan(closes=True)

    def close_shard(self, decision: Callable[[str], Decision] = make.complete_execution) -> Plan:
        """Return the plan that ends a shard with what it has done, and what it has left.

        Raises:
            ManifestError: the results are too large.
        """
        text, markers = result_of(self.state, self.failures()).encode()
        self._batch = Batch()
        self._batch.force(*(make.record_marker(RESULTS_MARKER, details) for details in markers))
        return self._close(decision(text), "gave back its slice")

    def _wind_down(self, since_s: float, close: Callable[[], Plan]) -> Plan:
        """Ask what runs to stop; close once nothing runs, or the grace since `since_s` is over."""
        until_s = since_s + CANCEL_GRACE_S
        if self.state.children:
            # A shard has a grace of its own, which begins when it hears of it.
            until_s += CANCEL_GRACE_S
        runs = self.state.tasks or self.state.children
        if not runs or self.state.now_s >= until_s:
            return close()
        self._due_s = [until_s]
        for decision in self._cancels():
            if not self._batch.add(decision):
                self._more = True
                break
        self._set_timers()
        return self._plan()

    def _cancels(self) -> Iterator[Decision]:
        for started, _ in self.state.children.values():
            if not started.cancel_requested:
                yield make.cancel_child(started.workflow_id, started.run_id)
        for instance, _ in self.state.tasks.values():
            if not instance.cancel_requested:
                yield make.cancel_activity(instance.activity_id)

    def _canceled(self) -> Plan:
        if self.state.order is not None:
            return self.close_shard(make.cancel_execution)
        return self._close(make.cancel_execution(), "canceled")

    def _stopped(self) -> Plan:
        if self.state.order is not None:
            return self.close_shard()
        line, details = failure_text(self._own_failures())
        left = f"stopped by fail_fast or max_failures: {self._left():,} instances were not run"
        return self.fail(DecisionError(line, f"{left}\n\n{details}"))

    def _set_timers(self) -> None:
        if self._more:
            if MORE_TIMER not in self.state.timers:
                self._batch.force(make.start_timer(MORE_TIMER, 0))
            return
        if not self._due_s:
            return
        wanted_s = min(self._due_s)
        wait_s = max(1, ceil(wanted_s - self.state.now_s))
        running = self.state.timers.get(DUE_TIMER)
        if running is None:
            self._batch.force(make.start_timer(DUE_TIMER, wait_s))
        elif running.fires_s > self.state.now_s + wait_s + 1:
            self._batch.force(make.cancel_timer(DUE_TIMER), make.start_timer(DUE_TIMER, wait_s))

    def _plan(self, held_s: float = 0.0, closes: bool = False) -> Plan:
        progress = self._progress()
        left = self.state.children.values() if closes else ()
        terminate = tuple((one.workflow_id, one.run_id) for one, _ in left)
        notes = tuple(self._notes)
        return Plan(self._batch.decisions, progress, held_s, closes, notes, terminate)

    def _progress(self) -> str:
        counts: dict[str, dict[str, int]] = {}
        for key, fan_out in chain(self.state.fan_outs.items(), self._fresh.items()):
            judged = self._judged.get(key)
            one = counts.setdefault(key[0], dict.fromkeys(PROGRESS_COUNTS, 0))
            one["n"] += fan_out.manifest.count
            one["done"] += fan_out.done
            one["failed"] += len(judged.final) if judged else 0
            one["running"] += fan_out.started
            one["open"] += fan_out.open
            one["retries"] += fan_out.retries
        return progress_text(counts, self.state.order is not None)

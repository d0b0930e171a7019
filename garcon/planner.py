"""What a run does next: a function of its folded state, the flow's description and an allowance.

`Planning` collects the decisions of one response. It is a generator where it needs the user's code:
it yields `NeedFreeze` or `NeedInput` and is fed the answer, so that the shell can run generators
and tasks on copies. Its present is the time of the DecisionTaskStarted event. Pure. Law: a cold
decider plans what a warm one plans, and whatever is not decided now is decided on a later event or
on one of the timers `garcon.more` (0 seconds, behind a full response) and `garcon.due` (the next
retry or the end of a wait); of each a run has one at most.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from math import ceil
from typing import Any

from garcon import batch as make
from garcon.batch import DUE_TIMER, MORE_TIMER, Batch, Decision
from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import DecisionError
from garcon.fanout import FanOut, Instance
from garcon.history import FanOutKey, RunState
from garcon.manifest import MARKER, Item, Manifest, encode
from garcon.outcome import DETAILS_MAX, REASON_MAX, cut
from garcon.pacing import (
    LOOK_S,
    OPEN_MAX,
    hold_s,
    open_limit,
    rate_room,
    refused_until_s,
    should_look,
)
from garcon.plan import (
    PROGRESS_COUNTS,
    Need,
    NeedFreeze,
    NeedInput,
    Plan,
    Prepared,
    Standing,
    control_text,
    progress_text,
)
from garcon.sharding import plan_slices, result_of
from garcon.shards import RESULTS_MARKER, SCHEDULED_SIGNAL
from garcon.soundness import EVENTS_MAX, check_run
from garcon.verdict import Failed, Judged, failure_text, failures_allowed, judge

#: Events that an instance takes, retries and decisions included, when a fan-out is measured.
EVENTS_PER_INSTANCE = 4

#: While generators have to run, so many deaths in a row fail the run: they are the likely cause.
DEATHS_MAX_FREEZING = 2

#: A run past so many events moves what it has not scheduled into shards; a shard past so many
#: schedules nothing more, and gives back what it has left.
MOVE_EVENTS = 10_000
DRAIN_EVENTS = 15_000

#: After a request to cancel, how long running activities may take to end, seconds.
CANCEL_GRACE_S = 60.0

#: When nothing may be scheduled because the allowance is used up, look again after this, seconds.
ALLOWANCE_WAIT_S = 1.0


@dataclass
class Planning:
    """The making of one response.

    Attributes:
        state: the execution, folded up to this decision.
        flow: what the flow declares.
        allowance: schedules that the pace allows now; None for any number.
        extra: goes over the context of every fan-out that is frozen now.
    """

    state: RunState
    flow: FlowDescription
    allowance: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    _batch: Batch = field(default_factory=Batch)
    _fresh: dict[FanOutKey, FanOut] = field(default_factory=dict)
    _judged: dict[FanOutKey, Judged] = field(default_factory=dict)
    _room: int = 0
    _scheduled: int = 0
    _open: dict[str, int] = field(default_factory=dict)
    _scheduled_of: dict[str, int] = field(default_factory=dict)
    _started: int = 0
    _timers: set[str] = field(default_factory=set)
    _more: bool = False
    _due_s: list[float] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key, fan_out in self.state.fan_outs.items():
            activity = self.flow.activity(key[0])
            if activity is not None:
                judged = self._judged[key] = judge(fan_out, activity, self.state.now_s)
                self._open[key[0]] = self._open.get(key[0], 0) + fan_out.open + len(judged.later)
        later = [due_s for judged in self._judged.values() for due_s in judged.later.values()]
        self._due_s += later
        # What waits for its retry holds its place in the window: it was open and will be again.
        self._room = max(0, open_limit(self.state) - self.state.open - len(later))
        if self.is_draining:
            self._room, self._due_s = 0, []
        until_s = refused_until_s(self.state)
        if until_s > self.state.now_s:
            self._room = 0
            self._due_s.append(until_s)

    @property
    def is_draining(self) -> bool:
        """Whether this is a shard that schedules nothing more."""
        return self.state.order is not None and self.state.last_event_id > DRAIN_EVENTS

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

    def fan_out(
        self,
        activity: ActivityDescription,
        schedule_id: str = "",
        extra: Mapping[str, Any] | None = None,
        fans_out: bool = True,
    ) -> Generator[Need, Any, Standing]:
        """Bring one fan-out forward: freeze it if that is due, schedule what fits.

        Args:
            activity: what to run; its requirements are complete.
            schedule_id: what a custom decider calls this use of the activity.
            extra: what a custom decider adds to the context; frozen with the rest.
            fans_out: False where the activity has no generators.
        Yields:
            What the user's code has to say, to be fed back with `send`.
        Raises:
            DecisionError: the fan-out cannot be frozen or does not fit one history.
        """
        key = (activity.name, schedule_id)
        fan_out = self.known(*key)
        if fan_out is None:
            added = {**self.extra, **(extra or {})}
            fan_out = yield from self._freeze(activity, schedule_id, added, fans_out)
        if fan_out is None:
            return Standing.OPEN
        judged = self._judged.get(key) or Judged()
        if not fan_out.is_complete:
            moved = self._is_moved(activity, fan_out)
            if moved:
                yield from plan_slices(self, activity, fan_out)
            yield from self._schedule(activity, fan_out, judged, moved)
        return self._standing(fan_out, judged)

    def _is_moved(self, activity: ActivityDescription, fan_out: FanOut) -> bool:
        """Whether what is unscheduled goes to shards."""
        if fan_out.manifest.sharded or fan_out.slices:
            return True
        late = self.state.last_event_id > MOVE_EVENTS and self.state.order is None
        return late and activity.shard_size is not None and fan_out.unscheduled > 0

    def timer(self, timer_id: str, seconds: int) -> bool:
        """Start a timer of the user's unless it is known; return whether it has fired."""
        if timer_id in self.state.fired:
            return True
        if timer_id not in self.state.timers and timer_id not in self._timers:
            self._timers.add(timer_id)
            if self._more or not self._batch.add(make.start_timer(timer_id, seconds)):
                self._more = True
        return False

    def known(self, activity: str, schedule_id: str = "") -> FanOut | None:
        """Return the fan-out that this activity and schedule id have, frozen earlier or now."""
        key = (activity, schedule_id)
        return self.state.fan_outs.get(key) or self._fresh.get(key)

    def _standing(self, fan_out: FanOut, judged: Judged) -> Standing:
        if fan_out.is_complete:
            return Standing.COMPLETE
        runs = fan_out.open or fan_out.unscheduled or fan_out.open_slices
        if runs or judged.due or judged.later:
            return Standing.OPEN
        return Standing.FAILED if judged.final or fan_out.lost else Standing.OPEN

    def _freeze(
        self,
        activity: ActivityDescription,
        schedule_id: str,
        extra: Mapping[str, Any],
        fans_out: bool,
    ) -> Generator[Need, Any, FanOut | None]:
        if self._is_spent:
            # Whatever an allowance cuts short is the beginning of what would be decided without.
            self._due_s.append(self.state.now_s + ALLOWANCE_WAIT_S)
        if self._more or self._is_spent:
            return None
        if fans_out and self.state.deaths >= DEATHS_MAX_FREEZING:
            raise DecisionError(
                f"the generators of {activity.name!r} killed their decider or took longer than "
                f"{self.state.start.decision_timeout_s} s, {self.state.deaths} times in a row; "
                "make them faster or raise decision_timeout"
            )
        at = self.state.last_event_id
        lists: tuple[tuple[Item, ...], ...] | None = None
        if fans_out:
            context = {**self.state.context_at(at), **extra}
            lists = yield NeedFreeze(activity, schedule_id, context)
        manifest = Manifest(activity.name, activity.type_name, lists, at, schedule_id, extra)
        earlier = self.state.loose.get(activity.type_name, {})
        if earlier:
            manifest = _with_ids_of(manifest, earlier)
        if self._is_sharded(activity, manifest):
            manifest = replace(manifest, sharded=True)
        else:
            self._check_size(manifest)
        markers = [make.record_marker(MARKER, details) for details in encode(manifest)]
        if not self._batch.add(*markers):
            self._more = True
            return None
        self._notes.append(f"froze {manifest.activity}: {manifest.count:,} instances")
        fan_out = self._fresh[activity.name, schedule_id] = FanOut(manifest)
        # As the fold will do once the marker is there, but on copies: nothing here changes a state.
        if fan_out.adopt({name: replace(one) for name, one in earlier.items()}):
            self._judged[activity.name, schedule_id] = judge(fan_out, activity, self.state.now_s)
        return fan_out

    def _is_sharded(self, activity: ActivityDescription, manifest: Manifest) -> bool:
        # A single instance costs the run less than a shard for it would.
        if activity.shard_size is None or manifest.count <= 1:
            return False
        return self._frozen() + manifest.count > activity.shard_size

    def _check_size(self, manifest: Manifest) -> None:
        left = self._left()
        needed = self.state.last_event_id + EVENTS_PER_INSTANCE * (left + manifest.count)
        if needed <= EVENTS_MAX:
            return
        fits = max(0, (EVENTS_MAX - self.state.last_event_id) // EVENTS_PER_INSTANCE - left)
        raise DecisionError(
            f"{manifest.activity!r} fans out into {manifest.count:,} instances, about "
            f"{needed:,} events with the {self.state.last_event_id:,} so far; one history holds "
            f"{EVENTS_MAX:,} of them: narrow the input to {fits:,} instances"
        )

    def _left(self) -> int:
        return sum(one.unscheduled for one in self._fan_outs() if not one.manifest.sharded)

    def _frozen(self) -> int:
        return sum(one.manifest.count for one in self._fan_outs() if not one.manifest.sharded)

    def _fan_outs(self) -> Iterator[FanOut]:
        return chain(self.state.fan_outs.values(), self._fresh.values())

    def _schedule(
        self, activity: ActivityDescription, fan_out: FanOut, judged: Judged, moved: bool
    ) -> Generator[Need, Any, None]:
        manifest = fan_out.manifest
        room, more_after_s = self._activity_room(activity)
        context: Mapping[str, Any] | None = None
        for index in judged.due if moved else chain(judged.due, fan_out.next_unscheduled()):
            if room <= 0 and more_after_s is not None:
                self._due_s.append(self.state.now_s + more_after_s)
            if self._more or room <= 0 or not self._may_schedule():
                return
            if context is None:
                context = self.context_of(manifest)
            prepared = yield NeedInput(activity, manifest, index, context)
            instance = fan_out.instances.get(index)
            attempt = instance.attempts + 1 if instance else 1
            decision = self._schedule_decision(activity, manifest, index, attempt, prepared)
            if not self._batch.add(decision):
                self._more = True
                return
            room -= 1
            self._scheduled += 1
            self._scheduled_of[activity.name] = self._scheduled_of.get(activity.name, 0) + 1

    def _activity_room(self, activity: ActivityDescription) -> tuple[int, float | None]:
        """Return how many instances the activity's own limits let through now.

        And after how many seconds its rate lets more through, None where that is not the limit.
        """
        room, scheduled = OPEN_MAX, self._scheduled_of.get(activity.name, 0)
        if activity.max_open is not None:
            room = activity.max_open - self._open.get(activity.name, 0) - scheduled
        if activity.rate_per_s is None:
            return room, None
        moments = self.state.scheduled_at.get(activity.name, ())
        allowed = rate_room(moments, activity.rate_per_s, self.state.now_s) - scheduled
        return (room, None) if room <= allowed else (allowed, 1.0 / min(1.0, activity.rate_per_s))

    def context_of(self, manifest: Manifest) -> Mapping[str, Any]:
        """Return the context that the instances of `manifest` see; not to be changed."""
        context = self.state.context_at(manifest.context_event_id)
        return {**context, **manifest.input} if manifest.input else context

    @property
    def _is_spent(self) -> bool:
        """Whether the pace allows no further schedule now."""
        return self.allowance is not None and self._scheduled >= self.allowance

    def _may_schedule(self) -> bool:
        if self._scheduled >= self._room:
            if self._scheduled and should_look(self.state):
                self._due_s.append(self.state.now_s + LOOK_S)
            return False
        if self._is_spent:
            self._due_s.append(self.state.now_s + ALLOWANCE_WAIT_S)
            return False
        return True

    def _schedule_decision(
        self,
        activity: ActivityDescription,
        manifest: Manifest,
        index: int,
        attempt: int,
        prepared: Prepared,
    ) -> Decision:
        return make.schedule_activity(
            activityType={"name": activity.type_name, "version": activity.version},
            activityId=manifest.activity_id(index),
            control=control_text(manifest, index, attempt),
            taskList={"name": activity.task_list},
            input=prepared.input,
            startToCloseTimeout=prepared.start_to_close,
            scheduleToStartTimeout=prepared.schedule_to_start,
            scheduleToCloseTimeout=prepared.schedule_to_close,
            heartbeatTimeout=prepared.heartbeat,
            taskPriority=self.state.start.task_priority,
        )

    def finish(self, complete: bool, error: DecisionError | None = None) -> Plan:
        """Return the plan: close the execution if it is over, else see that it is decided again.

        Args:
            complete: everything the flow asked for has completed.
            error: why the flow cannot complete; it fails the run once nothing runs any more.
        """
        if complete:
            return self._close(make.complete_execution(), "completed")
        if error is not None and self.is_idle:
            return self.fail(error)
        self._set_timers()
        if self._more or self._fresh:
            return self._plan()
        return self._plan(hold_s(self.state, self._scheduled, self.flow.decision_timeout_s))

    @property
    def decisions(self) -> list[Decision]:
        """What has been planned so far."""
        return self._batch.decisions

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, nothing was scheduled now and no later moment is waited for."""
        runs = self.state.open or self.state.children or self._started
        return not (runs or self._scheduled or self._more or self._due_s)

    def start_shard(self, decision: Decision) -> bool:
        """Add the start of a shard; return False where it has to wait."""
        if self._more or self.state.now_s < refused_until_s(self.state):
            return False
        if not self._batch.add(decision):
            self._more = True
            return False
        self._started += 1
        return True

    def signal_parent(self) -> None:
        """Tell a shard's parent that all is scheduled; a full response leaves it for the next."""
        parent = self.state.start.parent
        if parent is not None:
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

    def close_shard(self, decision: Callable[[str], Decision] = make.complete_execution) -> Plan:
        """Return the plan that ends a shard with what it has done, and what it has left.

        Raises:
            ManifestError: the results are too large.
        """
        text, markers = result_of(self.state, self.failures()).encode()
        self._batch = Batch()
        self._batch.force(*(make.record_marker(RESULTS_MARKER, details) for details in markers))
        return self._close(decision(text), "gave back its slice")

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


def plan_declared(planning: Planning) -> Generator[Need, Any, Plan]:
    """Plan a flow whose activities say what they require.

    Raises:
        DecisionError: the execution cannot go on; `Planning.fail` makes the plan of it.
    """
    early = planning.begin()
    if early is not None:
        return early
    complete: set[str] = set()
    order = in_order(planning.flow)
    for activity in order:
        if complete.issuperset(activity.requires):
            standing = yield from planning.fan_out(activity, fans_out=activity.generators > 0)
            if standing is Standing.COMPLETE:
                complete.add(activity.name)
    error = planning.failure() if planning.is_idle else None
    return planning.finish(len(complete) == len(order), error)


def _with_ids_of(manifest: Manifest, earlier: Mapping[str, Instance]) -> Manifest:
    """Return the manifest with the kind of ids that what was scheduled without one has."""
    legacy = replace(manifest, legacy_ids=True)
    return legacy if _known_ids(legacy, earlier) > _known_ids(manifest, earlier) else manifest


def _known_ids(manifest: Manifest, earlier: Mapping[str, Instance]) -> int:
    return sum(manifest.activity_id(index) in earlier for index in range(manifest.count))


@lru_cache(maxsize=16)
def in_order(flow: FlowDescription) -> tuple[ActivityDescription, ...]:
    """Return the activities so that each comes after what it requires.

    Raises:
        DecisionError: activities require each other, or one that is not there.
    """
    return tuple(_sorted(flow))


def _sorted(flow: FlowDescription) -> Iterator[ActivityDescription]:
    placed: set[str] = set()
    rest = list(flow.activities)
    while rest:
        ready = [activity for activity in rest if placed.issuperset(activity.requires)]
        if not ready:
            names = ", ".join(activity.name for activity in rest)
            raise DecisionError(
                f"the requires of {names} never come true: a circle or a lost activity"
            )
        yield from ready
        placed.update(activity.name for activity in ready)
        rest = [activity for activity in rest if activity.name not in placed]

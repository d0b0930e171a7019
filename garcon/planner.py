"""What a run does next: a function of its folded state, the flow's description and an allowance.

`Planning` is a generator where it needs the user's code: it yields `NeedFreeze`, `NeedInput` and
the like and is fed the answers, so that the shell can run generators and tasks on copies. Its
present is the time of the DecisionTaskStarted event. Pure. Law: a cold decider plans what a warm
one plans.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

from garcon.attempt import with_attempt
from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import DecisionError
from garcon.manifest import MARKER, Item, Manifest, encode, size_of
from garcon.planning import batch as make
from garcon.planning.batch import Decision
from garcon.planning.fanout import FanOut, Instance
from garcon.planning.pacing import (
    LOOK_S,
    OPEN_MAX,
    hold_s,
    open_limit,
    rate_room,
    refused_until_s,
    should_look,
)
from garcon.planning.plan import (
    Need,
    NeedEarlier,
    NeedFreeze,
    NeedInput,
    Plan,
    Prepared,
    Standing,
    control_text,
)
from garcon.planning.response import Response
from garcon.planning.resuming import earlier_of
from garcon.planning.sharding import EVENTS_PER_INSTANCE, is_bounded, plan_slices, share_of
from garcon.planning.soundness import EVENTS_MAX
from garcon.planning.verdict import Judged, judge

#: While generators have to run, so many deaths in a row fail the run: they are the likely cause.
DEATHS_MAX_FREEZING = 2

#: A run past so many events moves what is still to be scheduled into shards.
MOVE_EVENTS = 10_000

#: When nothing may be scheduled because the allowance is used up, look again after this, seconds.
ALLOWANCE_WAIT_S = 1.0

#: The answer of a decision whose allowance was used up is held so long, seconds: what completes
#: meanwhile would only find that it still is.
PACED_HOLD_S = 0.5


@dataclass
class Planning(Response):
    """The planning of one response.

    Attributes:
        allowance: schedules that the pace allows now; None for any number.
        extra: goes over the context of every fan-out that is frozen now.
    """

    allowance: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    _room: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        # What waits for its retry holds its place in the window: it was open and will be again.
        later = sum(len(judged.later) for judged in self._judged.values())
        if not self.is_draining:
            self._room = max(0, open_limit(self.state) - self.state.open - later)
        until_s = refused_until_s(self.state)
        if until_s > self.state.now_s:
            self._room = 0
            self._due_s.append(until_s)

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
            if self._is_moved(activity, fan_out):
                late = self._is_late(activity)
                yield from plan_slices(self, activity, fan_out, judged.due if late else ())
                indexes = iter(() if late else judged.due)
            else:
                indexes = chain(judged.due, fan_out.next_unscheduled())
            yield from self._schedule(activity, fan_out, indexes)
        return self._standing(fan_out, judged)

    def _is_moved(self, activity: ActivityDescription, fan_out: FanOut) -> bool:
        """Whether what is unscheduled goes to shards."""
        return fan_out.manifest.sharded or bool(fan_out.slices) or self._is_late(activity)

    def _is_late(self, activity: ActivityDescription) -> bool:
        """Whether the history has grown so long that even further attempts go to shards."""
        late = self.state.last_event_id > MOVE_EVENTS and self.state.order is None
        return late and activity.shard_size is not None

    def _standing(self, fan_out: FanOut, judged: Judged) -> Standing:
        if fan_out.is_complete:
            return Standing.COMPLETE
        runs = fan_out.open or fan_out.unscheduled or fan_out.open_slices
        if runs or judged.due or judged.later:
            return Standing.OPEN
        is_over = judged.final or fan_out.lost or fan_out.manifest.left_out
        return Standing.FAILED if is_over else Standing.OPEN

    def _freeze(
        self,
        activity: ActivityDescription,
        schedule_id: str,
        extra: Mapping[str, Any],
        fans_out: bool,
    ) -> Generator[Need, Any, FanOut | None]:
        if self._is_spent:
            # Whatever an allowance cuts short is the beginning of what would be decided without.
            self._wait_for_allowance()
        if self._more or self._is_spent:
            return None
        if fans_out and self.state.deaths >= DEATHS_MAX_FREEZING:
            raise DecisionError(
                f"the generators of {activity.name!r} killed their decider or took longer than "
                f"{self.state.start.decision_timeout_s} s, {self.state.deaths} times in a row; "
                "make them faster or raise decision_timeout"
            )
        manifest = yield from self._manifest(activity, schedule_id, extra, fans_out)
        if self._is_sharded(activity, manifest):
            manifest = replace(manifest, sharded=True)
        elif activity.shard_size is None:
            self._check_size(manifest)
        markers = [make.record_marker(MARKER, details) for details in encode(manifest)]
        if not self._batch.add(*markers):
            self._more = True
            return None
        self._notes.append(_frozen_note(manifest))
        if manifest.results:
            # What requires it may read them, and the context has them once the marker is there.
            self._more = True
        fan_out = self._fresh[activity.name, schedule_id] = FanOut(manifest)
        earlier = self.state.loose.get(activity.type_name, {})
        # As the fold will do once the marker is there, but on copies: nothing here changes a state.
        if fan_out.adopt({name: replace(one) for name, one in earlier.items()}):
            self._judged[activity.name, schedule_id] = judge(fan_out, activity, self.state.now_s)
        return None if manifest.results else fan_out

    def _manifest(
        self,
        activity: ActivityDescription,
        schedule_id: str,
        extra: Mapping[str, Any],
        fans_out: bool,
    ) -> Generator[Need, Any, Manifest]:
        """Return what the generators say now, less what an earlier execution has done of it."""
        at = self.state.last_event_id
        lists: tuple[tuple[Item, ...], ...] | None = None
        if fans_out:
            context = {**self.state.context_at(at), **extra}
            lists = yield NeedFreeze(activity, schedule_id, context)
        manifest = Manifest(activity.name, activity.type_name, lists, at, schedule_id, extra)
        earlier = self.state.loose.get(activity.type_name, {})
        if earlier:
            manifest = _with_ids_of(manifest, earlier)
        resumed = earlier_of(self.state)
        if resumed is None:
            return manifest
        taken = yield NeedEarlier(activity, manifest, resumed, self.state.context_at(at))
        return replace(
            manifest,
            taken=taken.ranges,
            results=taken.results,
            left_out=taken.left_out,
            left_failed=taken.left_failed,
        )

    def _is_sharded(self, activity: ActivityDescription, manifest: Manifest) -> bool:
        # A single instance costs the run less than a shard for it would.
        if activity.shard_size is None or manifest.to_run <= 1:
            return False
        return self._frozen() + manifest.to_run > activity.shard_size

    def _check_size(self, manifest: Manifest) -> None:
        """Accept a fan-out that has to stay in this history."""
        left, own = self._left(), manifest.to_run
        needed = self.state.last_event_id + EVENTS_PER_INSTANCE * (left + own)
        if needed <= EVENTS_MAX:
            return
        fits = max(0, (EVENTS_MAX - self.state.last_event_id) // EVENTS_PER_INSTANCE - left)
        raise DecisionError(
            f"{manifest.activity!r} fans out into {own:,} instances, about "
            f"{needed:,} events with the {self.state.last_event_id:,} so far; one history holds "
            f"{EVENTS_MAX:,} of them: without shard_size=None it would run in child executions; "
            f"or narrow the input to {fits:,} instances"
        )

    def _frozen(self) -> int:
        own = (one.manifest for one in self._fan_outs() if not one.manifest.sharded)
        return sum(manifest.to_run for manifest in own)

    def _schedule(
        self, activity: ActivityDescription, fan_out: FanOut, indexes: Iterator[int]
    ) -> Generator[Need, Any, None]:
        manifest = fan_out.manifest
        room, more_after_s = self._activity_room(activity)
        context: Mapping[str, Any] | None = None
        for index in indexes:
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
        shards = self.shards_of(activity.name) if is_bounded(activity) else 0
        if shards and activity.rate_per_s is not None:
            return 0, None  # shards have the whole of its rate; their end is news
        if activity.max_open is not None:
            in_shards = shards * share_of(activity, activity.max_open)
            room = activity.max_open - self.open_of(activity.name) - in_shards
        if activity.rate_per_s is None:
            return room, None
        moments = self.state.scheduled_at.get(activity.name, ())
        allowed = rate_room(moments, activity.rate_per_s, self.state.now_s) - scheduled
        return (room, None) if room <= allowed else (allowed, 1.0 / min(1.0, activity.rate_per_s))

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
            self._wait_for_allowance()
            return False
        return True

    def _wait_for_allowance(self) -> None:
        self._is_paced = True
        self._due_s.append(self.state.now_s + ALLOWANCE_WAIT_S)

    def context_of(self, manifest: Manifest) -> Mapping[str, Any]:
        """Return the context that the instances of `manifest` see; not to be changed."""
        context = self.state.context_at(manifest.context_event_id)
        return {**context, **manifest.input} if manifest.input else context

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
            input=with_attempt(prepared.input, attempt),
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
        timeout_s = self.state.start.decision_timeout_s or self.flow.decision_timeout_s
        held_s = hold_s(self.state, self._scheduled, timeout_s)
        return self._plan(max(held_s, PACED_HOLD_S if self._is_paced else 0.0))


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


def _frozen_note(manifest: Manifest) -> str:
    noun = "instance" if manifest.count == 1 else "instances"
    note = f"froze {manifest.activity}: {manifest.count:,} {noun}"
    taken = size_of(manifest.taken)
    return f"{note}, {taken:,} of them done by an earlier execution" if taken else note


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

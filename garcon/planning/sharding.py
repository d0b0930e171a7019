"""How a fan-out is spread over shards, and what a shard does with its slice.

The planner's part for `garcon.planning.shards`; pure like the rest of it. Law: a parent keeps only
a few shards with unscheduled work, so that a large run does not bury the others.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from garcon.description import SHARD_SIZE, ActivityDescription, FlowDescription
from garcon.errors import DecisionError
from garcon.history import RunState
from garcon.manifest import Manifest, Ranges, ranges_of, size_of
from garcon.outcome import cut
from garcon.planning import batch as make
from garcon.planning.batch import Decision
from garcon.planning.fanout import FanOut, Phase
from garcon.planning.plan import Need, NeedShard, Plan, ShardNeeds, Standing
from garcon.planning.shards import (
    FILLING_MAX,
    INPUT_MAX,
    OPEN_MAX,
    FailedEntry,
    ShardOrder,
    ShardResult,
    child_id,
    first_of,
    minus,
)
from garcon.planning.verdict import Failed, failures_allowed

if TYPE_CHECKING:
    from garcon.planner import Planning

#: A shard past so many events schedules nothing more, and gives back what it has left.
DRAIN_EVENTS = 15_000

#: Events that an instance takes, decisions included, when a history is measured.
EVENTS_PER_INSTANCE = 4

#: Shards that may try to finish an instance, the execution that gave it away counted as one.
GIVEN_MAX = 8

#: Characters of a tag, and tags of an execution (SWF).
TAG_MAX = 256
TAGS_MAX = 5


def plan_slices(
    planning: Planning, activity: ActivityDescription, fan_out: FanOut, due: Sequence[int] = ()
) -> Generator[Need, ShardNeeds, None]:
    """Start shards for what is unscheduled, as many as may be filling at once.

    Args:
        planning: of the response.
        activity: whose instances.
        fan_out: its manifest and what is known of it.
        due: instances that are due for another attempt, for which this history has no room.
    """
    free = _free_shards(planning, activity, fan_out)
    number = max((one.number for one in fan_out.slices.values()), default=0) + 1
    rest = fan_out.unassigned()
    if due:
        rest.append((ranges_of(sorted(due)), 1))
    needs: ShardNeeds | None = None
    while free > 0 and rest:
        ranges, given = rest[0]
        if given >= GIVEN_MAX:
            raise DecisionError(
                f"{size_of(ranges):,} instances of {activity.name!r} cannot be finished: each was "
                f"given to {given} histories of {DRAIN_EVENTS:,} events and ran on in all of them; "
                "see why its attempts end"
            )
        if needs is None:
            needs = yield NeedShard(activity, planning.context_of(fan_out.manifest))
        order, taken = _order(planning, activity, fan_out, ranges, (number, given + 1), needs)
        if not planning.start_shard(
            activity.name, _start(planning, fan_out.manifest, order, taken)
        ):
            return
        left = minus(ranges, taken)
        rest = [(left, given), *rest[1:]] if left else rest[1:]
        number += 1
        free -= 1


def _free_shards(planning: Planning, activity: ActivityDescription, fan_out: FanOut) -> int:
    if not is_bounded(activity):
        # One at least for each fan-out: another may be slow to be scheduled.
        filling = sum(not one.is_scheduled for one in fan_out.open_slices)
        free = max(FILLING_MAX - planning.filling(), 1 - filling)
        return min(free, OPEN_MAX - planning.shards_of())
    free = _shares(activity)
    if activity.max_open is not None:
        own = planning.open_of(activity.name)
        free = min(free, (activity.max_open - own) // share_of(activity, activity.max_open))
    # A shard holds its share of the bounds until it has closed.
    return free - planning.shards_of(activity.name)


def is_bounded(activity: ActivityDescription) -> bool:
    """Whether the activity has bounds of its own, of which shards get a share each."""
    return activity.max_open is not None or activity.rate_per_s is not None


def _shares(activity: ActivityDescription) -> int:
    """Return among how many shards the activity's own bounds are divided."""
    return max(1, min(FILLING_MAX, activity.max_open or FILLING_MAX))


def share_of(activity: ActivityDescription, max_open: int) -> int:
    """Return how many instances one shard of an activity may have open of the `max_open` of all."""
    return max(1, max_open // _shares(activity))


def _size(activity: ActivityDescription, attempt: int) -> int:
    """Return how many instances the `attempt`th shard of a slice gets.

    What one shard could not finish gets room for every attempt that it may take.
    """
    size = activity.shard_size or SHARD_SIZE
    if attempt == 1:
        return size
    tries = 1 + activity.retry + activity.lost_retry
    return max(1, min(size, DRAIN_EVENTS // (EVENTS_PER_INSTANCE * tries)))


def _order(
    planning: Planning,
    activity: ActivityDescription,
    fan_out: FanOut,
    ranges: Ranges,
    numbers: tuple[int, int],
    needs: ShardNeeds,
) -> tuple[ShardOrder, Ranges]:
    """Return the order for the first of `ranges`, as many as its input can hold.

    Args:
        planning: of the response.
        activity: whose instances.
        fan_out: its manifest and what is known of it.
        ranges: what one shard after the other is to run.
        numbers: of the shard within its fan-out, and how often the slice was given to one.
        needs: what the shard reads and has to bring back.
    Raises:
        DecisionError: not even one instance fits.
    """
    manifest = fan_out.manifest
    whole = _order_for_all(planning, activity, manifest, numbers, needs)
    size = min(_size(activity, whole.attempt), size_of(ranges))
    while True:
        taken = first_of(ranges, size)
        part = replace(manifest.part(taken), input={})
        order = replace(whole, manifest=part, spent=fan_out.spent_of(taken))
        length = len(order.encode())
        if length <= INPUT_MAX:
            return order, taken
        if size == 1:
            raise DecisionError(
                f"a shard of {manifest.activity!r} needs {length:,} characters of input even for "
                f"one instance, {INPUT_MAX:,} are possible; use task.decorate with fill so that "
                "only what the tasks read is sent"
            )
        size //= 2


def _order_for_all(
    planning: Planning,
    activity: ActivityDescription,
    manifest: Manifest,
    numbers: tuple[int, int],
    needs: ShardNeeds,
) -> ShardOrder:
    """Return the order that a shard would have which ran all instances of `manifest`."""
    state, shares = planning.state, _shares(activity)
    context = planning.context_of(manifest)
    read = context.keys() if needs.context is None else context.keys() & needs.context
    return ShardOrder(
        manifest=manifest,
        number=numbers[0],
        attempt=numbers[1],
        root={"domain": state.domain, "workflow_id": state.workflow_id, "run_id": state.run_id},
        context={key: context[key] for key in read},
        carry=needs.carry,
        max_open=activity.max_open and share_of(activity, activity.max_open),
        rate_per_s=activity.rate_per_s and activity.rate_per_s / shares,
        max_failures=failures_allowed(activity, manifest.count),
    )


def _start(planning: Planning, manifest: Manifest, order: ShardOrder, taken: Ranges) -> Decision:
    state, flow = planning.state, planning.flow
    control = {"garcon": 1, "of": manifest.activity, "id": manifest.schedule_id}
    place = {"shard": order.number, "attempt": order.attempt, "ranges": taken}
    decision_s = state.start.decision_timeout_s or flow.decision_timeout_s
    execution_s = state.start.execution_timeout_s or flow.execution_timeout_s
    return make.start_child(
        workflowType={"name": flow.shard_type, "version": flow.version},
        workflowId=child_id(state.workflow_id, state.run_id, manifest, order.number, order.attempt),
        control=json.dumps({**control, **place}, separators=(",", ":")),
        input=order.encode(),
        taskList={"name": flow.shard_list},
        taskPriority=state.start.task_priority,
        taskStartToCloseTimeout=str(decision_s),
        executionStartToCloseTimeout=str(execution_s),
        childPolicy="TERMINATE",
        tagList=_tags(state),
    )


def _tags(state: RunState) -> list[str]:
    kept = [tag for tag in state.start.tags if tag.startswith(("start=", "end="))]
    return ["garcon", cut(f"root={state.workflow_id}", TAG_MAX), *kept][:TAGS_MAX]


def shard_flow(flow: FlowDescription, order: ShardOrder) -> FlowDescription:
    """Return the flow as a shard sees it: its one activity, with its share of the bounds."""
    activity = flow.activity(order.manifest.activity)
    if activity is None:
        return flow
    own = replace(
        activity,
        requires=(),
        max_open=order.max_open,
        rate_per_s=order.rate_per_s,
        fail_fast=False,
        max_failures=order.max_failures,
        shard_size=None,
    )
    return replace(flow, activities=(own,))


def plan_shard(planning: Planning) -> Generator[Need, Any, Plan]:
    """Plan a shard: its slice, then its result.

    Raises:
        DecisionError: it cannot go on.
    """
    early = planning.begin()
    if early is not None:
        return early
    (((name, schedule_id), fan_out),) = planning.state.fan_outs.items()
    activity = planning.flow.activity(name)
    if activity is None:
        # Lost and complete at once: nothing is left to run, so the code is not needed.
        return planning.close_shard()
    standing = yield from planning.fan_out(activity, schedule_id)
    drained = planning.is_draining and not planning.state.open
    if standing is not Standing.OPEN or drained:
        return planning.close_shard()
    if not fan_out.unscheduled and not planning.state.told_parent:
        planning.signal_parent()
    return planning.finish(complete=False)


def result_of(state: RunState, failures: Sequence[Failed]) -> ShardResult:
    """Return what a shard gives back as things stand."""
    (fan_out,) = state.fan_outs.values()
    manifest = fan_out.manifest
    failed: list[FailedEntry] = []
    for one in failures:
        for instance in one.instances:
            if instance.phase is not Phase.CANCELED or not instance.cancel_requested:
                reason = instance.failure.reason if instance.failure else "canceled"
                place = manifest.index_in_whole(instance.index)
                failed.append((place, instance.attempts, reason))
    over = {index for index, _, _ in failed}
    left = [
        place
        for index in range(manifest.count)
        if (place := manifest.index_in_whole(index)) not in over
        and (index not in fan_out.instances or not _is_done(fan_out, index))
    ]
    tried = ((one, manifest.index_in_whole(index)) for index, one in fan_out.instances.items())
    left_ranges = ranges_of(left)
    kept = set(left)
    return ShardResult(
        fan_out.done,
        fan_out.retries,
        tuple(failed),
        left_ranges,
        _results(state),
        {place: one.spent for one, place in tried if place in kept},
    )


def _is_done(fan_out: FanOut, index: int) -> bool:
    return fan_out.instances[index].phase is Phase.COMPLETED


def _results(state: RunState) -> Mapping[str, Any]:
    merged: dict[str, Any] = {}
    for _, text in state.results:
        merged.update(json.loads(text))
    carry = state.order.carry if state.order else None
    return merged if carry is None else {key: merged[key] for key in carry if key in merged}

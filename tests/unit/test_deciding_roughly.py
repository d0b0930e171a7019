"""Laws of deciding where nothing goes smoothly: random flows in a rough world.

The suite plays the same ones each time; GARCON_EXAMPLES=1000 plays so many others.
"""

from __future__ import annotations

import os
import random
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from garcon.activity import ActivityInstanceNotReadyException
from garcon.description import ActivityDescription
from garcon.replay import check_replay
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.rough_world import Ledger, Rough, RoughSwf, RoughWorld
from tests.unit.test_deciding_at_random import assert_folds_alike

EXAMPLES = int(os.environ.get("GARCON_EXAMPLES", "40"))

ACTIVITIES = st.fixed_dictionaries(
    {
        "requires": st.lists(st.integers(0, 3), max_size=2),
        "lengths": st.sampled_from([[9, 9], [5, 5], [6], [12, 5], [], [0], [2, 3]]),
        "retry": st.integers(0, 3),
        "lost_retry": st.integers(0, 2),
        "retry_delay": st.sampled_from([0, 0, 5]),
        "no_retry": st.sampled_from([(), (), ("LookupError",)]),
        "max_open": st.sampled_from([None, None, 1, 5]),
        "rate": st.sampled_from([None, None, None, "2/s"]),
        "stop": st.sampled_from([{}, {}, {}, {"fail_fast": True}, {"max_failures": "20%"}]),
    }
)


def build(shapes, custom):
    """Return a flow of these shapes, the counts of its instances, and what each requires."""
    declared, counts, requires = {}, {}, {}
    for place, shape in enumerate(shapes):
        name = f"a{place}"
        requires[name] = {f"a{one}" for one in shape["requires"] if one < place}
        options = {key: shape[key] for key in shape if key not in ("requires", "lengths", "stop")}
        declared[name] = {
            **options,
            **shape["stop"],
            "requires": [] if custom else sorted(requires[name]),
            "generators": [numbers(n, f"k{key}") for key, n in enumerate(shape["lengths"])],
        }
        counts[name] = 1
        for length in shape["lengths"]:
            counts[name] *= length
    decider = decider_that(requires) if custom else None
    return flow_of(decider=decider, **declared), counts, requires


def decider_that(requires):
    """Return a decider that schedules all, each behind what it requires, and sets a timer."""

    def decider(schedule, context=None):
        states = {}
        schedule.timer("pause", 3)
        for name, wanted in requires.items():
            try:
                states[name] = schedule(
                    name, getattr(decider.flow, name), [states.get(one) for one in sorted(wanted)]
                )
            except ActivityInstanceNotReadyException:
                schedule.mark_uncompleted()

    return decider


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="GARCON_EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(ACTIVITIES, min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([None, 3, 7, 20]),
    st.sampled_from([0, 10, 40]),
    st.sampled_from([0.0, 0.05]),
    st.booleans(),
    st.sampled_from([(10_000, 15_000, 32_000), (60, 150, 32_000), (60, 150, 400)]),
    st.integers(0, 10**6),
)
def test_in_a_rough_world_no_law_is_broken(
    shapes, custom, shard_size, bad, refuses, violent, budget, seed
):
    """Each instance once but for what its budgets allow, no barrier early, and an end."""
    flow, counts, requires = build(shapes, custom)
    if custom:
        flow.decider.flow = flow
    luck = random.Random(seed)
    root = RoughSwf({"a": 1})
    root.luck, root.refuses = luck, refuses
    world = RoughWorld(root)
    moved, drained, result_max = budget
    with (
        patch("garcon.planner.MOVE_EVENTS", moved),
        patch("garcon.planning.response.DRAIN_EVENTS", drained),
        patch("garcon.planning.sharding.DRAIN_EVENTS", drained),
        patch("garcon.planning.shards.RESULT_MAX", result_max),
    ):
        described = decider_of(flow, shard_size=shard_size).description
        activities = {one.name: one for one in described.activities}
        ledger = Ledger(world, activities, counts, requires)
        rough = Rough(
            world, ledger, luck, lambda: decider_of(flow, shard_size=shard_size), bad, violent
        )
        rough.play(300)
        assert_ended(world, ledger, activities, counts, rough)
        for run in world.runs.values():
            assert_folds_alike(run, seed, world.fetch_run)
            assert_replays(run, rough.decider(), world.fetch_run)
        if world.root.status != "WorkflowExecutionCompleted":
            resume(rough)


def assert_replays(run, decider, fetch_run):
    """What was decided is the beginning of what is decided now, whatever cut it short."""
    names = {"workflowId": run.workflow_id, "runId": run.run_id}
    document = {"domain": "domain", "execution": names, "events": run.events}
    check_replay(decider, document, fetch_run)


def resume(rough):
    """An execution that resumes runs what is left, and nothing that was done."""
    before, world = rough.ledger, rough.world
    for run in world.open_runs:
        run.terminate()
    name = {"workflow_id": world.root.workflow_id, "run_id": world.root.run_id}
    root = RoughSwf({"a": 1, "garcon.resume": name}, workflow_id="again", run_id="again")
    root.luck, root.refuses = rough.luck, 0.05
    again = RoughWorld(root, dict(world.runs))
    ledger = Ledger(again, before.activities, before.counts, before.requires)
    ledger.take_over(before)
    Rough(again, ledger, rough.luck, rough.decider, 0).play(100)
    assert "WorkflowExecutionCompleted" == root.status
    assert {name: count for name, count in before.counts.items() if count} == dict(ledger.done)


def assert_ended(world, ledger, activities: dict[str, ActivityDescription], counts, rough):
    """The end is what the instances came to."""
    spent = [
        one
        for one in ledger.instances.values()
        if one.hopeless
        or one.failures > activities[one.activity].retry
        or one.losses > activities[one.activity].lost_retry
    ]
    if world.root.status == "WorkflowExecutionCanceled":
        assert world.root.kinds("WorkflowExecutionCancelRequested")
    elif world.root.status == "WorkflowExecutionCompleted":
        assert {name: count for name, count in counts.items() if count} == dict(ledger.done)
        assert not spent
    else:
        assert "WorkflowExecutionFailed" == world.root.status
        reason = world.root.kinds("WorkflowExecutionFailed")[-1]["reason"]
        assert spent or rough.killed or "cannot be finished" in reason, reason
        if spent and not rough.killed:
            assert "failed" in reason or "after" in reason, reason

"""Fan-outs that one history cannot hold, over a played SWF with child executions."""

from __future__ import annotations

import json
import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon import task
from garcon.deciding.kept import settle_owed
from garcon.history import RunState
from garcon.manifest import Manifest, ranges_of, size_of
from garcon.outcome import Failure, Kind, encode_failure
from garcon.planning.shards import (
    Owed,
    ShardOrder,
    ShardResult,
    child_id,
    decode_order,
    decode_result,
    first_of,
    minus,
    result_from_markers,
)
from garcon.runner import Sync
from tests.unit.deciding import days_by_countries, decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, play_world


def ids(world):
    """Return the activity ids that were scheduled in all runs."""
    return [
        found["activityId"]
        for run in world.runs.values()
        for found in run.kinds("ActivityTaskScheduled")
    ]


def noise(seed, count):
    """Return text that does not compress well."""
    return "".join(sha256(f"{seed}{number}".encode()).hexdigest() for number in range(count))


def year(days=40, countries=30, **options):
    """Return a flow whose fan-out is larger than its shards."""
    return days_by_countries(days, countries, **options)


def test_a_large_fan_out_runs_in_shards_each_instance_once():
    """1,200 instances in shards of 100; the summary starts after the last, in the root."""
    world = World(Swf({"start": "x"}))

    play_world(world, decider_of(year(), shard_size=100))

    assert "WorkflowExecutionCompleted" == world.root.status
    assert 1_202 == len(ids(world)) == len(set(ids(world)))
    assert 12 == len(world.starts)
    assert all("WorkflowExecutionCompleted" == run.status for run in world.runs.values())
    assert len(world.root.events) < 300
    assert "flow_summary-1" == world.root.kinds("ActivityTaskScheduled")[-1]["activityId"]
    told = json.loads(world.root.execution_context)["activities"]["country_day"]
    assert (1200, 1200, 0) == (told["n"], told["done"], told["failed"])


def test_cold_deciders_shard_as_warm_ones():
    """Which instance runs where follows from the histories alone."""
    warm, cold = World(Swf()), World(Swf())
    flow = year(12, 30)

    play_world(warm, decider_of(flow, shard_size=100))
    play_world(cold, lambda: decider_of(flow, shard_size=100))

    assert warm.root.responses == cold.root.responses
    assert ids(warm) == ids(cold)


def test_only_a_few_shards_fill_at_once():
    """The next one starts when one has told that its last instance is scheduled."""
    world = World(Swf())
    most = []

    def work(swf, one):
        filling = [
            run
            for run in world.open_runs
            if run.parent and len(run.kinds("ActivityTaskScheduled")) < 200
        ]
        most.append(len(filling))
        swf.complete(one)

    play_world(world, decider_of(year(40, 50), shard_size=200), work, workers=5)

    assert 4 == max(most)
    assert "WorkflowExecutionCompleted" == world.root.status


def test_the_root_is_what_instances_see():
    """`execution.*` stay those of the execution that the user started; `garcon.shard` is added."""
    world = World(Swf({"start": "x"}))

    play_world(world, decider_of(year(4, 5), shard_size=10))

    child = world.runs[world.starts[1]]
    found = json.loads(child.kinds("ActivityTaskScheduled")[0]["input"])
    assert ("workflow", "run") == (found["execution.workflow_id"], found["execution.run_id"])
    assert ("2", "x", 2) == (found["garcon.shard"], found["start"], found["day"])
    assert ["garcon", "root=workflow"] == world.root.kinds("StartChildWorkflowExecutionInitiated")[
        0
    ]["tagList"]


def test_only_what_is_read_goes_into_a_shard_and_comes_out_of_it():
    """Filled tasks say what they read: the rest of the context stays behind."""

    @task.decorate()
    def read(activity, seen, number):
        """Read two values."""

    @task.decorate()
    def sum_up(activity, total):
        """Read one result."""

    flow = flow_of(
        many={
            "generators": [numbers(30)],
            "run": Sync(read.fill(seen="seen", number="number")),
        },
        last={"requires": ["many"], "run": Sync(sum_up.fill(total="total"))},
    )
    world = World(Swf({"seen": 1, "unread": "x" * 20_000}))

    play_world(
        world,
        decider_of(flow, shard_size=10),
        lambda swf, one: swf.complete(one, {"total": 7, one.activity_id: "y" * 1_000}),
    )

    started = json.loads(world.root.kinds("StartChildWorkflowExecutionInitiated")[0]["input"])
    assert {"seen": 1} == {k: v for k, v in started["context"].items() if k[:10] != "execution."}
    (last,) = world.root.kinds("ActivityTaskScheduled")
    assert 7 == json.loads(last["input"])["total"]
    results = [one["result"] for one in world.root.kinds("ChildWorkflowExecutionCompleted")]
    assert all(len(one) < 300 for one in results)


def test_large_results_come_through_markers():
    """What the closing event cannot hold lies in the markers before it."""
    world = World(Swf())

    def work(swf, one):
        swf.complete(one, {one.activity_id: noise(one.activity_id, 15)} if swf.parent else None)

    flow = flow_of(
        many={"generators": [numbers(160)]},
        last={"requires": ["many"], "run": Sync(task.decorate()(lambda activity: None).fill())},
    )

    play_world(world, decider_of(flow, shard_size=80), work)

    assert "WorkflowExecutionCompleted" == world.root.status
    child = world.runs[world.starts[0]]
    assert len(child.kinds("MarkerRecorded")) > 1
    assert len(child.kinds("WorkflowExecutionCompleted")[0]["result"]) < 200
    state = RunState()
    state.fold(world.root.events)
    assert 2 == len(state.owed)
    settle_owed(state, world.fetch_run)
    context = state.context_at(state.last_event_id)
    inside = [found for found in ids(world) if found != "flow_last-1"]
    assert 160 == len(inside)
    assert all(noise(found, 15) == context[found] for found in inside)


def test_failed_instances_of_shards_fail_the_root_by_name_after_all_others():
    """As in one history: siblings run to the end, retries are used, the text names them."""
    world = World(Swf())

    def work(swf, one):
        if one.input.get("day") == 3 and one.input.get("country") == 7:
            swf.fail(one, "ValueError: no rate")
        else:
            swf.complete(one)

    play_world(world, decider_of(year(10, 30, retry=2), shard_size=50), work)

    assert "WorkflowExecutionFailed" == world.root.status
    assert 1 + 300 + 2 == len(ids(world))
    reason = world.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "1 of 300 instances of country_day failed" in reason
    assert '{"country":7,"day":3} after 3 attempts: ValueError: no rate' in reason
    told = json.loads(world.root.execution_context)["activities"]["country_day"]
    assert (299, 1, 2) == (told["done"], told["failed"], told["retries"])


def test_max_failures_counts_the_whole_manifest_over_shards():
    """Shards that fail within the share go on; above it everything stops."""

    def run(bad):
        world = World(Swf())

        def work(swf, one):
            if one.cancel_requested:
                swf.cancel(one)
            elif one.input.get("number", 99_999) < bad:
                swf.fail(one)
            else:
                swf.complete(one)

        flow = flow_of(many={"generators": [numbers(1_000)]})
        play_world(world, decider_of(flow, shard_size=50, max_failures="5%"), work, workers=10)
        return world

    within, above = run(50), run(51)

    assert "WorkflowExecutionFailed" == within.root.status == above.root.status
    assert 1_000 == len(set(ids(within)))
    assert len(set(ids(above))) < 1_000
    assert not above.root.kinds("WorkflowExecutionFailed")[0]["reason"].startswith("shard")


def test_bounds_of_an_activity_are_shared_out():
    """max_open holds over all shards together, and rate too."""
    world = World(Swf())
    most = []

    def work(swf, one):
        most.append(sum(len(run.tasks) for run in world.open_runs))
        swf.complete(one)

    flow = flow_of(many={"generators": [numbers(200)]})
    play_world(world, decider_of(flow, shard_size=20, max_open=6), work, workers=50)

    assert "WorkflowExecutionCompleted" == world.root.status
    assert max(most) <= 6
    order = decode_order(world.root.kinds("StartChildWorkflowExecutionInitiated")[0]["input"])
    assert (1, None) == (order.max_open, order.rate_per_s)


def test_cancel_reaches_the_shards_and_waits_for_them():
    """The root closes when no shard is open."""
    world = World(Swf())
    decider = decider_of(year(10, 30), shard_size=50)
    seen = []

    def work(swf, one):
        if one.cancel_requested:
            swf.cancel(one)
        elif swf.parent is None:
            swf.complete(one)
        else:
            if not seen:
                seen.append(one)
                world.root.request_cancel()
            swf.complete(one) if len(seen) > 1 else None

    play_world(world, decider, work, workers=3)

    assert "WorkflowExecutionCanceled" == world.root.status
    children = [run for run in world.runs.values() if run.parent]
    assert {"WorkflowExecutionCanceled"} == {run.status for run in children}


def test_a_terminated_shard_fails_the_root_by_name_after_the_others():
    """Nobody knows what it had done."""
    world = World(Swf())
    done = []

    def work(swf, one):
        if swf.workflow_id == (world.starts or [""])[0] and len(done) == 1:
            swf.terminate()
            done.append("terminated")
            return
        if swf.status is None:
            done.append(one)
            swf.complete(one)

    play_world(world, decider_of(year(6, 10), shard_size=20), work, workers=1)

    assert "WorkflowExecutionFailed" == world.root.status
    reason = world.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "shard 1 of country_day ended without a result: it was terminated" == reason


def test_refused_starts_of_shards_are_waited_for():
    """CHILD_CREATION_RATE_EXCEEDED passes; no slice is lost, none runs twice."""
    world = World(Swf())
    world.root.refuse = ("CHILD_CREATION_RATE_EXCEEDED", 3)
    flow = flow_of(many={"generators": [numbers(120)]})

    play_world(world, decider_of(flow, shard_size=20))

    assert "WorkflowExecutionCompleted" == world.root.status
    assert 120 == len(ids(world)) == len(set(ids(world)))


def test_an_unknown_shard_type_fails_the_root():
    """The pool registers it; without a pool nothing would ever run."""
    world = World(Swf())
    world.root.refuse = ("WORKFLOW_TYPE_DOES_NOT_EXIST", 1)

    play_world(world, decider_of(flow_of(many={"generators": [numbers(120)]}), shard_size=20))

    assert (
        "WORKFLOW_TYPE_DOES_NOT_EXIST" in world.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    )


def test_a_shard_with_much_trouble_gives_back_what_it_has_left(monkeypatch):
    """Past its events it schedules nothing more; the parent cuts the rest anew."""
    monkeypatch.setattr("garcon.planning.response.DRAIN_EVENTS", 300)
    monkeypatch.setattr("garcon.planning.sharding.DRAIN_EVENTS", 300)
    world = World(Swf())

    def work(swf, one):
        tries = sum(one.activity_id == found for found in ids(world))
        if tries < 4:
            swf.fail(one, *encode_failure(Failure(Kind.HANDED_BACK, "not now")))
        else:
            swf.complete(one)

    play_world(
        world, decider_of(flow_of(many={"generators": [numbers(200)]}), shard_size=100), work
    )

    assert "WorkflowExecutionCompleted" == world.root.status
    assert len(world.starts) > 2
    assert 800 == len(ids(world))
    assert 200 == len(set(ids(world)))
    assert all(len(run.events) < 1_000 for run in world.runs.values())


def test_a_long_run_moves_what_is_left_into_shards(monkeypatch):
    """Small fan-outs add up: past its events the root schedules no new ones itself."""
    monkeypatch.setattr("garcon.planner.MOVE_EVENTS", 300)
    world = World(Swf())
    flow = flow_of(many={"generators": [numbers(400)]})

    play_world(world, decider_of(flow, shard_size=400))

    assert "WorkflowExecutionCompleted" == world.root.status
    assert 1 == len(world.starts)
    assert 400 == len(ids(world)) == len(set(ids(world)))
    assert len(world.root.events) < 1_200


def test_a_custom_decider_waits_for_shards_and_gets_their_results():
    """`schedule` shards as a declared flow does."""
    seen = []

    def decider(schedule):
        seen.append(schedule("all", flow.many).result)

    flow = flow_of(decider=decider, many={"generators": [numbers(50)]})
    world = World(Swf())

    play_world(
        world,
        decider_of(flow, shard_size=20),
        lambda swf, one: swf.complete(one, {str(one.input["number"]): 1}),
    )

    assert "WorkflowExecutionCompleted" == world.root.status
    assert [{str(number): 1 for number in range(50)}] == seen


def test_without_shards_a_fan_out_above_one_history_is_still_refused():
    """shard_size=None is the wish for one history."""
    world = World(Swf())

    flow = flow_of(many={"generators": [numbers(6_000)], "shard_size": None})
    play_world(world, decider_of(flow))

    assert "6,000 instances" in world.root.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_a_context_that_no_shard_can_hold_fails_with_the_numbers():
    """Halving the slice does not help where the context alone is too long."""
    world = World(Swf({"text": "x" * 29_990}))

    play_world(world, decider_of(flow_of(many={"generators": [numbers(50)]}), shard_size=20))

    reason = world.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "30,000" in reason
    assert "fill" in reason


def test_slices_are_smaller_where_entries_are_long():
    """A shard's input stays under 30,000 characters, whatever the entries are."""
    world = World(Swf())

    def long_ones(context):
        return ({"n": number, "text": f"{number:0>900}"} for number in range(100))

    play_world(world, decider_of(flow_of(many={"generators": [long_ones]}), shard_size=50))

    assert "WorkflowExecutionCompleted" == world.root.status
    inputs = [one["input"] for one in world.root.kinds("StartChildWorkflowExecutionInitiated")]
    assert max(len(one) for one in inputs) <= 30_000
    assert 100 == len(set(ids(world)))


def test_a_hand_started_shard_is_refused():
    """Its input is its parent's business."""
    swf = Swf({"start": "x"}, flow="flow.shard")

    play_world(World(swf), decider_of(year()))

    assert "no input of a shard" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


INDEXES = st.sets(st.integers(0, 60)).map(sorted)


@given(INDEXES, INDEXES, st.integers(0, 70))
def test_ranges_are_sets_of_indexes(left, right, count):
    """Cutting and taking away loses nothing and doubles nothing."""

    def spread(ranges):
        return [index for begin, end in ranges for index in range(begin, end)]

    assert left == spread(ranges_of(left))
    assert len(left) == size_of(ranges_of(left))
    assert left[:count] == spread(first_of(ranges_of(left), count))
    assert [one for one in left if one not in right] == spread(
        minus(ranges_of(left), ranges_of(right))
    )


def test_an_order_comes_back_equal():
    """What a shard reads is what its parent wrote."""
    manifest = Manifest("a", "t", (({"n": 1}, {"n": 2}),), 1, "id", ranges=((0, 2),), base=5)
    order = ShardOrder(manifest, 3, 2, {"domain": "d"}, {"x": 1}, ("k",), 5, 2.5, 7)

    assert order == decode_order(order.encode())


@pytest.mark.parametrize("count", [3, 60])
def test_a_result_comes_back_equal_short_or_long(count):
    """Inline where it fits, else through markers of which the newest whole set counts."""
    results = {f"k{number}": noise(number, 25) for number in range(count)}
    result = ShardResult(5, 2, ((7, 4, "why"),), ((1, 3), (8, 9)), results)

    text, markers = result.encode()
    found = decode_result(text)

    assert len(text) <= 32_768
    assert all(len(one) <= 32_768 for one in markers)
    if count == 3:
        assert ([], result) == (markers, found)
        return
    assert isinstance(found, Owed)
    events = [
        {
            "eventType": "MarkerRecorded",
            "markerRecordedEventAttributes": {"markerName": "garcon.results", "details": one},
        }
        for one in ["of somebody", *markers, *markers]
    ]
    assert result == result_from_markers(found, reversed(events))
    assert result_from_markers(found, events[:2]) is None


def test_child_ids_stay_within_swf_and_apart():
    """120 characters of the parent's, 60 of the activity's, and a digest of it all."""
    manifest = Manifest("a" * 200, "t", None, 1)

    one = child_id("p" * 256, "run", manifest, 199, 3)
    other = child_id("p" * 256, "run 2", manifest, 199, 3)

    assert len(one) <= 256
    assert one != other


def test_further_attempts_leave_a_history_that_has_grown_long():
    """Nine of ten attempts fail, up to nine times: no history passes what one may take."""
    world = World(Swf())

    def work(swf, one):
        dice = random.Random(f"{one.activity_id} {one.scheduled_event_id} {swf.workflow_id}")
        if dice.random() < 0.9:
            swf.fail(one, "ValueError: no luck")
        else:
            swf.complete(one)

    flow = flow_of(many={"generators": [numbers(1_000)], "retry": 30})
    play_world(world, decider_of(flow), work)

    assert max(len(run.events) for run in world.runs.values()) < 20_000
    assert len(world.runs) > 1
    assert 1_000 == len(set(ids(world)))
    assert "WorkflowExecutionFailed" == world.root.status
    told = json.loads(world.root.execution_context)["activities"]["many"]
    assert 1_000 == told["done"] + told["failed"]
    assert told["done"] > 900


def test_what_no_history_can_finish_ends_the_execution(monkeypatch):
    """A task that is handed back for ever goes through a few shards, not through all of them."""
    for module in ("response", "sharding"):
        monkeypatch.setattr(f"garcon.planning.{module}.DRAIN_EVENTS", 300)
    world = World(Swf())
    unrun = encode_failure(Failure(Kind.HANDED_BACK, "not now"))
    flow = flow_of(many={"generators": [numbers(20)]})

    play_world(world, decider_of(flow, shard_size=10), lambda swf, one: swf.fail(one, *unrun))

    reason = world.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "cannot be finished" in reason
    assert len(world.runs) <= 1 + 2 * 8
    assert max(len(run.events) for run in world.runs.values()) < 600

"""What holds over several histories of one execution: budgets, bounds, and what may be open."""

from __future__ import annotations

from collections import Counter

import pytest

from garcon import task
from garcon.outcome import Failure, Kind, encode_failure
from garcon.planning.fanout import FanOut
from garcon.planning.shards import decode_order, decode_result
from garcon.replay import check_replay
from garcon.runner import Sync
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, decide, play_world

LOST = encode_failure(Failure(Kind.LOST, "worker died"))


def tries(world):
    """Return how often each instance was scheduled, in all runs together."""
    return Counter(
        one["activityId"]
        for run in world.runs.values()
        for one in run.kinds("ActivityTaskScheduled")
    )


@pytest.fixture
def short(monkeypatch):
    """Histories move and drain after a few events."""

    def cut(moves=10_000, drains=15_000):
        monkeypatch.setattr("garcon.planner.MOVE_EVENTS", moves)
        for module in ("response", "sharding"):
            monkeypatch.setattr(f"garcon.planning.{module}.DRAIN_EVENTS", drains)

    return cut


def test_retries_used_up_before_a_move_are_not_given_again(short):
    """`retry=4` is five attempts, also where the history grew long after the first ones."""
    short(moves=100)
    world = World(Swf())
    flow = flow_of(many={"generators": [numbers(20)], "retry": 4})

    play_world(world, decider_of(flow), lambda swf, one: swf.fail(one, "ValueError: no"))

    assert len(world.runs) > 1
    assert {5} == set(tries(world).values())
    reason = world.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "after 5 attempts: ValueError: no" in reason


def test_retries_used_up_in_a_shard_that_gave_back_are_not_given_again(short):
    """What a drained shard left goes on where it was; the progress counts each retry once."""
    short(drains=150)
    world = World(Swf())
    flow = flow_of(many={"generators": [numbers(20)], "retry": 6, "lost_retry": 9})

    def work(swf, one):
        if tries(world)[one.activity_id] % 2:
            swf.fail(one, "ValueError: no")
        else:
            swf.fail(one, *LOST)

    play_world(world, decider_of(flow, shard_size=10), work)

    assert len(world.runs) > 3
    # Seven failures, and the six deaths of workers between them.
    assert {13} == set(tries(world).values())
    assert '"retries":240' in str(world.root.execution_context)


def test_a_further_attempt_in_a_shard_tells_its_number(short):
    """The task is told which attempt it is; an instance never tried is told nothing."""
    short(moves=100)
    world = World(Swf())
    seen = {}

    def work(swf, one):
        seen.setdefault(one.activity_id, []).append(one.input.get("garcon.attempt", 1))
        swf.fail(one)

    flow = flow_of(many={"generators": [numbers(20)], "retry": 4})
    play_world(world, decider_of(flow), work)

    assert len(world.runs) > 1
    assert {(1, 2, 3, 4, 5)} == {tuple(one) for one in seen.values()}


def test_a_shard_is_started_as_its_execution_was_with_its_share_of_the_bounds():
    """Priority, timeouts and tags go along; bounds are divided, failures counted over all."""
    world = World(Swf(task_priority="7", decision_timeout_s=45))
    tags = ["garcon", "own", "start=2026-01-01", "end=2026-01-31"]
    world.root.events[0]["workflowExecutionStartedEventAttributes"] |= {
        "tagList": tags,
        "executionStartToCloseTimeout": "7200",
    }
    options = {"max_open": 20, "rate": "8/s", "max_failures": "10%"}
    flow = flow_of(many={"generators": [numbers(100)], **options})

    decide(world.root, decider_of(flow, shard_size=30))

    started = world.root.kinds("StartChildWorkflowExecutionInitiated")[0]
    assert {
        "workflowType": {"name": "flow.shard", "version": "1.0"},
        "taskList": {"name": "flow.shards"},
        "taskPriority": "7",
        "taskStartToCloseTimeout": "45",
        "executionStartToCloseTimeout": "7200",
        "childPolicy": "TERMINATE",
        "tagList": ["garcon", "root=workflow", "start=2026-01-01", "end=2026-01-31"],
    }.items() <= started.items()
    order = decode_order(started["input"])
    assert (5, 2.0, 10) == (order.max_open, order.rate_per_s, order.max_failures)


def test_a_canceled_execution_waits_for_the_grace_of_its_shards_then_ends_them():
    """A shard's own 60 s begin when it hears of it: twice as long, and none outlives its root."""
    world = World(Swf())
    decider = decider_of(flow_of(many={"generators": [numbers(100)]}), shard_size=30)
    decide(world.root, decider)
    world.deliver()
    world.root.request_cancel()
    decide(world.root, decider)
    world.deliver()
    assert 4 == len(world.root.kinds("RequestCancelExternalWorkflowExecutionInitiated"))

    world.root.advance(119)
    assert not world.root.has_decision_task
    world.root.advance(1)
    answer = decide(world.root, decider)

    assert "WorkflowExecutionCanceled" == world.root.status
    assert sorted(world.starts) == sorted(workflow_id for workflow_id, _ in answer.terminate)
    assert all(run_id for _, run_id in answer.terminate)


def test_a_fan_out_goes_to_shards_with_what_was_frozen_before_it():
    """What counts is the whole run; a single instance never costs a shard."""
    world = World(Swf())
    flow = flow_of(
        first={"generators": [numbers(15)]},
        second={"requires": ["first"], "generators": [numbers(5, "b")]},
        single={"requires": ["second"]},
        third={"requires": ["single"], "generators": [numbers(2, "c")]},
    )

    play_world(world, decider_of(flow, shard_size=20))

    own = {one["activityType"]["name"] for one in world.root.kinds("ActivityTaskScheduled")}
    assert {"flow_first", "flow_second", "flow_single"} == own
    assert ["workflow.third.1.1"] == [name.rpartition(".")[0] for name in world.starts]


def test_what_shards_tell_their_execution_is_no_signal_of_the_user_s():
    """A custom decider sees its own signals only."""
    seen = []

    def decider(schedule, context=None):
        seen.append([one.name for one in schedule.signals])
        schedule("all", flow.many)

    flow = flow_of(decider=decider, many={"generators": [numbers(60)]})
    world = World(Swf())
    world.root.signal("mine")

    play_world(world, decider_of(flow, shard_size=20), workers=5)

    assert "garcon.scheduled" in {
        one["signalName"] for one in world.root.kinds("WorkflowExecutionSignaled")
    }
    assert [["mine"]] * len(seen) == seen


def test_a_custom_decider_gets_results_of_shards_that_no_task_reads():
    """What it reads itself cannot be known: all of it is carried."""
    seen = []

    @task.decorate()
    def read(activity, number):
        """Read what a generator gave."""

    def decider(schedule):
        seen.append(schedule("all", flow.many).result)

    filled = Sync(read.fill(number="number"))
    flow = flow_of(decider=decider, many={"generators": [numbers(50)], "run": filled})
    world = World(Swf())

    play_world(
        world,
        decider_of(flow, shard_size=20),
        lambda swf, one: swf.complete(one, {str(one.input["number"]): 1}),
    )

    assert [{str(number): 1 for number in range(50)}] == seen


def test_what_the_pace_cuts_short_is_followed_by_nothing_for_others():
    """Neither a shard nor a word to the parent: it replays as the beginning of what was due."""
    world = World(Swf())
    flow = flow_of(
        own={"generators": [numbers(10)], "retry": 1},
        other={"generators": [numbers(200, "b")], "retry": 1},
    )
    decider = decider_of(flow, shard_size=20)
    decide(world.root, decider)
    world.deliver()
    shard = world.runs[world.starts[0]]
    decide(shard, decider)
    for run in (world.root, shard):
        run.fail(*run.start())
        decide(run, decider, allowance=0)
        assert ["StartTimer"] == [one["decisionType"] for one in run.responses[-1]]
    shard.advance(1)
    decide(shard, decider)
    world.deliver()
    decide(world.root, decider, allowance=0)
    assert "StartChildWorkflowExecution" not in str(world.root.responses[-1])

    play_world(world, decider)

    assert "WorkflowExecutionCompleted" == world.root.status
    for run in (world.root, shard):
        names = {"workflowId": run.workflow_id, "runId": run.run_id}
        document = {"domain": "domain", "execution": names, "events": run.events}
        assert check_replay(decider_of(flow, shard_size=20), document, world.fetch_run) > 3


def test_an_order_and_a_result_without_attempts_say_nothing_of_them():
    """Inputs of shards stay what they were, so that histories of before replay."""
    world = World(Swf())

    play_world(world, decider_of(flow_of(many={"generators": [numbers(20)]}), shard_size=10))

    (first, _) = world.root.kinds("StartChildWorkflowExecutionInitiated")
    assert "spent" not in first["input"]
    assert {} == decode_order(first["input"]).spent
    (closed, _) = world.root.kinds("ChildWorkflowExecutionCompleted")
    assert {} == decode_result(closed["result"]).spent


def test_max_open_holds_while_a_run_moves_into_shards(short):
    """Shards wait for what the root itself has open: together they stay within the bound."""
    short(moves=60)
    world = World(Swf())
    most = []

    def work(swf, one):
        most.append(sum(len(run.tasks) for run in world.open_runs))
        slow = swf is world.root and len(swf.events) > 60 and len(most) % 50
        if not slow:
            swf.complete(one)
        else:
            swf.signal("news")

    flow = flow_of(many={"generators": [numbers(80)], "max_open": 6})
    play_world(world, decider_of(flow), work)

    assert "WorkflowExecutionCompleted" == world.root.status
    assert len(world.runs) > 1
    assert 6 == max(most)


@pytest.mark.parametrize("bound", [{"max_open": 6}, {"rate": "50/s"}])
def test_a_straggler_of_the_root_stops_no_shard(short, bound):
    """One of six places is taken for hours; the others go on in shards."""
    short(moves=60)
    world = World(Swf())
    slow, most = [], []

    def work(swf, one):
        slow.extend([one] if not slow else [])
        most.append(sum(len(run.tasks) for run in world.open_runs))
        if one is not slow[0] or (len(tries(world)) == 80 and len(most) % 50 == 0):
            swf.complete(one)

    flow = flow_of(many={"generators": [numbers(80)], **bound})
    play_world(world, decider_of(flow), work)

    assert 80 == len(tries(world))
    assert len(world.runs) > 1
    if "max_open" in bound:
        assert max(most) <= 6


def test_max_open_holds_over_all_uses_of_an_activity():
    """A custom decider's fan-outs of one activity share its bound, in shards or not."""

    def decider(schedule, context=None):
        for name in ("small", "large", "larger"):
            flow.many.generators = [numbers(4 if name == "small" else 60)]
            schedule(name, flow.many)

    flow = flow_of(decider=decider, many={"generators": [numbers(1)], "max_open": 6})
    world = World(Swf())
    most = []

    def work(swf, one):
        most.append(sum(len(run.tasks) for run in world.open_runs))
        if len(most) > 200 or swf is not world.root:
            swf.complete(one)
        else:
            swf.signal("news")

    play_world(world, decider_of(flow, shard_size=10), work)

    assert "WorkflowExecutionCompleted" == world.root.status
    assert 124 == len(tries(world)) == sum(tries(world).values())
    assert max(most) <= 6


def filling(world):
    """Return how many shards have not told that all is scheduled."""
    return sum(
        not run.kinds("SignalExternalWorkflowExecutionInitiated")
        for run in world.open_runs
        if run.parent
    )


def test_fan_outs_side_by_side_fill_few_shards_and_none_waits_for_another():
    """Four fill at once over all fan-outs, or one of each where there are more."""
    declared = {f"a{number}": {"generators": [numbers(400, f"k{number}")]} for number in range(6)}
    world = World(Swf())
    most, begun = [], set()

    def work(swf, one):
        begun.add(one.type_name)
        most.append(filling(world))
        if len(begun) == 6 or not one.type_name.endswith("a0"):
            swf.complete(one)
        # Nobody works at the first activity before all others have begun.

    play_world(world, decider_of(flow_of(**declared), shard_size=200), work, workers=5)

    assert "WorkflowExecutionCompleted" == world.root.status
    assert max(most) <= 4 + 5


def test_shards_of_all_fan_outs_together_are_bounded(monkeypatch):
    """However many fan-outs: SWF bounds the open children of one execution."""
    monkeypatch.setattr("garcon.planning.sharding.OPEN_MAX", 7)
    declared = {f"a{number}": {"generators": [numbers(60, f"k{number}")]} for number in range(3)}
    world = World(Swf())
    most = []

    def work(swf, one):
        most.append(len(world.open_runs) - 1)
        if max(most) >= 7 or not swf.kinds("ActivityTaskCompleted"):
            swf.complete(one)

    play_world(world, decider_of(flow_of(**declared), shard_size=10), work)

    assert "WorkflowExecutionCompleted" == world.root.status
    assert 7 == max(most)


def test_what_was_tried_elsewhere_is_due_first():
    """A shard that goes on begins with what has failed before."""
    world = World(Swf())
    play_world(world, decider_of(flow_of(many={"generators": [numbers(20)]}), shard_size=10))
    text = world.root.kinds("StartChildWorkflowExecutionInitiated")[1]["input"]
    fan_out = FanOut(decode_order(text).manifest)

    fan_out.go_on({13: (3, 2, 1)})

    assert 3 in fan_out.ended
    assert (3, 2, 1) == fan_out.ended[3].spent
    assert [0, 1, 2, *range(4, 10)] == list(fan_out.next_unscheduled())


def test_what_a_shard_left_is_given_away_once_however_its_result_is_read(short, monkeypatch):
    """A cold decider reads the markers of a shard after the start of the one that goes on."""
    short(drains=60)
    monkeypatch.setattr("garcon.planning.shards.RESULT_MAX", 400)
    flow = flow_of(many={"generators": [numbers(40)], "lost_retry": 20})

    def run(decider):
        world = World(Swf())

        def work(swf, one):
            if one.input["number"] % 2 and tries(world)[one.activity_id] < 5:
                swf.fail(one, *LOST)
            else:
                swf.complete(one, {one.activity_id: "x"})

        play_world(world, decider, work)
        return world

    warm = run(decider_of(flow, shard_size=10))
    cold = run(lambda: decider_of(flow, shard_size=10))

    assert any(one.kinds("MarkerRecorded") for one in warm.runs.values() if one.parent)
    assert "WorkflowExecutionCompleted" == warm.root.status == cold.root.status
    assert {1, 5} == set(tries(warm).values()) == set(tries(cold).values())
    assert len(warm.runs) > 1 + 4
    assert warm.root.responses == cold.root.responses

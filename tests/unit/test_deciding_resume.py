"""Executions that take over what an earlier one had done, over a played SWF."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon import task
from garcon.manifest import Manifest, bits_of, ranges_of, ranges_of_bits, size_of
from garcon.runner import Sync
from tests.unit.deciding import days_by_countries, decider_of, flow_of
from tests.unit.swf_histories import Swf, World, decide, play_world


def metrics(days=4, countries=25, **options):
    """Return prepare, days x countries, summary."""
    return days_by_countries(days, countries, **options)


def resumed(world, number=2, **more):
    """Return a world with the runs of `world` and a new root that resumes its root."""
    before = world.root
    name = {"workflow_id": before.workflow_id, "run_id": before.run_id}
    root = Swf(
        {"garcon.resume": name, **more}, workflow_id=f"workflow {number}", run_id=f"run {number}"
    )
    return World(root, dict(world.runs))


def ids(*runs):
    """Return the activity ids that were scheduled in these runs."""
    return [one["activityId"] for run in runs for one in run.kinds("ActivityTaskScheduled")]


def failing(day, country):
    """Return the work of workers with whom one instance always fails."""

    def work(swf, one):
        if one.input.get("day") == day and one.input.get("country") == country:
            swf.fail(one)
        else:
            swf.complete(one, {"seen": one.activity_id} if "day" not in one.input else None)

    return work


def test_a_resumed_execution_that_came_to_nothing_hides_nothing():
    """It was terminated before its first decision; the next one takes over from the first."""
    first = World(Swf({"a": 1}))
    play_world(first, decider_of(metrics()), failing(2, 7))
    second = resumed(first, a=1)
    second.root.terminate()
    third = resumed(second, 3, a=1)

    play_world(third, decider_of(metrics()))

    assert "WorkflowExecutionCompleted" == third.root.status
    assert 2 == len(ids(third.root))


def test_an_execution_that_the_engine_no_longer_knows_cannot_be_resumed():
    """Named by the input it fails the new one; deeper down it is nobody's loss."""
    lost = World(Swf({"garcon.resume": {"workflow_id": "long gone", "run_id": "r"}}))
    play_world(lost, decider_of(metrics()))
    assert "WorkflowExecutionFailed" == lost.root.status
    assert (
        "knows no execution 'long gone'" in lost.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    )

    first = World(Swf())
    play_world(first, decider_of(metrics()), failing(2, 7))
    second = resumed(first)
    play_world(second, decider_of(metrics()), failing(2, 7))
    third = resumed(second, 3)
    del third.runs[first.root.workflow_id]
    play_world(third, decider_of(metrics()))

    assert "WorkflowExecutionCompleted" == third.root.status
    assert 2 == len(ids(third.root))


def test_an_execution_that_is_still_open_cannot_be_resumed():
    """Both would run what it has left: the new one fails, and says what to do first."""
    first = World(Swf({"a": 1}))
    decide(first.root, decider_of(metrics()))
    decider = decider_of(metrics())
    beside = resumed(first)

    answer = decider.decide(beside.root.poll(), beside.root.older, None, beside.fetch_run)
    beside.root.respond(answer.decisions)

    assert "WorkflowExecutionFailed" == beside.root.status
    assert not ids(beside.root)
    reason = beside.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert reason.startswith("execution 'workflow' (run id 'run') is open")
    assert "cancel or terminate it" in reason

    first.root.terminate()
    after = resumed(first, 3)
    play_world(after, decider)  # the very same decider, which has seen it open

    assert "WorkflowExecutionCompleted" == after.root.status


def test_after_the_mend_exactly_one_instance_runs():
    """What was done is done; the failed instance, and what required it, runs."""
    first = World(Swf({"a": 1}))
    play_world(first, decider_of(metrics()), failing(2, 7))
    assert "WorkflowExecutionFailed" == first.root.status
    second = resumed(first, a=1)

    play_world(second, decider_of(metrics()))

    assert "WorkflowExecutionCompleted" == second.root.status
    failed = Manifest("country_day", "flow_country_day", (({"day": 2, "country": 7},),), 1)
    assert [failed.activity_id(0), "flow_summary-1"] == ids(second.root)
    told = json.loads(second.root.execution_context)["activities"]["country_day"]
    assert (100, 100) == (told["n"], told["done"])


def test_results_that_are_still_required_come_along():
    """The context of the new execution has what the old one's activities had brought."""
    first = World(Swf({"a": 1}))
    play_world(first, decider_of(metrics()), failing(2, 7))
    second = resumed(first, a=1)

    play_world(second, decider_of(metrics()))

    inputs = [json.loads(one["input"]) for one in second.root.kinds("ActivityTaskScheduled")]
    assert ["flow_prepare-1"] * 2 == [one["seen"] for one in inputs]
    assert {"workflow 2"} == {one["execution.workflow_id"] for one in inputs}


def test_results_that_nobody_reads_stay_behind():
    """Only the keys that an activity of the flow declares to read are recorded."""

    @task.decorate()
    def read(activity, wanted):
        """Read one value."""

    run = Sync(read.fill(wanted="wanted"))
    flow = flow_of(first={"run": run}, last={"run": run, "requires": ["first"]})
    before = World(Swf({"wanted": 0}))

    def work(swf, one):
        if one.type_name == "flow_first":
            swf.complete(one, {"wanted": 5, "unread": "x" * 1_000})
        else:
            swf.fail(one)

    play_world(before, decider_of(flow), work)
    after = resumed(before, wanted=0)

    play_world(after, decider_of(flow))

    assert ["flow_last-1"] == ids(after.root)
    assert 5 == json.loads(after.root.kinds("ActivityTaskScheduled")[0]["input"])["wanted"]
    assert all("xxx" not in one["details"] for one in after.root.kinds("MarkerRecorded"))


def test_resuming_a_resumed_execution_takes_over_both():
    """Three executions: what any of them has done is done."""
    first = World(Swf({"a": 1}))
    play_world(first, decider_of(metrics()), failing(2, 7))
    second = resumed(first, a=1)
    play_world(second, decider_of(metrics()), failing(2, 7))
    third = resumed(second, 3, a=1)

    play_world(third, decider_of(metrics()))

    assert "WorkflowExecutionCompleted" == third.root.status
    assert 2 == len(ids(third.root))


def test_a_manifest_that_has_changed_takes_over_by_key():
    """More days, other countries: what both have is done, the rest runs."""
    first = World(Swf())
    play_world(first, decider_of(metrics(3, 10)), failing(0, 0))
    second = resumed(first)

    play_world(second, decider_of(metrics(4, 12)))

    assert "WorkflowExecutionCompleted" == second.root.status
    assert 4 * 12 - (3 * 10 - 1) + 1 == len(ids(second.root))


def test_shards_are_taken_over_from_and_into_shards():
    """Of those that closed, of those that were killed, and of the root's own."""
    flow = metrics(6, 20)
    first = World(Swf())
    done = []

    def work(swf, one):
        if len(done) < 70:
            done.append(one.activity_id)
            swf.complete(one)
        elif first.root.status is None:
            for run in first.open_runs:
                run.terminate()

    play_world(first, decider_of(flow, shard_size=25), work, workers=3)
    assert "WorkflowExecutionTerminated" == first.root.status
    second = resumed(first)

    play_world(second, decider_of(flow, shard_size=25))

    assert "WorkflowExecutionCompleted" == second.root.status
    again = ids(*[run for name, run in second.runs.items() if name not in first.runs])
    assert 1 + 120 + 1 - 70 == len(again)
    assert not set(again) & set(done)
    assert len(second.starts) >= 2


def test_a_custom_decider_resumes_too():
    """Each `schedule` is taken over by its id, results included."""
    seen = []

    def decider(schedule):
        seen.append(schedule("one", flow.work).result)
        schedule("two", flow.work).wait()

    flow = flow_of(decider=decider, work={})
    first = World(Swf())

    def work(swf, one):
        if one.activity_id.endswith("one"):
            swf.complete(one, {"cups": 2})
        else:
            swf.fail(one)

    play_world(first, decider_of(flow), work)
    second = resumed(first)
    play_world(second, decider_of(flow))

    assert "WorkflowExecutionCompleted" == second.root.status
    assert ["flow_work-1-two"] == ids(second.root)
    assert {"cups": 2} == seen[-1]


def test_cold_deciders_resume_as_warm_ones():
    """The earlier history is read when a fan-out is frozen, and not needed after that."""
    first = World(Swf())
    play_world(first, decider_of(metrics()), failing(1, 1))
    warm, cold = resumed(first), resumed(first)

    play_world(warm, decider_of(metrics()))
    play_world(cold, lambda: decider_of(metrics()))

    assert warm.root.responses == cold.root.responses


@pytest.mark.parametrize("named", ["x", {}, {"workflow_id": "w"}, {"workflow_id": 1, "run_id": ""}])
def test_a_resume_that_names_nothing_fails_with_its_form(named):
    """The text shows what it has to be."""
    world = World(Swf({"garcon.resume": named}))

    play_world(world, decider_of(flow_of(only={})))

    assert '"run_id"' in world.root.kinds("WorkflowExecutionFailed")[0]["reason"]


@given(st.sets(st.integers(0, 300)).map(sorted))
def test_bitmaps_come_back_equal(indexes):
    """What is taken over is recorded as bits over the manifest."""
    ranges = ranges_of(indexes)

    assert ranges == ranges_of_bits(bits_of(ranges))
    assert len(indexes) == size_of(ranges)

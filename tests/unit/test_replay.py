"""Stored histories, decided again by the present code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from garcon.description import FlowDescription
from garcon.pool.replies import fail_execution, refused_text, unmade_text
from garcon.replay import ReplayMismatch, check_replay, replay
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, decide, play, play_world

STORED = Path(__file__).parent / "histories"
EXECUTION = ("domain", "workflow", "run")


def document(swf):
    """Return a history as `garcon history` writes it."""
    return {
        "domain": "domain",
        "execution": {"workflowId": swf.workflow_id, "runId": swf.run_id},
        "events": swf.events,
    }


def stored_flow(**changed):
    """Return the flow of the stored histories."""
    many = {"requires": ["first"], "generators": [numbers(2, "a"), numbers(60, "b")], "retry": 1}
    return flow_of(first={}, many={**many, **changed}, last={"requires": ["many"]})


def stored_run():
    """Play the flow of the stored histories with failures, losses and a full response."""
    swf = Swf({"start": "2026-01-01"})

    def work(swf, one):
        tries = sum(
            found["activityId"] == one.activity_id for found in swf.kinds("ActivityTaskScheduled")
        )
        if one.input.get("b") == 7 and tries == 1:
            swf.fail(one)
        elif one.input.get("b") == 9 and tries == 1:
            swf.time_out(one, "HEARTBEAT")
        else:
            swf.complete(one, {"seen": one.input.get("b", 0)})

    play(swf, decider_of(stored_flow()), work)
    return swf


def test_a_history_replays_with_the_code_that_made_it():
    """Every answered decision is compared, also those that allowances cut short."""
    swf = Swf()
    decider = decider_of(stored_flow())
    for turn in range(400):
        if swf.status is not None:
            break
        if swf.has_decision_task:
            decide(swf, decider, allowance=turn % 7)
        for one in swf.start(9):
            swf.complete(one)
        swf.advance(0 if swf.status else 1)

    assert "WorkflowExecutionCompleted" == swf.status
    assert len(swf.responses) == check_replay(decider_of(stored_flow()), document(swf))


def behind_a_fan_out(schedule, flow):
    """Start a timer behind a fan-out, and one that depends on another that comes to nothing."""
    schedule.timer("first", 5)
    schedule("0", flow.many)
    schedule.timer("second", 90)
    if not schedule("1", flow.none).ready:
        schedule.timer("third", 60)
    schedule("2", flow.last, requires=[schedule.timer("fourth", 7)])


@pytest.mark.parametrize("allowances", [[0, 1, 2, 3], [3], [0, 100], [60], [7, 0, 0]])
def test_a_custom_decider_s_timers_replay_whatever_the_pace_was(allowances):
    """A timer behind what the pace held back waits as well, so the order of decisions stays."""
    flow = flow_of(
        decider=lambda schedule: behind_a_fan_out(schedule, flow),
        many={"generators": [numbers(60)]},
        none={"generators": [numbers(0)]},
        last={},
    )
    swf, decider = Swf(), decider_of(flow)
    for turn in range(400):
        if swf.status is not None:
            break
        if swf.has_decision_task:
            decide(swf, decider, allowance=allowances[turn % len(allowances)])
        for one in swf.start(9):
            swf.complete(one)
        swf.advance(0 if swf.status else 1)

    assert "WorkflowExecutionCompleted" == swf.status
    assert "timer.second" in [one["timerId"] for one in swf.kinds("TimerFired")]
    assert len(swf.responses) == check_replay(decider_of(flow), document(swf))


def test_stored_histories_replay():
    """What the decider decided when they were stored it decides today: this guards running runs."""
    stored = json.loads((STORED / "fan_out.json").read_text(encoding="utf-8"))

    assert check_replay(decider_of(stored_flow()), stored) > 5


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"retry": 0}, "activityId was"),
        ({"schedule_to_start": 7}, "scheduleToStartTimeout was"),
    ],
)
def test_a_change_that_decides_otherwise_is_told(changed, text):
    """By decision, place, kind and the field that differs."""
    with pytest.raises(ReplayMismatch, match="decision") as caught:
        check_replay(decider_of(stored_flow(**changed)), document(stored_run()))

    assert text in str(caught.value)


def test_a_change_that_decides_alike_passes():
    """More retries than were needed change nothing of what was decided."""
    assert check_replay(decider_of(stored_flow(retry=3)), document(stored_run()))


def test_shards_and_their_parent_replay():
    """Each history for itself, large results read from the shard's markers."""
    world = World(Swf())
    flow = flow_of(many={"generators": [numbers(90)]}, last={"requires": ["many"]})
    play_world(
        world,
        decider_of(flow, shard_size=40),
        lambda swf, one: swf.complete(one, {"x": "y"}),
    )

    for run in world.runs.values():
        assert check_replay(decider_of(flow, shard_size=40), document(run), world.fetch_run) > 1


def test_refused_decisions_were_decided_all_the_same():
    """A shard whose start SWF refused, for now, stands where it stood in the response."""
    world = World(Swf())
    world.root.refuse = ("CHILD_CREATION_RATE_EXCEEDED", 1)
    flow = flow_of(many={"generators": [numbers(90)]})
    play_world(world, decider_of(flow, shard_size=40))

    (refused,) = world.root.kinds("StartChildWorkflowExecutionFailed")
    assert refused["workflowId"].startswith("workflow.many.1.")
    assert check_replay(decider_of(flow, shard_size=40), document(world.root), world.fetch_run)


def test_what_a_shard_would_be_given_is_compared_with_its_timeouts():
    """Another timeout of the flow's executions is another decision."""
    world = World(Swf())
    world.root.events[0]["workflowExecutionStartedEventAttributes"].pop(
        "executionStartToCloseTimeout"
    )
    flow = flow_of(many={"generators": [numbers(90)]})
    play_world(world, decider_of(flow, shard_size=40))
    decider = decider_of(flow, shard_size=40)
    decider.description = replace(decider.description, execution_timeout_s=60)

    with pytest.raises(ReplayMismatch, match=r"executionStartToCloseTimeout was .2592000. and is"):
        check_replay(decider, document(world.root), world.fetch_run)


def test_replay_tells_what_was_and_what_would_be_decided():
    """For people who want to see more than the first difference."""
    found = list(replay(decider_of(stored_flow()), stored_run().events, EXECUTION))

    assert ["RecordMarker", "ScheduleActivityTask"] == [one.kind for one in found[0].decided]
    assert 2 == len(found[0].planned)
    assert isinstance(decider_of(stored_flow()).description, FlowDescription)


def test_generators_that_give_something_else_by_now_are_told_and_do_not_differ():
    """Theirs may depend on the day; the run goes by what was frozen."""
    changed = stored_flow(generators=[numbers(2, "a"), numbers(61, "b")])

    found = list(replay(decider_of(changed), stored_run().events, EXECUTION))

    assert {None} == {one.mismatch for one in found}
    assert ["the generators of many give others now: 122 instances, 120 were frozen"] == [
        note for one in found for note in one.notes
    ]


def test_a_clock_in_a_generator_replays_in_every_flow():
    """Plain, in shards, and under a decider of the flow's own; then even one that raises."""
    ticks = iter(range(1_000_000))

    def now(context):
        for _ in range(50):
            yield {"tick": next(ticks)}

    flow = flow_of(first={}, many={"requires": ["first"], "generators": [now]})
    for size in (1_000, 20):
        world = World(Swf())
        play_world(world, decider_of(flow, shard_size=size), lambda swf, one: swf.complete(one))
        for run in world.runs.values():
            assert check_replay(decider_of(flow, shard_size=size), document(run), world.fetch_run)

    def broken(context):
        raise OSError("the table is gone")

    later = flow_of(first={}, many={"requires": ["first"], "generators": [broken]})
    swf = Swf()
    play(swf, decider_of(flow), lambda swf, one: swf.complete(one))
    found = list(replay(decider_of(later), swf.events, EXECUTION))
    assert {None} == {one.mismatch for one in found}
    assert any("fail now" in note for one in found for note in one.notes)


def test_lists_of_another_decision_are_not_taken():
    """What was not frozen then is generated now: a flow that had no generators differs."""
    swf = Swf()
    play(swf, decider_of(flow_of(many={})), lambda swf, one: swf.complete(one))
    later = decider_of(flow_of(many={"generators": [numbers(3)]}))

    with pytest.raises(ReplayMismatch, match="details was"):
        check_replay(later, document(swf))


@pytest.mark.parametrize(
    "text",
    [
        unmade_text(3, "the decider was killed by SIGSEGV"),
        refused_text("ValidationException: too long"),
    ],
)
def test_an_execution_that_the_pool_ended_does_not_differ(text):
    """The decider had not decided that, and would not."""
    swf = Swf()
    decide(swf, decider_of(stored_flow()))
    swf.complete(swf.start(1)[0])
    end = json.loads(fail_execution("token", text))["decisions"]
    assert swf.poll()
    swf.respond(end)

    (_, last) = replay(decider_of(stored_flow()), swf.events, EXECUTION)

    assert "WorkflowExecutionFailed" == swf.status
    assert last.mismatch is None
    assert (f"the pool ended it: {text}",) == last.notes


def test_a_decider_s_own_failure_is_compared():
    """Only the pool's words are taken as its own."""
    swf = Swf()
    assert swf.poll()
    swf.respond(json.loads(fail_execution("token", "no more of this"))["decisions"])

    with pytest.raises(ReplayMismatch, match="FailWorkflowExecution"):
        check_replay(decider_of(stored_flow()), document(swf))


def test_keys_of_garcon_s_own_in_an_input_do_not_differ():
    """A later version may put more of them there; what the user's code sees has to be equal."""
    swf = stored_run()
    for one in swf.kinds("ActivityTaskScheduled"):
        one["input"] = json.dumps({**json.loads(one["input"]), "garcon.later": 1})
    assert check_replay(decider_of(stored_flow()), document(swf))

    one["input"] = json.dumps({**json.loads(one["input"]), "later": 1})
    with pytest.raises(ReplayMismatch, match="input was"):
        check_replay(decider_of(stored_flow()), document(swf))

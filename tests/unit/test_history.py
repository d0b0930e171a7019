"""The fold: in pieces as at once, and never over a gap."""

from __future__ import annotations

import copy
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garcon.history import HistoryGap, RunState
from garcon.manifest import Manifest, encode
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide, play

ENDS = ("complete", "fail", "START_TO_CLOSE", "HEARTBEAT", "SCHEDULE_TO_CLOSE", "cancel", "wait")


def random_run(draw_end, countries, workers, noise):
    """Return a played run whose tasks end as `draw_end` says, with news at odd moments."""
    flow = flow_of(
        first={},
        many={
            "requires": ["first"],
            "generators": [numbers(3), numbers(countries, "c")],
            "retry": 1,
        },
        last={"requires": ["many"]},
    )
    swf = Swf({"a": 1})
    decider = decider_of(flow)

    def work(swf, one):
        end = draw_end()
        if end == "complete":
            swf.complete(one, {one.activity_id: end})
        elif end in ("fail", "cancel"):
            getattr(swf, end)(one)
        elif end != "wait":
            swf.time_out(one, end)
        if noise and len(swf.events) % 7 == 0:
            swf.signal("noise", "x")

    for _ in range(60):
        if swf.status is not None or len(swf.events) > 700:
            break
        if swf.has_decision_task and len(swf.events) % 11 == 5:
            swf.poll()
            swf.time_out_decision()
        elif swf.has_decision_task:
            decide(swf, decider)
        swf.start(workers)
        for one in [one for one in swf.tasks.values() if one.started_event_id]:
            if swf.status is None:
                work(swf, one)
        swf.advance(0 if swf.status else 0.5)
    return swf


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_folding_in_pieces_gives_what_folding_at_once_gives(data):
    """Wherever the history is cut, however often, also with pieces that overlap."""
    ends = data.draw(st.lists(st.sampled_from(ENDS), min_size=1, max_size=12))
    turn = iter(range(10**9))
    swf = random_run(
        lambda: ends[next(turn) % len(ends)],
        data.draw(st.integers(0, 40)),
        data.draw(st.integers(1, 50)),
        data.draw(st.booleans()),
    )
    whole = RunState("domain", "workflow", "run")
    whole.fold(swf.events)

    pieces = RunState("domain", "workflow", "run")
    cuts = data.draw(st.lists(st.integers(0, len(swf.events)), max_size=8).map(sorted))
    for begin, end in zip([0, *cuts], [*cuts, len(swf.events)], strict=True):
        pieces.fold(swf.events[max(0, begin - 3) : end])

    assert whole == pieces


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_counts_are_those_of_a_recount(data):
    """What is kept as it changes equals what counting anew gives."""
    ends = data.draw(st.lists(st.sampled_from(ENDS), min_size=1, max_size=12))
    turn = iter(range(10**9))
    swf = random_run(lambda: ends[next(turn) % len(ends)], 20, 30, False)
    state = RunState()
    state.fold(swf.events)

    instances = [one for fan_out in state.fan_outs.values() for one in fan_out.instances.values()]
    phases = [one.phase.value for one in instances]
    assert state.open == len(swf.tasks) == phases.count("scheduled") + phases.count("started")
    assert state.started == phases.count("started")
    assert sum(one.done for one in state.fan_outs.values()) == phases.count("completed")
    for fan_out in state.fan_outs.values():
        ended = {
            one.index
            for one in fan_out.instances.values()
            if one.phase.value in ("failed", "canceled")
        }
        assert ended == set(fan_out.ended)
        assert fan_out.unscheduled == fan_out.manifest.count - len(fan_out.instances)
        assert fan_out.retries == sum(one.attempts - 1 for one in fan_out.instances.values())


def test_a_gap_is_refused():
    """A state is never folded over events that are missing."""
    swf = Swf()
    play(swf, decider_of(flow_of(only={})))
    state = RunState()
    state.fold(swf.events[:4])

    with pytest.raises(HistoryGap, match="event 5"):
        state.fold(swf.events[5:])

    assert 4 == state.last_event_id
    assert not state.fits(6)
    assert state.fits(5)


def test_context_as_of_an_event_holds_the_results_up_to_it():
    """Input, then results in their order, later over earlier; others' texts bring nothing."""
    swf = Swf({"a": 1, "b": 1})
    decider = decider_of(flow_of(many={"generators": [numbers(4)]}))
    decide(swf, decider)
    tasks = swf.start(4)
    swf.complete(tasks[0], {"b": 2})
    seen = len(swf.events)
    swf.complete(tasks[1], "no json")
    swf.complete(tasks[2], "[1]")
    swf.complete(tasks[3], {"b": 3, "c": 4})
    state = RunState("d", "w", "r")
    state.fold(swf.events)

    late, early = state.context_at(len(swf.events)), state.context_at(seen)

    info = {"execution.domain": "d", "execution.workflow_id": "w", "execution.run_id": "r"}
    assert {"a": 1, "b": 3, "c": 4, **info} == late
    assert {"a": 1, "b": 2, **info} == early


def test_a_datetime_of_boto3_is_a_timestamp():
    """boto3 gives datetimes, the wire gives numbers; both fold alike."""
    swf = Swf()
    play(swf, decider_of(flow_of(only={})))
    events = copy.deepcopy(swf.events)
    for event in events:
        event["eventTimestamp"] = datetime.fromtimestamp(event["eventTimestamp"], timezone.utc)
    numbers_, datetimes = RunState(), RunState()
    numbers_.fold(swf.events)
    datetimes.fold(events)

    assert numbers_ == datetimes


def test_a_failed_schedule_leaves_a_hole_that_is_filled():
    """Refused indexes are known from the gaps and come first."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(10)]}))
    task = swf.poll()
    answer = decider.decide(task, swf.older)
    swf.refuse = ("OPEN_ACTIVITIES_LIMIT_EXCEEDED", 3)
    swf.respond(answer.decisions)
    state = RunState()
    state.fold(swf.events)

    (fan_out,) = state.fan_outs.values()

    assert [0, 1, 2] == list(fan_out.next_unscheduled())
    assert 3 == fan_out.unscheduled


def test_control_of_other_programs_is_not_read_as_ours():
    """An activity scheduled with somebody's own control text has no place in a manifest."""
    swf = Swf()
    swf.poll()
    controls = ["{}", "hello", '{"garcon":1,"of":"many"}', '{"garcon":1,"of":"many","n":"x"}']
    swf.respond(
        [
            {
                "decisionType": "ScheduleActivityTask",
                "scheduleActivityTaskDecisionAttributes": {
                    "activityType": {"name": "t", "version": "1"},
                    "activityId": str(number),
                    "input": "{}",
                    "control": control,
                },
            }
            for number, control in enumerate(controls)
        ]
    )
    state = RunState()

    state.fold(swf.events)

    assert set("0123") == set(state.loose["t"])


def test_a_decision_costs_what_is_new_and_not_what_has_been(monkeypatch):
    """Instances are looked at when they are scheduled, and not again."""
    asked = []
    local_context = Manifest.local_context
    monkeypatch.setattr(
        Manifest,
        "local_context",
        lambda manifest, index: asked.append(index) or local_context(manifest, index),
    )
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(3_000)]}), shard_size=None)

    play(swf, decider, workers=60)

    assert "WorkflowExecutionCompleted" == swf.status
    # Once for the context and once for the id, and again where a response was full.
    assert 2 * 3_000 <= len(asked) < 2 * 3_000 + 100


def test_the_first_whole_manifest_is_the_one():
    """A second one for the same fan-out changes nothing, whoever wrote it."""
    swf = Swf()
    decide(swf, decider_of(flow_of(many={"generators": [numbers(3)]})))
    second = encode(Manifest("many", "flow_many", (({"number": 7},),), 3))
    for details in second:
        swf.add("MarkerRecorded", {"markerName": "garcon.manifest", "details": details})
    state = RunState()

    state.fold(swf.events)

    assert 3 == state.fan_outs["many", ""].manifest.count
    assert 3 == len(state.fan_outs["many", ""].instances)

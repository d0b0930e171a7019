"""The documented questions to a list of events."""

from __future__ import annotations

import pytest

from garcon import activity, event
from garcon.errors import DecisionError
from garcon.outcome import Failure, Kind, encode_failure
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide


def played():
    """Return events of three instances: one completed at the second try, one failed, one open."""
    swf = Swf({"a": 1})
    decider = decider_of(flow_of(many={"generators": [numbers(3)], "retry": 1}))
    decide(swf, decider)
    first, second, _ = swf.start(3)
    swf.fail(first)
    swf.time_out(second)
    decide(swf, decider)
    retried, _ = swf.start(2)
    swf.complete(retried, {"b": 2})
    return swf.events


def test_states_tell_each_attempt():
    """Scheduled and failed come back in their order; a timeout is a failure too."""
    states = event.activity_states_from_events(played())

    assert ["flow_many"] == list(states)
    completed, timed_out, running = states["flow_many"].values()
    assert [1, 3, 1, 2] == completed.states
    assert completed.ready
    assert {"b": 2} == completed.result
    assert [1, 3, 1] == timed_out.states
    assert 1 == activity.count_activity_failures(timed_out)
    assert [1] == running.states
    assert not running.ready


def test_an_attempt_that_never_ran_or_was_lost_is_no_failure():
    """Back to standby each time, so `retry` is not drawn on and the instance is due again."""
    flow = flow_of(only={"retry": 0})
    swf = Swf()
    decider = decider_of(flow)
    handed_back = encode_failure(Failure(Kind.HANDED_BACK, "the pool stops"))
    ends = [
        lambda one: swf.fail(one, *handed_back),
        lambda one: swf.time_out(one, "SCHEDULE_TO_START"),
        lambda one: swf.time_out(one, "HEARTBEAT"),
    ]
    for end in ends:
        decide(swf, decider)
        end(swf.start(1)[0])

    states = event.activity_states_from_events(swf.events)

    (state,) = states["flow_only"].values()
    assert [1, 0, 1, 0, 1, 0] == state.states
    assert (0, 1) == (activity.count_activity_failures(state), state.losses)
    (due,) = activity.find_available_activities(flow, states, {})
    assert "flow_only-1" == due.id


def test_kinds_of_ends_are_told_in_their_order():
    """A failure between two losses is the one that counts."""
    swf = Swf()
    decider = decider_of(flow_of(only={"retry": 1}))
    for kind in ("HEARTBEAT", "START_TO_CLOSE", "HEARTBEAT"):
        decide(swf, decider)
        swf.time_out(swf.start(1)[0], kind)

    (state,) = event.activity_states_from_events(swf.events)["flow_only"].values()

    assert [1, 0, 1, 3, 1, 0] == state.states


def test_a_canceled_attempt_is_the_last_one():
    """It counts as failed, and no retry follows it."""
    flow = flow_of(only={"retry": 3})
    swf = Swf()
    decide(swf, decider_of(flow))
    swf.cancel(swf.start(1)[0])

    states = event.activity_states_from_events(swf.events)

    assert [1, 3] == states["flow_only"]["flow_only-1"].states
    with pytest.raises(DecisionError, match="flow_only-1 was canceled"):
        list(activity.find_available_activities(flow, states, {}))


def test_events_without_those_of_decisions_tell_the_same():
    """garcon 1.x passed histories on without them."""
    events = [one for one in played() if not one["eventType"].startswith("Decision")]

    states = event.activity_states_from_events(events)

    assert [[1, 3, 1, 2], [1, 3, 1], [1]] == [one.states for one in states["flow_many"].values()]


def test_events_may_come_in_any_order():
    """SWF gives them newest first where it is asked to, and both generations sorted them."""
    events = played()

    states = event.activity_states_from_events(events[::-1])

    assert [[1, 3, 1, 2], [1, 3, 1], [1]] == [one.states for one in states["flow_many"].values()]

    swf = Swf({"a": 1})
    decide(swf, decider_of(flow_of(only={})))
    swf.complete(swf.start(1)[0], {"a": 2})
    assert {"a": 2} == event.get_current_context(swf.events[::-1])


def test_events_that_begin_late_break_nothing():
    """An end whose beginning was cut off is passed over."""
    events = [one for one in played() if one["eventType"] != "ActivityTaskScheduled"]

    assert {} == event.activity_states_from_events(events)


def test_context_is_the_merged_dict_with_both_names():
    """0.0.4 used it as a dict, 1.x by `.current`."""
    context = event.get_current_context(played())

    assert {"a": 1, "b": 2} == context == context.current
    assert {"a": 1} == context.workflow_input


def test_a_result_that_is_no_json_is_kept_as_text():
    """An external activity may answer anything."""
    swf = Swf()
    decide(swf, decider_of(flow_of(only={})))
    swf.complete(swf.start(1)[0], "done")

    assert (
        "done" == event.activity_states_from_events(swf.events)["flow_only"]["flow_only-1"].result
    )

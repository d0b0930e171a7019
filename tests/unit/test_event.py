"""The documented questions to a list of events."""

from __future__ import annotations

from garcon import activity, event
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


def test_events_without_those_of_decisions_tell_the_same():
    """garcon 1.x passed histories on without them."""
    events = [one for one in played() if not one["eventType"].startswith("Decision")]

    states = event.activity_states_from_events(events)

    assert [[1, 3, 1, 2], [1, 3, 1], [1]] == [one.states for one in states["flow_many"].values()]


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

"""The acceptance tests' check of histories: it has to see each thing that it is there to see."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.acceptance.legal import assert_legal_history, attributes

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def event(kind, **facts):
    """Return an event without id and time, which `history` adds."""
    return {"eventType": kind, f"{kind[0].lower()}{kind[1:]}EventAttributes": facts}


def history(*events):
    """Return a closed history with these events in its middle, numbered from 4."""
    whole = [
        event("WorkflowExecutionStarted", input="{}"),
        event("DecisionTaskScheduled"),
        event("DecisionTaskStarted"),
        *events,
        event("WorkflowExecutionCompleted"),
    ]
    for number, one in enumerate(whole, 1):
        one.update(eventId=number, eventTimestamp=START + timedelta(seconds=number))
    return whole


def scheduled(number, response=4):
    """Return an event of one scheduled activity."""
    return event(
        "ActivityTaskScheduled", activityId=f"a-{number}", decisionTaskCompletedEventId=response
    )


def test_a_plain_run_is_legal():
    """Decide, schedule, start, complete, close."""
    assert_legal_history(
        history(
            event("DecisionTaskCompleted"),
            scheduled(1),
            event("ActivityTaskStarted", scheduledEventId=5),
            event("ActivityTaskCompleted", scheduledEventId=5, result="{}"),
        )
    )


def test_an_id_may_be_used_again_once_it_is_closed():
    """A retry has the id of the attempt before."""
    assert_legal_history(
        history(
            event("DecisionTaskCompleted"),
            scheduled(1),
            event("ActivityTaskFailed", scheduledEventId=5),
            scheduled(1),
        )
    )


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([scheduled(n) for n in range(101)], r"\(4, 101\)"),
        ([scheduled(n, n // 100) for n in range(1001)], "1001 open at event 1004"),
        ([scheduled(1), scheduled(1)], "a-1 is open twice"),
        (
            [scheduled(1), *[event("ActivityTaskCompleted", scheduledEventId=4)] * 2],
            "6 closes what is closed",
        ),
        ([event("MarkerRecorded", details="x" * 32_769)], "details has 32769"),
        ([event("ActivityTaskTimedOut", details="x" * 2_049)], "details has 2049"),
        ([event("ActivityTaskFailed", reason="x" * 257)], "reason has 257"),
        ([event("WorkflowExecutionSignaled", signalName="x" * 257)], "signalName has 257"),
        (
            [event("ScheduleActivityTaskFailed", cause="OPEN_ACTIVITIES_LIMIT_EXCEEDED")],
            "OPEN_ACTIVITIES_LIMIT_EXCEEDED",
        ),
        ([event("WorkflowExecutionFailed")], "closing events"),
        ([event("WorkflowExecutionStarted", tagList=["x"] * 6)], "6 tags"),
        (
            [event("MarkerRecorded", details="x" * 32_768, decisionTaskCompletedEventId=4)] * 31,
            r"\(4, 1015808\)",
        ),
    ],
)
def test_what_swf_forbids_is_seen(events, told):
    """Each of these alone makes a history illegal, and the failure says which it is."""
    with pytest.raises(AssertionError, match=told):
        assert_legal_history(history(*[dict(one) for one in events]))


def test_a_gap_in_the_events_is_seen():
    """An event that is missing makes the rest worthless."""
    whole = history(event("DecisionTaskCompleted"))
    del whole[2]

    with pytest.raises(AssertionError):
        assert_legal_history(whole)


def test_a_close_that_new_events_overtook_is_legal():
    """UNHANDLED_DECISION is SWF's way of saying: look again."""
    assert_legal_history(
        history(event("CompleteWorkflowExecutionFailed", cause="UNHANDLED_DECISION"))
    )


def test_an_open_execution_is_legal_only_where_one_is_expected():
    """The close counts when it was asked for."""
    whole = history()[:-1]

    assert_legal_history(whole, closed=False)
    with pytest.raises(AssertionError):
        assert_legal_history(whole)


def test_attributes_are_found_by_the_events_type():
    """SWF names the attributes after the type, with a small first letter."""
    assert {"input": "{}"} == attributes(event("WorkflowExecutionStarted", input="{}"))

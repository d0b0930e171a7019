"""What SWF would have refused, looked for in a history that was read back.

A history is the proof that a run kept to SWF's quotas: it holds what was accepted, in order. The
figures are SWF's own (Developer Guide, "Amazon SWF quotas"; the service's API model), one hundred
decisions a task is the bound that its older clients were held to.
Law: `assert_legal_history` reads events only; it knows nothing of garcon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

EVENTS_MAX = 25_000
OPEN_MAX = 1_000  # activities, timers and children of one execution, each
DECISIONS_MAX = 100  # a response
RESPONSE_MAX = 1_000_000  # characters of a response's decisions
TAGS_MAX = 5

#: Characters that a text attribute of an event may have, by its name.
LENGTHS = {
    **dict.fromkeys(("input", "result", "details", "control", "executionContext"), 32_768),
    **dict.fromkeys(("reason", "identity", "tag"), 256),
    **dict.fromkeys(("workflowId", "activityId", "timerId", "markerName", "signalName"), 256),
    **dict.fromkeys(("name", "domain"), 256),
    **dict.fromkeys(("version", "runId"), 64),
}
TIMED_OUT_DETAILS_MAX = 2_048

CLOSING = {
    f"WorkflowExecution{status}"
    for status in ("Completed", "Failed", "Canceled", "Terminated", "TimedOut", "ContinuedAsNew")
}

#: What opens and what closes a thing that SWF counts: event type -> attribute that names it.
OPENS = {
    "ActivityTaskScheduled": "activity",
    "TimerStarted": "timer",
    "StartChildWorkflowExecutionInitiated": "child",
}
CLOSES = {
    **{
        f"ActivityTask{end}": ("activity", "scheduledEventId")
        for end in ("Completed", "Failed", "TimedOut", "Canceled")
    },
    **{f"Timer{end}": ("timer", "startedEventId") for end in ("Fired", "Canceled")},
    **{
        f"ChildWorkflowExecution{end}": ("child", "initiatedEventId")
        for end in ("Completed", "Failed", "TimedOut", "Canceled", "Terminated")
    },
    "StartChildWorkflowExecutionFailed": ("child", "initiatedEventId"),
}


def attributes(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of an event, whatever its type calls them."""
    kind = event["eventType"]
    found = event.get(f"{kind[0].lower()}{kind[1:]}EventAttributes", {})
    return found if isinstance(found, Mapping) else {}


def assert_legal_history(events: Sequence[Mapping[str, Any]], closed: bool = True) -> None:
    """Fail if SWF could not have written this history of one execution.

    Args:
        events: all events, oldest first, as GetWorkflowExecutionHistory gives them.
        closed: whether the execution has to be closed.
    """
    assert len(events) <= EVENTS_MAX, f"{len(events)} events"
    assert [event["eventId"] for event in events] == list(range(1, len(events) + 1))
    assert all(a["eventTimestamp"] <= b["eventTimestamp"] for a, b in pairwise(events))
    _assert_ends(events, closed)
    _assert_open_counts(events)
    _assert_responses(events)
    for event in events:
        _assert_no_refused_decision(event)
        _assert_lengths(event)


def _assert_ends(events: Sequence[Mapping[str, Any]], closed: bool) -> None:
    assert events[0]["eventType"] == "WorkflowExecutionStarted"
    closings = [event["eventType"] for event in events if event["eventType"] in CLOSING]
    assert len(closings) == (1 if closed else 0), f"closing events: {closings}"
    if closed:
        assert events[-1]["eventType"] in CLOSING, "events behind the closing one"


def _assert_open_counts(events: Iterable[Mapping[str, Any]]) -> None:
    """Follow what is open: never over SWF's bound, never closed twice, no id used twice at once."""
    open_ids: dict[str, dict[int, str]] = {"activity": {}, "timer": {}, "child": {}}
    for event in events:
        kind, facts = event["eventType"], attributes(event)
        if kind in OPENS:
            of_kind = open_ids[OPENS[kind]]
            name = facts.get("activityId") or facts.get("timerId") or facts.get("workflowId")
            assert name not in of_kind.values(), f"{name} is open twice at event {event['eventId']}"
            of_kind[event["eventId"]] = str(name)
            assert len(of_kind) <= OPEN_MAX, f"{len(of_kind)} open at event {event['eventId']}"
        elif kind in CLOSES and facts.get(CLOSES[kind][1]):
            thing, reference = CLOSES[kind]
            assert facts[reference] in open_ids[thing], f"{event['eventId']} closes what is closed"
            del open_ids[thing][facts[reference]]


def _assert_responses(events: Iterable[Mapping[str, Any]]) -> None:
    """Count what each RespondDecisionTaskCompleted brought: every decision leaves one event."""
    decisions: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for event in events:
        facts = attributes(event)
        response = facts.get("decisionTaskCompletedEventId")
        if response:
            decisions[response] += 1
            sizes[response] += sum(len(text) for _, text in _texts(facts))
    assert max(decisions.values(), default=0) <= DECISIONS_MAX, decisions.most_common(3)
    assert max(sizes.values(), default=0) <= RESPONSE_MAX, sizes.most_common(3)


def _assert_no_refused_decision(event: Mapping[str, Any]) -> None:
    """A decision that came to nothing is a fault, but for a close that new events overtook."""
    cause = attributes(event).get("cause")
    refused = cause is not None and event["eventType"].endswith("Failed")
    assert not refused or cause == "UNHANDLED_DECISION", f"{event['eventType']}: {cause}"


def _assert_lengths(event: Mapping[str, Any]) -> None:
    facts = attributes(event)
    for name, text in _texts(facts):
        limit = LENGTHS.get(name)
        if name == "details" and event["eventType"] == "ActivityTaskTimedOut":
            limit = TIMED_OUT_DETAILS_MAX
        assert limit is None or len(text) <= limit, (
            f"event {event['eventId']} {event['eventType']}: {name} has {len(text)} characters"
        )
    tags = facts.get("tagList", ())
    assert len(tags) <= TAGS_MAX, f"{len(tags)} tags"


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text below `value` with the name of the attribute that holds it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, "tag" if name == "tagList" else name)

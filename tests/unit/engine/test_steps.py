"""Steps of one execution: pure functions that leave what they were given as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from garcon.engine.core import decisions, timeouts, transitions
from garcon.engine.core.faults import Fault
from garcon.engine.core.model import (
    KINDS,
    Execution,
    Profile,
    TypeRecord,
    catch_up,
    restore,
    restore_item,
)
from garcon.engine.core.starts import make_profile

SETTINGS = {
    "executionStartToCloseTimeout": "1000",
    "taskList": {"name": "decide"},
    "taskStartToCloseTimeout": "30",
    "childPolicy": "TERMINATE",
}
PROFILE: Profile = make_profile("dom", "w", "run", "flow", "1", SETTINGS)
ACTIVITY = {
    "activityType": {"name": "act", "version": "1"},
    "taskList": {"name": "work"},
    "scheduleToStartTimeout": "NONE",
    "scheduleToCloseTimeout": "NONE",
    "startToCloseTimeout": "60",
    "heartbeatTimeout": "10",
}


class Everything:
    """A world that knows one type of each kind and refuses nothing."""

    record = TypeRecord("t", "1", "REGISTERED", None, 0, None, {})

    def activity_type(self, *_: str) -> TypeRecord | None:
        """Return the one type."""
        return self.record

    def workflow_type(self, *_: str) -> TypeRecord | None:
        """Return the one type."""
        return self.record

    def open_executions(self, *_: str) -> int:
        """Return that there is room."""
        return 1

    def mint_run_id(self) -> str:
        """Return a run id."""
        return "22new"

    def allow(self, *_: str) -> bool:
        """Allow."""
        return True

    def has_lambda(self) -> bool:
        """Return that functions can be run."""
        return True


def answer(state: Execution, *given: dict[str, Any]) -> decisions.Answer:
    """Return an answer to the started decision task of a state."""
    assert state.started is not None
    ids = (state.started.scheduled_id, state.started.started_id)
    return decisions.Answer(*ids, list(given), None, None, None)


def schedule(activity_id: str) -> dict[str, Any]:
    """Return a decision that schedules an activity."""
    return {
        "decisionType": "ScheduleActivityTask",
        "scheduleActivityTaskDecisionAttributes": {**ACTIVITY, "activityId": activity_id},
    }


def running(*activity_ids: str) -> Execution:
    """Return a run whose first decision scheduled some activities."""
    state = transitions.start(1, PROFILE, None, 1000).state
    state = transitions.start_decision(state, 2000, None, None).state
    given = [schedule(one) for one in activity_ids]
    return decisions.complete(state, 3000, answer(state, *given), Everything()).state


def everything_in(state: Execution) -> dict[str, Any]:
    """Return a deep picture of a state."""
    tables = {kind: sorted(state.table(kind).items()) for kind in KINDS}
    return {name: repr(value) for name, value in {**vars(state), **tables}.items()}


def test_a_step_leaves_the_state_it_began_with() -> None:
    """A batch that is dropped must find everything as it was."""
    state = running("a", "b")
    before = everything_in(state)
    first = next(iter(state.activities))
    step = transitions.start_activity(state, 4000, first, "me", "i")
    transitions.complete_activity(step.state, 5000, first, step.state.last_id, "r")
    transitions.signal(state, 4000, "s", None)
    transitions.terminate(state, 4000, "OPERATOR_INITIATED")
    timeouts.fire(state, "run", 0, 10**12)
    assert everything_in(state) == before


def test_a_refused_step_changes_nothing() -> None:
    """Neither state nor draft leak out of a fault."""
    state = running("a")
    before = everything_in(state)
    for refused in (
        lambda: transitions.start_activity(state, 4000, 99, None, None),
        lambda: transitions.complete_activity(state, 4000, 5, 6, None),
        lambda: transitions.started_decision(state, 2, 3),
    ):
        with pytest.raises(Fault):
            refused()
    assert everything_in(state) == before


def test_a_state_survives_its_way_to_the_store_and_back() -> None:
    """Scalars and items as JSON."""
    state = running("a", "b")
    first = next(iter(state.activities))
    state = transitions.start_activity(state, 4000, first, "me", "i").state
    stored = json.loads(json.dumps([state.profile, state.scalars()]))
    again = restore(state.key, *stored)
    for item in state.activities.values():
        restore_item(again, "activities", json.loads(json.dumps(item)))
    assert everything_in(again) == everything_in(state)


def test_a_row_that_was_not_rewritten_is_brought_up_to_date_by_its_events() -> None:
    """The last event id and the last activity's time."""
    state = running("a")
    stored = restore(1, *json.loads(json.dumps([state.profile, state.scalars()])))
    step = transitions.start_activity(state, 4321, next(iter(state.activities)), None, None)
    assert step.state.is_stored_as(state)
    catch_up(stored, step.events)
    assert (stored.last_id, stored.activity_ms) == (step.state.last_id, 4321)


@pytest.mark.parametrize(
    ("now_ms", "kind"),
    [(13_999, None), (14_000, "HEARTBEAT"), (70_000, "HEARTBEAT")],
)
def test_the_first_clock_to_run_out_is_the_one_that_is_written(
    now_ms: int, kind: str | None
) -> None:
    """Heartbeat 10 s before start-to-close 60 s, also when both are over."""
    state = running("a")
    first = next(iter(state.activities))
    state = transitions.start_activity(state, 4000, first, None, None).state
    step = timeouts.fire(state, "activities", first, now_ms)
    if kind is None:
        assert step is None
        return
    assert step is not None
    event = json.loads(step.events[0][1])
    assert event["activityTaskTimedOutEventAttributes"]["timeoutType"] == kind


def test_a_deadline_of_something_closed_does_nothing() -> None:
    """Stale entries of the heap are harmless."""
    state = running("a")
    assert timeouts.fire(state, "activities", 99, 10**12) is None
    assert timeouts.fire(state, "timers", "no", 10**12) is None
    assert timeouts.fire(state, "decision", 0, 10**12) is None
    closed = transitions.terminate(state, 5000, "OPERATOR_INITIATED").state
    assert timeouts.fire(closed, "run", 0, 10**12) is None


def test_an_unknown_decision_of_a_whole_answer_is_named_by_its_place() -> None:
    """Missing attributes are found before anything is done; bare closes are legal."""
    with pytest.raises(Fault, match=r"decisions\.2\.member\.startTimerDecisionAttributes"):
        decisions.check([schedule("a"), {"decisionType": "StartTimer"}])
    decisions.check([schedule("a"), {"decisionType": "CompleteWorkflowExecution"}])

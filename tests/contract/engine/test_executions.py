"""Executions as wholes: start, describe, signal, cancel, terminate, the run's own time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.engine.swf import RUN, Swf, attributes, decide, schedule

FLOW = {"name": "flow", "version": "1"}


def test_a_run_begins_with_its_start_and_a_decision_task_at_one_instant(swf: Swf) -> None:
    """Events 1 and 2 share a timestamp and carry all settings."""
    run_id = swf.start(input="in", tagList=["t1", "t2"], taskPriority="5", lambdaRole="arn:r")
    first, second = swf.history("w", run_id)
    assert (first["eventType"], second["eventType"]) == (
        "WorkflowExecutionStarted",
        "DecisionTaskScheduled",
    )
    assert first["eventTimestamp"] == second["eventTimestamp"]
    assert attributes(first) == {
        "input": "in",
        "executionStartToCloseTimeout": "86400",
        "taskStartToCloseTimeout": "30",
        "childPolicy": "TERMINATE",
        "taskList": {"name": "decide"},
        "taskPriority": "5",
        "workflowType": FLOW,
        "tagList": ["t1", "t2"],
        "lambdaRole": "arn:r",
        "parentInitiatedEventId": 0,
    }
    assert attributes(second) == {
        "taskList": {"name": "decide"},
        "taskPriority": "5",
        "startToCloseTimeout": "30",
        "scheduleToStartTimeout": "NONE",
    }


def test_a_run_id_has_the_look_of_the_services(swf: Swf) -> None:
    """46 characters that begin with 22 and end with =."""
    run_id = swf.start()
    assert (len(run_id), run_id[:2], run_id[-1]) == (46, "22", "=")


@pytest.mark.parametrize(
    ("missing", "default"),
    [
        ("executionStartToCloseTimeout", "defaultExecutionStartToCloseTimeout"),
        ("taskList", "defaultTaskList"),
        ("taskStartToCloseTimeout", "defaultTaskStartToCloseTimeout"),
        ("childPolicy", "defaultChildPolicy"),
    ],
)
def test_a_start_value_comes_from_the_type_or_is_asked_for(
    swf: Swf, missing: str, default: str
) -> None:
    """Without either the fault names the member."""
    given = {member: value for member, value in RUN.items() if member != missing}
    start = {"domain": "dom", "workflowId": "w", "workflowType": FLOW, **given}
    assert swf.refusal("start_workflow_execution", **start) == ("DefaultUndefinedFault", missing)
    swf.api.register_workflow_type(
        domain="dom", name="full", version="1", **{default: RUN[missing]}
    )
    start["workflowType"] = {"name": "full", "version": "1"}
    run_id = swf.api.start_workflow_execution(**start)["runId"]
    assert attributes(swf.history("w", run_id)[0])[missing] == RUN[missing]


def test_of_several_missing_values_the_fault_names_the_first(swf: Swf) -> None:
    """In the service's order, whatever the order of the request."""
    start = {"domain": "dom", "workflowId": "w", "workflowType": FLOW}
    order = [
        *("executionStartToCloseTimeout", "taskList"),
        "taskStartToCloseTimeout",
        "childPolicy",
    ]
    for member in order:
        refused = swf.refusal("start_workflow_execution", **start)
        assert refused == ("DefaultUndefinedFault", member)
        start = {member: RUN[member], **start}
    swf.api.start_workflow_execution(**start)


def test_priority_and_role_come_from_the_type_but_not_for_a_successor(swf: Swf) -> None:
    """Of a run and of a child; what continues a run has only what its decision says."""
    role = "arn:aws:iam::1:role/r"
    defaults = {"defaultTaskPriority": "7", "defaultLambdaRole": role}
    swf.api.register_workflow_type(domain="dom", name="full", version="1", **defaults)
    full = {"name": "full", "version": "1"}
    run_id = swf.start(workflowType=full)
    elsewhere = {**RUN, "taskList": {"name": "nobody"}}
    swf.step(decide("StartChildWorkflowExecution", workflowType=full, workflowId="c", **elsewhere))
    started = swf.last("w", run_id, "ChildWorkflowExecutionStarted")["workflowExecution"]
    swf.step(decide("ContinueAsNewWorkflowExecution", **RUN))
    new = swf.last("w", run_id, "WorkflowExecutionContinuedAsNew")["newExecutionRunId"]
    runs = (("w", run_id), ("c", started["runId"]), ("w", new))
    firsts = [attributes(swf.history(*one)[0]) for one in runs]
    shown = [(one.get("taskPriority"), one.get("lambdaRole")) for one in firsts]
    assert shown == [("7", role), ("7", role), (None, None)]
    assert swf.describe("w", run_id)["executionConfiguration"]["lambdaRole"] == role


def test_one_open_run_at_a_time_has_a_workflow_id(swf: Swf) -> None:
    """The id is free again after the close."""
    first = swf.start()
    code, _ = swf.refusal(
        "start_workflow_execution", domain="dom", workflowId="w", workflowType=FLOW, **RUN
    )
    assert code == "WorkflowExecutionAlreadyStartedFault"
    swf.api.terminate_workflow_execution(domain="dom", workflowId="w")
    assert swf.start() != first


def test_an_unknown_or_deprecated_type_does_not_start(swf: Swf) -> None:
    """Two faults, both in the service's notation."""
    start = {"domain": "dom", "workflowId": "w", **RUN}
    other = {"name": "no", "version": "1"}
    assert swf.refusal("start_workflow_execution", workflowType=other, **start) == (
        "UnknownResourceFault",
        "Unknown type: WorkflowType=[name=no, version=1]",
    )
    swf.api.deprecate_workflow_type(domain="dom", workflowType=FLOW)
    assert swf.refusal("start_workflow_execution", workflowType=FLOW, **start) == (
        "TypeDeprecatedFault",
        "WorkflowType=[name=flow, version=1]",
    )


def test_a_run_is_described_with_what_is_open_in_it(swf: Swf) -> None:
    """Settings, open counts, the last activity's time and the last context."""
    run_id = swf.start(tagList=["t"])
    swf.step(
        schedule("a1"),
        schedule("a2"),
        decide("StartTimer", timerId="t", startToFireTimeout="60"),
        executionContext="half way",
    )
    before = swf.describe("w", run_id)
    assert "latestActivityTaskTimestamp" not in before
    swf.engine.skip(5)
    swf.activity()
    found = swf.describe("w", run_id)
    assert found["openCounts"] == {
        "openActivityTasks": 2,
        "openDecisionTasks": 0,
        "openTimers": 1,
        "openChildWorkflowExecutions": 0,
        "openLambdaFunctions": 0,
    }
    info = found["executionInfo"]
    assert found["latestExecutionContext"] == "half way"
    assert (found["latestActivityTaskTimestamp"] - info["startTimestamp"]).total_seconds() == 5
    assert (info["executionStatus"], info["tagList"], info["cancelRequested"]) == (
        "OPEN",
        ["t"],
        False,
    )
    assert found["executionConfiguration"] == {
        "taskStartToCloseTimeout": "30",
        "executionStartToCloseTimeout": "86400",
        "taskList": {"name": "decide"},
        "childPolicy": "TERMINATE",
    }


def test_a_description_needs_both_ids_right(swf: Swf) -> None:
    """A run id of another workflow id is unknown."""
    run_id = swf.start()
    refused = swf.refusal(
        "describe_workflow_execution",
        domain="dom",
        execution={"workflowId": "other", "runId": run_id},
    )
    text = f"Unknown execution: WorkflowExecution=[workflowId=other, runId={run_id}]"
    assert refused == ("UnknownResourceFault", text)
    code, _ = swf.refusal(
        "get_workflow_execution_history",
        domain="dom",
        execution={"workflowId": "w", "runId": "no"},
    )
    assert code == "UnknownResourceFault"


def test_a_signal_is_an_event_and_wakes_the_decider(swf: Swf) -> None:
    """Its name and input are in the history; with and without a run id."""
    run_id = swf.start()
    swf.step()
    swf.api.signal_workflow_execution(
        domain="dom", workflowId="w", runId=run_id, signalName="s", input="data"
    )
    assert swf.last("w", run_id, "WorkflowExecutionSignaled") == {
        "signalName": "s",
        "input": "data",
        "externalInitiatedEventId": 0,
    }
    assert swf.names("w", run_id)[-1] == "DecisionTaskScheduled"
    swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="bare")
    assert swf.names("w", run_id)[-1] == "WorkflowExecutionSignaled"


def test_a_cancel_request_is_a_wish_that_the_decider_fulfils(swf: Swf) -> None:
    """The run shows it and stays open until CancelWorkflowExecution."""
    run_id = swf.start()
    swf.step()
    swf.api.request_cancel_workflow_execution(domain="dom", workflowId="w")
    shown = swf.describe("w", run_id)["executionInfo"]
    assert (shown["cancelRequested"], shown["executionStatus"]) == (True, "OPEN")
    swf.step(decide("CancelWorkflowExecution", details="done"))
    shown = swf.describe("w", run_id)["executionInfo"]
    assert (shown["executionStatus"], shown["closeStatus"]) == ("CLOSED", "CANCELED")
    assert swf.last("w", run_id, "WorkflowExecutionCanceled")["details"] == "done"


def test_a_terminated_run_is_over_at_once(swf: Swf) -> None:
    """Reason, details, cause and policy are in the last event; its tasks are gone."""
    run_id = swf.start()
    swf.step(schedule())
    swf.api.terminate_workflow_execution(
        domain="dom", workflowId="w", reason="r", details="d", childPolicy="ABANDON"
    )
    assert attributes(swf.history("w", run_id)[-1]) == {
        "reason": "r",
        "details": "d",
        "childPolicy": "ABANDON",
        "cause": "OPERATOR_INITIATED",
    }
    assert not swf.activity()["taskToken"]
    assert swf.describe("w", run_id)["openCounts"]["openActivityTasks"] == 1


@pytest.mark.parametrize(
    "operation",
    [
        "signal_workflow_execution",
        "request_cancel_workflow_execution",
        "terminate_workflow_execution",
    ],
)
def test_a_closed_or_unknown_run_cannot_be_reached(swf: Swf, operation: str) -> None:
    """The text names what was asked for: an id alone, or both."""
    run_id = swf.start()
    swf.api.terminate_workflow_execution(domain="dom", workflowId="w")
    more: dict[str, Any] = {"signalName": "s"} if operation.startswith("signal") else {}
    code, text = swf.refusal(operation, domain="dom", workflowId="w", **more)
    assert (code, text) == ("UnknownResourceFault", "Unknown execution, workflowId = w")
    code, text = swf.refusal(operation, domain="dom", workflowId="w", runId=run_id, **more)
    wanted = f"Unknown execution: WorkflowExecution=[workflowId=w, runId={run_id}]"
    assert (code, text) == ("UnknownResourceFault", wanted)


@pytest.mark.parametrize(
    "operation",
    [
        "signal_workflow_execution",
        "request_cancel_workflow_execution",
        "terminate_workflow_execution",
    ],
)
def test_an_earlier_run_is_not_taken_for_the_open_one(swf: Swf, operation: str) -> None:
    """Though they share their workflow id."""
    old = swf.start()
    swf.api.terminate_workflow_execution(domain="dom", workflowId="w")
    new = swf.start()
    more: dict[str, Any] = {"signalName": "s"} if operation.startswith("signal") else {}
    refused = swf.refusal(operation, domain="dom", workflowId="w", runId=old, **more)
    assert refused[0] == "UnknownResourceFault"
    assert len(swf.history("w", new)) == 2


def test_a_run_ends_when_its_time_is_over(swf: Swf) -> None:
    """WorkflowExecutionTimedOut is its last event, at the very second."""
    run_id = swf.start(executionStartToCloseTimeout="100")
    swf.engine.skip(99)
    assert swf.describe("w", run_id)["executionInfo"]["executionStatus"] == "OPEN"
    swf.engine.skip(1)
    last = swf.history("w", run_id)[-1]
    assert attributes(last) == {"timeoutType": "START_TO_CLOSE", "childPolicy": "TERMINATE"}
    info = swf.describe("w", run_id)["executionInfo"]
    assert info["closeStatus"] == "TIMED_OUT"
    assert (info["closeTimestamp"] - info["startTimestamp"]).total_seconds() == 100


def test_a_full_history_is_terminated(swf: Swf) -> None:
    """At 25,000 events the service ends the run with its own cause; no child begins behind it."""
    run_id = swf.start()
    markers = [decide("RecordMarker", markerName="m")] * 996
    while (task := swf.decision(maximumPageSize=1))["startedEventId"] < 23_900:
        swf.answer(task, *markers)
        swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
    kind = {"name": "flow", "version": "1"}
    late = decide("StartChildWorkflowExecution", workflowType=kind, workflowId="late", **RUN)
    swf.answer(task, *markers, *markers[:200], late)
    last = swf.history("w", run_id, reverseOrder=True)[0]
    assert last["eventId"] >= 25_000
    assert attributes(last) == {"cause": "EVENT_LIMIT_EXCEEDED", "childPolicy": "TERMINATE"}
    given = {"domain": "dom", "workflowId": "late", "signalName": "s"}
    assert swf.refusal("signal_workflow_execution", **given)[0] == "UnknownResourceFault"


def test_a_history_is_read_in_pages_both_ways(swf: Swf) -> None:
    """Order is turned before paging; a full last page has no token."""
    run_id = swf.start()
    swf.step(*[decide("RecordMarker", markerName="m")] * 6)
    ids = [event["eventId"] for event in swf.history("w", run_id, maximumPageSize=3)]
    assert ids == list(range(1, 11))
    down = swf.history("w", run_id, maximumPageSize=4, reverseOrder=True)
    assert [event["eventId"] for event in down] == list(range(10, 0, -1))
    execution = {"workflowId": "w", "runId": run_id}
    page = swf.api.get_workflow_execution_history(
        domain="dom", execution=execution, maximumPageSize=10
    )
    assert "nextPageToken" not in page


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_of_large_events_is_shorter_than_asked(swf: Swf, reverse: bool) -> None:
    """So that neither side has to hold a hundred megabytes; no event is left out."""
    run_id = swf.start()
    for _ in range(140):
        swf.api.signal_workflow_execution(
            domain="dom", workflowId="w", signalName="s", input="x" * 32_768
        )
    given = {"domain": "dom", "execution": {"workflowId": "w", "runId": run_id}}
    page = swf.api.get_workflow_execution_history(**given, reverseOrder=reverse)
    assert 100 < len(page["events"]) < 142
    assert "nextPageToken" in page
    seen = [event["eventId"] for event in swf.history("w", run_id, reverseOrder=reverse)]
    assert seen == list(range(142, 0, -1) if reverse else range(1, 143))


def test_a_page_token_belongs_to_its_listing_and_lives_a_day(swf: Swf) -> None:
    """Used elsewhere it is invalid; after 24 hours it has expired."""
    run_id = swf.start(executionStartToCloseTimeout="1000000")
    given = {"domain": "dom", "execution": {"workflowId": "w", "runId": run_id}}
    token = swf.api.get_workflow_execution_history(**given, maximumPageSize=1)["nextPageToken"]
    code, text = swf.refusal(
        "get_workflow_execution_history", **given, nextPageToken=token, reverseOrder=True
    )
    assert (code, text) == ("ValidationException", "Invalid token")
    swf.engine.skip(86_400)
    rest = swf.api.get_workflow_execution_history(**given, nextPageToken=token)
    assert rest["events"][0]["eventId"] == 2
    swf.engine.skip(1)
    code, text = swf.refusal("get_workflow_execution_history", **given, nextPageToken=token)
    assert text == "Specified token has exceeded its maximum lifetime"

"""Children, their policies, successors, and messages between executions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.engine.swf import RUN, Swf, attributes, decide, schedule

FLOW = {"name": "flow", "version": "1"}
CHILD_RUN = {**RUN, "taskList": {"name": "children"}}


def start_child(workflow_id: str = "c", **more: Any) -> dict[str, Any]:
    """Return the decision that starts a child on the list ``children``."""
    given = {"workflowType": FLOW, "workflowId": workflow_id, **CHILD_RUN, **more}
    return decide("StartChildWorkflowExecution", **given)


def family(swf: Swf, **more: Any) -> tuple[str, str]:
    """Start a parent with one child; return both run ids."""
    parent = swf.start()
    swf.step(start_child(**more))
    started = swf.last("w", parent, "ChildWorkflowExecutionStarted")
    return parent, started["workflowExecution"]["runId"]


def test_a_child_is_initiated_then_started_and_the_parent_is_asked(swf: Swf) -> None:
    """Both histories point at each other."""
    parent, child = family(
        swf, input="in", control="c", tagList=["t"], taskPriority="4", lambdaRole="arn:r"
    )
    assert swf.names("w", parent)[4:] == [
        "StartChildWorkflowExecutionInitiated",
        "ChildWorkflowExecutionStarted",
        "DecisionTaskScheduled",
    ]
    assert swf.last("w", parent, "StartChildWorkflowExecutionInitiated") == {
        "workflowId": "c",
        "workflowType": FLOW,
        "control": "c",
        "input": "in",
        "tagList": ["t"],
        "taskPriority": "4",
        "lambdaRole": "arn:r",
        "decisionTaskCompletedEventId": 4,
        **CHILD_RUN,
    }
    assert swf.last("w", parent, "ChildWorkflowExecutionStarted") == {
        "workflowExecution": {"workflowId": "c", "runId": child},
        "workflowType": FLOW,
        "initiatedEventId": 5,
    }
    first = attributes(swf.history("c", child)[0])
    assert first["parentWorkflowExecution"] == {"workflowId": "w", "runId": parent}
    assert (first["parentInitiatedEventId"], first["input"]) == (5, "in")
    shown = swf.describe("c", child)["executionInfo"]
    assert shown["parent"] == {"workflowId": "w", "runId": parent}
    assert swf.describe("w", parent)["openCounts"]["openChildWorkflowExecutions"] == 1


@pytest.mark.parametrize(
    ("close", "event", "brought"),
    [
        (decide("CompleteWorkflowExecution", result="r"), "Completed", {"result": "r"}),
        (
            decide("FailWorkflowExecution", reason="r", details="d"),
            "Failed",
            {"reason": "r", "details": "d"},
        ),
        (decide("CancelWorkflowExecution", details="d"), "Canceled", {"details": "d"}),
    ],
)
def test_a_parent_learns_how_its_child_ended(
    swf: Swf, close: dict[str, Any], event: str, brought: dict[str, Any]
) -> None:
    """The close event brings the child's result and wakes the parent."""
    parent, child = family(swf)
    swf.step()
    swf.answer(swf.decision("children"), close)
    assert swf.last("w", parent, f"ChildWorkflowExecution{event}") == {
        "workflowExecution": {"workflowId": "c", "runId": child},
        "workflowType": FLOW,
        "initiatedEventId": 5,
        "startedEventId": 6,
        **brought,
    }
    assert swf.names("w", parent)[-1] == "DecisionTaskScheduled"
    assert swf.describe("w", parent)["openCounts"]["openChildWorkflowExecutions"] == 0


def test_a_parent_learns_of_a_terminated_and_of_a_timed_out_child(swf: Swf) -> None:
    """Two more ways to end."""
    parent, _ = family(swf)
    swf.step(start_child("c2", executionStartToCloseTimeout="50"))
    swf.api.terminate_workflow_execution(domain="dom", workflowId="c")
    swf.engine.skip(50)
    terminated = swf.last("w", parent, "ChildWorkflowExecutionTerminated")
    timed_out = swf.last("w", parent, "ChildWorkflowExecutionTimedOut")
    assert terminated["workflowExecution"]["workflowId"] == "c"
    assert (timed_out["workflowExecution"]["workflowId"], timed_out["timeoutType"]) == (
        "c2",
        "START_TO_CLOSE",
    )


def test_a_child_whose_id_runs_already_fails_after_its_initiation(swf: Swf) -> None:
    """The only start failure that names an initiated event; also twice in one answer."""
    swf.start("taken")
    parent = swf.start("w", taskPriority="9")
    swf.step(start_child("taken", control="c"), start_child("twin"), start_child("twin"))
    events = [
        attributes(event)
        for event in swf.history("w", parent)
        if event["eventType"] == "StartChildWorkflowExecutionFailed"
    ]
    assert events[0] == {
        "workflowType": FLOW,
        "workflowId": "taken",
        "cause": "WORKFLOW_ALREADY_RUNNING",
        "initiatedEventId": 5,
        "decisionTaskCompletedEventId": 4,
        "control": "c",
    }
    assert [event["workflowId"] for event in events] == ["taken", "twin"]
    assert swf.names("w", parent).count("ChildWorkflowExecutionStarted") == 1


@pytest.mark.parametrize("end", ["terminate", "time out"])
@pytest.mark.parametrize(
    ("policy", "last"),
    [
        ("TERMINATE", "WorkflowExecutionTerminated"),
        ("REQUEST_CANCEL", "WorkflowExecutionCancelRequested"),
        ("ABANDON", "DecisionTaskScheduled"),
    ],
)
def test_the_child_policy_is_applied_when_the_parent_is_ended(
    swf: Swf, end: str, policy: str, last: str
) -> None:
    """By the operator or by the clock."""
    swf.start("w", executionStartToCloseTimeout="50", childPolicy=policy)
    parent = swf.step(start_child())["workflowExecution"]["runId"]
    child = swf.last("w", parent, "ChildWorkflowExecutionStarted")["workflowExecution"]["runId"]
    if end == "terminate":
        swf.api.terminate_workflow_execution(domain="dom", workflowId="w")
    else:
        swf.engine.skip(50)
    names = swf.names("c", child)
    assert names[-1] == last
    if policy == "ABANDON":
        return
    event = swf.last("c", child, last)
    assert event["cause"] == "CHILD_POLICY_APPLIED"
    if policy == "REQUEST_CANCEL":
        assert event["externalWorkflowExecution"] == {"workflowId": "w", "runId": parent}


def test_a_normal_close_leaves_the_children_alone(swf: Swf) -> None:
    """The policy is for ends that nobody decided."""
    _, child = family(swf)
    swf.step(decide("CompleteWorkflowExecution"))
    assert swf.describe("c", child)["executionInfo"]["executionStatus"] == "OPEN"
    swf.answer(swf.decision("children"), decide("CompleteWorkflowExecution"))
    assert swf.describe("c", child)["executionInfo"]["closeStatus"] == "COMPLETED"


def test_children_go_on_when_their_parent_continues(swf: Swf) -> None:
    """Whatever the policy; and the successor hears nothing of them."""
    parent, child = family(swf)
    swf.step(decide("ContinueAsNewWorkflowExecution", **RUN))
    assert swf.describe("c", child)["executionInfo"]["executionStatus"] == "OPEN"
    successor = swf.last("w", parent, "WorkflowExecutionContinuedAsNew")["newExecutionRunId"]
    swf.answer(swf.decision("children"), decide("CompleteWorkflowExecution"))
    assert swf.describe("w", successor)["openCounts"]["openChildWorkflowExecutions"] == 0
    assert len(swf.history("w", successor)) == 2


def test_a_terminate_call_may_override_the_policy_and_reaches_grandchildren(swf: Swf) -> None:
    """Each level applies its own policy below it."""
    parent = swf.start("w", childPolicy="ABANDON")
    swf.step(start_child(childPolicy="TERMINATE"))
    swf.answer(swf.decision("children"), start_child("grandchild"))
    swf.api.terminate_workflow_execution(domain="dom", workflowId="w", childPolicy="TERMINATE")
    assert swf.last("w", parent, "WorkflowExecutionTerminated")["childPolicy"] == "TERMINATE"
    since = {"oldestDate": 0}
    assert swf.api.count_open_workflow_executions(domain="dom", startTimeFilter=since)["count"] == 0


def test_a_continued_run_goes_on_under_its_id(swf: Swf) -> None:
    """New run id, new history, settings of the decision, nothing carried over."""
    swf.api.register_workflow_type(
        domain="dom", name="flow", version="2", defaultChildPolicy="ABANDON"
    )
    old = swf.start(input="first", tagList=["t"], taskPriority="3", lambdaRole="arn:r")
    swf.step(
        schedule(),
        decide(
            "ContinueAsNewWorkflowExecution",
            input="second",
            workflowTypeVersion="2",
            executionStartToCloseTimeout="77",
            taskStartToCloseTimeout="NONE",
            taskList={"name": "next"},
            tagList=["u"],
        ),
    )
    last = attributes(swf.history("w", old)[-1])
    new = last.pop("newExecutionRunId")
    settings = {
        "input": "second",
        "executionStartToCloseTimeout": "77",
        "taskStartToCloseTimeout": "NONE",
        "taskList": {"name": "next"},
        "childPolicy": "ABANDON",
        "workflowType": {"name": "flow", "version": "2"},
        "tagList": ["u"],
    }
    assert last == {**settings, "decisionTaskCompletedEventId": 4}
    assert attributes(swf.history("w", new)[0]) == {
        **settings,
        "continuedExecutionRunId": old,
        "parentInitiatedEventId": 0,
    }
    assert swf.describe("w", old)["executionInfo"]["closeStatus"] == "CONTINUED_AS_NEW"
    assert swf.describe("w", new)["openCounts"]["openActivityTasks"] == 0
    assert swf.decision("next")["workflowExecution"]["runId"] == new


def test_a_continued_child_is_still_the_child(swf: Swf) -> None:
    """The parent hears nothing of the hand-over, and of the end from the successor."""
    parent, child = family(swf)
    swf.step()
    before = swf.names("w", parent)
    swf.answer(swf.decision("children"), decide("ContinueAsNewWorkflowExecution", **CHILD_RUN))
    assert swf.names("w", parent) == before
    successor = swf.last("c", child, "WorkflowExecutionContinuedAsNew")["newExecutionRunId"]
    first = attributes(swf.history("c", successor)[0])
    assert first["parentWorkflowExecution"] == {"workflowId": "w", "runId": parent}
    swf.answer(swf.decision("children"), decide("CompleteWorkflowExecution", result="end"))
    completed = swf.last("w", parent, "ChildWorkflowExecutionCompleted")
    assert completed["workflowExecution"] == {"workflowId": "c", "runId": successor}
    assert (completed["result"], completed["initiatedEventId"]) == ("end", 5)


def test_the_policy_reaches_a_continued_child(swf: Swf) -> None:
    """It is the successor that is terminated."""
    family(swf)
    swf.answer(swf.decision("children"), decide("ContinueAsNewWorkflowExecution", **CHILD_RUN))
    swf.api.terminate_workflow_execution(domain="dom", workflowId="w")
    found = swf.api.list_closed_workflow_executions(
        domain="dom", startTimeFilter={"oldestDate": 0}, executionFilter={"workflowId": "c"}
    )["executionInfos"]
    assert sorted(one["closeStatus"] for one in found) == ["CONTINUED_AS_NEW", "TERMINATED"]


@pytest.mark.parametrize("with_run_id", [True, False])
def test_a_signal_to_another_run_arrives_with_its_sender(swf: Swf, with_run_id: bool) -> None:
    """Initiated and signaled in the sender, signaled in the target."""
    target = swf.start("target", taskList={"name": "elsewhere"})
    sender = swf.start()
    more = {"runId": target} if with_run_id else {}
    swf.step(
        decide(
            "SignalExternalWorkflowExecution",
            workflowId="target",
            signalName="s",
            input="data",
            control="c",
            **more,
        )
    )
    assert swf.names("w", sender)[4:] == [
        "SignalExternalWorkflowExecutionInitiated",
        "ExternalWorkflowExecutionSignaled",
        "DecisionTaskScheduled",
    ]
    assert swf.last("w", sender, "SignalExternalWorkflowExecutionInitiated") == {
        "workflowId": "target",
        "signalName": "s",
        "input": "data",
        "control": "c",
        "decisionTaskCompletedEventId": 4,
        **more,
    }
    assert swf.last("w", sender, "ExternalWorkflowExecutionSignaled") == {
        "workflowExecution": {"workflowId": "target", "runId": target},
        "initiatedEventId": 5,
    }
    assert swf.last("target", target, "WorkflowExecutionSignaled") == {
        "signalName": "s",
        "input": "data",
        "externalWorkflowExecution": {"workflowId": "w", "runId": sender},
        "externalInitiatedEventId": 5,
    }


def test_a_cancel_request_to_another_run_arrives_with_its_sender(swf: Swf) -> None:
    """The target shows it and decides for itself."""
    target = swf.start("target", taskList={"name": "elsewhere"})
    sender = swf.start()
    swf.step(decide("RequestCancelExternalWorkflowExecution", workflowId="target", control="c"))
    assert swf.names("w", sender)[4:6] == [
        "RequestCancelExternalWorkflowExecutionInitiated",
        "ExternalWorkflowExecutionCancelRequested",
    ]
    assert swf.last("target", target, "WorkflowExecutionCancelRequested") == {
        "externalWorkflowExecution": {"workflowId": "w", "runId": sender},
        "externalInitiatedEventId": 5,
    }
    assert swf.describe("target", target)["executionInfo"]["cancelRequested"] is True


def test_a_message_to_a_closed_run_fails_with_all_it_carried(swf: Swf) -> None:
    """UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION behind the initiation."""
    target = swf.start("target", taskList={"name": "elsewhere"})
    swf.api.terminate_workflow_execution(domain="dom", workflowId="target")
    sender = swf.start()
    swf.step(
        decide(
            "SignalExternalWorkflowExecution",
            workflowId="target",
            runId=target,
            signalName="s",
            control="c",
        )
    )
    assert swf.last("w", sender, "SignalExternalWorkflowExecutionFailed") == {
        "workflowId": "target",
        "runId": target,
        "cause": "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
        "initiatedEventId": 5,
        "decisionTaskCompletedEventId": 4,
        "control": "c",
    }


def test_a_message_to_an_earlier_run_does_not_reach_the_open_one(swf: Swf) -> None:
    """The run id counts, though the workflow id is taken again."""
    old = swf.start("target", taskList={"name": "elsewhere"})
    swf.api.terminate_workflow_execution(domain="dom", workflowId="target")
    new = swf.start("target", taskList={"name": "elsewhere"})
    run_id = swf.start()
    to = {"workflowId": "target", "runId": old}
    swf.step(
        decide("SignalExternalWorkflowExecution", signalName="s", **to),
        decide("RequestCancelExternalWorkflowExecution", **to),
    )
    for kind in ("Signal", "RequestCancel"):
        failed = swf.last("w", run_id, f"{kind}ExternalWorkflowExecutionFailed")
        assert (failed["cause"], failed["runId"]) == ("UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", old)
    assert len(swf.history("target", new)) == 2


def test_a_run_may_signal_itself_and_one_that_closes_still_sends(swf: Swf) -> None:
    """The last words of a run arrive."""
    target = swf.start("target", taskList={"name": "elsewhere"})
    run_id = swf.start()
    swf.step(decide("SignalExternalWorkflowExecution", workflowId="w", signalName="self"))
    assert swf.last("w", run_id, "WorkflowExecutionSignaled")["signalName"] == "self"
    swf.step(
        decide("SignalExternalWorkflowExecution", workflowId="target", signalName="last words"),
        decide("CompleteWorkflowExecution"),
    )
    assert swf.last("target", target, "WorkflowExecutionSignaled")["signalName"] == "last words"
    assert swf.names("w", run_id)[-1] == "WorkflowExecutionCompleted"


def test_a_successor_has_its_id_before_any_child_can_take_it(swf: Swf) -> None:
    """A run that starts a child of its own id and continues stays the only one."""
    swf.start()
    swf.step(start_child("w"), decide("ContinueAsNewWorkflowExecution", **RUN))
    found = swf.api.list_open_workflow_executions(domain="dom", startTimeFilter={"oldestDate": 0})[
        "executionInfos"
    ]
    assert len(found) == 1
    first = attributes(swf.history("w", found[0]["execution"]["runId"])[0])
    assert "continuedExecutionRunId" in first

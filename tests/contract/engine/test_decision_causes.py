"""Timers, markers and every cause by which a decision fails."""

from __future__ import annotations

from typing import Any

import pytest

from garcon.engine.core.buckets import Rate
from garcon.engine.http.server import Settings
from garcon.engine.testing import engine_in_process
from tests.contract.engine.swf import ACTIVITY, RUN, Swf, attributes, decide, schedule

ACT = {"name": "act", "version": "1"}


def test_a_timer_fires_after_its_time_and_wakes_the_decider(swf: Swf) -> None:
    """At its second, with the id of its start."""
    run_id = swf.start()
    swf.step(decide("StartTimer", timerId="t", startToFireTimeout="90", control="c"))
    assert swf.last("w", run_id, "TimerStarted") == {
        "timerId": "t",
        "startToFireTimeout": "90",
        "control": "c",
        "decisionTaskCompletedEventId": 4,
    }
    swf.engine.skip(89)
    assert swf.names("w", run_id)[-1] == "TimerStarted"
    swf.engine.skip(1)
    assert swf.names("w", run_id)[-2:] == ["TimerFired", "DecisionTaskScheduled"]
    assert swf.last("w", run_id, "TimerFired") == {"timerId": "t", "startedEventId": 5}


def test_a_timer_of_no_time_brings_the_next_decision_at_once(swf: Swf) -> None:
    """The usual way to be asked again."""
    swf.start()
    swf.step(decide("StartTimer", timerId="now", startToFireTimeout="0"))
    swf.engine.skip(0)
    assert swf.decision()["taskToken"]


def test_a_canceled_timer_does_not_fire_and_frees_its_id(swf: Swf) -> None:
    """No decision task for the cancel."""
    run_id = swf.start()
    swf.step(
        decide("StartTimer", timerId="t", startToFireTimeout="90"),
        decide("CancelTimer", timerId="t"),
        decide("StartTimer", timerId="t", startToFireTimeout="100"),
    )
    assert swf.last("w", run_id, "TimerCanceled") == {
        "timerId": "t",
        "startedEventId": 5,
        "decisionTaskCompletedEventId": 4,
    }
    swf.engine.skip(99)
    assert "TimerFired" not in swf.names("w", run_id)
    swf.engine.skip(1)
    assert swf.last("w", run_id, "TimerFired")["startedEventId"] == 7


@pytest.mark.parametrize(
    ("decision", "cause"),
    [
        (decide("CancelTimer", timerId="no"), "TIMER_ID_UNKNOWN"),
        (decide("RequestCancelActivityTask", activityId="no"), "ACTIVITY_ID_UNKNOWN"),
        (
            schedule(activityType={"name": "no", "version": "1"}),
            "ACTIVITY_TYPE_DOES_NOT_EXIST",
        ),
        (
            decide(
                "StartChildWorkflowExecution",
                workflowType={"name": "no", "version": "1"},
                workflowId="c",
                **RUN,
            ),
            "WORKFLOW_TYPE_DOES_NOT_EXIST",
        ),
        (
            decide("SignalExternalWorkflowExecution", workflowId="no", signalName="s"),
            "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
        ),
        (
            decide("RequestCancelExternalWorkflowExecution", workflowId="no", runId="no"),
            "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
        ),
        (
            decide("ContinueAsNewWorkflowExecution", workflowTypeVersion="9", **RUN),
            "WORKFLOW_TYPE_DOES_NOT_EXIST",
        ),
        (
            decide("ScheduleLambdaFunction", id="l", name="f"),
            "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION",
        ),
    ],
)
def test_a_decision_about_something_unknown_fails_by_cause_and_asks_again(
    swf: Swf, decision: dict[str, Any], cause: str
) -> None:
    """One failure event, then one new decision task."""
    run_id = swf.start()
    swf.step(decision)
    events = swf.history("w", run_id)
    kind = decision["decisionType"]
    failed = swf.last("w", run_id, f"{kind}Failed")
    assert failed["cause"] == cause
    assert failed["decisionTaskCompletedEventId"] == 4
    assert events[-1]["eventType"] == "DecisionTaskScheduled"
    assert swf.decision()["taskToken"]


def test_a_deprecated_type_takes_no_new_work(swf: Swf) -> None:
    """Activities, children and continuations fail by cause; scheduled tasks go on."""
    run_id = swf.start()
    swf.step(schedule("before"))
    swf.api.deprecate_activity_type(domain="dom", activityType=ACT)
    flow = {"name": "flow", "version": "1"}
    swf.api.deprecate_workflow_type(domain="dom", workflowType=flow)
    swf.api.respond_activity_task_completed(taskToken=swf.activity()["taskToken"])
    swf.step(
        schedule("after"),
        decide("StartChildWorkflowExecution", workflowType=flow, workflowId="c", **RUN),
        decide("ContinueAsNewWorkflowExecution", **RUN),
    )
    activity = swf.last("w", run_id, "ScheduleActivityTaskFailed")
    child = swf.last("w", run_id, "StartChildWorkflowExecutionFailed")
    following = swf.last("w", run_id, "ContinueAsNewWorkflowExecutionFailed")
    assert activity["cause"] == "ACTIVITY_TYPE_DEPRECATED"
    assert (child["cause"], child["initiatedEventId"]) == ("WORKFLOW_TYPE_DEPRECATED", 0)
    assert following["cause"] == "WORKFLOW_TYPE_DEPRECATED"


def test_what_runs_outlives_its_type(swf: Swf) -> None:
    """A deleted type takes no new work and is free to be registered again; old work goes on."""
    run_id = swf.start()
    swf.step(schedule("a1"))
    flow = {"name": "flow", "version": "1"}
    swf.api.deprecate_activity_type(domain="dom", activityType=ACT)
    swf.api.delete_activity_type(domain="dom", activityType=ACT)
    swf.api.deprecate_workflow_type(domain="dom", workflowType=flow)
    swf.api.delete_workflow_type(domain="dom", workflowType=flow)
    task = swf.activity()
    assert task["activityType"] == ACT
    swf.api.respond_activity_task_completed(taskToken=task["taskToken"])
    child = decide("StartChildWorkflowExecution", workflowType=flow, workflowId="c", **RUN)
    swf.step(schedule("a2"), child, decide("ContinueAsNewWorkflowExecution", **RUN))
    given = map(attributes, swf.history("w", run_id))
    assert [one["cause"] for one in given if "cause" in one] == [
        "ACTIVITY_TYPE_DOES_NOT_EXIST",
        "WORKFLOW_TYPE_DOES_NOT_EXIST",
        "WORKFLOW_TYPE_DOES_NOT_EXIST",
    ]
    start = {"domain": "dom", "workflowId": "w2", "workflowType": flow, **RUN}
    assert swf.refusal("start_workflow_execution", **start) == (
        "UnknownResourceFault",
        "Unknown type: WorkflowType=[name=flow, version=1]",
    )
    swf.api.register_activity_type(domain="dom", **ACT)
    swf.step(schedule("a2"))
    swf.api.respond_activity_task_completed(taskToken=swf.activity()["taskToken"])
    swf.step(decide("CompleteWorkflowExecution"))
    assert swf.describe("w", run_id)["executionInfo"]["closeStatus"] == "COMPLETED"


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        ("taskList", "DEFAULT_TASK_LIST_UNDEFINED"),
        ("scheduleToStartTimeout", "DEFAULT_SCHEDULE_TO_START_TIMEOUT_UNDEFINED"),
        ("scheduleToCloseTimeout", "DEFAULT_SCHEDULE_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("startToCloseTimeout", "DEFAULT_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("heartbeatTimeout", "DEFAULT_HEARTBEAT_TIMEOUT_UNDEFINED"),
    ],
)
def test_an_activity_without_a_value_anywhere_fails_by_cause(
    swf: Swf, missing: str, cause: str
) -> None:
    """Each of the five has its own."""
    given = {name: value for name, value in ACTIVITY.items() if name != missing}
    run_id = swf.start()
    swf.step(decide("ScheduleActivityTask", activityType=ACT, activityId="a", **given))
    assert swf.last("w", run_id, "ScheduleActivityTaskFailed")["cause"] == cause


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        ("executionStartToCloseTimeout", "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("taskList", "DEFAULT_TASK_LIST_UNDEFINED"),
        ("taskStartToCloseTimeout", "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED"),
        ("childPolicy", "DEFAULT_CHILD_POLICY_UNDEFINED"),
    ],
)
def test_a_child_or_successor_without_a_value_anywhere_fails_by_cause(
    swf: Swf, missing: str, cause: str
) -> None:
    """The same four for both."""
    given = {name: value for name, value in RUN.items() if name != missing}
    flow = {"name": "flow", "version": "1"}
    run_id = swf.start()
    swf.step(
        decide("StartChildWorkflowExecution", workflowType=flow, workflowId="c", **given),
        decide("ContinueAsNewWorkflowExecution", **given),
    )
    child = swf.last("w", run_id, "StartChildWorkflowExecutionFailed")
    following = swf.last("w", run_id, "ContinueAsNewWorkflowExecutionFailed")
    assert (child["cause"], following["cause"]) == (cause, cause)


def test_a_timer_id_is_taken_while_it_runs(swf: Swf) -> None:
    """TIMER_ID_ALREADY_IN_USE; the first goes on."""
    run_id = swf.start()
    timer = decide("StartTimer", timerId="t", startToFireTimeout="9")
    swf.step(timer, timer)
    failed = swf.last("w", run_id, "StartTimerFailed")
    assert failed == {
        "timerId": "t",
        "cause": "TIMER_ID_ALREADY_IN_USE",
        "decisionTaskCompletedEventId": 4,
    }
    swf.engine.skip(9)
    assert swf.names("w", run_id).count("TimerFired") == 1


def test_at_most_a_thousand_timers_run(swf: Swf) -> None:
    """OPEN_TIMERS_LIMIT_EXCEEDED for the next."""
    run_id = swf.start()
    swf.step(*[decide("StartTimer", timerId=f"t{n}", startToFireTimeout="9") for n in range(1001)])
    failed = swf.last("w", run_id, "StartTimerFailed")
    assert (failed["timerId"], failed["cause"]) == ("t1000", "OPEN_TIMERS_LIMIT_EXCEEDED")


def test_a_failing_decision_does_not_stop_the_ones_behind_it(swf: Swf) -> None:
    """Each counts for itself; a close among them still closes."""
    run_id = swf.start()
    swf.step(
        decide("CancelTimer", timerId="no"),
        schedule(),
        decide("CompleteWorkflowExecution", result="r"),
    )
    assert swf.names("w", run_id)[4:] == [
        "CancelTimerFailed",
        "ActivityTaskScheduled",
        "WorkflowExecutionCompleted",
    ]


@pytest.mark.parametrize(
    ("bound", "decisions", "event", "cause"),
    [
        (
            "MAX_OPEN_CHILDREN",
            [
                decide(
                    "StartChildWorkflowExecution",
                    workflowType={"name": "flow", "version": "1"},
                    workflowId=f"c{number}",
                    **RUN,
                )
                for number in range(2)
            ],
            "StartChildWorkflowExecutionFailed",
            "OPEN_CHILDREN_LIMIT_EXCEEDED",
        ),
        (
            "MAX_OPEN_EXECUTIONS",
            [
                decide(
                    "StartChildWorkflowExecution",
                    workflowType={"name": "flow", "version": "1"},
                    workflowId="c",
                    **RUN,
                )
            ],
            "StartChildWorkflowExecutionFailed",
            "OPEN_WORKFLOWS_LIMIT_EXCEEDED",
        ),
    ],
)
def test_open_children_and_executions_are_bounded(
    swf: Swf,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    decisions: list[dict[str, Any]],
    event: str,
    cause: str,
) -> None:
    """With the bound lowered to one; the first is started, the next one fails by cause."""
    monkeypatch.setattr(f"garcon.engine.core.outward.{bound}", 1)
    run_id = swf.start()
    swf.step(*decisions)
    failed = swf.last("w", run_id, event)
    assert (failed["cause"], failed["initiatedEventId"]) == (cause, 0)


def test_an_answer_cannot_open_more_executions_than_there_is_room_for(
    swf: Swf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The children that it has asked for count, though none runs yet."""
    monkeypatch.setattr("garcon.engine.core.outward.MAX_OPEN_EXECUTIONS", 3)
    run_id = swf.start()
    child = {"workflowType": {"name": "flow", "version": "1"}, **RUN}
    swf.step(
        *[decide("StartChildWorkflowExecution", workflowId=f"c{n}", **child) for n in range(4)]
    )
    names = swf.names("w", run_id)
    assert names.count("ChildWorkflowExecutionStarted") == 2
    failed = swf.last("w", run_id, "StartChildWorkflowExecutionFailed")
    assert (failed["workflowId"], failed["cause"]) == ("c3", "OPEN_WORKFLOWS_LIMIT_EXCEEDED")


def test_open_executions_and_types_of_a_domain_are_bounded(
    swf: Swf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LimitExceededFault for the calls that would pass the bound."""
    monkeypatch.setattr("garcon.engine.service.runs.MAX_OPEN_EXECUTIONS", 1)
    monkeypatch.setattr("garcon.engine.service.registration.MAX_TYPES", 1)
    swf.start()
    flow = {"name": "flow", "version": "1"}
    code, _ = swf.refusal(
        "start_workflow_execution", domain="dom", workflowId="w2", workflowType=flow, **RUN
    )
    assert code == "LimitExceededFault"
    for kind in ("workflow", "activity"):
        code, _ = swf.refusal(f"register_{kind}_type", domain="dom", name="more", version="1")
        assert code == "LimitExceededFault"


@pytest.mark.parametrize(
    ("rates", "bound", "cause"),
    [
        ({}, 0, "OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED"),
        (
            {"ScheduleLambdaFunction": Rate(0.5, 0.1)},
            9,
            "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED",
        ),
    ],
)
def test_function_calls_are_bounded_in_number_and_rate(
    monkeypatch: pytest.MonkeyPatch, rates: dict[str, Rate], bound: int, cause: str
) -> None:
    """Neither figure is published; the engine has one of its own and a file may name a rate."""
    monkeypatch.setattr("garcon.engine.core.outward.MAX_OPEN_LAMBDAS", bound)
    settings = Settings(db=":memory:", functions={"f": "json:dumps"}, rates=rates)
    with engine_in_process(settings=settings, clock="virtual") as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start(lambdaRole="r")
        swf.step(decide("ScheduleLambdaFunction", id="l", name="f"))
        assert swf.last("w", run_id, "ScheduleLambdaFunctionFailed")["cause"] == cause

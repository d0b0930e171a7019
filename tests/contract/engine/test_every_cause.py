"""Every failure cause in botocore's model is met by a client, or stands here with its reason.

The model is the list: a cause that a newer botocore brings fails the first test until somebody
says how it arises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from botocore.loaders import Loader

from garcon.engine.core.buckets import Rate
from garcon.engine.http.server import Settings
from garcon.engine.testing import Engine, engine_in_process
from tests.contract.engine.swf import ACTIVITY, RUN, Swf, client, decide, schedule

SHAPES = Loader().load_service_model("swf", "service-2")["shapes"]
FLOW = {"name": "flow", "version": "1"}
NONE_SUCH = {"name": "none such", "version": "1"}

#: All pairs of a decision (or StartLambdaFunction, which the service does itself) and a cause.
MODEL = {
    (name.removesuffix("FailedCause"), cause)
    for name, shape in SHAPES.items()
    if name.endswith("FailedCause")
    for cause in shape["enum"]
}

#: Causes that no client can meet here.
CANNOT = {"OPERATION_NOT_PERMITTED": "an IAM policy refuses; the engine has no IAM"}


class Way(NamedTuple):
    """How a decision comes to fail.

    Attributes:
        decisions: the answer to the run's first decision task.
        meanwhile: what happens between its poll and its answer.
        bound: a quota, by its place in the code, and how low it is set meanwhile.
        rates: what the engine holds its clients to.
        functions: Lambda functions of the engine.
    """

    decisions: list[dict[str, Any]]
    meanwhile: Callable[[Swf], object] = lambda _: None
    bound: tuple[str, int] | None = None
    rates: dict[str, Rate] | None = None
    functions: dict[str, str] | None = None


def signal(swf: Swf) -> None:
    """Bring news that the decider has not seen."""
    swf.api.signal_workflow_execution(domain=swf.domain, workflowId="w", signalName="s")


def deprecate(kind: str, name: str) -> Callable[[Swf], object]:
    """Return what deprecates a type of the domain."""
    member = f"{kind}Type"
    given = {member: {"name": name, "version": "1"}}
    return lambda swf: getattr(swf.api, f"deprecate_{kind}_type")(domain=swf.domain, **given)


def without(settings: dict[str, Any], member: str) -> dict[str, Any]:
    """Return the settings but for one."""
    return {name: value for name, value in settings.items() if name != member}


def child(workflow_id: str = "c", **settings: Any) -> dict[str, Any]:
    """Return the decision that starts a child."""
    given = {"workflowType": FLOW, "workflowId": workflow_id, **(settings or RUN)}
    return decide("StartChildWorkflowExecution", **given)


def continuing(**settings: Any) -> dict[str, Any]:
    """Return the decision that continues as a new run."""
    return decide("ContinueAsNewWorkflowExecution", **(settings or RUN))


def function(**more: Any) -> dict[str, Any]:
    """Return the decision that calls the function ``f``."""
    return decide("ScheduleLambdaFunction", id="l", name="f", **more)


def exceeded(decision: dict[str, Any]) -> Way:
    """Return the way of a decision whose bucket is empty."""
    return Way([decision], rates={decision["decisionType"]: Rate(0.5, 0.1)})


TIMER = decide("StartTimer", timerId="t", startToFireTimeout="9")
SIGNAL = decide("SignalExternalWorkflowExecution", workflowId="no", signalName="s")
CANCEL = decide("RequestCancelExternalWorkflowExecution", workflowId="no")
F = {"f": "json:dumps"}
CORE = "garcon.engine.core"

WAYS: dict[tuple[str, str], Way] = {
    **{
        (kind, "UNHANDLED_DECISION"): Way([decide(kind)], signal)
        for kind in (
            "CompleteWorkflowExecution",
            "FailWorkflowExecution",
            "CancelWorkflowExecution",
            "ContinueAsNewWorkflowExecution",
        )
    },
    ("CancelTimer", "TIMER_ID_UNKNOWN"): Way([decide("CancelTimer", timerId="no")]),
    ("RequestCancelActivityTask", "ACTIVITY_ID_UNKNOWN"): Way(
        [decide("RequestCancelActivityTask", activityId="no")]
    ),
    ("StartTimer", "TIMER_ID_ALREADY_IN_USE"): Way([TIMER, TIMER]),
    ("StartTimer", "OPEN_TIMERS_LIMIT_EXCEEDED"): Way(
        [TIMER], bound=(f"{CORE}.decisions.MAX_OPEN_TIMERS", 0)
    ),
    ("StartTimer", "TIMER_CREATION_RATE_EXCEEDED"): exceeded(TIMER),
    ("SignalExternalWorkflowExecution", "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"): Way([SIGNAL]),
    (
        "SignalExternalWorkflowExecution",
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
    ): exceeded(SIGNAL),
    ("RequestCancelExternalWorkflowExecution", "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"): Way(
        [CANCEL]
    ),
    (
        "RequestCancelExternalWorkflowExecution",
        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
    ): exceeded(CANCEL),
    ("ScheduleActivityTask", "ACTIVITY_TYPE_DOES_NOT_EXIST"): Way(
        [schedule(activityType=NONE_SUCH)]
    ),
    ("ScheduleActivityTask", "ACTIVITY_TYPE_DEPRECATED"): Way(
        [schedule()], deprecate("activity", "act")
    ),
    ("ScheduleActivityTask", "ACTIVITY_ID_ALREADY_IN_USE"): Way([schedule(), schedule()]),
    ("ScheduleActivityTask", "OPEN_ACTIVITIES_LIMIT_EXCEEDED"): Way(
        [schedule()], bound=(f"{CORE}.decisions.MAX_OPEN_ACTIVITIES", 0)
    ),
    ("ScheduleActivityTask", "ACTIVITY_CREATION_RATE_EXCEEDED"): exceeded(schedule()),
    **{
        ("ScheduleActivityTask", f"DEFAULT_{name}_UNDEFINED"): Way(
            [
                decide(
                    "ScheduleActivityTask",
                    activityType={"name": "act", "version": "1"},
                    activityId="a",
                    **without(ACTIVITY, member),
                )
            ]
        )
        for name, member in (
            ("TASK_LIST", "taskList"),
            ("SCHEDULE_TO_START_TIMEOUT", "scheduleToStartTimeout"),
            ("SCHEDULE_TO_CLOSE_TIMEOUT", "scheduleToCloseTimeout"),
            ("START_TO_CLOSE_TIMEOUT", "startToCloseTimeout"),
            ("HEARTBEAT_TIMEOUT", "heartbeatTimeout"),
        )
    },
    ("StartChildWorkflowExecution", "WORKFLOW_TYPE_DOES_NOT_EXIST"): Way(
        [child(**RUN, workflowType=NONE_SUCH)]
    ),
    ("StartChildWorkflowExecution", "WORKFLOW_TYPE_DEPRECATED"): Way(
        [child()], deprecate("workflow", "flow")
    ),
    ("StartChildWorkflowExecution", "WORKFLOW_ALREADY_RUNNING"): Way([child("w")]),
    ("StartChildWorkflowExecution", "OPEN_CHILDREN_LIMIT_EXCEEDED"): Way(
        [child()], bound=(f"{CORE}.outward.MAX_OPEN_CHILDREN", 0)
    ),
    ("StartChildWorkflowExecution", "OPEN_WORKFLOWS_LIMIT_EXCEEDED"): Way(
        [child()], bound=(f"{CORE}.outward.MAX_OPEN_EXECUTIONS", 1)
    ),
    ("StartChildWorkflowExecution", "CHILD_CREATION_RATE_EXCEEDED"): exceeded(child()),
    ("ContinueAsNewWorkflowExecution", "WORKFLOW_TYPE_DOES_NOT_EXIST"): Way(
        [continuing(**RUN, workflowTypeVersion="9")]
    ),
    ("ContinueAsNewWorkflowExecution", "WORKFLOW_TYPE_DEPRECATED"): Way(
        [continuing()], deprecate("workflow", "flow")
    ),
    (
        "ContinueAsNewWorkflowExecution",
        "CONTINUE_AS_NEW_WORKFLOW_EXECUTION_RATE_EXCEEDED",
    ): exceeded(continuing()),
    **{
        (kind, f"DEFAULT_{name}_UNDEFINED"): Way([make(**without(RUN, member))])
        for kind, make in (
            ("StartChildWorkflowExecution", child),
            ("ContinueAsNewWorkflowExecution", continuing),
        )
        for name, member in (
            ("EXECUTION_START_TO_CLOSE_TIMEOUT", "executionStartToCloseTimeout"),
            ("TASK_LIST", "taskList"),
            ("TASK_START_TO_CLOSE_TIMEOUT", "taskStartToCloseTimeout"),
            ("CHILD_POLICY", "childPolicy"),
        )
    },
    ("ScheduleLambdaFunction", "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION"): Way([function()]),
    ("ScheduleLambdaFunction", "ID_ALREADY_IN_USE"): Way([function(), function()], functions=F),
    ("ScheduleLambdaFunction", "OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED"): Way(
        [function()], bound=(f"{CORE}.outward.MAX_OPEN_LAMBDAS", 0), functions=F
    ),
    ("ScheduleLambdaFunction", "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED"): exceeded(
        function()
    )._replace(functions=F),
    ("StartLambdaFunction", "ASSUME_ROLE_FAILED"): Way([function()], functions=F),
}


def test_every_cause_of_the_model_has_a_way_or_a_reason() -> None:
    """No cause is forgotten, none is on both lists, none is our own invention."""
    excused = {pair for pair in MODEL if pair[1] in CANNOT}
    assert set(WAYS) | excused == MODEL
    assert not set(WAYS) & excused


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """One engine for all ways that need no settings of their own; each has its own domain."""
    with engine_in_process(clock="virtual", poll_hold_s=0.1) as running:
        yield running


@pytest.mark.parametrize(("kind", "cause"), sorted(WAYS))
def test_a_client_meets_the_cause_in_the_decisions_failure_event(
    shared: Engine, monkeypatch: pytest.MonkeyPatch, kind: str, cause: str
) -> None:
    """The answer is accepted, the event says why, and a decision task follows."""
    way = WAYS[kind, cause]
    if not way.rates and not way.functions:
        meet(shared, monkeypatch, kind, cause)
        return
    rates, functions = way.rates or {}, way.functions or {}
    settings = Settings(db=":memory:", poll_hold_s=0.1, rates=rates, functions=functions)
    with engine_in_process(settings=settings, clock="virtual") as engine:
        meet(engine, monkeypatch, kind, cause)


def meet(engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str, cause: str) -> None:
    """Go a way and look at what is written at its end."""
    way = WAYS[kind, cause]
    swf = Swf(engine, client(engine.url), f"{kind} {cause}"[:256])
    swf.api.register_domain(name=swf.domain, workflowExecutionRetentionPeriodInDays="1")
    swf.api.register_workflow_type(domain=swf.domain, **FLOW)
    swf.api.register_activity_type(domain=swf.domain, name="act", version="1")
    without_role = kind == "StartLambdaFunction"
    run_id = swf.start(**({} if without_role else {"lambdaRole": "arn:aws:iam::1:role/r"}))
    task = swf.decision()
    way.meanwhile(swf)
    with monkeypatch.context() as patch:
        if way.bound is not None:
            patch.setattr(*way.bound)
        swf.answer(task, *way.decisions)
    assert swf.last("w", run_id, f"{kind}Failed")["cause"] == cause
    assert swf.decision()["taskToken"]

"""The 13 decisions: how an answered decision task becomes events.

What it never does: touch another execution; that is left as an effect. Its one law: a whole answer
is checked before any of it counts, and then a failing decision stops none behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from garcon.engine.core import faults
from garcon.engine.core.draft import (
    CallLambda,
    CancelOther,
    Draft,
    SignalOther,
    StartChild,
    StartNext,
    Step,
    parse_duration,
)
from garcon.engine.core.model import (
    REGISTERED,
    Activity,
    Child,
    Execution,
    Lambda,
    Profile,
    Timer,
    TypeRecord,
)
from garcon.engine.core.tables import (
    ACTIVITY_DEFAULTS,
    BARE_DECISIONS,
    CLOSING_DECISIONS,
    DECISION_ATTRIBUTES,
    MAX_LAMBDA_S,
    MAX_OPEN_ACTIVITIES,
    MAX_OPEN_CHILDREN,
    MAX_OPEN_EXECUTIONS,
    MAX_OPEN_LAMBDAS,
    MAX_OPEN_TIMERS,
    START_DEFAULTS,
)
from garcon.engine.core.transitions import profile_attributes, started_decision


class World(Protocol):
    """What decisions may ask about the rest of the engine (reading only)."""

    def activity_type(self, domain: str, name: str, version: str) -> TypeRecord | None:
        """A registered or deprecated activity type."""

    def workflow_type(self, domain: str, name: str, version: str) -> TypeRecord | None:
        """A registered or deprecated workflow type."""

    def open_executions(self, domain: str) -> int:
        """Open executions in the domain."""

    def mint_run_id(self) -> str:
        """A new run id."""

    def allow(self, decision_type: str) -> bool:
        """Whether the account's rate for such decisions permits one more; takes a token."""

    def has_lambda(self) -> bool:
        """Whether this engine can run functions at all."""


class Answer(NamedTuple):
    """A RespondDecisionTaskCompleted, checked against the service model."""

    scheduled_id: int
    started_id: int
    decisions: Sequence[dict[str, Any]]
    context: str | None
    sticky_list: str | None
    sticky_wait: str | None


_Handler = Callable[[Draft, dict[str, Any], int, World], None]


def check(decisions: Sequence[dict[str, Any]]) -> None:
    """Refuse an answer that is malformed as a whole.

    Raises:
        Fault: ValidationException; nothing has been written and the token stays good.
    """
    sentences = []
    for number, decision in enumerate(decisions, 1):
        kind = decision["decisionType"]
        member = DECISION_ATTRIBUTES[kind]
        if kind not in BARE_DECISIONS and decision.get(member) is None:
            path = f"decisions.{number}.member.{member}"
            sentences.append(faults.broken(None, path, "Member must not be null"))
    if sentences:
        raise faults.several(sentences)
    for decision in decisions[:-1]:
        if decision["decisionType"] in CLOSING_DECISIONS:
            raise faults.validation("Close must be last decision in list")


def complete(state: Execution, now_ms: int, answer: Answer, world: World) -> Step:
    """Close the decision task and carry out its decisions in their order."""
    task = started_decision(state, answer.scheduled_id, answer.started_id)
    check(answer.decisions)
    draft = Draft(state, now_ms)
    sticky = None if answer.sticky_list is None else {"name": answer.sticky_list}
    completed_id = draft.record(
        "DecisionTaskCompleted",
        {
            "scheduledEventId": task.scheduled_id,
            "startedEventId": task.started_id,
            "executionContext": answer.context,
            "taskList": sticky,
            "taskListScheduleToStartTimeout": answer.sticky_wait,
        },
    )
    state = draft.state
    state.started = None
    state.previous_started_id = task.started_id
    if answer.context is not None:
        state.context_id = completed_id
    if answer.sticky_list is not None:
        state.sticky_list = answer.sticky_list
        state.sticky_wait_s = parse_duration(answer.sticky_wait or "NONE")
    draft.answering = True
    for decision in answer.decisions:
        kind = decision["decisionType"]
        attributes = decision.get(DECISION_ATTRIBUTES[kind]) or {}
        _HANDLERS[kind](draft, attributes, completed_id, world)
    draft.end_answer()
    return draft.finish()


def _schedule_activity(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    state = draft.state
    name, version = given["activityType"]["name"], given["activityType"]["version"]
    record = world.activity_type(state.profile.domain, name, version)
    settings: dict[str, Any] = {}
    cause = _activity_cause(state, given, record, settings) if record else _NO_ACTIVITY_TYPE
    if cause is None and not world.allow("ScheduleActivityTask"):
        cause = "ACTIVITY_CREATION_RATE_EXCEEDED"
    head = {"activityType": {"name": name, "version": version}, "activityId": given["activityId"]}
    if cause is not None or record is None:
        failure = {**head, "cause": cause, "decisionTaskCompletedEventId": done}
        draft.record("ScheduleActivityTaskFailed", failure)
        return
    priority = given.get("taskPriority", record.defaults.get("defaultTaskPriority"))
    attributes = {
        **head,
        "input": given.get("input"),
        "control": given.get("control"),
        **settings,
        "taskPriority": priority,
        "decisionTaskCompletedEventId": done,
    }
    scheduled_id = draft.record("ActivityTaskScheduled", attributes)
    task = Activity(
        scheduled_id=scheduled_id,
        activity_id=given["activityId"],
        name=name,
        version=version,
        task_list=settings["taskList"]["name"],
        priority=int(priority or 0),
        schedule_to_start_s=parse_duration(settings["scheduleToStartTimeout"]),
        schedule_to_close_s=parse_duration(settings["scheduleToCloseTimeout"]),
        start_to_close_s=parse_duration(settings["startToCloseTimeout"]),
        heartbeat_s=parse_duration(settings["heartbeatTimeout"]),
        scheduled_ms=draft.now_ms,
    )
    draft.put("activities", task)


_NO_ACTIVITY_TYPE: Final = "ACTIVITY_TYPE_DOES_NOT_EXIST"


def _activity_cause(
    state: Execution, given: dict[str, Any], record: TypeRecord, settings: dict[str, Any]
) -> str | None:
    """Why an activity cannot be scheduled; fills ``settings`` when it can."""
    if record.status != REGISTERED:
        return "ACTIVITY_TYPE_DEPRECATED"
    if given["activityId"] in state.activity_ids:
        return "ACTIVITY_ID_ALREADY_IN_USE"
    if len(state.activities) >= MAX_OPEN_ACTIVITIES:
        return "OPEN_ACTIVITIES_LIMIT_EXCEEDED"
    for member, default, cause in ACTIVITY_DEFAULTS:
        value = given.get(member, record.defaults.get(default))
        if value is None:
            return f"DEFAULT_{cause}_UNDEFINED"
        settings[member] = value
    return None


def _cancel_activity(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    activity_id = given["activityId"]
    attributes = {"activityId": activity_id, "decisionTaskCompletedEventId": done}
    scheduled_id = draft.state.activity_ids.get(activity_id)
    if scheduled_id is None:
        failure = {**attributes, "cause": "ACTIVITY_ID_UNKNOWN"}
        draft.record("RequestCancelActivityTaskFailed", failure)
        return
    cancel_id = draft.record("ActivityTaskCancelRequested", attributes)
    task = draft.state.activities[scheduled_id]
    if task.started_id:
        draft.put("activities", task._replace(cancel_id=cancel_id))
        return
    draft.drop("activities", scheduled_id)
    attributes = {
        "scheduledEventId": scheduled_id,
        "startedEventId": 0,
        "latestCancelRequestedEventId": cancel_id,
    }
    draft.record("ActivityTaskCanceled", attributes)


def _start_timer(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    timer_id = given["timerId"]
    timers = draft.state.timers
    cause = None
    if timer_id in timers:
        cause = "TIMER_ID_ALREADY_IN_USE"
    elif len(timers) >= MAX_OPEN_TIMERS:
        cause = "OPEN_TIMERS_LIMIT_EXCEEDED"
    elif not world.allow("StartTimer"):
        cause = "TIMER_CREATION_RATE_EXCEEDED"
    attributes = {"timerId": timer_id, "cause": cause, "decisionTaskCompletedEventId": done}
    if cause is not None:
        draft.record("StartTimerFailed", attributes)
        return
    delay = given["startToFireTimeout"]
    attributes["control"] = given.get("control")
    started_id = draft.record("TimerStarted", {**attributes, "startToFireTimeout": delay})
    draft.put("timers", Timer(timer_id, started_id, draft.now_ms + int(delay) * 1000))


def _cancel_timer(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    attributes = {"timerId": given["timerId"], "decisionTaskCompletedEventId": done}
    timer = draft.state.timers.get(given["timerId"])
    if timer is None:
        draft.record("CancelTimerFailed", {**attributes, "cause": "TIMER_ID_UNKNOWN"})
        return
    draft.record("TimerCanceled", {**attributes, "startedEventId": timer.started_id})
    draft.drop("timers", timer.timer_id)


def _record_marker(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    attributes = {
        "markerName": given["markerName"],
        "details": given.get("details"),
        "decisionTaskCompletedEventId": done,
    }
    draft.record("MarkerRecorded", attributes)


def _start_child(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    state = draft.state
    name, version = given["workflowType"]["name"], given["workflowType"]["version"]
    settings: dict[str, Any] = {}
    record = world.workflow_type(state.profile.domain, name, version)
    cause = type_cause(record) or start_cause(given, record, settings)
    if cause is None and len(state.children) >= MAX_OPEN_CHILDREN:
        cause = "OPEN_CHILDREN_LIMIT_EXCEEDED"
    if cause is None and world.open_executions(state.profile.domain) >= MAX_OPEN_EXECUTIONS:
        cause = "OPEN_WORKFLOWS_LIMIT_EXCEEDED"
    if cause is None and not world.allow("StartChildWorkflowExecution"):
        cause = "CHILD_CREATION_RATE_EXCEEDED"
    if cause is not None:
        failure = {
            "workflowType": {"name": name, "version": version},
            "workflowId": given["workflowId"],
            "cause": cause,
            "initiatedEventId": 0,
            "decisionTaskCompletedEventId": done,
            "control": given.get("control"),
        }
        draft.record("StartChildWorkflowExecutionFailed", failure)
        return
    _initiate_child(draft, given, done, settings, record)


def _initiate_child(
    draft: Draft,
    given: dict[str, Any],
    done: int,
    settings: dict[str, Any],
    record: TypeRecord | None,
) -> None:
    parent = draft.state.profile
    kind = given["workflowType"]
    defaults = record.defaults if record else {}
    profile = make_profile(
        parent.domain, given["workflowId"], "", kind["name"], kind["version"], settings
    )._replace(
        priority=given.get("taskPriority", defaults.get("defaultTaskPriority")),
        lambda_role=given.get("lambdaRole", defaults.get("defaultLambdaRole")),
        tags=tuple(given.get("tagList") or ()),
        parent_key=draft.state.key,
        parent_workflow_id=parent.workflow_id,
        parent_run_id=parent.run_id,
    )
    attributes = {
        "workflowId": profile.workflow_id,
        "control": given.get("control"),
        "input": given.get("input"),
        **profile_attributes(profile),
        "decisionTaskCompletedEventId": done,
    }
    initiated_id = draft.record("StartChildWorkflowExecutionInitiated", attributes)
    child = Child(initiated_id, profile.workflow_id, "", profile.name, profile.version, 0)
    draft.put("children", child)
    profile = profile._replace(parent_initiated_id=initiated_id)
    draft.effects.append(
        StartChild(
            draft.state.key,
            initiated_id,
            done,
            profile,
            given.get("input"),
            given.get("control"),
        )
    )


def _signal_external(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    attributes = {
        "workflowId": given["workflowId"],
        "runId": given.get("runId"),
        "control": given.get("control"),
        "decisionTaskCompletedEventId": done,
    }
    if not world.allow("SignalExternalWorkflowExecution"):
        cause = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
        failure = {**attributes, "initiatedEventId": 0, "cause": cause}
        draft.record("SignalExternalWorkflowExecutionFailed", failure)
        return
    data = given.get("input")
    name = given["signalName"]
    initiated_id = draft.record(
        "SignalExternalWorkflowExecutionInitiated",
        {**attributes, "signalName": name, "input": data},
    )
    draft.effects.append(
        SignalOther(
            draft.state.key,
            initiated_id,
            done,
            given["workflowId"],
            given.get("runId"),
            given.get("control"),
            name,
            data,
        )
    )


def _cancel_external(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    attributes = {
        "workflowId": given["workflowId"],
        "runId": given.get("runId"),
        "control": given.get("control"),
        "decisionTaskCompletedEventId": done,
    }
    if not world.allow("RequestCancelExternalWorkflowExecution"):
        cause = "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
        failure = {**attributes, "initiatedEventId": 0, "cause": cause}
        draft.record("RequestCancelExternalWorkflowExecutionFailed", failure)
        return
    initiated_id = draft.record("RequestCancelExternalWorkflowExecutionInitiated", attributes)
    draft.effects.append(
        CancelOther(
            draft.state.key,
            initiated_id,
            done,
            given["workflowId"],
            given.get("runId"),
            given.get("control"),
        )
    )


def _unhandled(draft: Draft, kind: str, done: int) -> bool:
    """Refuse a close while news wait that this decider has not seen."""
    if draft.state.scheduled is None:
        return False
    failure = {"cause": "UNHANDLED_DECISION", "decisionTaskCompletedEventId": done}
    draft.record(f"{kind}Failed", failure)
    return True


def _complete(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    if not _unhandled(draft, "CompleteWorkflowExecution", done):
        outcome = {"result": given["result"]} if given.get("result") is not None else {}
        attributes = {**outcome, "decisionTaskCompletedEventId": done}
        draft.close("WorkflowExecutionCompleted", attributes, outcome)


def _fail(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    if not _unhandled(draft, "FailWorkflowExecution", done):
        outcome = {"reason": given.get("reason"), "details": given.get("details")}
        attributes = {**outcome, "decisionTaskCompletedEventId": done}
        draft.close("WorkflowExecutionFailed", attributes, outcome)


def _cancel(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    if not _unhandled(draft, "CancelWorkflowExecution", done):
        outcome = {"details": given.get("details")}
        attributes = {**outcome, "decisionTaskCompletedEventId": done}
        draft.close("WorkflowExecutionCanceled", attributes, outcome)


def _continue(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    if _unhandled(draft, "ContinueAsNewWorkflowExecution", done):
        return
    old = draft.state.profile
    version = given.get("workflowTypeVersion") or old.version
    record = world.workflow_type(old.domain, old.name, version)
    settings: dict[str, Any] = {}
    cause = type_cause(record) or start_cause(given, record, settings)
    if cause is None and not world.allow("ContinueAsNewWorkflowExecution"):
        cause = "CONTINUE_AS_NEW_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    if cause is not None:
        failure = {"cause": cause, "decisionTaskCompletedEventId": done}
        draft.record("ContinueAsNewWorkflowExecutionFailed", failure)
        return
    run_id = world.mint_run_id()
    profile = make_profile(old.domain, old.workflow_id, run_id, old.name, version, settings)
    profile = profile._replace(
        priority=given.get("taskPriority"),
        lambda_role=given.get("lambdaRole"),
        tags=tuple(given.get("tagList") or ()),
        parent_key=old.parent_key,
        parent_workflow_id=old.parent_workflow_id,
        parent_run_id=old.parent_run_id,
        parent_initiated_id=old.parent_initiated_id,
    )
    attributes = {
        "input": given.get("input"),
        "decisionTaskCompletedEventId": done,
        "newExecutionRunId": run_id,
        **profile_attributes(profile),
    }
    draft.close("WorkflowExecutionContinuedAsNew", attributes, {})
    # Before the children that this answer starts: one of them may want the same workflow id.
    draft.effects.insert(0, StartNext(profile, given.get("input"), old.run_id))


def _schedule_lambda(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    state = draft.state
    cause = None
    if any(call.function_id == given["id"] for call in state.lambdas.values()):
        cause = "ID_ALREADY_IN_USE"
    elif len(state.lambdas) >= MAX_OPEN_LAMBDAS:
        cause = "OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED"
    elif not world.has_lambda():
        cause = "LAMBDA_SERVICE_NOT_AVAILABLE_IN_REGION"
    elif not world.allow("ScheduleLambdaFunction"):
        cause = "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED"
    head = {"id": given["id"], "name": given["name"], "decisionTaskCompletedEventId": done}
    if cause is not None:
        draft.record("ScheduleLambdaFunctionFailed", {**head, "cause": cause})
        return
    timeout = given.get("startToCloseTimeout") or str(MAX_LAMBDA_S)
    data = given.get("input")
    settings = {"control": given.get("control"), "input": data, "startToCloseTimeout": timeout}
    scheduled_id = draft.record("LambdaFunctionScheduled", {**head, **settings})
    if not state.profile.lambda_role:
        failure = {
            "scheduledEventId": scheduled_id,
            "cause": "ASSUME_ROLE_FAILED",
            "message": "The execution has no lambda role",
        }
        draft.record("StartLambdaFunctionFailed", failure)
        return
    timeout_s = int(timeout)
    draft.put(
        "lambdas", Lambda(scheduled_id, given["id"], given["name"], 0, timeout_s, draft.now_ms)
    )
    draft.effects.append(
        CallLambda(state.key, scheduled_id, given["id"], given["name"], data, timeout_s)
    )


def type_cause(record: TypeRecord | None) -> str | None:
    """Why a workflow type cannot be started."""
    if record is None:
        return "WORKFLOW_TYPE_DOES_NOT_EXIST"
    return None if record.status == REGISTERED else "WORKFLOW_TYPE_DEPRECATED"


def start_cause(
    given: dict[str, Any], record: TypeRecord | None, settings: dict[str, Any]
) -> str | None:
    """Why a run cannot be configured; fills ``settings`` with the effective values."""
    defaults = record.defaults if record else {}
    for member, default, cause in START_DEFAULTS:
        value = given.get(member, defaults.get(default))
        if value is None:
            return f"DEFAULT_{cause}_UNDEFINED"
        settings[member] = value
    return None


def make_profile(
    domain: str,
    workflow_id: str,
    run_id: str,
    name: str,
    version: str,
    settings: dict[str, Any],
) -> Profile:
    """A profile from effective start values; its start time is set when it starts."""
    return Profile(
        domain=domain,
        workflow_id=workflow_id,
        run_id=run_id,
        name=name,
        version=version,
        task_list=settings["taskList"]["name"],
        priority=None,
        task_timeout_s=parse_duration(settings["taskStartToCloseTimeout"]),
        run_timeout_s=int(settings["executionStartToCloseTimeout"]),
        child_policy=settings["childPolicy"],
        lambda_role=None,
        tags=(),
        start_ms=0,
        parent_key=0,
        parent_workflow_id=None,
        parent_run_id=None,
        parent_initiated_id=0,
    )


_HANDLERS: Final[dict[str, _Handler]] = {
    "ScheduleActivityTask": _schedule_activity,
    "RequestCancelActivityTask": _cancel_activity,
    "StartTimer": _start_timer,
    "CancelTimer": _cancel_timer,
    "RecordMarker": _record_marker,
    "StartChildWorkflowExecution": _start_child,
    "SignalExternalWorkflowExecution": _signal_external,
    "RequestCancelExternalWorkflowExecution": _cancel_external,
    "CompleteWorkflowExecution": _complete,
    "FailWorkflowExecution": _fail,
    "CancelWorkflowExecution": _cancel,
    "ContinueAsNewWorkflowExecution": _continue,
    "ScheduleLambdaFunction": _schedule_lambda,
}

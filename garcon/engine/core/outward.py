"""Decisions that reach beyond their own run: children, successors, messages, functions.

What it never does: touch another execution; each leaves an effect that others carry out. Its one
law: what can be refused at once is refused here, before anything is initiated.
"""

from __future__ import annotations

from typing import Any

from garcon.engine.core.draft import (
    CallLambda,
    CancelOther,
    Draft,
    SignalOther,
    StartChild,
    StartNext,
)
from garcon.engine.core.model import Child, Lambda, TypeRecord
from garcon.engine.core.starts import make_profile, start_cause, type_cause
from garcon.engine.core.tables import (
    MAX_LAMBDA_S,
    MAX_OPEN_CHILDREN,
    MAX_OPEN_EXECUTIONS,
    MAX_OPEN_LAMBDAS,
)
from garcon.engine.core.transitions import profile_attributes
from garcon.engine.core.world import World


def start_child(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    """StartChildWorkflowExecution."""
    state = draft.state
    name, version = given["workflowType"]["name"], given["workflowType"]["version"]
    settings: dict[str, Any] = {}
    record = world.workflow_type(state.profile.domain, name, version)
    cause = type_cause(record) or start_cause(given, record, settings)
    if cause is None and len(state.children) >= MAX_OPEN_CHILDREN:
        cause = "OPEN_CHILDREN_LIMIT_EXCEEDED"
    if cause is None and _running(draft, world) >= MAX_OPEN_EXECUTIONS:
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


def _running(draft: Draft, world: World) -> int:
    """Open executions of the domain, with the children that this answer is about to start."""
    running = world.open_executions(draft.state.profile.domain)
    if running + len(draft.effects) < MAX_OPEN_EXECUTIONS:
        return running
    return running + sum(isinstance(effect, StartChild) for effect in draft.effects)


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


def signal_external(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    """SignalExternalWorkflowExecution."""
    attributes = _addressed(given, done)
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


def cancel_external(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    """RequestCancelExternalWorkflowExecution."""
    attributes = _addressed(given, done)
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


def _addressed(given: dict[str, Any], done: int) -> dict[str, Any]:
    """What the event of a message to another execution says, whatever the message is."""
    return {
        "workflowId": given["workflowId"],
        "runId": given.get("runId"),
        "control": given.get("control"),
        "decisionTaskCompletedEventId": done,
    }


def unhandled(draft: Draft, kind: str, done: int) -> bool:
    """Refuse a close while news wait that this decider has not seen."""
    if draft.state.scheduled is None:
        return False
    failure = {"cause": "UNHANDLED_DECISION", "decisionTaskCompletedEventId": done}
    draft.record(f"{kind}Failed", failure)
    return True


def continue_as_new(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    """ContinueAsNewWorkflowExecution."""
    if unhandled(draft, "ContinueAsNewWorkflowExecution", done):
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


def schedule_lambda(draft: Draft, given: dict[str, Any], done: int, world: World) -> None:
    """ScheduleLambdaFunction."""
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
    timeout = given.get("startToCloseTimeout")
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
    timeout_s = int(timeout or MAX_LAMBDA_S)
    draft.put(
        "lambdas", Lambda(scheduled_id, given["id"], given["name"], 0, timeout_s, draft.now_ms)
    )
    draft.effects.append(
        CallLambda(state.key, scheduled_id, given["id"], given["name"], data, timeout_s)
    )

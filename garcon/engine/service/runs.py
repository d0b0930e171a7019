"""Executions as wholes: start, signal, cancel, terminate, describe, read.

What it never does: look at tasks. Its one law: describing and reading cost the same for a run of
ten events and one of ten thousand, but for the page that was asked for.
"""

from __future__ import annotations

import json
from typing import Any

from garcon.engine.core import faults, transitions
from garcon.engine.core.draft import duration_text
from garcon.engine.core.jsontext import encode
from garcon.engine.core.model import DEPRECATED, Execution
from garcon.engine.core.starts import make_profile, start_cause
from garcon.engine.core.tables import (
    ATTRIBUTES,
    MAX_OPEN_EXECUTIONS,
    MAX_PAGE,
    START_DEFAULTS,
)
from garcon.engine.service.batch import Batch
from garcon.engine.service.registration import need_domain, unknown_type
from garcon.engine.service.tokens import page_token, read_page_token
from garcon.engine.service.world import World

Given = dict[str, Any]


def start(batch: Batch, given: Given) -> Given:
    """StartWorkflowExecution."""
    domain = batch.need_domain(given["domain"])
    kind = given["workflowType"]
    record = batch.workflow_type(domain.name, kind["name"], kind["version"])
    if record is None:
        raise unknown_type("WorkflowType", kind)
    if record.status == DEPRECATED:
        text = faults.type_text("WorkflowType", record.name, record.version)
        raise faults.Fault("TypeDeprecatedFault", text)
    settings: dict[str, Any] = {}
    cause = start_cause(given, record, settings)
    if cause is not None:
        member = next(row[0] for row in START_DEFAULTS if f"_{row[2]}_" in cause)
        raise faults.Fault("DefaultUndefinedFault", member)
    if batch.open_run(domain.name, given["workflowId"]) is not None:
        raise faults.Fault("WorkflowExecutionAlreadyStartedFault", "Already Started")
    if batch.open_executions(domain.name) >= MAX_OPEN_EXECUTIONS:
        raise faults.limit_exceeded(f"A domain has at most {MAX_OPEN_EXECUTIONS} open executions")
    run_id = batch.mint_run_id()
    profile = make_profile(
        domain.name, given["workflowId"], run_id, record.name, record.version, settings
    )._replace(
        priority=given.get("taskPriority", record.defaults.get("defaultTaskPriority")),
        lambda_role=given.get("lambdaRole", record.defaults.get("defaultLambdaRole")),
        tags=tuple(given.get("tagList") or ()),
    )
    batch.start(profile, given.get("input"))
    return {"runId": run_id}


def _need_open(batch: Batch, given: Given) -> Execution:
    batch.need_domain(given["domain"])
    state = batch.open_run(given["domain"], given["workflowId"])
    run_id = given.get("runId")
    if state is None or (run_id and state.profile.run_id != run_id):
        raise faults.unknown_execution(given["workflowId"], run_id)
    return state


def signal(batch: Batch, given: Given) -> None:
    """SignalWorkflowExecution."""
    state = _need_open(batch, given)
    batch.apply(transitions.signal(state, batch.now_ms, given["signalName"], given.get("input")))


def request_cancel(batch: Batch, given: Given) -> None:
    """RequestCancelWorkflowExecution."""
    batch.apply(transitions.request_cancel(_need_open(batch, given), batch.now_ms))


def terminate(batch: Batch, given: Given) -> None:
    """TerminateWorkflowExecution."""
    state = _need_open(batch, given)
    step = transitions.terminate(
        state,
        batch.now_ms,
        "OPERATOR_INITIATED",
        given.get("reason"),
        given.get("details"),
        given.get("childPolicy"),
    )
    batch.apply(step)


# -- reading ----------------------------------------------------------------------------------


def _find(world: World, given: Given) -> Execution:
    """An execution by both ids, open or retained."""
    need_domain(world, given["domain"])
    wanted = given["execution"]
    key = world.database.find_run(given["domain"], wanted["runId"])
    state = world.committed(key) if key is not None else None
    if state is None or state.profile.workflow_id != wanted["workflowId"]:
        raise faults.unknown_execution(wanted["workflowId"], wanted["runId"])
    return state


def describe(world: World, given: Given) -> Given:
    """DescribeWorkflowExecution."""
    state = _find(world, given)
    profile = state.profile
    activities, decisions, timers, children, lambdas = state.open_counts()
    configuration = {
        "taskStartToCloseTimeout": duration_text(profile.task_timeout_s),
        "executionStartToCloseTimeout": str(profile.run_timeout_s),
        "taskList": {"name": profile.task_list},
        "taskPriority": profile.priority,
        "childPolicy": profile.child_policy,
        "lambdaRole": profile.lambda_role,
    }
    detail: Given = {
        "executionInfo": info(state),
        "executionConfiguration": {k: v for k, v in configuration.items() if v is not None},
        "openCounts": {
            "openActivityTasks": activities,
            "openDecisionTasks": decisions,
            "openTimers": timers,
            "openChildWorkflowExecutions": children,
            "openLambdaFunctions": lambdas,
        },
    }
    if state.activity_ms:
        detail["latestActivityTaskTimestamp"] = state.activity_ms / 1000
    if state.context_id:
        event = json.loads(world.database.event(state.key, state.context_id))
        completed = event[ATTRIBUTES["DecisionTaskCompleted"]]
        detail["latestExecutionContext"] = completed["executionContext"]
    return detail


def info(state: Execution) -> Given:
    """An execution as lists and Describe show it."""
    profile = state.profile
    shown: Given = {
        "execution": {"workflowId": profile.workflow_id, "runId": profile.run_id},
        "workflowType": {"name": profile.name, "version": profile.version},
        "startTimestamp": profile.start_ms / 1000,
        "executionStatus": "OPEN" if state.is_open else "CLOSED",
        "cancelRequested": state.cancel_requested,
    }
    if not state.is_open:
        shown["closeTimestamp"] = state.close_ms / 1000
        shown["closeStatus"] = state.status
    if profile.parent_workflow_id is not None:
        shown["parent"] = {
            "workflowId": profile.parent_workflow_id,
            "runId": profile.parent_run_id,
        }
    if profile.tags:
        shown["tagList"] = list(profile.tags)
    return shown


def history(world: World, given: Given, now_ms: int) -> str:
    """GetWorkflowExecutionHistory."""
    state = _find(world, given)
    reverse = bool(given.get("reverseOrder"))
    scope = ["GetWorkflowExecutionHistory", given["domain"], state.profile.run_id, reverse]
    first, last = 1, state.last_id
    if given.get("nextPageToken"):
        (position,) = read_page_token(given["nextPageToken"], scope, now_ms, (int,))
        first, last = (1, position) if reverse else (position, last)
    size = given.get("maximumPageSize") or MAX_PAGE
    events = world.database.events(state.key, first, last, size, reverse)
    rest = (first, last - len(events)) if reverse else (first + len(events), last)
    text = '{"events":[' + ",".join(events) + "]"
    if rest[0] <= rest[1]:
        token = page_token(scope, [rest[1] if reverse else rest[0]], now_ms)
        text += f',"nextPageToken":{encode(token)}'
    return text + "}"

"""What facts do to an execution: starts, tasks, signals, cancels, closes.

What it never does: interpret decisions (``decisions``) or look at due times (``timeouts``). Its one
law: each function checks first and raises a fault before it changes its draft.
"""

from __future__ import annotations

from typing import Any

from garcon.engine.core import faults
from garcon.engine.core.draft import Draft, Step, TellParent, duration_text
from garcon.engine.core.model import Activity, DecisionTask, Execution, Profile
from garcon.engine.core.tables import CHILD_EVENTS


def workflow_type(name: str, version: str) -> dict[str, str]:
    """A type as the wire has it."""
    return {"name": name, "version": version}


def workflow_execution(workflow_id: str, run_id: str) -> dict[str, str]:
    """An execution as the wire has it."""
    return {"workflowId": workflow_id, "runId": run_id}


def profile_attributes(profile: Profile) -> dict[str, Any]:
    """The settings of a run as the start, child and continue events carry them."""
    return {
        "executionStartToCloseTimeout": str(profile.run_timeout_s),
        "taskStartToCloseTimeout": duration_text(profile.task_timeout_s),
        "childPolicy": profile.child_policy,
        "taskList": {"name": profile.task_list},
        "taskPriority": profile.priority,
        "workflowType": workflow_type(profile.name, profile.version),
        "tagList": list(profile.tags) or None,
        "lambdaRole": profile.lambda_role,
    }


def start(
    key: int, profile: Profile, data: str | None, now_ms: int, continued_from: str | None = None
) -> Step:
    """A new run with its first two events."""
    draft = Draft(Execution(key, profile), now_ms)
    parent = None
    if profile.parent_workflow_id is not None and profile.parent_run_id is not None:
        parent = workflow_execution(profile.parent_workflow_id, profile.parent_run_id)
    attributes = {
        "input": data,
        **profile_attributes(profile),
        "continuedExecutionRunId": continued_from,
        "parentWorkflowExecution": parent,
        "parentInitiatedEventId": profile.parent_initiated_id,
    }
    draft.record("WorkflowExecutionStarted", attributes)
    return draft.finish()


def start_decision(
    state: Execution, now_ms: int, identity: str | None, invocation: str | None
) -> Step:
    """Hand the waiting decision task to a poller."""
    task = state.scheduled
    if task is None or state.started is not None:
        raise faults.unknown_decision(0)
    draft = Draft(state, now_ms)
    started_id = draft.record(
        "DecisionTaskStarted", {"scheduledEventId": task.scheduled_id, "identity": identity}
    )
    draft.state.scheduled = None
    draft.state.started = task._replace(
        started_id=started_id, started_ms=now_ms, invocation=invocation
    )
    return draft.finish()


def started_decision(state: Execution, scheduled_id: int, started_id: int) -> DecisionTask:
    """The decision task of a token, or the fault a late answer gets."""
    _check_open(state)
    task = state.started
    if task is None or (task.scheduled_id, task.started_id) != (scheduled_id, started_id):
        raise faults.unknown_decision(scheduled_id)
    return task


def started_activity(state: Execution, scheduled_id: int, started_id: int) -> Activity:
    """The activity task of a token, or the fault a late answer gets."""
    _check_open(state)
    task: Activity | None = state.activities.get(scheduled_id)
    if task is None or not started_id or task.started_id != started_id:
        raise faults.unknown_activity(scheduled_id)
    return task


def _check_open(state: Execution) -> None:
    if not state.is_open:
        raise faults.unknown_execution(state.profile.workflow_id, state.profile.run_id)


def start_activity(
    state: Execution,
    now_ms: int,
    scheduled_id: int,
    identity: str | None,
    invocation: str | None,
) -> Step:
    """Hand a waiting activity task to a poller."""
    task = state.activities.get(scheduled_id)
    if task is None or task.started_id:
        raise faults.unknown_activity(scheduled_id)
    draft = Draft(state, now_ms)
    started_id = draft.record(
        "ActivityTaskStarted", {"scheduledEventId": scheduled_id, "identity": identity}
    )
    draft.state.activity_ms = now_ms
    draft.put(
        "activities",
        task._replace(
            started_id=started_id, started_ms=now_ms, beat_ms=now_ms, invocation=invocation
        ),
    )
    return draft.finish()


def beat(
    state: Execution, now_ms: int, scheduled_id: int, started_id: int, details: str | None
) -> tuple[Step, bool]:
    """A heartbeat: no event; the flag says whether a cancel was requested."""
    task = started_activity(state, scheduled_id, started_id)
    draft = Draft(state, now_ms)
    draft.put("activities", task._replace(beat_ms=now_ms, beat_details=details))
    return draft.finish(), bool(task.cancel_id)


def _close_activity(
    state: Execution, now_ms: int, task: Activity, event: str, attributes: dict[str, Any]
) -> Step:
    draft = Draft(state, now_ms)
    draft.drop("activities", task.scheduled_id)
    draft.state.activity_ms = now_ms
    draft.record(
        event,
        {**attributes, "scheduledEventId": task.scheduled_id, "startedEventId": task.started_id},
    )
    return draft.finish()


def complete_activity(
    state: Execution, now_ms: int, scheduled_id: int, started_id: int, result: str | None
) -> Step:
    """The worker's result."""
    task = started_activity(state, scheduled_id, started_id)
    return _close_activity(state, now_ms, task, "ActivityTaskCompleted", {"result": result})


def fail_activity(
    state: Execution,
    now_ms: int,
    scheduled_id: int,
    started_id: int,
    reason: str | None,
    details: str | None,
) -> Step:
    """The worker's failure."""
    task = started_activity(state, scheduled_id, started_id)
    attributes = {"reason": reason, "details": details}
    return _close_activity(state, now_ms, task, "ActivityTaskFailed", attributes)


def cancel_activity(
    state: Execution, now_ms: int, scheduled_id: int, started_id: int, details: str | None
) -> Step:
    """The worker gave up as it was asked to."""
    task = started_activity(state, scheduled_id, started_id)
    attributes = {"details": details, "latestCancelRequestedEventId": task.cancel_id or None}
    return _close_activity(state, now_ms, task, "ActivityTaskCanceled", attributes)


def time_out_activity(state: Execution, now_ms: int, task: Activity, timeout_type: str) -> Step:
    """A clock of the activity ran out; its last heartbeat's details are kept in the event."""
    attributes = {"timeoutType": timeout_type, "details": task.beat_details}
    return _close_activity(state, now_ms, task, "ActivityTaskTimedOut", attributes)


def signal(
    state: Execution,
    now_ms: int,
    name: str,
    data: str | None,
    sender: Profile | None = None,
    initiated_id: int = 0,
) -> Step:
    """A signal from outside, or from another execution."""
    _check_open(state)
    draft = Draft(state, now_ms)
    attributes = {"signalName": name, "input": data, **_sender(sender, initiated_id)}
    draft.record("WorkflowExecutionSignaled", attributes)
    return draft.finish()


def request_cancel(
    state: Execution,
    now_ms: int,
    cause: str | None = None,
    sender: Profile | None = None,
    initiated_id: int = 0,
) -> Step:
    """A wish to cancel, from outside, from another execution or by a parent's child policy."""
    _check_open(state)
    draft = Draft(state, now_ms)
    draft.state.cancel_requested = True
    attributes = {"cause": cause, **_sender(sender, initiated_id)}
    draft.record("WorkflowExecutionCancelRequested", attributes)
    return draft.finish()


def _sender(sender: Profile | None, initiated_id: int) -> dict[str, Any]:
    external = None if sender is None else workflow_execution(sender.workflow_id, sender.run_id)
    return {"externalWorkflowExecution": external, "externalInitiatedEventId": initiated_id}


def terminate(
    state: Execution,
    now_ms: int,
    cause: str,
    reason: str | None = None,
    details: str | None = None,
    child_policy: str | None = None,
) -> Step:
    """Close at once by the operator's or a parent's order."""
    _check_open(state)
    draft = Draft(state, now_ms)
    attributes = {
        "reason": reason,
        "details": details,
        "childPolicy": child_policy or state.profile.child_policy,
        "cause": cause,
    }
    draft.close("WorkflowExecutionTerminated", attributes, {})
    return draft.finish()


def child_started(state: Execution, now_ms: int, initiated_id: int, run_id: str) -> Step | None:
    """The parent learns that its child runs; None when the parent has closed meanwhile."""
    child = state.children.get(initiated_id)
    if child is None:
        return None
    draft = Draft(state, now_ms)
    attributes = {
        "workflowExecution": workflow_execution(child.workflow_id, run_id),
        "workflowType": workflow_type(child.name, child.version),
        "initiatedEventId": initiated_id,
    }
    started_id = draft.record("ChildWorkflowExecutionStarted", attributes)
    draft.put("children", child._replace(run_id=run_id, started_id=started_id))
    return draft.finish()


def child_refused(
    state: Execution,
    now_ms: int,
    initiated_id: int,
    completed_id: int,
    cause: str,
    control: str | None,
) -> Step | None:
    """The initiated child could not start."""
    child = state.children.get(initiated_id)
    if child is None:
        return None
    draft = Draft(state, now_ms)
    draft.drop("children", initiated_id)
    attributes = {
        "workflowType": workflow_type(child.name, child.version),
        "workflowId": child.workflow_id,
        "cause": cause,
        "initiatedEventId": initiated_id,
        "decisionTaskCompletedEventId": completed_id,
        "control": control,
    }
    draft.record("StartChildWorkflowExecutionFailed", attributes)
    return draft.finish()


def child_continued(state: Execution, now_ms: int, initiated_id: int, run_id: str) -> Step | None:
    """The child goes on as a new run: no event, but its policy must reach the new run."""
    child = state.children.get(initiated_id)
    if child is None:
        return None
    draft = Draft(state, now_ms)
    draft.put("children", child._replace(run_id=run_id))
    return draft.finish()


def child_closed(state: Execution, now_ms: int, news: TellParent) -> Step | None:
    """The parent learns how its child ended."""
    child = state.children.get(news.initiated_id)
    if child is None:
        return None
    draft = Draft(state, now_ms)
    draft.drop("children", news.initiated_id)
    attributes = {
        "workflowExecution": workflow_execution(news.workflow_id, news.run_id),
        "workflowType": workflow_type(child.name, child.version),
        **news.details,
        "initiatedEventId": news.initiated_id,
        "startedEventId": child.started_id,
    }
    draft.record(CHILD_EVENTS[news.status], attributes)
    return draft.finish()


def external_reached(
    state: Execution, now_ms: int, event: str, initiated_id: int, workflow_id: str, run_id: str
) -> Step | None:
    """A signal or cancel request arrived at its target."""
    if not state.is_open:
        return None
    draft = Draft(state, now_ms)
    attributes = {
        "workflowExecution": workflow_execution(workflow_id, run_id),
        "initiatedEventId": initiated_id,
    }
    draft.record(event, attributes)
    return draft.finish()


def external_refused(
    state: Execution, now_ms: int, event: str, attributes: dict[str, Any]
) -> Step | None:
    """A signal or cancel request found no open execution."""
    if not state.is_open:
        return None
    draft = Draft(state, now_ms)
    draft.record(event, attributes)
    return draft.finish()


def lambda_started(state: Execution, now_ms: int, scheduled_id: int) -> Step | None:
    """A function is handed to whoever runs it."""
    call = state.lambdas.get(scheduled_id)
    if call is None:
        return None
    draft = Draft(state, now_ms)
    started_id = draft.record("LambdaFunctionStarted", {"scheduledEventId": scheduled_id})
    draft.put("lambdas", call._replace(started_id=started_id, started_ms=now_ms))
    return draft.finish()


def lambda_ended(
    state: Execution, now_ms: int, scheduled_id: int, event: str, attributes: dict[str, Any]
) -> Step | None:
    """A function returned, failed or ran out of time; late news are dropped."""
    call = state.lambdas.get(scheduled_id)
    if call is None:
        return None
    draft = Draft(state, now_ms)
    draft.drop("lambdas", scheduled_id)
    draft.record(
        event,
        {**attributes, "scheduledEventId": scheduled_id, "startedEventId": call.started_id},
    )
    return draft.finish()

"""Polls and their answers: the operations that carry the work.

What it never does: parse a stored history beyond the one event a task begins with. Its one law: a
poll's answer is made only from what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from garcon.engine.core import decisions, faults, transitions
from garcon.engine.core.jsontext import decode, encode
from garcon.engine.core.model import Execution
from garcon.engine.core.tables import ATTRIBUTES, MAX_PAGE
from garcon.engine.service.batch import Batch
from garcon.engine.service.kernel import Kernel
from garcon.engine.service.lists import Assignment, ListKey, TaskKind
from garcon.engine.service.registration import need_domain
from garcon.engine.service.tokens import (
    TaskToken,
    page_token,
    read_page_token,
    read_task_token,
    run_check,
    task_token,
)

Given = dict[str, Any]

EMPTY_ACTIVITY = '{"taskToken":"","startedEventId":0}'
EMPTY_DECISION = '{"taskToken":"","startedEventId":0,"previousStartedEventId":0}'


class Call(NamedTuple):
    """What the wire knows of a call beside its body."""

    invocation: str | None
    alive: Callable[[], bool]


# -- polls ------------------------------------------------------------------------------------


async def poll_activity(kernel: Kernel, given: Given, call: Call) -> str:
    """PollForActivityTask."""
    need_domain(kernel.world, given["domain"])
    where: ListKey = ("activity", given["domain"], given["taskList"]["name"])
    task = await kernel.poll(where, given.get("identity"), call.invocation, call.alive)
    state = kernel.world.states.get(task.key) if task else None
    if task is None or state is None:
        return EMPTY_ACTIVITY
    return _activity_task(kernel, task, state)


def _activity_task(kernel: Kernel, task: Assignment, state: Execution) -> str:
    event = decode(kernel.world.database.event(task.key, task.scheduled_id))
    scheduled = event[ATTRIBUTES["ActivityTaskScheduled"]]
    profile = state.profile
    token = task_token("activity", task.key, task.scheduled_id, task.started_id, profile.run_id)
    answer = {
        "taskToken": token,
        "activityId": scheduled["activityId"],
        "startedEventId": task.started_id,
        "workflowExecution": {"workflowId": profile.workflow_id, "runId": profile.run_id},
        "activityType": scheduled["activityType"],
    }
    if "input" in scheduled:
        answer["input"] = scheduled["input"]
    return encode(answer)


async def poll_decision(kernel: Kernel, given: Given, call: Call) -> str:
    """PollForDecisionTask: a new task, or a further page of a started one."""
    need_domain(kernel.world, given["domain"])
    if given.get("nextPageToken"):
        return _decision_page(kernel, given)
    where: ListKey = ("decision", given["domain"], given["taskList"]["name"])
    task = await kernel.poll(where, given.get("identity"), call.invocation, call.alive)
    state = kernel.world.states.get(task.key) if task else None
    if task is None or state is None:
        return EMPTY_DECISION
    from_previous = given.get("startAtPreviousStartedEvent")
    first = max(1, state.previous_started_id) if from_previous else 1
    return _decision_task(kernel, given, task, state, first, task.started_id)


def _decision_page(kernel: Kernel, given: Given) -> str:
    """A page of a started decision task; refused once the task is gone."""
    now_ms = kernel.clock.now_ms()
    scope = _decision_scope(given)
    key, scheduled_id, started_id, first, last = read_page_token(
        given["nextPageToken"], scope, now_ms, (int,) * 5
    )
    state = kernel.world.states.get(key)
    started = state.started if state else None
    if state is None or started is None or started.started_id != started_id:
        raise faults.unknown_decision(scheduled_id)
    task = Assignment(key, scheduled_id, started_id)
    return _decision_task(kernel, given, task, state, first, last)


def _decision_scope(given: Given) -> list[Any]:
    return [
        "PollForDecisionTask",
        given["domain"],
        given["taskList"]["name"],
        bool(given.get("reverseOrder")),
    ]


def _decision_task(
    kernel: Kernel, given: Given, task: Assignment, state: Execution, first: int, last: int
) -> str:
    size = given.get("maximumPageSize") or MAX_PAGE
    reverse = bool(given.get("reverseOrder"))
    events = kernel.world.database.events(task.key, first, last, size, reverse)
    rest = (first, last - len(events)) if reverse else (first + len(events), last)
    profile = state.profile
    token = task_token("decision", task.key, task.scheduled_id, task.started_id, profile.run_id)
    head = {
        "taskToken": token,
        "startedEventId": task.started_id,
        "workflowExecution": {"workflowId": profile.workflow_id, "runId": profile.run_id},
        "workflowType": {"name": profile.name, "version": profile.version},
        "previousStartedEventId": state.previous_started_id,
    }
    if rest[0] <= rest[1]:
        position = [task.key, task.scheduled_id, task.started_id, *rest]
        scope = _decision_scope(given)
        head["nextPageToken"] = page_token(scope, position, kernel.clock.now_ms())
    return encode(head)[:-1] + ',"events":[' + ",".join(events) + "]}"


# -- answers ----------------------------------------------------------------------------------


def _find(batch: Batch, token: TaskToken, unknown: Callable[[int], faults.Fault]) -> Execution:
    state = batch.state(token.key)
    if state is None or run_check(state.profile.run_id) != token.run_check:
        raise unknown(token.scheduled_id)
    return state


def _activity(batch: Batch, given: Given) -> tuple[Execution, int, int]:
    token = read_task_token("activity", given["taskToken"])
    state = _find(batch, token, faults.unknown_activity)
    return state, token.scheduled_id, token.started_id


def complete_activity(batch: Batch, given: Given) -> None:
    """RespondActivityTaskCompleted."""
    state, scheduled_id, started_id = _activity(batch, given)
    result = given.get("result")
    batch.apply(
        transitions.complete_activity(state, batch.now_ms, scheduled_id, started_id, result)
    )


def fail_activity(batch: Batch, given: Given) -> None:
    """RespondActivityTaskFailed."""
    state, scheduled_id, started_id = _activity(batch, given)
    reason, details = given.get("reason"), given.get("details")
    step = transitions.fail_activity(state, batch.now_ms, scheduled_id, started_id, reason, details)
    batch.apply(step)


def cancel_activity(batch: Batch, given: Given) -> None:
    """RespondActivityTaskCanceled."""
    state, scheduled_id, started_id = _activity(batch, given)
    details = given.get("details")
    batch.apply(transitions.cancel_activity(state, batch.now_ms, scheduled_id, started_id, details))


def beat(batch: Batch, given: Given) -> Given:
    """RecordActivityTaskHeartbeat."""
    state, scheduled_id, started_id = _activity(batch, given)
    step, cancel = transitions.beat(
        state, batch.now_ms, scheduled_id, started_id, given.get("details")
    )
    batch.apply(step)
    return {"cancelRequested": cancel}


def complete_decision(batch: Batch, given: Given) -> None:
    """RespondDecisionTaskCompleted."""
    token: TaskToken = read_task_token("decision", given["taskToken"])
    state = _find(batch, token, faults.unknown_decision)
    sticky = given.get("taskList")
    answer = decisions.Answer(
        token.scheduled_id,
        token.started_id,
        given.get("decisions") or [],
        given.get("executionContext"),
        sticky["name"] if sticky else None,
        given.get("taskListScheduleToStartTimeout"),
    )
    batch.apply(decisions.complete(state, batch.now_ms, answer, batch))


def count_pending(kernel: Kernel, given: Given, kind: TaskKind) -> Given:
    """CountPendingActivityTasks and CountPendingDecisionTasks: what waits for a poller."""
    need_domain(kernel.world, given["domain"])
    where = (kind, given["domain"], given["taskList"]["name"])
    return {"count": kernel.world.lists.pending(where), "truncated": False}

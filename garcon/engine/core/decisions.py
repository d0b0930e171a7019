"""The 13 decisions: how an answered decision task becomes events.

What it never does: touch another execution; that is left as an effect. Its one law: a whole answer
is checked before any of it counts, and then a failing decision stops none behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from garcon.engine.core import faults
from garcon.engine.core.draft import Draft, Step, parse_duration
from garcon.engine.core.model import REGISTERED, Activity, Execution, Timer, TypeRecord
from garcon.engine.core.outward import (
    cancel_external,
    continue_as_new,
    schedule_lambda,
    signal_external,
    start_child,
    unhandled,
)
from garcon.engine.core.tables import (
    ACTIVITY_DEFAULTS,
    BARE_DECISIONS,
    CLOSING_DECISIONS,
    DECISION_ATTRIBUTES,
    MAX_OPEN_ACTIVITIES,
    MAX_OPEN_TIMERS,
)
from garcon.engine.core.transitions import started_decision
from garcon.engine.core.world import World


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
    check(answer.decisions)
    task = started_decision(state, answer.scheduled_id, answer.started_id)
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
    cause = _activity_cause(draft, given, record, settings) if record else _NO_ACTIVITY_TYPE
    if cause is None:
        task_list = f"{state.profile.domain}/{settings['taskList']['name']}"
        if not world.allow("ScheduleActivityTask", task_list):
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
    draft: Draft, given: dict[str, Any], record: TypeRecord, settings: dict[str, Any]
) -> str | None:
    """Why an activity cannot be scheduled; fills ``settings`` when it can."""
    if record.status != REGISTERED:
        return "ACTIVITY_TYPE_DEPRECATED"
    if draft.open_activity(given["activityId"]) is not None:
        return "ACTIVITY_ID_ALREADY_IN_USE"
    if len(draft.state.activities) >= MAX_OPEN_ACTIVITIES:
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
    scheduled_id = draft.open_activity(activity_id)
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
    draft.state.activity_ms = draft.now_ms
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


def _complete(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    if not unhandled(draft, "CompleteWorkflowExecution", done):
        outcome = {"result": given["result"]} if given.get("result") is not None else {}
        attributes = {**outcome, "decisionTaskCompletedEventId": done}
        draft.close("WorkflowExecutionCompleted", attributes, outcome)


def _fail(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    if not unhandled(draft, "FailWorkflowExecution", done):
        outcome = {"reason": given.get("reason"), "details": given.get("details")}
        attributes = {**outcome, "decisionTaskCompletedEventId": done}
        draft.close("WorkflowExecutionFailed", attributes, outcome)


def _cancel(draft: Draft, given: dict[str, Any], done: int, _world: World) -> None:
    if not unhandled(draft, "CancelWorkflowExecution", done):
        outcome = {"details": given.get("details")}
        attributes = {**outcome, "decisionTaskCompletedEventId": done}
        draft.close("WorkflowExecutionCanceled", attributes, outcome)


_HANDLERS: Final[dict[str, _Handler]] = {
    "ScheduleActivityTask": _schedule_activity,
    "RequestCancelActivityTask": _cancel_activity,
    "StartTimer": _start_timer,
    "CancelTimer": _cancel_timer,
    "RecordMarker": _record_marker,
    "StartChildWorkflowExecution": start_child,
    "SignalExternalWorkflowExecution": signal_external,
    "RequestCancelExternalWorkflowExecution": cancel_external,
    "CompleteWorkflowExecution": _complete,
    "FailWorkflowExecution": _fail,
    "CancelWorkflowExecution": _cancel,
    "ContinueAsNewWorkflowExecution": continue_as_new,
    "ScheduleLambdaFunction": schedule_lambda,
}

"""When something falls due, and what happens then.

What it never does: look at a clock; the time is an argument. Its one law: whether a deadline still
holds is read from the state when it fires, so a stale deadline does nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from garcon.engine.core.draft import Draft, Step
from garcon.engine.core.model import Activity, Execution, Kind, Lambda, Timer
from garcon.engine.core.transitions import lambda_ended, time_out_activity

DueKind = Literal["run", "decision", "activities", "timers", "lambdas"]


def activity_due(task: Activity) -> tuple[int, str] | None:
    """The next deadline of an activity: epoch milliseconds and timeout type.

    On a tie the first of its clocks is the one written.
    """
    best: tuple[int, str] | None = None
    for name, beginning_ms, seconds in _clocks(task):
        if seconds is not None and (best is None or beginning_ms + seconds * 1000 < best[0]):
            best = (beginning_ms + seconds * 1000, name)
    return best


def _clocks(task: Activity) -> tuple[tuple[str, int, int | None], ...]:
    """The clocks that run: timeout type, beginning in epoch milliseconds, seconds."""
    to_close = ("SCHEDULE_TO_CLOSE", task.scheduled_ms, task.schedule_to_close_s)
    if not task.started_id:
        return (("SCHEDULE_TO_START", task.scheduled_ms, task.schedule_to_start_s), to_close)
    return (
        ("START_TO_CLOSE", task.started_ms, task.start_to_close_s),
        to_close,
        ("HEARTBEAT", task.beat_ms, task.heartbeat_s),
    )


def decision_due(state: Execution) -> int | None:
    """When the decision task times out, in its decider's hands or in a sticky list."""
    if state.started is not None:
        task = state.started
        return None if task.timeout_s is None else task.started_ms + task.timeout_s * 1000
    waiting = state.scheduled
    if waiting is None or waiting.wait_s is None:
        return None
    return waiting.scheduled_ms + waiting.wait_s * 1000


def run_due(state: Execution) -> int | None:
    """When the whole run times out."""
    if not state.is_open:
        return None
    return state.profile.start_ms + state.profile.run_timeout_s * 1000


def item_due(kind: Kind, item: Any) -> int | None:
    """The next deadline of an open item; children have none of their own here."""
    if isinstance(item, Timer):
        return item.fire_ms
    if isinstance(item, Activity):
        due = activity_due(item)
        return due[0] if due else None
    if isinstance(item, Lambda) and kind == "lambdas":
        return item.started_ms + item.timeout_s * 1000
    return None


def fire(state: Execution, kind: DueKind, key: Any, now_ms: int) -> Step | None:
    """What a deadline does; None when it no longer holds."""
    if kind == "run":
        return _fire_run(state, now_ms)
    if kind == "decision":
        return _fire_decision(state, now_ms)
    item = state.table(kind).get(key)
    if item is None:
        return None
    if kind == "activities":
        due = activity_due(item)
        if due is None or due[0] > now_ms:
            return None
        return time_out_activity(state, now_ms, item, due[1])
    due_ms = item_due(kind, item)
    if due_ms is None or due_ms > now_ms:
        return None
    if kind == "timers":
        return _fire_timer(state, now_ms, item)
    attributes = {"timeoutType": "START_TO_CLOSE"}
    return lambda_ended(state, now_ms, key, "LambdaFunctionTimedOut", attributes)


def _fire_run(state: Execution, now_ms: int) -> Step | None:
    due_ms = run_due(state)
    if due_ms is None or due_ms > now_ms:
        return None
    draft = Draft(state, now_ms)
    attributes = {"timeoutType": "START_TO_CLOSE", "childPolicy": state.profile.child_policy}
    to_parent = {"timeoutType": "START_TO_CLOSE"}
    draft.close("WorkflowExecutionTimedOut", attributes, to_parent)
    return draft.finish()


def _fire_decision(state: Execution, now_ms: int) -> Step | None:
    due_ms = decision_due(state)
    if due_ms is None or due_ms > now_ms:
        return None
    draft = Draft(state, now_ms)
    task = state.started or state.scheduled
    if task is None:
        return None
    timeout_type = "START_TO_CLOSE" if task.started_id else "SCHEDULE_TO_START"
    if task.started_id:
        draft.state.started = None
    else:
        draft.state.scheduled = None
    if draft.state.sticky_wait_s is not None:
        # An override that was given a time ends with the first task that ran out of it.
        draft.state.sticky_list = draft.state.sticky_wait_s = None
    draft.record(
        "DecisionTaskTimedOut",
        {
            "timeoutType": timeout_type,
            "scheduledEventId": task.scheduled_id,
            "startedEventId": task.started_id,
        },
    )
    draft.end_answer()
    return draft.finish()


def _fire_timer(state: Execution, now_ms: int, timer: Timer) -> Step:
    draft = Draft(state, now_ms)
    draft.drop("timers", timer.timer_id)
    attributes = {"timerId": timer.timer_id, "startedEventId": timer.started_id}
    draft.record("TimerFired", attributes)
    return draft.finish()

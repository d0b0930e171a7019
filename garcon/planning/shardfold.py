"""What events about shards do to a folded state: those of the parent, and those of the shard.

Part of the fold; `garcon.history` binds these functions to their events. Pure. Law: as there, only
events change a state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from garcon.description import SHARD_TYPE_SUFFIX
from garcon.errors import ManifestError
from garcon.planning.fanout import INSTANCE_BYTES, FanOut, Slice, as_text
from garcon.planning.shards import (
    SCHEDULED_SIGNAL,
    Owed,
    ShardResult,
    decode_order,
    decode_result,
)

if TYPE_CHECKING:
    from garcon.history import RunState

Attributes = Mapping[str, Any]

#: Causes of a refused start that pass with time.
PASSING_CAUSES = frozenset(
    {
        "OPEN_CHILDREN_LIMIT_EXCEEDED",
        "OPEN_WORKFLOWS_LIMIT_EXCEEDED",
        "CHILD_CREATION_RATE_EXCEEDED",
    }
)


SIGNAL_RATE_EXCEEDED = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"


@dataclass(frozen=True)
class Debt:
    """A closed shard whose result is still to be read from its history."""

    workflow_id: str
    at_s: float
    owed: Owed


def begin_shard(state: RunState, input_text: str | None) -> None:
    """Take what a shard was started with: its slice is there from the first event."""
    try:
        order = decode_order(input_text)
    except ManifestError as error:
        state.fault = str(error)
        return
    state.order = order
    key = (order.manifest.activity, order.manifest.schedule_id)
    fan_out = state.fan_outs[key] = FanOut(order.manifest)
    if order.spent:
        fan_out.go_on(order.spent)
        state.weight += INSTANCE_BYTES * len(order.spent)


def is_shard_type(workflow_type: str) -> bool:
    """Whether an execution of this type is a shard."""
    return workflow_type.endswith(SHARD_TYPE_SUFFIX)


def on_initiated(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold StartChildWorkflowExecutionInitiated."""
    control = _control(found.get("control"))
    fan_out = state.fan_outs.get((control["of"], control.get("id", ""))) if control else None
    if control is None or fan_out is None:
        return
    ranges = tuple((int(begin), int(end)) for begin, end in control["ranges"])
    started = Slice(found["workflowId"], control["shard"], control["attempt"], ranges)
    fan_out.assign(started)
    state.note_accepted(found["decisionTaskCompletedEventId"])
    state.children[started.workflow_id] = (started, fan_out)


def on_start_failed(state: RunState, _: int, at_s: float, found: Attributes) -> None:
    """Fold StartChildWorkflowExecutionFailed."""
    cause = found["cause"]
    known = state.children.pop(found["workflowId"], None) if found["initiatedEventId"] else None
    if known is not None:
        # It had been initiated: the next attempt gets another id.
        known[1].give_back(known[0])
    if cause == "WORKFLOW_ALREADY_RUNNING" and known is not None:
        return
    if cause in PASSING_CAUSES:
        state.note_refusal(found["decisionTaskCompletedEventId"], at_s)
    else:
        state.note_fatal(f"child execution {found['workflowId']}", cause)


def on_child_started(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold ChildWorkflowExecutionStarted."""
    known = state.children.get(found["workflowExecution"]["workflowId"])
    if known is not None:
        known[0].run_id = found["workflowExecution"]["runId"]


def on_child_completed(state: RunState, event_id: int, at_s: float, found: Attributes) -> None:
    """Fold ChildWorkflowExecutionCompleted."""
    _close(state, event_id, at_s, found, found.get("result"))


def on_child_canceled(state: RunState, event_id: int, at_s: float, found: Attributes) -> None:
    """Fold ChildWorkflowExecutionCanceled: what it had done counts."""
    _close(state, event_id, at_s, found, found.get("details"))


def on_child_failed(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold ChildWorkflowExecutionFailed."""
    _lose(state, found, found.get("reason", "it failed"))


def on_child_timed_out(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold ChildWorkflowExecutionTimedOut."""
    _lose(state, found, "it timed out")


def on_child_terminated(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold ChildWorkflowExecutionTerminated."""
    _lose(state, found, "it was terminated")


def on_child_cancel_asked(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold RequestCancelExternalWorkflowExecutionInitiated, and its failure: it is not repeated.

    A shard that hears of no cancel ends when its grace is over.
    """
    known = state.children.get(found["workflowId"])
    if known is not None:
        known[0].cancel_requested = True


def on_signal_sent(state: RunState, _: int, __: float, found: Attributes) -> None:
    """Fold SignalExternalWorkflowExecutionInitiated: a shard has told its parent."""
    state.told_parent = state.told_parent or found["signalName"] == SCHEDULED_SIGNAL


def on_signal_failed(state: RunState, _: int, at_s: float, found: Attributes) -> None:
    """Fold SignalExternalWorkflowExecutionFailed: what was too much for now is sent again later.

    Any other failure is final. A parent that was not told waits for the shard's end instead.
    """
    if found["signalName"] != SCHEDULED_SIGNAL:
        return
    state.told_parent = found["cause"] != SIGNAL_RATE_EXCEEDED
    if not state.told_parent:
        state.note_refusal(found["decisionTaskCompletedEventId"], at_s)


def take_signal(state: RunState, found: Attributes) -> bool:
    """Return whether a signal was a shard's, which is not the user's to see."""
    if found["signalName"] != SCHEDULED_SIGNAL:
        return False
    sender = found.get("externalWorkflowExecution", {}).get("workflowId", "")
    if sender in state.children:
        state.children[sender][0].is_scheduled = True
    return True


def settle(state: RunState, event_id: int, result: ShardResult) -> None:
    """Take the result of the shard that closed at `event_id`, whose markers held it."""
    debt = state.owed.pop(event_id)
    _take(state, event_id, debt.at_s, debt.workflow_id, result)


def _take(
    state: RunState, event_id: int, at_s: float, workflow_id: str, result: ShardResult
) -> None:
    started, fan_out = state.children.pop(workflow_id)
    fan_out.close_slice(started, result, event_id, at_s)
    if result.results:
        state.add_result(event_id, as_text(result.results))


def _close(
    state: RunState, event_id: int, at_s: float, found: Attributes, text: str | None
) -> None:
    workflow_id = found["workflowExecution"]["workflowId"]
    known = state.children.get(workflow_id)
    if known is None:
        return
    known[0].run_id = found["workflowExecution"]["runId"]
    result = decode_result(text)
    if result is None:
        _lose(state, found, "it closed without a result that garcon knows")
    elif isinstance(result, Owed):
        state.owed[event_id] = Debt(workflow_id, at_s, result)
    else:
        _take(state, event_id, at_s, workflow_id, result)


def _lose(state: RunState, found: Attributes, reason: str) -> None:
    known = state.children.pop(found["workflowExecution"]["workflowId"], None)
    if known is not None:
        known[1].lose_slice(known[0], reason)


def _control(text: str | None) -> dict[str, Any] | None:
    """Return what garcon wrote beside the start of a shard, None for anything else."""
    if not text or not text.startswith('{"garcon":1,'):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if {"of", "shard", "attempt", "ranges"} <= found.keys() else None

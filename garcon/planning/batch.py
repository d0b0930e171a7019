"""The decisions of one response, within what SWF takes at once.

Pure. Law: a batch never exceeds its limits; what does not fit waits for the next decision, which a
0-second timer asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Decision = dict[str, Any]

#: Decisions of one response. SWF's page says "varies"; 100 was the hard limit and is what clients
#: keep to (SWF Developer Guide, "Amazon SWF quotas").
DECISIONS_MAX = 100

#: Bytes of one response; SWF refuses requests above 1 MB, headers included.
BYTES_MAX = 900_000

#: Kept free for what always fits: the progress text, the timers and the frame around it all.
BYTES_RESERVED = 40_000
DECISIONS_RESERVED = 2  # a timer, and one canceled before it

MORE_TIMER = "garcon.more"
DUE_TIMER = "garcon.due"


class Batch:
    """Decisions in the order in which SWF takes them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.decisions: list[Decision] = []
        self._bytes = 0

    def add(self, *decisions: Decision) -> bool:
        """Take `decisions` together; return False, taking none, where they do not all fit."""
        size = sum(size_of(decision) for decision in decisions)
        if len(self.decisions) + len(decisions) > DECISIONS_MAX - DECISIONS_RESERVED:
            return False
        if self._bytes + size > BYTES_MAX - BYTES_RESERVED:
            return False
        self.force(*decisions)
        self._bytes += size
        return True

    def force(self, *decisions: Decision) -> None:
        """Take one of the decisions that room is kept for: a timer or the closing one."""
        self.decisions.extend(decisions)


def size_of(decision: Mapping[str, Any]) -> int:
    """Return the bytes that `decision` takes on the wire at most."""
    return len(json.dumps(decision)) + 1


def is_schedule(decision: Mapping[str, Any]) -> bool:
    """Whether `decision` schedules an activity."""
    return bool(decision["decisionType"] == "ScheduleActivityTask")


def schedule_activity(**attributes: Any) -> Decision:
    """Return a ScheduleActivityTask decision; attributes that are None are left out."""
    return _decision("ScheduleActivityTask", attributes)


def cancel_activity(activity_id: str) -> Decision:
    """Return a decision that asks an open activity to stop."""
    return _decision("RequestCancelActivityTask", {"activityId": activity_id})


def record_marker(name: str, details: str) -> Decision:
    """Return a RecordMarker decision."""
    return _decision("RecordMarker", {"markerName": name, "details": details})


def start_child(**attributes: Any) -> Decision:
    """Return a StartChildWorkflowExecution decision; attributes that are None are left out."""
    return _decision("StartChildWorkflowExecution", attributes)


def cancel_child(workflow_id: str, run_id: str) -> Decision:
    """Return a decision that asks a child execution to cancel."""
    attributes = {"workflowId": workflow_id, "runId": run_id or None}
    return _decision("RequestCancelExternalWorkflowExecution", attributes)


def signal_execution(workflow_id: str, run_id: str, name: str) -> Decision:
    """Return a decision that signals another execution."""
    attributes = {"workflowId": workflow_id, "runId": run_id, "signalName": name}
    return _decision("SignalExternalWorkflowExecution", attributes)


def start_timer(timer_id: str, seconds: int) -> Decision:
    """Return a StartTimer decision."""
    return _decision("StartTimer", {"timerId": timer_id, "startToFireTimeout": str(seconds)})


def cancel_timer(timer_id: str) -> Decision:
    """Return a CancelTimer decision."""
    return _decision("CancelTimer", {"timerId": timer_id})


def complete_execution(result: str | None = None) -> Decision:
    """Return the decision that closes the execution as completed."""
    return _decision("CompleteWorkflowExecution", {"result": result})


def fail_execution(reason: str, details: str | None = None) -> Decision:
    """Return the decision that closes the execution as failed."""
    return _decision("FailWorkflowExecution", {"reason": reason, "details": details})


def cancel_execution(details: str | None = None) -> Decision:
    """Return the decision that closes the execution as canceled."""
    return _decision("CancelWorkflowExecution", {"details": details})


def _decision(kind: str, attributes: Mapping[str, Any]) -> Decision:
    member = f"{kind[0].lower()}{kind[1:]}DecisionAttributes"
    present = {name: value for name, value in attributes.items() if value is not None}
    return {"decisionType": kind, member: present}

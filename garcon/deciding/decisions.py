"""A list of decisions that also takes them by name, as boto 2's Layer1Decisions did.

For subclasses of DeciderWorker and deciders that add decisions of their own. Law: a method adds
exactly one decision, in SWF's form; nothing is sent here.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

from garcon.planning import batch
from garcon.planning.batch import Decision


class Decisions(list[Decision]):
    """Decisions for one response.

    Attributes:
        execution_context: the progress to send beside them, None for none.
    """

    execution_context: str | None = None

    def schedule_activity_task(
        self,
        activity_id: str,
        activity_type_name: str,
        activity_type_version: str,
        task_list: str | None = None,
        control: str | None = None,
        heartbeat_timeout: str | None = None,
        schedule_to_close_timeout: str | None = None,
        schedule_to_start_timeout: str | None = None,
        start_to_close_timeout: str | None = None,
        input: str | None = None,
    ) -> None:
        """Schedule an activity; timeouts in seconds as text, or NONE."""
        self.append(
            batch.schedule_activity(
                activityType={"name": activity_type_name, "version": activity_type_version},
                activityId=activity_id,
                control=control,
                taskList=None if task_list is None else {"name": task_list},
                input=input,
                startToCloseTimeout=start_to_close_timeout,
                scheduleToStartTimeout=schedule_to_start_timeout,
                scheduleToCloseTimeout=schedule_to_close_timeout,
                heartbeatTimeout=heartbeat_timeout,
            )
        )

    def request_cancel_activity_task(self, activity_id: str) -> None:
        """Ask an open activity to stop."""
        self.append(batch.cancel_activity(activity_id))

    def record_marker(self, marker_name: str, details: str = "") -> None:
        """Write a marker into the history."""
        self.append(batch.record_marker(marker_name, details))

    def start_timer(self, start_to_fire_timeout: int | str, timer_id: str) -> None:
        """Start a timer that wakes the decider after whole seconds."""
        self.append(batch.start_timer(timer_id, int(start_to_fire_timeout)))

    def cancel_timer(self, timer_id: str) -> None:
        """Cancel an open timer."""
        self.append(batch.cancel_timer(timer_id))

    def complete_workflow_execution(self, result: str | None = None) -> None:
        """Close the execution as completed."""
        self.append(batch.complete_execution(result))

    def fail_workflow_execution(
        self, reason: str | None = None, details: str | None = None
    ) -> None:
        """Close the execution as failed."""
        self.append(batch.fail_execution(reason or "failed", details))

    def cancel_workflow_executions(self, details: str | None = None) -> None:
        """Close the execution as canceled; the name is boto 2's."""
        self.append(batch.cancel_execution(details))


def add_decisions(target: Any, decisions: list[Decision]) -> None:
    """Add `decisions` to what a caller collects in: a list, or boto 2's Layer1Decisions.

    Args:
        target: a list, or an object with `_data`, where boto 2 keeps its decisions.
        decisions: in SWF's form.
    """
    collected = target if isinstance(target, MutableSequence) else target._data
    collected.extend(decisions)

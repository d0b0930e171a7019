"""The context of an execution: its input, and the results of its activities over it.

A dict, so that it serves wherever a flow expects one, folded from SWF's events in their order:
what comes later wins. It never reads the network. Law: only JSON objects are merged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from garcon.errors import DecisionError


class ExecutionContext(dict[str, Any]):
    """Input and results of one execution, merged.

    Attributes:
        workflow_input: the input as it was when the execution started.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]] | None = None) -> None:
        """Fold `events` (SWF's history events, oldest first); other kinds of event are skipped."""
        super().__init__()
        self.workflow_input: dict[str, Any] = {}
        for event in events or ():
            self.add(event)

    @property
    def current(self) -> dict[str, Any]:
        """The merged context: this object, under the name that flows of garcon 1.x use."""
        return self

    def add(self, event: Mapping[str, Any]) -> None:
        """Fold one history event into the context, if it brings an input or a result."""
        kind = event.get("eventType")
        if kind == "ActivityTaskCompleted":
            self.add_activity_result(event)
        elif kind == "WorkflowExecutionStarted":
            self.set_execution_input(event)

    def set_workflow_execution_info(self, info: Mapping[str, Any], domain: str) -> None:
        """Add `execution.domain`, `execution.workflow_id` and `execution.run_id`.

        The log prefixes its messages with them, and tasks may read them.

        Args:
            info: what a poll for a decision returned; without an execution in it nothing is added.
            domain: SWF's domain, which polls do not repeat.
        """
        execution = info.get("workflowExecution") or {}
        if "workflowId" not in execution or "runId" not in execution:
            return
        self["execution.domain"] = domain
        self["execution.workflow_id"] = execution["workflowId"]
        self["execution.run_id"] = execution["runId"]

    def set_execution_input(self, event: Mapping[str, Any]) -> None:
        """Take the input from a WorkflowExecutionStarted event; an execution may have none.

        Raises:
            DecisionError: the input is not a JSON object.
        """
        text = event["workflowExecutionStartedEventAttributes"].get("input")
        if not text:
            return
        found = _object(text)
        if found is None:
            raise DecisionError(
                f"the execution's input is not a JSON object: {text[:60]!r};"
                ' start it with an input such as {"day": "2026-01-01"}'
            )
        self.workflow_input = found
        self.update(found)

    def add_activity_result(self, event: Mapping[str, Any]) -> None:
        """Merge the result of an ActivityTaskCompleted event, later over earlier.

        A result that is no JSON object (an external worker may answer any text) brings nothing.
        """
        text = event["activityTaskCompletedEventAttributes"].get("result")
        self.update(_object(text) or {} if text else {})


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

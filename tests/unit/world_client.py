"""A boto3 client of SWF over played executions: what the commands that look around ask for."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import ClientError

from tests.unit.swf_histories import Swf, World

STATUSES = {
    "WorkflowExecutionCompleted": "COMPLETED",
    "WorkflowExecutionFailed": "FAILED",
    "WorkflowExecutionCanceled": "CANCELED",
    "WorkflowExecutionTerminated": "TERMINATED",
}


class WorldClient:
    """Answers for the executions of some worlds.

    Attributes:
        asked: operations in the order in which they were asked for.
        page: events of a page at most.
    """

    def __init__(self, *worlds: World, page: int = 50, tags: dict[str, list[str]] | None = None):
        """Know the runs of `worlds`; `tags` are those of executions by workflow id."""
        self.runs = {(one.workflow_id, one.run_id): one for w in worlds for one in w.runs.values()}
        self.page = page
        self.tags = tags or {}
        self.asked: list[str] = []

    def _run(self, execution: dict[str, str]) -> Swf:
        try:
            return self.runs[execution["workflowId"], execution["runId"]]
        except KeyError:
            told = {"Code": "UnknownResourceFault", "Message": "Unknown execution"}
            raise ClientError({"Error": told}, "Operation") from None

    def get_workflow_execution_history(self, **words: Any) -> dict[str, Any]:
        """Return a page of a history."""
        self.asked.append("history")
        events = self._run(words["execution"]).events
        if words.get("reverseOrder"):
            events = events[::-1]
        size = min(self.page, words["maximumPageSize"])
        start = int(words.get("nextPageToken", 0))
        more = {"nextPageToken": str(start + size)} if start + size < len(events) else {}
        return {"events": events[start : start + size], **more}

    def describe_workflow_execution(self, **words: Any) -> dict[str, Any]:
        """Return what SWF lists of an execution."""
        self.asked.append("describe")
        run = self._run(words["execution"])
        return {
            "executionInfo": self._info(run),
            "latestExecutionContext": run.execution_context or "",
        }

    def _info(self, run: Swf) -> dict[str, Any]:
        moment = [event["eventTimestamp"] for event in (run.events[0], run.events[-1])]
        started, closed = (datetime.fromtimestamp(at, timezone.utc) for at in moment)
        status = STATUSES[run.status] if run.status else None
        ended = {"closeStatus": status, "closeTimestamp": closed}
        return {
            "execution": {"workflowId": run.workflow_id, "runId": run.run_id},
            "workflowType": {"name": run.flow, "version": "1.0"},
            "executionStatus": "CLOSED" if run.status else "OPEN",
            "startTimestamp": started,
            "tagList": self.tags.get(run.workflow_id, []),
            **(ended if run.status else {}),
        }

    def list_open_workflow_executions(self, **_: Any) -> dict[str, Any]:
        """Return the open executions."""
        self.asked.append("list")
        return self._listed(is_open=True)

    def list_closed_workflow_executions(self, **_: Any) -> dict[str, Any]:
        """Return the closed executions."""
        self.asked.append("list")
        return self._listed(is_open=False)

    def _listed(self, is_open: bool) -> dict[str, Any]:
        found = [one for one in self.runs.values() if (one.status is None) is is_open]
        return {"executionInfos": [self._info(one) for one in found]}

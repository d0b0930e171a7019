"""An execution that is under way, looked at again and again: only what is new is read.

Law: a look costs what happened since the last one, and one page for each history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from garcon.backfill.cells import Timeline, Told, shards_of
from garcon.backfill.histories import PAGE_MAX
from garcon.client import as_service_error
from garcon.description import FlowDescription
from garcon.history import RunState
from garcon.pool.execution import Run


class Tail:
    """The histories of one execution and its shards, as far as they have been read."""

    def __init__(self, connect: Callable[[], Any], flow: FlowDescription, run: Run) -> None:
        """Follow `run`; nothing is read yet."""
        self._connect = connect
        self._flow = flow
        self._run = run
        self._known: dict[Run, tuple[RunState, Timeline]] = {}
        self._closed: set[Run] = set()

    def look(self) -> Told:
        """Read what is new and return what the histories say now.

        Raises:
            ServiceError: the engine refuses.
        """
        told = Told(flow=self._flow)
        root, timeline = self._read(self._run)
        told.add_root(root, timeline, None)
        for workflow_id, run_id, is_open in shards_of(root):
            run = Run(workflow_id, run_id)
            if run not in self._closed:
                self._read(run)
            if not is_open:
                self._closed.add(run)
            told.add_shard(*self._known[run], is_open)
        return told

    def _read(self, run: Run) -> tuple[RunState, Timeline]:
        state, timeline = self._known.setdefault(
            run, (RunState(self._flow.domain, run.workflow_id, run.run_id), Timeline())
        )
        fresh = []
        for event in self._newest_first(run):
            if event["eventId"] <= state.last_event_id:
                break
            fresh.append(event)
        for event in reversed(fresh):
            timeline.take(event)
            state.fold((event,))
        return state, timeline

    def _newest_first(self, run: Run) -> Iterator[dict[str, Any]]:
        words: dict[str, Any] = {
            "domain": self._flow.domain,
            "execution": {"workflowId": run.workflow_id, "runId": run.run_id},
            "maximumPageSize": PAGE_MAX,
            "reverseOrder": True,
        }
        while True:
            try:
                answer = self._connect().get_workflow_execution_history(**words)
            except ClientError as error:
                raise as_service_error(error) from error
            yield from answer["events"]
            if not answer.get("nextPageToken"):
                return
            words["nextPageToken"] = answer["nextPageToken"]

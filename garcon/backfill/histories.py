"""Reads the histories of an execution and its shards, through plain boto3.

Law: a history is read once, page by page, and nothing but what was folded of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from garcon.backfill.cells import Timeline, Told, shards_of
from garcon.description import FlowDescription
from garcon.errors import ServiceError
from garcon.history import RunState
from garcon.pool.execution import Run, as_service_error

PAGE_MAX = 1_000  # SWF's largest


def read_events(client: Any, domain: str, run: Run) -> Iterator[dict[str, Any]]:
    """Yield the events of an execution, the oldest first.

    Raises:
        ServiceError: the engine refuses, for example because it knows no such execution.
    """
    words: dict[str, Any] = {
        "domain": domain,
        "execution": {"workflowId": run.workflow_id, "runId": run.run_id},
        "maximumPageSize": PAGE_MAX,
    }
    while True:
        try:
            answer = client.get_workflow_execution_history(**words)
        except ClientError as error:
            raise as_service_error(error) from error
        yield from answer["events"]
        if not answer.get("nextPageToken"):
            return
        words["nextPageToken"] = answer["nextPageToken"]


def read_status(client: Any, domain: str, run: Run) -> str | None:
    """Return the close status of an execution, None while it is open.

    Raises:
        ServiceError: the engine refuses.
    """
    execution = {"workflowId": run.workflow_id, "runId": run.run_id}
    try:
        answer = client.describe_workflow_execution(domain=domain, execution=execution)
    except ClientError as error:
        raise as_service_error(error) from error
    status: str | None = answer["executionInfo"].get("closeStatus")
    return status


def read_told(
    connect: Callable[[], Any],
    domain: str,
    run: Run,
    flow: FlowDescription | None = None,
    on_event: Callable[[Mapping[str, Any]], None] | None = None,
) -> Told:
    """Return what the histories of an execution and of its shards say.

    Args:
        connect: returns a boto3 client.
        domain: SWF's domain.
        run: the execution that a user started.
        flow: what the flow declares, where that is known.
        on_event: told each event of the root's history as well.
    Raises:
        ServiceError: the engine refuses.
    """
    client = connect()
    told = Told(flow=flow)
    status = read_status(client, domain, run)
    root, timeline = _fold(client, domain, run, on_event)
    told.add_root(root, timeline, status)
    for workflow_id, run_id, is_open in shards_of(root):
        try:
            state, times = _fold(client, domain, Run(workflow_id, run_id))
        except ServiceError as error:
            if error.is_unknown_resource:
                continue  # older than what the engine keeps
            raise
        # Children of a closed execution were terminated with it.
        told.add_shard(state, times, is_open and status is None)
    return told


def _fold(
    client: Any,
    domain: str,
    run: Run,
    on_event: Callable[[Mapping[str, Any]], None] | None = None,
) -> tuple[RunState, Timeline]:
    state, timeline = RunState(domain, run.workflow_id, run.run_id), Timeline()
    for event in read_events(client, domain, run):
        timeline.take(event)
        state.fold((event,))
        if on_event is not None:
            on_event(event)
    return state, timeline

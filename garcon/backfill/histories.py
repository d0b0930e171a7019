"""Reads the histories of an execution and its shards, through plain boto3.

Law: a history is read once, page by page, and nothing but what was folded of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from garcon.backfill.cells import Timeline, Told, shards_of
from garcon.backfill.finding import seen_of
from garcon.backfill.ranges import Seen
from garcon.client import as_service_error
from garcon.description import FlowDescription
from garcon.errors import DecisionError, ServiceError
from garcon.history import RunState
from garcon.pool.execution import Run
from garcon.resuming import Earlier, earlier_of

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


def read_seen(client: Any, domain: str, run: Run) -> Seen:
    """Return an execution as the engine lists it.

    Raises:
        ServiceError: the engine refuses.
    """
    execution = {"workflowId": run.workflow_id, "runId": run.run_id}
    try:
        answer = client.describe_workflow_execution(domain=domain, execution=execution)
    except ClientError as error:
        raise as_service_error(error) from error
    return seen_of(answer["executionInfo"])


def read_told(
    connect: Callable[[], Any],
    domain: str,
    run: Run,
    flow: FlowDescription | None = None,
    *,
    follow: bool = False,
) -> Told:
    """Return what the histories of an execution and of its shards say.

    Args:
        connect: returns a boto3 client.
        domain: SWF's domain.
        run: the execution that a user started.
        flow: what the flow declares, where that is known.
        follow: read the executions that it resumes as well, for how they did what it took over.
    Raises:
        ServiceError: the engine refuses.
    """
    client = connect()
    told = Told(flow=flow)
    status = read_seen(client, domain, run).status
    root, timeline = _fold(client, domain, run)
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
    earlier = _earlier_of(root) if follow else None
    if earlier is not None:
        _add_earlier(told, connect, domain, Run(earlier.workflow_id, earlier.run_id))
    return told


def _earlier_of(root: RunState) -> Earlier | None:
    try:
        return earlier_of(root)
    except (DecisionError, ValueError):
        return None  # an input that nobody can read: the execution failed of it


def _add_earlier(told: Told, connect: Callable[[], Any], domain: str, run: Run) -> None:
    try:
        told.add_earlier(read_told(connect, domain, run, told.flow, follow=True))
    except ServiceError as error:
        if not error.is_unknown_resource:  # else it is older than what the engine keeps
            raise


def _fold(client: Any, domain: str, run: Run) -> tuple[RunState, Timeline]:
    state, timeline = RunState(domain, run.workflow_id, run.run_id), Timeline()
    for event in read_events(client, domain, run):
        timeline.take(event)
        state.fold((event,))
    return state, timeline

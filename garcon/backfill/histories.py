"""Reads the histories of an execution and its shards, through plain boto3.

Law: a history is read once, page by page, and nothing but what was folded of it is kept.
"""

from __future__ import annotations

from garcon.backfill.asking import Connect, ask, ask_history, execution_of
from garcon.backfill.cells import Timeline, Told, shards_of
from garcon.backfill.finding import seen_of
from garcon.backfill.ranges import Seen
from garcon.description import FlowDescription
from garcon.errors import DecisionError, ServiceError
from garcon.history import RunState
from garcon.planning.resuming import Earlier, earlier_of
from garcon.pool.execution import Run


def read_seen(connect: Connect, domain: str, run: Run) -> Seen:
    """Return an execution as the engine lists it.

    Raises:
        EngineError: the engine refuses.
    """
    words = {"domain": domain, "execution": execution_of(run)}
    return seen_of(ask(connect, "describe_workflow_execution", **words)["executionInfo"])


def read_told(
    connect: Connect,
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
        EngineError: the engine refuses.
    """
    told = Told(flow=flow)
    status = read_seen(connect, domain, run).status
    root, timeline = _fold(connect, domain, run)
    told.add_root(root, timeline, status)
    for workflow_id, run_id, is_open in shards_of(root):
        try:
            state, times = _fold(connect, domain, Run(workflow_id, run_id))
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


def _add_earlier(told: Told, connect: Connect, domain: str, run: Run) -> None:
    try:
        told.add_earlier(read_told(connect, domain, run, told.flow, follow=True))
    except ServiceError as error:
        if not error.is_unknown_resource:  # else it is older than what the engine keeps
            raise


def _fold(connect: Connect, domain: str, run: Run) -> tuple[RunState, Timeline]:
    state, timeline = RunState(domain, run.workflow_id, run.run_id), Timeline()
    for event in ask_history(connect, domain, run):
        timeline.take(event)
        state.fold((event,))
    return state, timeline

"""Serves a flow by hand, as users of 1.x do, until one execution of it has closed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from garcon import activity, decider

#: Longest that a flow of these tests takes, seconds; reached only when something is broken.
DEADLINE_S = 60.0


def run_by_hand(flow: Any, given: Any = None, *, workflow_id: str = "w") -> list[dict[str, Any]]:
    """Start an execution, decide it and run its activities in threads; return its history."""
    worker = decider.DeciderWorker(flow)
    client = worker.client
    started = client.start_workflow_execution(
        domain=worker.domain,
        workflowId=workflow_id,
        workflowType={"name": worker.task_list, "version": worker.version},
        taskList={"name": worker.task_list},
        executionStartToCloseTimeout="3600",
        taskStartToCloseTimeout="30",
        childPolicy="TERMINATE",
        **({} if given is None else {"input": json.dumps(given)}),
    )
    execution = {"workflowId": workflow_id, "runId": started["runId"]}
    closed = threading.Event()

    def is_open() -> bool:
        found = client.describe_workflow_execution(domain=worker.domain, execution=execution)
        if found["executionInfo"]["executionStatus"] == "CLOSED":
            closed.set()
        return not closed.is_set()

    serve_until(closed, [worker, *activity.find_workflow_activities(flow)], is_open)
    pages = client.get_paginator("get_workflow_execution_history")
    found = pages.paginate(domain=worker.domain, execution=execution)
    return [event for page in found for event in page["events"]]


def serve_until(closed: threading.Event, workers: list[Any], is_open: Callable[[], bool]) -> None:
    """Call `run` of each worker in a thread of its own, until the execution has closed."""

    def loop(worker: Any) -> None:
        while not closed.is_set() and worker.run("by hand") and is_open():
            pass

    threads = [threading.Thread(target=loop, args=(one,), daemon=True) for one in workers]
    for thread in threads:
        thread.start()
    assert closed.wait(DEADLINE_S), "the execution did not close"
    for thread in threads:
        thread.join(DEADLINE_S)


def kinds(events: list[dict[str, Any]], *wanted: str) -> list[str]:
    """Return the types of the events that are among `wanted`, in their order."""
    return [event["eventType"] for event in events if event["eventType"] in wanted]


def activity_names(events: list[dict[str, Any]], kind: str) -> list[str]:
    """Return the activities that events of this kind are about: scheduled, completed, failed."""
    by_id = {event["eventId"]: event for event in events}
    found = []
    for event in events:
        if event["eventType"] != f"ActivityTask{kind}":
            continue
        own = event[f"activityTask{kind}EventAttributes"]
        if kind != "Scheduled":
            own = by_id[own["scheduledEventId"]]["activityTaskScheduledEventAttributes"]
        found.append(own["activityType"]["name"])
    return found

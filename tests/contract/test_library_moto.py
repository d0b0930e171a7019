"""The library by hand against moto, an SWF made by others, where moto does the right thing.

What it does not do (moto 5, seen here or read in its source) is not worked around, and so not
tested here but on the embedded engine: polls that wait; paging and reverseOrder of histories;
startAtPreviousStartedEvent; all activity timeouts but the heartbeat's; decision and execution
timeouts of NONE; zeros in event attributes; type defaults in events; children; continue-as-new;
and a failed activity keeps its id in use, so that no retry can be scheduled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from garcon import activity, decider, runner, task
from garcon.errors import ActivityCanceled
from garcon.outcome import decode_failure
from tests.contract.by_hand import activity_names, kinds

ROUNDS = 5


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a client whose calls moto answers, at once also where it has nothing."""
    monkeypatch.setattr("moto.swf.models.sleep", lambda seconds: None)
    with mock_aws():
        yield boto3.client("swf", region_name="us-east-1")


def countries(context: Any) -> Iterator[dict[str, Any]]:
    """Yield two countries."""
    yield from ({"country": name} for name in ("DE", "FR"))


class Flow:
    """A fan-out of two, one of which may fail, and what comes after it."""

    domain = "dev"
    name = "flow"

    def __init__(self, client: Any) -> None:
        """Make the activities."""
        self.client = client
        self.failing: str | None = None
        create = activity.create(client, "dev", "flow")
        self.fan = create(
            name="fan",
            generators=[countries],
            run=runner.Sync(task.decorate()(self.fetch).fill(country="country")),
        )
        self.after = create(name="after", requires=[self.fan], run=runner.Async(self.report))

    @property
    def fetch(self) -> Any:
        """The task of the fan-out."""

        def fetch(country: str) -> dict[str, Any]:
            if country == self.failing:
                raise ValueError("fails")
            return {country: 1}

        return fetch

    def report(self, context: Any, activity: Any) -> dict[str, Any]:
        """Say what has come."""
        activity.heartbeat("here")
        return {"seen": sorted(set(context) & {"DE", "FR"})}


def start(client: Any, flow: Flow) -> decider.DeciderWorker:
    """Register the flow and start an execution of it."""
    worker = decider.DeciderWorker(flow)
    client.start_workflow_execution(
        domain="dev",
        workflowId="w",
        workflowType={"name": "flow", "version": "1.0"},
        taskList={"name": "flow"},
        executionStartToCloseTimeout="3600",
        taskStartToCloseTimeout="30",
        childPolicy="TERMINATE",
        input=json.dumps({"given": 1}),
    )
    return worker


def history(client: Any) -> list[dict[str, Any]]:
    """Return the events of the one execution."""
    since = {"oldestDate": 0}
    open_ones = client.list_open_workflow_executions(domain="dev", startTimeFilter=since)
    closed = client.list_closed_workflow_executions(domain="dev", startTimeFilter=since)
    (info,) = [*open_ones["executionInfos"], *closed["executionInfos"]]
    found = client.get_workflow_execution_history(domain="dev", execution=info["execution"])
    events: list[dict[str, Any]] = found["events"]
    return events


def serve(worker: decider.DeciderWorker, flow: Flow) -> None:
    """Let decider and activities take their turns."""
    for _ in range(ROUNDS):
        assert worker.run("decider") is True
        for one in (flow.fan, flow.after):
            assert one.run("worker") is True


def attributes(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the attributes of the events of one type."""
    name = f"{kind[0].lower()}{kind[1:]}EventAttributes"
    return [event[name] for event in events if event["eventType"] == kind]


def test_a_flow_runs_to_its_end(client: Any) -> None:
    """Registration, polls, inputs, results and the barrier mean the same to moto."""
    flow = Flow(client)

    serve(start(client, flow), flow)

    events = history(client)
    assert kinds(events, "WorkflowExecutionCompleted")
    assert activity_names(events, "Completed") == ["flow_fan", "flow_fan", "flow_after"]
    results = [json.loads(one["result"]) for one in attributes(events, "ActivityTaskCompleted")]
    assert results == [{"DE": 1}, {"FR": 1}, {"seen": ["DE", "FR"]}]


def test_a_failure_says_what_it_was(client: Any) -> None:
    """One line for people, classes for the decider; the execution fails with it."""
    flow = Flow(client)
    flow.failing = "FR"

    serve(start(client, flow), flow)

    events = history(client)
    (failed,) = attributes(events, "ActivityTaskFailed")
    assert failed["reason"] == "ValueError: fails"
    assert decode_failure(failed["reason"], failed["details"]).errors[0] == "ValueError"
    assert activity_names(events, "Completed") == ["flow_fan"]
    assert kinds(events, "WorkflowExecutionFailed")


def test_registering_twice_is_no_error(client: Any) -> None:
    """Every worker of a fleet does it."""
    flow = Flow(client)

    decider.DeciderWorker(flow)
    decider.DeciderWorker(flow)

    found = client.list_activity_types(domain="dev", registrationStatus="REGISTERED")
    names = [one["activityType"]["name"] for one in found["typeInfos"]]
    assert sorted(names) == ["flow_after", "flow_fan"]


def test_a_poll_without_a_task_brings_none(client: Any) -> None:
    """An execution waits for its decision first."""
    flow = Flow(client)
    start(client, flow)

    assert flow.fan.poll_for_activity("worker").activity_id is None


def test_a_heartbeat_of_a_terminated_execution_stops_the_task(client: Any) -> None:
    """The fault that moto raises is the one that SWF does."""
    flow = Flow(client)
    start(client, flow).run()
    attempt = flow.fan.poll_for_activity()
    attempt.heartbeat()

    client.terminate_workflow_execution(domain="dev", workflowId="w")

    with pytest.raises(ActivityCanceled):
        attempt.heartbeat()

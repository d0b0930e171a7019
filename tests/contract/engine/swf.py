"""Plain boto3 against an engine, with the long arguments written once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import boto3.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from garcon.engine.testing import Engine

Task = dict[str, Any]

#: What an activity needs beside its type and id.
ACTIVITY = {
    "taskList": {"name": "work"},
    "scheduleToStartTimeout": "NONE",
    "scheduleToCloseTimeout": "NONE",
    "startToCloseTimeout": "NONE",
    "heartbeatTimeout": "NONE",
}

#: What a run needs beside its type and id.
RUN = {
    "taskList": {"name": "decide"},
    "executionStartToCloseTimeout": "86400",
    "taskStartToCloseTimeout": "30",
    "childPolicy": "TERMINATE",
}


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session("test", "test", region_name="us-east-1")


def client(url: str) -> Any:
    """Return a boto3 client of an engine: one attempt a call, patient with polls."""
    return _session().client(
        "swf",
        endpoint_url=url,
        config=Config(
            read_timeout=75, retries={"total_max_attempts": 1}, parameter_validation=False
        ),
    )


def decide(kind: str, **attributes: Any) -> dict[str, Any]:
    """Return a decision of a kind with its attributes under the right member."""
    return {
        "decisionType": kind,
        f"{kind[0].lower()}{kind[1:]}DecisionAttributes": attributes,
    }


def schedule(activity_id: str = "a1", **more: Any) -> dict[str, Any]:
    """Return the decision that schedules an activity of the prepared type."""
    kind = {"name": "act", "version": "1"}
    return decide(
        "ScheduleActivityTask",
        **{"activityType": kind, "activityId": activity_id, **ACTIVITY, **more},
    )


def attributes(event: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an event."""
    name = event["eventType"]
    found: dict[str, Any] = event[f"{name[0].lower()}{name[1:]}EventAttributes"]
    return found


@dataclass
class Swf:
    """A client of one engine and one domain.

    Attributes:
        engine: the engine, for its clock.
        api: the boto3 client.
        domain: the domain all helpers work in.
    """

    engine: Engine
    api: Any
    domain: str = "dom"

    @classmethod
    def prepared(cls, engine: Engine, domain: str = "dom") -> Swf:
        """Return a client whose domain has the types `flow` and `act`."""
        swf = cls(engine, client(engine.url), domain)
        swf.api.register_domain(name=domain, workflowExecutionRetentionPeriodInDays="30")
        swf.api.register_workflow_type(domain=domain, name="flow", version="1")
        swf.api.register_activity_type(domain=domain, name="act", version="1")
        return swf

    def start(self, workflow_id: str = "w", **more: Any) -> str:
        """Start a run and return its run id."""
        kind = {"name": "flow", "version": "1"}
        given = {"workflowId": workflow_id, "workflowType": kind, **RUN, **more}
        run_id: str = self.api.start_workflow_execution(domain=self.domain, **given)["runId"]
        return run_id

    def decision(self, task_list: str = "decide", **more: Any) -> Task:
        """Poll once for a decision task."""
        task: Task = self.api.poll_for_decision_task(
            domain=self.domain, taskList={"name": task_list}, **more
        )
        return task

    def activity(self, task_list: str = "work", **more: Any) -> Task:
        """Poll once for an activity task."""
        task: Task = self.api.poll_for_activity_task(
            domain=self.domain, taskList={"name": task_list}, **more
        )
        return task

    def answer(self, task: Task, *decisions: dict[str, Any], **more: Any) -> None:
        """Complete a decision task."""
        self.api.respond_decision_task_completed(
            taskToken=task["taskToken"], decisions=list(decisions), **more
        )

    def step(self, *decisions: dict[str, Any], **more: Any) -> Task:
        """Poll for the decision task that has to be there and complete it."""
        task = self.decision()
        assert task["taskToken"], "no decision task waits"
        self.answer(task, *decisions, **more)
        return task

    def history(self, workflow_id: str, run_id: str, **more: Any) -> list[dict[str, Any]]:
        """Return all events of a run."""
        execution = {"workflowId": workflow_id, "runId": run_id}
        events: list[dict[str, Any]] = []
        given = {"domain": self.domain, "execution": execution, **more}
        while True:
            page = self.api.get_workflow_execution_history(**given)
            events.extend(page["events"])
            if "nextPageToken" not in page:
                return events
            given["nextPageToken"] = page["nextPageToken"]

    def names(self, workflow_id: str, run_id: str) -> list[str]:
        """Return the event names of a run in their order."""
        return [event["eventType"] for event in self.history(workflow_id, run_id)]

    def last(self, workflow_id: str, run_id: str, name: str) -> dict[str, Any]:
        """Return the attributes of the newest event of a name."""
        for event in reversed(self.history(workflow_id, run_id)):
            if event["eventType"] == name:
                return attributes(event)
        raise AssertionError(f"no {name} in the history")

    def describe(self, workflow_id: str, run_id: str) -> dict[str, Any]:
        """Return the description of a run."""
        execution = {"workflowId": workflow_id, "runId": run_id}
        found: dict[str, Any] = self.api.describe_workflow_execution(
            domain=self.domain, execution=execution
        )
        return found

    def refusal(self, operation: str, **given: Any) -> tuple[str, str]:
        """Return code and message of a call that has to fail."""
        with pytest.raises(ClientError) as caught:
            getattr(self.api, operation)(**given)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

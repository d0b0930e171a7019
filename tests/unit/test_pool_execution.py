"""Starting or joining an execution, against a scripted client."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from garcon.description import FlowDescription
from garcon.errors import OpenWithAnotherInput
from garcon.pool.execution import Executions, Run

FLOW = FlowDescription("dev", "flow", "1.0", ())


class Client:
    """What SWF would say; `open` and `closed` are run ids, newest first."""

    def __init__(self, *, opened=(), closed=(), is_taken=False, stored_input="{}"):
        self.opened, self.closed = list(opened), list(closed)
        self.is_taken = is_taken
        self.stored_input = stored_input
        self.starts = []

    def start_workflow_execution(self, **words):
        self.starts.append(words)
        if self.is_taken:
            # Its last decision was just being answered: it is closed by the time it is looked up.
            self.closed, self.opened = self.opened + self.closed, []
            told = {"Code": "WorkflowExecutionAlreadyStartedFault", "Message": "Already Started"}
            raise ClientError({"Error": told}, "StartWorkflowExecution")
        return {"runId": "new"}

    def list_open_workflow_executions(self, **_):
        return {"executionInfos": [{"execution": {"runId": one}} for one in self.opened]}

    def list_closed_workflow_executions(self, **_):
        infos = [{"execution": {"runId": one}, "closeStatus": "COMPLETED"} for one in self.closed]
        return {"executionInfos": infos}

    def get_workflow_execution_history(self, **_):
        started = {"workflowExecutionStartedEventAttributes": {"input": self.stored_input}}
        return {"events": [started]}


def test_a_new_execution_carries_every_value_since_types_have_no_defaults():
    """Timeouts, list, policy and tags are all passed."""
    client = Client()

    started = Executions(lambda: client, FLOW).start_or_join("w", {"start": "2026-01-01"})

    assert started.run == Run("w", "new")
    assert not started.joined
    (words,) = client.starts
    assert words["executionStartToCloseTimeout"] == str(30 * 24 * 3600)
    assert words["taskStartToCloseTimeout"] == "30"
    assert words["childPolicy"] == "TERMINATE"
    assert words["tagList"] == ["garcon", "root=w", "start=2026-01-01"]
    assert json.loads(words["input"]) == {"start": "2026-01-01"}


def test_an_earlier_run_that_closed_is_told():
    """A new one starts, and says how the last one ended."""
    client = Client(closed=["old"])

    assert Executions(lambda: client, FLOW).start_or_join("w", {}).earlier == "COMPLETED"


def test_a_run_that_closes_while_it_is_looked_up_is_still_the_one_to_join():
    """Its own pool's deciders may close it between the refused start and the look."""
    client = Client(opened=["this"], closed=["old"], is_taken=True)

    started = Executions(lambda: client, FLOW).start_or_join("w", {})

    assert started.joined
    assert started.run == Run("w", "this")


def test_an_open_run_of_another_input_is_not_joined():
    """The user is told, with the mend; garcon's own keys do not count."""
    same = Client(opened=["this"], is_taken=True, stored_input='{"a":1,"garcon.resume":{}}')
    other = Client(opened=["this"], is_taken=True, stored_input='{"a":2}')

    assert Executions(lambda: same, FLOW).start_or_join("w", {"a": 1}).joined
    with pytest.raises(OpenWithAnotherInput, match="--workflow-id"):
        Executions(lambda: other, FLOW).start_or_join("w", {"a": 1})

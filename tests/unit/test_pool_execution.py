"""Starting or joining an execution, against a scripted client."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from garcon.description import FlowDescription
from garcon.errors import OpenWithAnotherInput, StillOpen, UsageError
from garcon.pool.execution import Executions, Run

FLOW = FlowDescription("dev", "flow", "1.0", ())

#: An input that takes over what another execution had done.
RESUMING = {"a": 1, "garcon.resume": {"workflow_id": "before", "run_id": "r"}}


class Client:
    """What SWF would say; `open` and `closed` are run ids, newest first."""

    def __init__(self, *, opened=(), closed=(), is_taken=False, stored_input="{}", statuses=None):
        self.opened, self.closed = list(opened), list(closed)
        self.is_taken = is_taken
        self.stored_input = stored_input
        self.statuses = statuses or {}
        self.starts = []

    def start_workflow_execution(self, **words):
        self.starts.append(words)
        if self.is_taken:
            # Its last decision was just being answered: it is closed by the time it is looked up.
            self.closed, self.opened = self.opened + self.closed, []
            told = {"Code": "WorkflowExecutionAlreadyStartedFault", "Message": "Already Started"}
            raise ClientError({"Error": told}, "StartWorkflowExecution")
        return {"runId": "new"}

    def describe_workflow_execution(self, *, execution, **_):
        status = self.statuses.get(execution["runId"])
        if status is None:
            told = {"Code": "UnknownResourceFault", "Message": "Unknown execution"}
            raise ClientError({"Error": told}, "DescribeWorkflowExecution")
        return {"executionInfo": {"execution": execution, "executionStatus": status}}

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


def test_nothing_is_started_to_resume_an_execution_that_is_open():
    """Two executions would run the same instances; the user is told which, and what to do."""
    client = Client(statuses={"r": "OPEN"})

    with pytest.raises(
        StillOpen, match=r"execution 'before' \(run id 'r'\) is open.*terminate"
    ) as told:
        Executions(lambda: client, FLOW).start_or_join("w", RESUMING)

    assert told.value.exit_code == 5
    assert not client.starts


@pytest.mark.parametrize("statuses", [{"r": "CLOSED"}, {}])
def test_what_has_closed_is_resumed_and_what_is_unknown_is_left_to_the_decider(statuses):
    """What has closed stays closed; of an unknown one the new execution itself tells."""
    client = Client(statuses=statuses)

    started = Executions(lambda: client, FLOW).start_or_join("w", RESUMING)

    assert started.run == Run("w", "new")
    assert len(client.starts) == 1


def test_an_execution_that_resumes_its_own_id_is_started_or_joined_as_the_engine_says():
    """The engine keeps the id unique: while that one is open it is joined, then it is resumed."""
    client = Client(opened=["r"], is_taken=True, stored_input='{"a":1}', statuses={"r": "OPEN"})

    assert Executions(lambda: client, FLOW).start_or_join("before", RESUMING).joined


def test_a_resume_that_names_nothing_is_refused_before_it_starts():
    """The line shows the form that it has to have."""
    client = Client()

    with pytest.raises(UsageError, match=r'garcon\.resume .* "run_id"'):
        Executions(lambda: client, FLOW).start_or_join("w", {"garcon.resume": "before"})

    assert not client.starts

"""Counts of a run that is spread over shards."""

from __future__ import annotations

import json
from typing import Any

from garcon.description import FlowDescription
from garcon.pool.execution import Executions, Run
from garcon.pool.shardlook import SHARDS_A_LOOK
from garcon.progress import Counts

FLOW = FlowDescription("dev", "flow", "1.0", ())
RUN = Run("w", "r")


def context(shard: bool = False, **counts: int) -> str:
    """Return the `executionContext` of one decider."""
    told = {"garcon": 1, "shard": True} if shard else {"garcon": 1}
    return json.dumps({**told, "activities": {"a": counts}})


class Client:
    """An engine with a root and its open shards, by run id."""

    def __init__(self, root: str, **shards: str) -> None:
        self.root, self.shards = root, shards
        self.status: str | None = None
        self.described: list[str] = []
        self.listed: list[dict[str, Any]] = []

    def describe_workflow_execution(self, *, execution: dict[str, str], **_: Any) -> Any:
        run_id = execution["runId"]
        if run_id != "r":
            self.described.append(run_id)
            return {"latestExecutionContext": self.shards[run_id]}
        info = {"executionStatus": "CLOSED", "closeStatus": self.status}
        return {
            "executionInfo": info if self.status else {"executionStatus": "OPEN"},
            "latestExecutionContext": self.root,
            "openCounts": {"openChildWorkflowExecutions": len(self.shards)},
        }

    def list_open_workflow_executions(self, **words: Any) -> Any:
        self.listed.append(words)
        root = {"execution": {"workflowId": "w", "runId": "r"}}
        shards = [
            {
                "execution": {"workflowId": f"w.{run_id}", "runId": run_id},
                "parent": {"workflowId": "w", "runId": "r"},
            }
            for run_id in self.shards
        ]
        return {"executionInfos": [root, *shards]}


def test_open_shards_add_to_what_their_root_knows():
    """The root tells how many there are; the open shards what they have done since."""
    client = Client(
        context(n=3000, done=1000, failed=1),
        s1=context(True, n=1000, done=40, failed=2, running=7, retries=3),
        s2=context(True, n=1000, done=2, running=8),
    )

    look = Executions(lambda: client, FLOW).look(RUN)

    assert look.counts == {"a": Counts(total=3000, done=1042, failed=3, running=15, retries=3)}
    assert client.listed[0]["tagFilter"] == {"tag": "root=w"}


def test_a_run_without_shards_costs_one_call():
    """Most have none."""
    client = Client(context(n=10, done=4))

    assert Executions(lambda: client, FLOW).look(RUN).counts["a"].done == 4
    assert client.listed == []


def test_nothing_that_was_done_is_taken_back_when_a_shard_closes():
    """For a moment neither the shard nor its root tells of it."""
    client = Client(context(n=2000, done=0), s1=context(True, n=1000, done=990))
    executions = Executions(lambda: client, FLOW)
    before = executions.look(RUN).counts["a"].done

    client.shards.clear()
    between = executions.look(RUN).counts["a"].done
    client.root = context(n=2000, done=1000)
    after = executions.look(RUN).counts["a"].done

    assert [before, between, after] == [990, 990, 1000]


def test_a_look_costs_a_bounded_number_of_calls_and_all_shards_have_their_turn():
    """However many are open; of the others the last words count."""
    shards = {f"s{number}": context(True, done=1) for number in range(3 * SHARDS_A_LOOK)}
    client = Client(context(n=30_000), **shards)
    executions = Executions(lambda: client, FLOW)

    done = [executions.look(RUN).counts["a"].done for _ in range(3)]

    assert done == [SHARDS_A_LOOK, 2 * SHARDS_A_LOOK, 3 * SHARDS_A_LOOK]
    assert sorted(client.described) == sorted(shards)


def test_the_ending_is_the_root_s_alone():
    """Closed, it knows everything; its terminated shards are not asked."""
    client = Client(context(n=5, done=5), s1=context(True, done=3))
    client.status = "COMPLETED"

    look = Executions(lambda: client, FLOW).look(RUN)

    assert (look.close_status, look.counts["a"].done) == ("COMPLETED", 5)
    assert client.described == []

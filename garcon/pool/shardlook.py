"""Progress of a run that is spread over shards: what it tells itself, and what they tell.

A root knows what its closed shards have done; each open one tells its own counts. Law: a look costs
a bounded number of calls however many shards are open, and nothing that was counted as done is ever
taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from garcon.outcome import cut
from garcon.progress import Counts, counts_from_context

TAG_MAX = 256  # characters; SWF's limit for an execution's tag

#: Shards that one look describes; of the others it takes what was told last.
SHARDS_A_LOOK = 10

#: Shards that are listed; a root keeps fewer open.
SHARDS_MAX = 1_000

#: Makes one call in the flow's domain: an operation's name in boto3, and its words.
Call = Callable[..., Any]


class OpenShards:
    """The open shards of one run, as they were last seen."""

    def __init__(self, call: Call, workflow_id: str, run_id: str) -> None:
        """Look at the shards of this run through `call`."""
        self._call = call
        self._tag = cut(f"root={workflow_id}", TAG_MAX)
        self._run_id = run_id
        # Least recently seen first.
        self._told: dict[tuple[str, str], Mapping[str, Counts]] = {}
        self._shown: dict[str, Counts] = {}

    def add_to(self, counts: Mapping[str, Counts], open_children: int) -> dict[str, Counts]:
        """Return the root's `counts` with those of its shards, `open_children` of which are open.

        Raises:
            EngineError: the engine refuses, or does not answer.
        """
        self._refresh(self._list() if open_children else [])
        total = {name: self._with_shards(name, one) for name, one in counts.items()}
        self._shown.update(total)
        return total

    def _with_shards(self, name: str, own: Counts) -> Counts:
        parts = [told[name] for told in self._told.values() if name in told]
        before = self._shown.get(name, own)
        # A shard that has just closed is told of by nobody until its root has heard of it.
        return replace(
            own,
            done=max(before.done, own.done + sum(one.done for one in parts)),
            failed=max(before.failed, own.failed + sum(one.failed for one in parts)),
            running=own.running + sum(one.running for one in parts),
            retries=max(before.retries, own.retries + sum(one.retries for one in parts)),
        )

    def _list(self) -> list[tuple[str, str]]:
        found = self._call(
            "list_open_workflow_executions",
            startTimeFilter={"oldestDate": datetime.fromtimestamp(0, timezone.utc)},
            tagFilter={"tag": self._tag},
            maximumPageSize=SHARDS_MAX,
        )["executionInfos"]
        own = [one for one in found if one.get("parent", {}).get("runId") == self._run_id]
        return [(one["execution"]["workflowId"], one["execution"]["runId"]) for one in own]

    def _refresh(self, shards: list[tuple[str, str]]) -> None:
        self._told = {shard: told for shard, told in self._told.items() if shard in set(shards)}
        new = [shard for shard in shards if shard not in self._told]
        for workflow_id, run_id in [*new, *self._told][:SHARDS_A_LOOK]:
            answer = self._call(
                "describe_workflow_execution",
                execution={"workflowId": workflow_id, "runId": run_id},
            )
            self._told.pop((workflow_id, run_id), None)
            self._told[workflow_id, run_id] = counts_from_context(
                answer.get("latestExecutionContext")
            )

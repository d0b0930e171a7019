"""What a year of slow tasks leaves to others: a day beside it, with and without a priority.

    python -m tests.soak.beside [--settle 45]

A year of 1 s tasks fills the 16 workers of one pool. A day that is started then has its first
instance started within 60 s, one of priority 1 within 5 s; and four instances that never end, one
in each of the shards that are filled first, keep a run from nothing but its own end. Exit code 0:
all of it held; 1: the first thing that did not is on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from garcon.pool.execution import tags_of
from tests.acceptance.harness import Place, of_type, read_history, wait_until
from tests.soak import slow_flow
from tests.soak.places import run_in_place

FLOW = "tests.soak.slow_flow"
WORKERS = 16
SHARD = 1_000

FIRST_S = 60.0
FIRST_WITH_PRIORITY_S = 5.0

#: The run with stragglers: shards that it has, and how long all but the stragglers may take.
SHARDS = 6
OTHERS_S = 240.0


class Ground:
    """One serving pool and its executions."""

    def __init__(self, place: Place, client: Any) -> None:
        self._place = place
        self._client = client

    def start(self, workflow_id: str, priority: int | None = None, **data: Any) -> dict[str, str]:
        """Start an execution; return what names it."""
        whole = {
            "countries": 250,
            "seconds": 1.0,
            "stragglers": [],
            "gate": str(self._place.folder / "gate"),
            **data,
        }
        more = {} if priority is None else {"taskPriority": str(priority)}
        started = self._client.start_workflow_execution(
            domain=slow_flow.domain,
            workflowId=workflow_id,
            workflowType={"name": slow_flow.name, "version": "1.0"},
            taskList={"name": slow_flow.name},
            input=json.dumps(whole),
            executionStartToCloseTimeout="86400",
            taskStartToCloseTimeout="30",
            childPolicy="TERMINATE",
            tagList=tags_of(workflow_id, whole),
            **more,
        )
        return {"workflowId": workflow_id, "runId": started["runId"]}

    def first_started_s(self, run: dict[str, str]) -> float:
        """Return the seconds from an execution's start to that of its first instance."""

        def found() -> list[Any]:
            events = read_history(self._client, slow_flow.domain, run)
            return [one for one in events if one["eventType"] == "ActivityTaskStarted"]

        first = wait_until(found, "the first instance", 3 * FIRST_S, pause_s=0.5)[0]
        (began,) = read_history(self._client, slow_flow.domain, run)[:1]
        return float((first["eventTimestamp"] - began["eventTimestamp"]).total_seconds())

    def done(self, run: dict[str, str]) -> int:
        """Return how many instances of an execution's shards have completed."""
        children = self._client.list_open_workflow_executions(
            domain=slow_flow.domain,
            startTimeFilter={"oldestDate": 0},
            tagFilter={"tag": f"root={run['workflowId']}"},
        )["executionInfos"]
        children += self._client.list_closed_workflow_executions(
            domain=slow_flow.domain,
            startTimeFilter={"oldestDate": 0},
            tagFilter={"tag": f"root={run['workflowId']}"},
        )["executionInfos"]
        histories = (
            read_history(self._client, slow_flow.domain, one["execution"]) for one in children
        )
        return sum(len(list(of_type(events, "ActivityTaskCompleted"))) for events in histories)

    def status(self, run: dict[str, str]) -> str:
        """Return OPEN, or how a run has closed."""
        info = self._client.describe_workflow_execution(domain=slow_flow.domain, execution=run)
        return str(info["executionInfo"].get("closeStatus", "OPEN"))

    def terminate(self, run: dict[str, str]) -> None:
        """End a run and its shards."""
        self._client.terminate_workflow_execution(
            domain=slow_flow.domain, childPolicy="TERMINATE", **run
        )


def beside_a_year(ground: Ground, settle_s: float) -> None:
    """Measure how long a day waits for its first instance."""
    year = ground.start("year", days=365)
    time.sleep(settle_s)
    plain_s = ground.first_started_s(ground.start("day", days=1))
    print(f"a day beside a year: first instance after {plain_s:.1f} s", flush=True)
    urgent_s = ground.first_started_s(ground.start("urgent", 1, days=1))
    print(f"with priority 1: after {urgent_s:.1f} s", flush=True)
    assert ground.status(year) == "OPEN"
    assert plain_s <= FIRST_S
    assert urgent_s <= FIRST_WITH_PRIORITY_S
    ground.terminate(year)


def with_stragglers(ground: Ground, gate: Path) -> None:
    """Run more than four shards while one instance in each of the first four never ends."""
    stragglers = [SHARD * number for number in range(4)]
    run = ground.start("stragglers", days=4 * SHARDS, seconds=0.0, stragglers=stragglers)
    rest = SHARDS * SHARD - len(stragglers)
    began_s = time.monotonic()
    wait_until(lambda: ground.done(run) == rest, f"{rest} others", OTHERS_S, pause_s=2.0)
    took_s = time.monotonic() - began_s
    print(f"{rest} others beside 4 stragglers: {took_s:.1f} s", flush=True)
    assert ground.status(run) == "OPEN"
    gate.touch()
    wait_until(lambda: ground.status(run) != "OPEN", "the end", pause_s=0.5)
    assert ground.status(run) == "COMPLETED"


def soak(place: Place, words: argparse.Namespace) -> None:
    """Do both."""
    pool = place.start_pool(FLOW, procs=WORKERS)
    pool.wait_for_text("event=pool.ready")
    with place.client() as client:
        ground = Ground(place, client)
        with_stragglers(ground, place.folder / "gate")
        beside_a_year(ground, words.settle)
    pool.process.terminate()
    assert pool.wait(120) == 0, pool.err()


def main() -> int:
    """Read the words, run, and tell how it went."""
    parser = argparse.ArgumentParser(description="Measure what a year leaves to others.")
    parser.add_argument("--settle", type=float, default=45.0, help="seconds that the year has")
    words: Any = parser.parse_args()
    return run_in_place("beside", lambda place: soak(place, words))


if __name__ == "__main__":
    sys.exit(main())

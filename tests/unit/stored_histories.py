"""The stored histories that guard the decider: how they were made, and the flows that made them.

    python -m tests.unit.stored_histories

writes those that are missing, played by the present code; what is there stays, for it is what
running executions look like. A format of the decider's own that changes gets a new file beside the
old one, never over it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from garcon.outcome import Failure, Kind, encode_failure
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, Task, World, play_world

FOLDER = Path(__file__).parent / "histories"


def sharded() -> Any:
    """Return a flow whose fan-out runs in shards, its results read by the last activity."""
    return flow_of(
        prepare={},
        cell={
            "requires": ["prepare"],
            "generators": [numbers(6, "day"), numbers(15, "country")],
            "retry": 2,
            "shard_size": 30,
        },
        summary={"requires": ["cell"]},
    )


def delayed() -> Any:
    """Return a flow with delays, a bound and a rate of its own."""
    return flow_of(
        many={
            "generators": [numbers(40)],
            "retry": 3,
            "retry_delay": 5,
            "max_open": 8,
            "rate": "4/s",
        }
    )


def custom() -> Any:
    """Return a flow that decides by itself: two uses of one activity, a timer and a signal."""

    def decide(schedule: Any) -> None:
        first = schedule("first", flow.many)
        schedule.timer("pause", 30).wait()
        second = schedule("second", flow.many, requires=[first], input={"again": True})
        schedule("last", flow.only, requires=[second])

    flow = flow_of(many={"generators": [numbers(5)], "retry": 2}, only={"retry": 1}, decider=decide)
    return flow


def luck(swf: Swf, one: Task) -> None:
    """End a task by its id: mostly well, some after a failure, a loss or a hand-back."""
    tries = sum(
        found["activityId"] == one.activity_id for found in swf.kinds("ActivityTaskScheduled")
    )
    place = crc32(one.activity_id.encode()) % 10
    if tries == 1 and place == 0:
        swf.fail(one, "ValueError: no luck")
    elif tries == 1 and place == 1:
        swf.fail(one, *encode_failure(Failure(Kind.LOST, "its worker died")))
    elif tries == 1 and place == 2:
        swf.fail(one, *encode_failure(Failure(Kind.HANDED_BACK, "not now")))
    elif tries == 1 and place == 3:
        swf.time_out(one)
    else:
        swf.complete(one, {one.activity_id[-9:]: tries})


def played(flow: Any) -> World:
    """Return the executions of a flow after they have closed."""
    world = World(Swf({"start": "2026-01-01"}))
    play_world(world, decider_of(flow), luck, workers=9)
    assert world.root.status == "WorkflowExecutionCompleted"
    return world


#: Each set of histories by its name: the flow that made it and makes it still.
SETS: dict[str, Callable[[], Any]] = {"sharded": sharded, "delayed": delayed, "custom": custom}


def documents(world: World) -> list[dict[str, Any]]:
    """Return the histories as `garcon history` writes them, the root first."""
    return [
        {
            "domain": "domain",
            "execution": {"runId": run.run_id, "workflowId": run.workflow_id},
            "events": run.events,
        }
        for run in world.runs.values()
    ]


def main() -> None:
    """Write what is missing."""
    for name, flow in SETS.items():
        folder = FOLDER / name
        if folder.exists():
            continue
        folder.mkdir()
        for number, document in enumerate(documents(played(flow()))):
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
            (folder / f"{number}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

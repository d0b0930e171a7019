"""When the engine hears of a task."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from garcon.description import ActivityDescription
from garcon.pool.heartbeats import Heartbeats
from garcon.pool.jobs import Jobs
from garcon.pool.tasks import ActivityTask, read_task

FETCH = ActivityDescription("fetch", "flow_fetch", "1.0", "flow_fetch")


def a_task(heartbeat_s: int, taken_at_s: float) -> ActivityTask:
    """Return a task of an activity with this heartbeat."""
    answer = {
        "taskToken": "token",
        "activityId": "fetch-1",
        "workflowExecution": {"workflowId": "w", "runId": "r"},
    }
    return read_task(answer, replace(FETCH, heartbeat_s=heartbeat_s), 1, taken_at_s)


class Engine:
    """A plane that counts what it is called for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def call(self, operation: str, _body: object, **_: object) -> bytes:
        """Note the call."""
        self.calls.append(operation)
        return b"{}"


async def unwanted(_: ActivityTask) -> None:
    """Stand for what is not to be called."""
    raise AssertionError("no cancel, and nothing vanished")


async def beating(engine: Engine, task: ActivityTask, seconds: range) -> list[float]:
    """Return the seconds at which the engine has heard of the task."""
    jobs = Jobs()
    beats = Heartbeats(engine, jobs, on_cancel=unwanted, on_vanished=unwanted)
    heard = []
    for now_s in seconds:
        before = len(engine.calls)
        beats.send_due({task.number: task}, float(now_s))
        await jobs.wait_all(10.0)
        if len(engine.calls) > before:
            heard.append(float(now_s))
    return heard


def test_a_task_beats_three_times_within_its_heartbeat_timeout() -> None:
    """Two beats may be lost on the line, and the task is still alive."""
    engine = Engine()
    task = a_task(heartbeat_s=60, taken_at_s=1000.0)

    heard = asyncio.run(beating(engine, task, range(1000, 1121)))

    assert heard == [1020.0, 1040.0, 1060.0, 1080.0, 1100.0, 1120.0]
    assert set(engine.calls) == {"RecordActivityTaskHeartbeat"}


def test_a_shorter_time_that_the_input_brings_is_kept_from_then_on() -> None:
    """The first beat would else come when SWF has given the task up."""

    async def scenario() -> tuple[float, float, list[float]]:
        now_s = asyncio.get_running_loop().time()
        task = a_task(heartbeat_s=60, taken_at_s=now_s)
        beats = Heartbeats(Engine(), Jobs(), on_cancel=unwanted, on_vanished=unwanted)
        beats.set_timing(task, {"heartbeat_s": 6})
        first_s = task.next_beat_s - now_s
        task.next_beat_s = 1002.0
        return first_s, task.heartbeat_s, await beating(Engine(), task, range(1000, 1009))

    first_s, heartbeat_s, heard = asyncio.run(scenario())
    assert (first_s < 60 / 3, heartbeat_s) == (True, 6.0)
    assert heard == [1002.0, 1004.0, 1006.0, 1008.0]

"""A dispatcher between a scripted engine and workers that a test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from garcon.description import ActivityDescription, FlowDescription
from garcon.pool.dispatcher import Dispatcher
from garcon.pool.frames import Frame
from garcon.pool.journal import Journal, read_holdings
from garcon.pool.slots import ChildKind
from garcon.pool.tally import TaskEnd
from tests.contract.pool_stand_ins import Peer, ScriptedPlane, wait_until

FETCH = ActivityDescription("fetch", "flow_fetch", "1.0", "flow_fetch")
SEND = replace(FETCH, name="send", type_name="flow_send", task_list="flow_send")
FLOW = FlowDescription("dev", "flow", "1.0", (FETCH,))


def a_task(token: str = "token-1", version: str = "1.0", name: str = "flow_fetch") -> dict:
    """Return what SWF answers a poll with."""
    return {
        "taskToken": token,
        "activityId": "fetch-1",
        "startedEventId": 7,
        "workflowExecution": {"workflowId": "w", "runId": "r"},
        "activityType": {"name": name, "version": version},
        "input": '{"day": "2026-01-01"}',
    }


class Pool:
    """A dispatcher between a scripted engine and workers that the test plays."""

    def __init__(self, folder, flow: FlowDescription = FLOW, **options) -> None:
        self.plane = ScriptedPlane()
        self.journal = Journal("test", folder)
        self.overdue: list[int] = []
        self.ends: list[TaskEnd] = []
        self.dispatcher = Dispatcher(
            self.plane, self.journal, flow, "host:1",
            on_overdue=self.overdue.append, on_end=self.ends.append, **options,
        )  # fmt: skip
        self.peers: list[Peer] = []

    async def worker(self, slot: int = 1) -> Peer:
        """Add a worker."""
        peer = await Peer.open(slot, ChildKind.WORKER)
        self.peers.append(peer)
        self.dispatcher.add_worker(peer.child)
        return peer

    def offer(self, task: dict) -> None:
        """Have the engine give this task to the next poll of its list."""
        self.plane.tasks[f"PollForActivityTask:{task['activityType']['name']}"].put_nowait(task)

    def held_in_journal(self) -> tuple[str, ...]:
        """Return the activity tokens that a pool after this one would find."""
        return read_holdings(self.journal.path.read_bytes()).activities


@asynccontextmanager
async def a_pool(folder, flow: FlowDescription = FLOW, **options) -> AsyncIterator[Pool]:
    """Run a pool and take it down."""
    pool = Pool(folder, flow, **options)
    try:
        yield pool
    finally:
        await pool.dispatcher.abort()
        for peer in pool.peers:
            peer.close()
        pool.journal.close()


def says(run: Frame, kind: str, body: bytes = b"{}", **head) -> Frame:
    """Return what a worker says of the task that it was sent."""
    return Frame(kind, {"kind": kind, "task": run.head["task"], **head}, body)


async def all_that_is_answered(pool, count: int) -> list[tuple[str, dict]]:
    """Return the answers once there are so many, and everything is let go."""
    answers = await pool.plane.wait_answers(count)
    await wait_until(lambda: pool.dispatcher.held == 0)
    return answers

"""Deciding between a scripted engine and deciders that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from garcon.description import FlowDescription
from garcon.pool.deciding import Deciding
from garcon.pool.frames import Frame
from garcon.pool.journal import Journal, read_holdings
from garcon.pool.pace import Pace
from garcon.pool.slots import ChildKind
from tests.contract.pool_stand_ins import Peer, ScriptedPlane, wait_until

FLOW = FlowDescription("dev", "flow", "1.0", ())
POLL = f"PollForDecisionTask:{FLOW.task_list}"
SHARD_POLL = f"PollForDecisionTask:{FLOW.shard_list}"
RESPOND = "RespondDecisionTaskCompleted"


def a_task(token: str = "token-1", run_id: str = "r", events: int = 3, **more) -> dict:
    """Return what SWF answers a poll with."""
    return {
        "taskToken": token,
        "startedEventId": 3,
        "previousStartedEventId": 0,
        "workflowExecution": {"workflowId": "w", "runId": run_id},
        "workflowType": {"name": "flow", "version": "1.0"},
        "events": [{"eventId": number, "eventType": "X"} for number in range(1, events + 1)],
        **more,
    }


class Pool:
    """Deciding between a scripted engine and deciders that the test plays."""

    def __init__(self, folder, flow: FlowDescription = FLOW, pace: Pace | None = None) -> None:
        self.plane = ScriptedPlane()
        self.journal = Journal("test", folder)
        self.overdue: list[int] = []
        self.closing: list[str] = []
        #: Whether the pool stays for its tasks when it is told to stop.
        self.stays = False
        self.deciding = Deciding(
            self.plane,
            self.journal,
            flow,
            "host:1",
            on_overdue=self.overdue.append,
            on_closing=self.closing.append,
            stays=lambda: self.stays,
            pace=pace,
        )
        self.peers: list[Peer] = []

    async def decider(self, slot: int = 1) -> Peer:
        """Add a decider."""
        peer = await Peer.open(slot, ChildKind.DECIDER)
        self.peers.append(peer)
        self.deciding.add_decider(peer.child)
        return peer

    def offer(self, *tasks: dict) -> None:
        """Have the engine give these tasks to the next polls."""
        for task in tasks:
            self.plane.tasks[POLL].put_nowait(task)

    def held_in_journal(self) -> tuple[str, ...]:
        """Return the decision tokens that a pool after this one would find."""
        return read_holdings(self.journal.path.read_bytes()).decisions

    async def say(self, peer: Peer, kind: str, body: bytes = b"", **head) -> None:
        """Have the decider say something about its task."""
        await self.deciding.on_frame(peer.child, Frame(kind, {"kind": kind, **head}, body))

    async def need(self, peer: Peer, task: int, token: str = "", run_id: str = "r") -> None:
        """Have the decider ask for a page of a history."""
        await self.say(peer, "need", task=task, workflow_id="w", run_id=run_id, token=token)

    async def answer(self, peer: Peer, task: int, **more) -> None:
        """Have the decider answer its task with one decision."""
        head = {"task": task, "hold_s": 0.0, "closes": False, **more}
        await self.say(peer, "answer", b'{"decisions":[{"decisionType":"X"}]}', **head)

    async def responses(self, count: int) -> list[dict]:
        """Wait until so many decision tasks were answered, and return the answers."""
        found: list[dict] = []

        def are_there() -> bool:
            found[:] = [body for name, body in self.plane.answered if name == RESPOND]
            return len(found) >= count

        await wait_until(are_there)
        return found


@asynccontextmanager
async def a_pool(
    folder, flow: FlowDescription = FLOW, pace: Pace | None = None
) -> AsyncIterator[Pool]:
    """Run a pool and take it down."""
    pool = Pool(folder, flow, pace)
    running = asyncio.ensure_future(pool.deciding.run())
    try:
        yield pool
    finally:
        running.cancel()
        await pool.deciding.abort()
        await asyncio.wait({running})
        for peer in pool.peers:
            peer.close()
        pool.journal.close()


def is_again(response: dict) -> bool:
    """Tell whether an answer is the 0-second timer and nothing else."""
    (decision,) = response["decisions"]
    return (
        decision["decisionType"] == "StartTimer"
        and decision["startTimerDecisionAttributes"]["startToFireTimeout"] == "0"
    )


def failure_of(response: dict) -> str:
    """Return the reason of an answer that fails the execution."""
    (decision,) = response["decisions"]
    assert decision["decisionType"] == "FailWorkflowExecution"
    return decision["failWorkflowExecutionDecisionAttributes"]["reason"]


async def task_of(peer: Peer) -> int:
    """Return the number of the task that the decider is sent next, its pages read."""
    head = (await peer.receive()).head
    for _ in range(head["pages"]):
        assert (await peer.receive()).kind == "page"
    return head["task"]

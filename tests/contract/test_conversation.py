"""One decider and what is said to it, down to the turn of the loop in which it is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from garcon.pool.conversation import CannotDecide, Decider, DecisionTask, Fetched
from garcon.pool.frames import Frame
from garcon.pool.pace import Allowances
from garcon.pool.slots import ChildKind
from tests.contract.deciding_harness import FLOW, a_task, task_of
from tests.contract.pool_stand_ins import DEADLINE_S, Peer, ScriptedPlane

SOON_S = 0.05


class Desk:
    """A decider, the far end of its socket, and the engine that its pages come from."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.plane = peer, ScriptedPlane()
        self.useless: list[int] = []
        asked = Allowances(None, lambda: 0.0)
        self.decider = Decider(peer.child, self.plane, FLOW, self.useless.append, asked, Fetched())

    def task(self, number: int, **more: Any) -> DecisionTask:
        """Return a task as it was polled."""
        head = a_task(f"token-{number}", **more)
        page = json.dumps(head).encode()
        poll = {"taskList": {"name": FLOW.task_list}}
        now_s = asyncio.get_running_loop().time()
        return DecisionTask(
            number, head["taskToken"], "w", "r", poll, head, [page], 3, now_s, DEADLINE_S
        )

    def begin(self, number: int, limit_s: float = DEADLINE_S, **more: Any) -> asyncio.Future[Any]:
        """Have the decider decide."""
        return asyncio.ensure_future(self.decider.decide(self.task(number, **more), limit_s))

    def say(self, kind: str, number: int, **head: Any) -> None:
        """Have the decider say something about its task."""
        self.decider.hear(Frame(kind, {"kind": kind, "task": number, **head}))


@asynccontextmanager
async def a_desk() -> AsyncIterator[Desk]:
    """Give a decider, and close its socket."""
    peer = await Peer.open(1, ChildKind.DECIDER)
    try:
        yield Desk(peer)
    finally:
        peer.close()


def within(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario that is to end."""

    async def bounded() -> None:
        await asyncio.wait_for(scenario(), DEADLINE_S)

    asyncio.run(bounded())


def test_an_attempt_that_swallows_its_cancel_is_called_off_all_the_same() -> None:
    """As `wait_for` may; it would wait for an answer that nobody gives, and the stop for it."""

    async def scenario() -> None:
        async with a_desk() as desk:
            calls = []

            async def send(*_: Any, **__: Any) -> None:
                calls.append(1)
                if len(calls) == 1:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        return

            desk.decider.child.stream.send = send  # type: ignore[method-assign]

            with pytest.raises(CannotDecide):
                await desk.begin(1, SOON_S)

            assert desk.decider.task is None
            assert desk.decider.queued == 0

    within(scenario)


def test_a_decider_hears_of_a_broken_off_reading_before_it_gets_the_next_task() -> None:
    """Though that one is ready in the very turn: its frames would be passed over."""

    async def scenario() -> None:
        async with a_desk() as desk:
            is_asked, rest = asyncio.Event(), asyncio.get_running_loop().create_future()

            async def call(operation: str, *_: Any, **__: Any) -> bytes:
                if operation == "PollForDecisionTask":
                    return bytes(await rest)
                is_asked.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    rest.set_result(json.dumps(a_task("token-2")).encode())
                    raise
                return b""

            desk.plane.call = call  # type: ignore[method-assign]
            first = desk.begin(1, 4 * SOON_S)
            second = desk.begin(2, nextPageToken="more")
            assert await task_of(desk.peer) == 1
            desk.say("need", 1, workflow_id="w", run_id="r", token="")
            await is_asked.wait()

            with pytest.raises(CannotDecide, match="not read"):
                await first

            gone = await desk.peer.receive()
            assert (gone.kind, gone.head["task"]) == ("gone", 1)
            assert await task_of(desk.peer) == 2
            desk.say("answer", 2, hold_s=0.0, closes=False)
            assert not (await second).closes

    within(scenario)


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("answer", {"hold_s": 0.0}),
        ("answer", {"hold_s": "long", "closes": False}),
        ("answer", {"hold_s": float("nan"), "closes": False}),
        ("answer", {"hold_s": 0.0, "closes": False, "terminate": [["one"]]}),
        ("answer", {"hold_s": 0.0, "closes": False, "notes": 7}),
        ("need", {"workflow_id": "w"}),
        ("hello", {}),
    ],
)
def test_a_decider_that_says_what_nobody_can_read_is_ended_and_blames_no_run(kind, head) -> None:
    """It is of another garcon, or broken; the pool goes on, and so does the run elsewhere."""

    async def scenario() -> None:
        async with a_desk() as desk:
            deciding = desk.begin(1)
            await task_of(desk.peer)
            desk.say(kind, 1, **head)

            with pytest.raises(CannotDecide, match="nobody can read") as told:
                await deciding

            assert not told.value.blames_run
            assert desk.useless == [1]

    within(scenario)

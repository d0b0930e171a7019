"""What the engine says where a decider needs more of a history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from garcon.errors import EngineUnreachable, ServiceError
from tests.contract.deciding_harness import a_pool, a_task, is_again, task_of


def _refuse(error: Exception) -> Callable[[dict], dict]:
    def reply(_: dict) -> dict:
        raise error

    return reply


def test_a_history_that_the_engine_refuses_this_pool_is_not_asked_for_without_pause(tmp_path):
    """The run's history would be full of such turns within minutes; a stop ends the pause."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            refusal = ServiceError("AccessDeniedException", "no swf:GetWorkflowExecutionHistory")
            pool.plane.replies["GetWorkflowExecutionHistory"] = _refuse(refusal)
            peer = await pool.decider()
            pool.offer(a_task())
            await pool.need(peer, await task_of(peer))
            assert (await peer.receive()).kind == "gone"

            await asyncio.sleep(0.2)
            assert await pool.responses(0) == []
            pool.deciding.stop_taking()

            assert is_again((await pool.responses(1))[0])

    asyncio.run(scenario())


def test_history_is_read_over_a_throttle_and_a_cut(tmp_path):
    """A passing fault costs a pause, not the decision."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            faults = [ServiceError("ThrottlingException", "Rate exceeded"), EngineUnreachable("x")]

            def older(_: dict) -> dict:
                if faults:
                    raise faults.pop()
                return {"events": []}

            pool.plane.replies["GetWorkflowExecutionHistory"] = older
            peer = await pool.decider()
            pool.offer(a_task())
            task = await task_of(peer)

            await pool.need(peer, task)

            assert (await peer.receive()).kind == "page"

    asyncio.run(scenario())

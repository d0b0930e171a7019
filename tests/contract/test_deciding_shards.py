"""What large fan-outs need of the supervisor: a pace, other histories, the ends of shards."""

from __future__ import annotations

import asyncio

from garcon.errors import ServiceError
from garcon.pool.deciding import BLAMES_MAX
from garcon.pool.pace import Pace
from tests.contract.deciding_harness import (
    RESPOND,
    a_pool,
    a_task,
    failure_of,
    task_of,
)

#: A pace that begins in a far future never refills.
NEVER_S = 1e12


async def allowance_of(peer) -> tuple[int, int | None]:
    """Return the number of the task that the decider is sent next, and its allowance."""
    head = (await peer.receive()).head
    for _ in range(head["pages"]):
        await peer.receive()
    return head["task"], head["allowance"]


def test_decisions_share_one_allowance_and_give_back_what_they_leave(tmp_path):
    """However many runs are decided, so many activities are scheduled a second and no more."""

    async def scenario() -> None:
        async with a_pool(tmp_path, pace=Pace(50, NEVER_S)) as pool:
            peer = await pool.decider()
            pool.offer(a_task("first"), a_task("second"), a_task("third"))

            task, allowance = await allowance_of(peer)
            assert allowance == 50
            await pool.answer(peer, task, scheduled=20)
            task, allowance = await allowance_of(peer)
            assert allowance == 30
            pool.deciding.remove_decider(1)  # whatever it had in mind, nothing came of it

            other = await pool.decider(2)
            pool.offer(a_task("fourth"))
            assert (await allowance_of(other))[1] == 30

    asyncio.run(scenario())


def test_without_a_pace_decisions_schedule_what_they_like(tmp_path):
    """None is no number."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(a_task())

            assert (await allowance_of(peer))[1] is None

    asyncio.run(scenario())


def test_a_refused_schedule_slows_the_whole_pool(tmp_path):
    """The decider that saw it says so with its answer."""

    async def scenario() -> None:
        async with a_pool(tmp_path, pace=Pace(160, 0.0)) as pool:
            peer = await pool.decider()
            pool.offer(a_task())

            await pool.answer(peer, await task_of(peer), throttled=True)
            await pool.responses(1)

            assert pool.deciding._allowances._pace.rate_per_s == 80

    asyncio.run(scenario())


def test_histories_of_other_runs_are_served_each_from_its_newest_page(tmp_path):
    """A second reading of one history begins anew."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            asked: list[tuple] = []

            def page(body: dict) -> dict:
                asked.append((body["execution"]["runId"], body.get("nextPageToken")))
                return {"events": [], "nextPageToken": "more"}

            pool.plane.replies["GetWorkflowExecutionHistory"] = page
            peer = await pool.decider()
            pool.offer(a_task())
            task = await task_of(peer)

            for run_id, token in (("r", ""), ("shard", ""), ("shard", "more"), ("r", "")):
                await pool.need(peer, task, token, run_id)
                assert (await peer.receive()).head["next"] == "more"

            assert asked == [("r", None), ("shard", None), ("shard", "more"), ("r", None)]

    asyncio.run(scenario())


def test_a_run_that_the_engine_does_not_know_is_told_as_such(tmp_path):
    """It is for the decider to say what that means; the decision goes on."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            unknown = ServiceError("UnknownResourceFault", "Unknown execution")
            pool.plane.faults["GetWorkflowExecutionHistory"] = unknown
            peer = await pool.decider()
            pool.offer(a_task())
            task = await task_of(peer)

            await pool.need(peer, task, run_id="long-gone")

            told = await peer.receive()
            assert (told.kind, told.head["task"]) == ("unknown", task)
            await pool.answer(peer, task)
            assert len(await pool.responses(1)) == 1

    asyncio.run(scenario())


def test_shards_that_outlived_their_grace_are_terminated_before_the_close(tmp_path):
    """One that is gone already is passed over, one that cannot be ended keeps nobody."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            faults = {
                "gone": ServiceError("UnknownResourceFault", "Unknown execution"),
                "held": ServiceError("OperationNotPermittedFault", "no"),
            }

            def end(body: dict) -> dict:
                if body["workflowId"] in faults:
                    raise faults[body["workflowId"]]
                return {}

            pool.plane.replies["TerminateWorkflowExecution"] = end
            peer = await pool.decider()
            pool.offer(a_task())
            shards = [["gone", "1"], ["held", "2"], ["open", "3"], ["unstarted", ""]]

            await pool.answer(peer, await task_of(peer), closes=True, terminate=shards)
            await pool.responses(1)

            ended = pool.plane.answered
            assert [name for name, _ in ended] == ["TerminateWorkflowExecution"] * 4 + [RESPOND]
            assert [(body["workflowId"], body.get("runId")) for _, body in ended[:4]] == [
                ("gone", "1"),
                ("held", "2"),
                ("open", "3"),
                ("unstarted", None),
            ]

    asyncio.run(scenario())


def test_a_run_that_is_failed_for_its_deciders_takes_its_shards_along(tmp_path):
    """Its decider cannot name them any more, but their tags do."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            names = {"shard": "r", "of another run": "q", "w": None}
            listed = [
                {
                    "execution": {"workflowId": name, "runId": "s"},
                    **({"parent": {"workflowId": "w", "runId": parent}} if parent else {}),
                }
                for name, parent in names.items()
            ]
            pool.plane.replies["ListOpenWorkflowExecutions"] = lambda _: {"executionInfos": listed}
            peer = await pool.decider()
            for number in range(BLAMES_MAX):
                pool.offer(a_task(f"token-{number}"))
                await pool.say(peer, "gave_up", task=await task_of(peer), text="KeyError: 'x'")
                await pool.responses(number + 1)

            names = [name for name, _ in pool.plane.answered]
            assert names[-3:] == [
                "ListOpenWorkflowExecutions",
                "TerminateWorkflowExecution",
                RESPOND,
            ]
            assert pool.plane.answered[-3][1]["tagFilter"] == {"tag": "root=w"}
            assert pool.plane.answered[-2][1]["workflowId"] == "shard"
            assert "KeyError" in failure_of(pool.plane.answered[-1][1])
            assert pool.closing == ["r"]

    asyncio.run(scenario())

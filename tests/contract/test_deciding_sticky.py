"""A pool beside others: the runs that it keeps, and how it gives them back."""

from __future__ import annotations

import asyncio

from garcon.pool.sticky import WAIT_S
from tests.contract.deciding_harness import FLOW, SHARD_POLL, a_pool, a_task, is_again, task_of
from tests.contract.pool_stand_ins import wait_until


def begun(token: str, previous_by: str, **more) -> dict:
    """Return a decision task of a run whose last decision `previous_by` has begun."""
    events = [
        {
            "eventId": number,
            "eventType": "DecisionTaskStarted",
            "eventTimestamp": 100.0 + number,
            "decisionTaskStartedEventAttributes": {"scheduledEventId": 1, "identity": identity},
        }
        for number, identity in ((6, previous_by), (9, "host:1"))
    ]
    return a_task(token, previousStartedEventId=6, startedEventId=9, **more) | {"events": events}


async def keep_a_run(pool, peer) -> str:
    """Have the pool decide twice, and keep the run; return the poll of its own list."""
    first = a_task("first")
    first["events"][-1] = {"eventId": 3, "eventType": "DecisionTaskStarted", "eventTimestamp": 1.0}
    pool.offer(first)
    await pool.answer(peer, await task_of(peer))
    await pool.responses(1)
    pool.offer(begun("second", "another:7"))
    await pool.answer(peer, await task_of(peer))
    told = (await pool.responses(2))[1]
    assert told["taskListScheduleToStartTimeout"] == str(WAIT_S)
    own = f"PollForDecisionTask:{told['taskList']['name']}"
    await wait_until(lambda: own in pool.plane.tasks)
    return own


def test_a_run_that_another_pool_decided_too_comes_to_this_one_s_own_list(tmp_path):
    """Which is polled from then on, and named again in each answer about the run."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            await wait_until(lambda: pool.deciding.under_way == 2)
            own = await keep_a_run(pool, peer)
            assert pool.deciding.kept_here == 1

            pool.plane.tasks[own].put_nowait(begun("third", "host:1"))
            await pool.answer(peer, await task_of(peer))

            responses = await pool.responses(3)
            assert "taskList" not in responses[0]
            assert responses[2]["taskToken"] == "third"
            assert responses[2]["taskList"] == responses[1]["taskList"]

    asyncio.run(scenario())


def test_a_decision_that_cannot_be_made_here_gives_its_run_to_whoever_is_free(tmp_path):
    """The timer's decision comes to the common list."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            pool.plane.tasks[own].put_nowait(begun("third", "host:1"))
            await task_of(peer)

            pool.deciding.remove_decider(1, "was killed by SIGKILL")

            told = (await pool.responses(3))[2]
            assert is_again(told)
            assert told["taskList"] == {"name": FLOW.task_list}
            assert "taskListScheduleToStartTimeout" not in told
            assert pool.deciding.kept_here == 0

    asyncio.run(scenario())


def test_a_pool_that_stops_empties_its_own_list_before_it_leaves(tmp_path):
    """What waits there would wait for its timeout; each goes to the common list at once."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            home = pool.plane.tasks[own]
            loop = asyncio.get_running_loop()
            drained = asyncio.ensure_future(pool.deciding.drain(loop.time() + 30))
            await asyncio.sleep(0)
            nothing = {"taskToken": ""}
            # Polls that waited at the stop, then as many as bring something, and one more.
            home.put_nowait(begun("third", "host:1"))
            home.put_nowait(begun("fourth", "host:1"))
            for poll in (SHARD_POLL, f"PollForDecisionTask:{FLOW.task_list}"):
                pool.plane.tasks[poll].put_nowait(nothing)
            responses = await pool.responses(4)
            assert not drained.done()
            home.put_nowait(nothing)

            await asyncio.wait_for(drained, 30)

            assert {"third", "fourth"} == {one["taskToken"] for one in responses[2:]}
            assert all(map(is_again, responses[2:]))
            assert {FLOW.task_list} == {one["taskList"]["name"] for one in responses[2:]}

    asyncio.run(scenario())


def test_shards_that_are_given_back_go_to_the_shards_list(tmp_path):
    """Each kind of run has its own common list."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            shard = {"name": f"{FLOW.name}.shard", "version": "1.0"}
            pool.plane.tasks[own].put_nowait(begun("third", "host:1", workflowType=shard))
            await task_of(peer)

            pool.deciding.remove_decider(1, "was killed by SIGKILL")

            assert (await pool.responses(3))[2]["taskList"] == {"name": FLOW.shard_list}

    asyncio.run(scenario())

"""A pool beside others: the runs that it keeps, and how it gives them back."""

from __future__ import annotations

import asyncio
import json

import pytest

from garcon.pool import deciding as deciding_module
from garcon.pool import sticky as sticky_module
from garcon.pool.deciding import INHERITED_MAX
from garcon.pool.journal import OwnList, read_holdings
from garcon.pool.sticky import WAIT_S
from tests.contract.deciding_harness import (
    FLOW,
    POLL,
    SHARD_POLL,
    Pool,
    a_pool,
    a_task,
    is_again,
    task_of,
)
from tests.contract.pool_stand_ins import wait_until

NOTHING = {"taskToken": ""}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Let no stop be over because the machine is slow."""
    monkeypatch.setattr(deciding_module, "LAST_POLL_S", 600.0)


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
    response = (await pool.responses(2))[1]
    assert response["taskListScheduleToStartTimeout"] == str(WAIT_S)
    own = f"PollForDecisionTask:{response['taskList']['name']}"
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

            response = (await pool.responses(3))[2]
            assert is_again(response)
            assert response["taskList"] == {"name": FLOW.task_list}
            assert "taskListScheduleToStartTimeout" not in response
            assert pool.deciding.kept_here == 0

    asyncio.run(scenario())


class OwnPolls:
    """The polls of the pool's own list from now on, each of which the test answers."""

    def __init__(self, pool: Pool, own: str) -> None:
        self.made: list[asyncio.Future[dict]] = []
        self._poll = pool.plane.poll
        self._own = own.partition(":")[2]
        pool.plane.poll = self.poll

    async def poll(self, operation: str, body: dict, **more) -> bytes:
        """Wait for the test's answer, or for the scripted one where the list is another."""
        if body["taskList"]["name"] != self._own:
            return await self._poll(operation, body, **more)
        self.made.append(asyncio.get_running_loop().create_future())
        return json.dumps(await self.made[-1]).encode()

    async def answer(self, number: int, task: dict | None = None) -> None:
        """Wait until so many polls were made, and answer the last of these."""
        await wait_until(lambda: len(self.made) >= number)
        self.made[number - 1].set_result(task or NOTHING)

    async def call_off(self, until: asyncio.Future[None]) -> None:
        """Answer every poll with nothing until that is done."""

        def is_done() -> bool:
            for one in self.made:
                if not one.done():
                    one.set_result(NOTHING)
            return until.done()

        await wait_until(is_done)


def stop(pool: Pool, *lists: str) -> asyncio.Future[None]:
    """Have the pool stop, and its polls of these lists end; return what is done when it has."""
    pool.deciding.stop_taking()
    for poll in (SHARD_POLL, POLL, *lists):
        pool.plane.tasks[poll].put_nowait(NOTHING)
    return asyncio.ensure_future(pool.deciding.drain(asyncio.get_running_loop().time() + 30))


def test_a_pool_that_stops_waits_a_moment_for_the_decisions_of_the_runs_that_it_keeps(tmp_path):
    """They are scheduled whenever a task ends, on the list that nobody polls after it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            polls = OwnPolls(pool, own)
            drained = stop(pool, own)

            await polls.answer(1)
            await polls.answer(2)
            await polls.answer(3, begun("third", "host:1"))

            response = (await pool.responses(3))[2]
            assert is_again(response)
            assert response["taskList"] == {"name": FLOW.task_list}
            await polls.call_off(drained)
            assert lists_in_journal(pool) == ()

    asyncio.run(scenario())


def test_what_waits_behind_an_answer_that_gives_a_run_back_is_taken_too(tmp_path):
    """Whichever of two polls brings the answered one, and when: one more is begun behind it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            drained = stop(pool)
            polls = OwnPolls(pool, own)

            # That of the stop ends first, the one before it brings something.
            await polls.answer(1)
            pool.plane.tasks[own].put_nowait(begun("third", "host:1"))
            await pool.responses(3)
            await polls.answer(2)
            await polls.answer(3, begun("fourth", "host:1"))

            response = (await pool.responses(4))[3]
            assert response["taskList"] == {"name": FLOW.task_list}
            await polls.call_off(drained)

    asyncio.run(scenario())


def test_a_run_that_does_not_come_in_time_is_left_to_the_next_pool_of_the_host(
    tmp_path, monkeypatch
):
    """A stop waits for none of them; while tasks are in hand it waits for those all the same."""
    monkeypatch.setattr(deciding_module, "LAST_POLL_S", 0.0)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            polls = OwnPolls(pool, own)
            pool.stays = True
            drained = stop(pool, own)

            await polls.answer(1)
            await polls.answer(2)
            await wait_until(lambda: len(polls.made) == 3)
            pool.stays = False
            await polls.answer(3)
            await polls.answer(4)  # begun when the last task was answered
            await asyncio.wait_for(drained, 30)

            assert len(polls.made) == 4
            (left,) = lists_in_journal(pool)
            assert left.name == own.partition(":")[2]

    asyncio.run(scenario())


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_stop_waits_for_no_run_that_is_quiet_or_closed(tmp_path, monkeypatch, is_closed):
    """The quiet one may still come, to the next pool then; where tasks are in hand, to this one."""
    if not is_closed:
        monkeypatch.setattr(sticky_module, "QUIET_S", 0.0)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            polls = OwnPolls(pool, own)
            if is_closed:
                pool.deciding.forget("r")  # another pool has decided its end
            pool.stays = not is_closed
            drained = stop(pool, own)

            if pool.stays:
                await polls.answer(1)
                await wait_until(lambda: len(polls.made) == 2)
                pool.stays = False
            await polls.call_off(drained)

            assert len(polls.made) == (0 if is_closed else 3)
            assert len(lists_in_journal(pool)) == (0 if is_closed else 1)

    asyncio.run(scenario())


def test_a_pool_that_was_told_to_stop_keeps_no_further_run(tmp_path):
    """Its next decision would come to a list that is being left."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            first = a_task("first")
            event = {"eventId": 3, "eventType": "DecisionTaskStarted", "eventTimestamp": 1.0}
            first["events"][-1] = event
            pool.offer(first)
            await pool.answer(peer, await task_of(peer))
            await pool.responses(1)
            await wait_until(lambda: pool.deciding.under_way == 2)

            pool.deciding.stop_taking()
            pool.offer(begun("second", "another:7"))
            await asyncio.wait_for(stop(pool), 30)

            response = (await pool.responses(2))[1]
            assert "taskListScheduleToStartTimeout" not in response
            assert lists_in_journal(pool) == ()

    asyncio.run(scenario())


def test_the_own_list_is_polled_for_what_was_scheduled_before_its_only_run_was_given_back(
    tmp_path, monkeypatch
):
    """SWF had chosen the list by then, and nobody else polls it."""
    monkeypatch.setattr(sticky_module, "KEPT_S", 0.0)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            for token in ("third", "fourth"):
                pool.plane.tasks[own].put_nowait(begun(token, "host:1"))
                await pool.answer(peer, await task_of(peer), hold_s=0.01)

            responses = await pool.responses(4)
            assert [one["taskToken"] for one in responses[2:]] == ["third", "fourth"]
            assert {FLOW.task_list} == {one["taskList"]["name"] for one in responses[2:]}

    asyncio.run(scenario())


def test_a_run_that_is_being_given_back_at_the_stop_leaves_nothing_behind(tmp_path, monkeypatch):
    """It is not kept any more, and yet its next decision may have been scheduled for this pool."""
    monkeypatch.setattr(sticky_module, "KEPT_S", 0.0)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            pool.plane.tasks[own].put_nowait(begun("third", "host:1"))
            number = await task_of(peer)
            polls = OwnPolls(pool, own)
            drained = stop(pool)

            await polls.answer(1)
            await wait_until(lambda: len(polls.made) == 2)
            await pool.answer(peer, number)
            await pool.responses(3)
            await polls.answer(2)
            await polls.answer(3, begun("fourth", "host:1"))

            assert (await pool.responses(4))[3]["taskList"] == {"name": FLOW.task_list}
            await polls.call_off(drained)

    asyncio.run(scenario())


def test_a_pool_that_stops_empties_its_own_list_before_it_leaves(tmp_path):
    """What waits there would wait for its timeout; each goes to the common list at once."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            polls = OwnPolls(pool, own)
            drained = stop(pool)
            # To the poll that waited at the stop, then to the first one after it.
            pool.plane.tasks[own].put_nowait(begun("third", "host:1"))
            await polls.answer(1, begun("fourth", "host:1"))
            responses = await pool.responses(4)
            assert not drained.done()

            await polls.call_off(drained)

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


def lists_in_journal(pool: Pool) -> tuple[OwnList, ...]:
    """Return the own lists that a pool after this one would find."""
    holdings = read_holdings(pool.journal.path.read_bytes())
    assert holdings is not None
    return holdings.lists


def test_the_own_list_is_journalled_while_runs_may_come_there(tmp_path):
    """A pool after this one polls it, unless this one has left it in order."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            assert lists_in_journal(pool) == ()
            own = await keep_a_run(pool, peer)
            name = own.partition(":")[2]
            assert lists_in_journal(pool) == (OwnList(name, FLOW.domain, FLOW.task_list),)

            polls = OwnPolls(pool, own)
            drained = stop(pool, own)
            await polls.answer(1, begun("third", "host:1"))
            await pool.responses(3)
            await polls.call_off(drained)

            assert lists_in_journal(pool) == ()

    asyncio.run(scenario())


def test_a_stop_waits_for_no_answer_before_it_leaves_its_own_list(tmp_path, monkeypatch):
    """A decision that takes its time has its own; what comes there later waits for a moment."""
    monkeypatch.setattr(deciding_module, "LAST_POLL_S", 0.0)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            own = await keep_a_run(pool, peer)
            pool.plane.tasks[own].put_nowait(begun("third", "host:1"))
            number = await task_of(peer)

            polls = OwnPolls(pool, own)
            drained = stop(pool, own)
            await polls.answer(1)
            await wait_until(lambda: pool.deciding.under_way == 1)

            assert len(polls.made) == 1
            assert pool.deciding.held == 1
            assert len(lists_in_journal(pool)) == 1, "what it leaves behind is the next pool's"
            await pool.answer(peer, number)
            assert (await pool.responses(3))[2]["taskList"] == {"name": FLOW.task_list}
            await asyncio.wait_for(drained, 30)

    asyncio.run(scenario())


def test_runs_of_a_dead_pool_are_decided_here_without_a_wait(tmp_path):
    """Their decisions come over its list, which this pool polls too; then over its own."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            dead = OwnList("flow.dead", FLOW.domain, FLOW.task_list)
            inheriting = asyncio.ensure_future(pool.deciding.inherit(dead))
            pool.plane.tasks["PollForDecisionTask:flow.dead"].put_nowait(begun("t", "host:9"))

            await pool.answer(peer, await task_of(peer))

            (response,) = await pool.responses(1)
            (own,) = lists_in_journal(pool)
            assert response["taskList"]["name"] == own.name != dead.name
            assert response["taskListScheduleToStartTimeout"] == str(WAIT_S)
            assert pool.deciding.kept_here == 1
            pool.deciding.stop_taking()
            pool.plane.tasks["PollForDecisionTask:flow.dead"].put_nowait({"taskToken": ""})
            await asyncio.wait_for(inheriting, 30)

    asyncio.run(scenario())


def test_a_dead_pool_s_list_is_polled_for_as_long_as_that_pool_would_have(tmp_path, monkeypatch):
    """Runs are kept for a time; after it nothing comes there any more."""
    monkeypatch.setattr(deciding_module, "KEPT_S", 0.0)
    monkeypatch.setattr(deciding_module, "GIVE_BACK_S", 0.05)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await pool.decider()
            dead = OwnList("flow.dead", FLOW.domain, FLOW.task_list)
            inheriting = asyncio.ensure_future(pool.deciding.inherit(dead))
            poll = "PollForDecisionTask:flow.dead"
            while not inheriting.done():
                pool.plane.tasks[poll].put_nowait({"taskToken": ""})
                await asyncio.wait({inheriting}, timeout=0.02)
            assert inheriting.result() is None

    asyncio.run(scenario())


def test_a_dead_pool_s_list_of_another_flow_or_of_too_many_is_left_alone(tmp_path):
    """Nobody here can decide for that flow; and polls take connections from the workers."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await pool.decider()
            for other in (("elsewhere", FLOW.task_list), (FLOW.domain, "another")):
                await asyncio.wait_for(pool.deciding.inherit(OwnList("flow.dead", *other)), 30)
            inheriting = []
            for number in range(INHERITED_MAX + 3):
                dead = OwnList(f"dead-{number}", FLOW.domain, FLOW.task_list)
                inheriting.append(asyncio.ensure_future(pool.deciding.inherit(dead)))

            def polled() -> list[str]:
                return [name for name in pool.plane.tasks if "dead" in name]

            await wait_until(lambda: len(polled()) >= INHERITED_MAX)
            await wait_until(lambda: sum(one.done() for one in inheriting) == 3)
            assert polled() == [f"PollForDecisionTask:dead-{one}" for one in range(INHERITED_MAX)]
            for one in inheriting:
                one.cancel()

    asyncio.run(scenario())

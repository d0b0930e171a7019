"""The dispatcher and what an engine may say: pages that are no answers, refusals, old news."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from garcon.errors import ServiceError
from garcon.pool import delivery, dispatcher
from garcon.pool.frames import Frame
from tests.contract.dispatcher_harness import FETCH, FLOW, Pool, a_pool, a_task, says
from tests.contract.pool_stand_ins import Peer, wait_until

COMPLETED, FAILED = "RespondActivityTaskCompleted", "RespondActivityTaskFailed"


async def run_one(pool: Pool, peer: Peer) -> None:
    """Have the pool take one task and the worker complete it."""
    pool.offer(a_task())
    run = await peer.receive()
    done = Frame("done", {"kind": "done", "task": run.head["task"]}, b"{}")
    await pool.dispatcher.on_frame(peer.child, done)


@pytest.mark.parametrize("page", [b"<html>Log in</html>", b"[1]", b'{"taskToken":"t"}'])
def test_an_answer_that_is_not_swf_s_rests_the_list_and_ends_nothing(tmp_path, page):
    """A proxy's page with a good status is no accident of garcon's own."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pages, poll = [page], pool.plane.poll

            async def first_the_page(*args, **words) -> bytes:
                return pages.pop() if pages else await poll(*args, **words)

            pool.plane.poll = first_the_page
            ticking = asyncio.ensure_future(pool.dispatcher.run())
            peer = await pool.worker()
            pool.offer(a_task())

            assert (await peer.receive()).kind == "run"
            ticking.cancel()

    asyncio.run(scenario())


def test_polls_that_are_refused_in_a_row_rest_longer_and_longer(tmp_path, monkeypatch, caplog):
    """Full jitter over a bound that doubles to half a minute; a poll that gets through ends it."""
    rests = []

    def draw(low: float, high: float) -> float:
        rests.append((low, round(high, 3)))
        return 0.0

    monkeypatch.setattr(dispatcher.random, "uniform", draw)
    monkeypatch.setattr(dispatcher, "TICK_S", 0.0)
    throttled = ServiceError("ThrottlingException", "Rate exceeded")

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            refusals, poll = 9, pool.plane.poll

            async def throttle(*args, **words) -> bytes:
                nonlocal refusals
                refusals -= 1
                if refusals >= 0 or refusals == -2:
                    raise throttled
                return await poll(*args, **words)

            pool.plane.poll = throttle
            ticking = asyncio.ensure_future(pool.dispatcher.run())
            peer = await pool.worker()
            pool.offer(a_task())
            run = await peer.receive()
            await pool.dispatcher.on_frame(peer.child, says(run, "done"))
            await wait_until(lambda: len(rests) == 10)
            ticking.cancel()

    asyncio.run(scenario())
    bounds = [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 0.4]
    assert rests == [(0, bound) for bound in bounds]
    told = [one.getMessage() for one in caplog.records if "event=poll.failed" in one.getMessage()]
    assert len(told) == len(bounds)
    assert "list=flow_fetch" in told[0]
    assert "Rate exceeded" in told[0]


@pytest.mark.parametrize(("start_to_close_s", "at_least_s"), [(3_600, 3_600), (5, 120)])
def test_an_answer_is_repeated_until_the_time_of_its_task_is_over(
    tmp_path, start_to_close_s, at_least_s
):
    """What has been computed is not to be lost; of a short task not at the first hiccup either."""
    flow = replace(FLOW, activities=(replace(FETCH, start_to_close_s=start_to_close_s),))

    async def scenario() -> None:
        async with a_pool(tmp_path, flow) as pool:
            deadlines, answer = [], pool.plane.answer

            async def note(*args, deadline_s, **words) -> bytes:
                deadlines.append(deadline_s)
                return await answer(*args, **words)

            pool.plane.answer = note
            peer = await pool.worker()
            before_s = asyncio.get_running_loop().time()
            await run_one(pool, peer)
            await pool.plane.wait_answers(1)

            after_s = asyncio.get_running_loop().time()
            assert before_s + at_least_s <= deadlines[0] <= after_s + at_least_s

    asyncio.run(scenario())


def test_a_result_that_the_engine_refuses_fails_the_task_with_its_text(tmp_path):
    """Unanswered it would run until its timeout, and then again."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pool.plane.faults[COMPLETED] = ServiceError("ValidationException", "no such character")
            await run_one(pool, await pool.worker())

            answers = await pool.plane.wait_answers(2)
            assert [name for name, _ in answers] == [COMPLETED, FAILED]
            assert "no such character" in answers[1][1]["reason"]
            assert json.loads(answers[1][1]["details"])["kind"] == "failed"
            await wait_until(lambda: pool.dispatcher.held == 0)

    asyncio.run(scenario())


def test_a_result_waits_for_keys_that_have_run_out(tmp_path, monkeypatch):
    """The work is done; who renews the keys in time need not have it done again."""
    monkeypatch.setattr(delivery, "REFUSED_REST_S", 0.01)

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            refusals = 2 * [ServiceError("ExpiredTokenException", "expired")]

            def respond(_: dict) -> dict:
                if refusals:
                    raise refusals.pop()
                return {}

            pool.plane.replies[COMPLETED] = respond
            await run_one(pool, await pool.worker())

            answers = await pool.plane.wait_answers(3)
            assert [name for name, _ in answers] == 3 * [COMPLETED]
            await wait_until(lambda: pool.dispatcher.held == 0)
            assert pool.held_in_journal() == ()

    asyncio.run(scenario())


def test_a_beat_that_its_task_s_answer_has_overtaken_is_old_news(tmp_path):
    """The engine knows the task no more because it was answered, not because it vanished."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            unknown = ServiceError("UnknownResourceFault", "Unknown activity")
            pool.plane.faults["RecordActivityTaskHeartbeat"] = unknown
            gate = asyncio.Event()

            async def answer(*_, **__) -> bytes:
                await gate.wait()
                return b""

            pool.plane.answer = answer
            await run_one(pool, await pool.worker())
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)

            assert not task.vanished
            gate.set()
            await wait_until(lambda: pool.dispatcher.held == 0)

    asyncio.run(scenario())


def test_after_a_reload_new_activities_are_polled_for_and_old_lists_no_more(tmp_path):
    """A poll that waits on a list that is served no more runs out in peace."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            await wait_until(lambda: "PollForActivityTask:flow_fetch" in pool.plane.tasks)
            sort = replace(FETCH, name="sort", type_name="flow_sort", task_list="flow_sort")

            pool.dispatcher.adopt(replace(FLOW, activities=(sort,)))
            assert pool.dispatcher.task_lists == ["flow_sort"]
            pool.plane.tasks["PollForActivityTask:flow_fetch"].put_nowait({"taskToken": ""})
            await wait_until(lambda: "PollForActivityTask:flow_sort" in pool.plane.tasks)
            task = {**a_task(), "activityType": {"name": "flow_sort", "version": "1.0"}}
            pool.plane.tasks["PollForActivityTask:flow_sort"].put_nowait(task)

            assert (await peer.receive()).head["activity"] == "sort"
            assert pool.dispatcher.polls_waiting == 0

    asyncio.run(scenario())

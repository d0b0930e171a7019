"""Tasks that a dispatcher asks for while all its workers are still busy."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from garcon.description import FlowDescription
from tests.contract.dispatcher_harness import FETCH, FLOW, Pool, a_pool, a_task, says
from tests.contract.pool_stand_ins import wait_until


class Expecting:
    """Stands for what is known of runs: so many tasks are to be asked for ahead."""

    def __init__(self, number: int) -> None:
        self.expected = number
        self.runs: list[str] = []

    def number(self, _running: object, _now_s: float) -> int:
        """Return that number."""
        return self.expected

    def note_run(self, activity: str, _seconds: float) -> None:
        """Take note of a run."""
        self.runs.append(activity)


async def a_busy_pool(pool: Pool, ahead: int):
    """Give the only worker a first task; return its peer and the task's frame."""
    pool.dispatcher._look_ahead = Expecting(ahead)
    peer = await pool.worker()
    pool.offer(a_task("first"))
    return peer, await peer.receive()


def test_a_task_that_came_ahead_is_begun_in_the_turn_in_which_its_worker_is_free(tmp_path):
    """The worker does not wait for a poll; and the third task is asked for by then."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer, first = await a_busy_pool(pool, ahead=1)
            assert pool.dispatcher.polls_waiting == 1
            pool.offer(a_task("second"))
            await wait_until(lambda: pool.dispatcher.in_hand == 1)
            assert pool.dispatcher.polls_waiting == 0
            assert pool.held_in_journal() == ("first", "second")

            await pool.dispatcher.on_frame(peer.child, says(first, "done"))

            assert pool.dispatcher.in_hand == 0
            assert pool.dispatcher.idle == 0
            second = await peer.receive()
            assert second.head["task"] != first.head["task"]
            await wait_until(lambda: pool.dispatcher.polls_waiting == 1)
            await pool.dispatcher.on_frame(peer.child, says(second, "done"))
            answers = await pool.plane.wait_answers(2)
            assert [body["taskToken"] for _, body in answers] == ["first", "second"]
            assert pool.dispatcher._look_ahead.runs == ["fetch", "fetch"]

    asyncio.run(scenario())


def test_nothing_is_asked_for_while_a_run_that_is_expected_to_last_goes_on(tmp_path):
    """Its task would wait here while another host could run it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await a_busy_pool(pool, ahead=0)

            assert pool.dispatcher.polls_waiting == 0
            assert pool.dispatcher.in_hand == 0

    asyncio.run(scenario())


def test_a_dispatcher_learns_from_its_own_tasks_and_answers(tmp_path):
    """Runs are counted from the frame to the worker, ways by what the engine answers at once."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            known = pool.dispatcher._look_ahead
            pool.offer(a_task())
            run = await peer.receive()
            now_s = asyncio.get_running_loop().time()
            assert list(pool.dispatcher._crew.running_alone()) == [
                ("fetch", pool.dispatcher._held[run.head["task"]].begun_at_s)
            ]

            await pool.dispatcher.on_frame(peer.child, says(run, "done"))
            await pool.plane.wait_answers(1)
            await wait_until(lambda: pool.dispatcher.held == 0)

            assert set(known._runs_s) == {"fetch"}
            assert 0.0 <= known._runs_s["fetch"] <= asyncio.get_running_loop().time()
            assert known._trip_s >= 0.0
            known.note_trip(0.5)
            assert known.number([("fetch", now_s)], now_s + 0.1) in (0, 1)

    asyncio.run(scenario())


def test_a_stop_hands_back_what_came_ahead(tmp_path):
    """It has not begun, and draws on nothing."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await a_busy_pool(pool, ahead=1)
            pool.offer(a_task("second"))
            await wait_until(lambda: pool.dispatcher.in_hand == 1)

            pool.dispatcher.stop_taking()

            ((_, body),) = await pool.plane.wait_answers(1)
            assert body["taskToken"] == "second"
            assert json.loads(body["details"])["kind"] == "handed_back"
            assert pool.dispatcher.polls_waiting == 0

    asyncio.run(scenario())


def test_a_task_that_came_ahead_of_a_worker_that_dies_is_run_by_the_next(tmp_path):
    """Only what the dead one had begun is lost."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await a_busy_pool(pool, ahead=1)
            pool.offer(a_task("second"))
            await wait_until(lambda: pool.dispatcher.in_hand == 1)

            pool.dispatcher.remove_worker(1, "killed by SIGKILL", {})
            other = await pool.worker(slot=2)

            run = await other.receive()
            assert pool.dispatcher._held[run.head["task"]].token == "second"
            ((_, body),) = await pool.plane.wait_answers(1)
            assert (body["taskToken"], json.loads(body["details"])["kind"]) == ("first", "lost")

    asyncio.run(scenario())


def test_an_activity_with_a_cap_is_not_asked_for_ahead(tmp_path):
    """No more of it are in this pool's hands than may run."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (replace(FETCH, max_procs=1),))
        assert flow != FLOW
        async with a_pool(tmp_path, flow) as pool:
            await a_busy_pool(pool, ahead=3)

            assert pool.dispatcher.polls_waiting == 0

    asyncio.run(scenario())


def test_a_result_is_acted_on_when_it_comes_but_not_after_a_stop_that_does_not_wait(tmp_path):
    """The worker has its next task before anybody receives; then tokens stay in the journal."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer, first = await a_busy_pool(pool, ahead=1)
            pool.offer(a_task("second"))
            await wait_until(lambda: pool.dispatcher.in_hand == 1)

            await peer.stream.send("done", b"{}", task=first.head["task"])

            second = await peer.receive()
            ((_, body),) = await pool.plane.wait_answers(1)
            assert body["taskToken"] == "first"
            await pool.dispatcher.abort()
            await peer.stream.send("done", b"{}", task=second.head["task"])
            frame = await peer.child.stream.receive()
            assert (frame.kind, frame.head["task"]) == ("done", second.head["task"])
            assert pool.held_in_journal() == ("second",)

    asyncio.run(scenario())

"""Workers with several tasks at once: who gets them, and how single ones of them end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from garcon.description import FlowDescription
from garcon.outcome import Kind, decode_failure
from garcon.pool.crew import ROUNDS
from garcon.pool.facts import KillAsked, RetireAsked
from garcon.pool.recycling import Share
from garcon.pool.slate import HEARING_PLACE, Slate
from garcon.pool.slots import ChildKind
from tests.contract.dispatcher_harness import (
    FETCH,
    SEND,
    Pool,
    a_pool,
    a_task,
    all_that_is_answered,
    says,
)
from tests.contract.pool_stand_ins import Peer

ASK = replace(FETCH, threads=2)
BOTH = FlowDescription("dev", "flow", "1.0", (ASK, SEND))
ALONE = FlowDescription("dev", "flow", "1.0", (ASK,))
MB = 1_000_000


async def receive_runs(peer: Peer, count: int) -> list:
    """Return the tasks that a worker is sent."""
    frames = [await peer.receive() for _ in range(count)]
    assert ["run"] * count == [one.kind for one in frames]
    return frames


def test_one_worker_gets_as_many_tasks_as_it_has_threads(tmp_path):
    """And the next as soon as one of them has ended; each has a place of its own."""

    async def scenario() -> None:
        async with a_pool(tmp_path, ALONE) as pool:
            peer = await pool.worker()
            for number in range(3):
                pool.offer(a_task(f"token-{number}"))
            first, second = await receive_runs(peer, 2)
            assert [(2, 0), (2, 1)] == [
                (one.head["threads"], one.head["place"]) for one in (first, second)
            ]
            assert 1 == pool.plane.tasks["PollForActivityTask:flow_fetch"].qsize()

            await pool.dispatcher.on_frame(peer.child, says(first, "done"))

            (third,) = await receive_runs(peer, 1)
            assert 0 == third.head["place"]
            assert (1, 1) == pool.dispatcher.count_workers()

    asyncio.run(scenario())


def test_a_worker_with_threads_is_filled_before_another_is_begun(tmp_path):
    """Who is idle stays free for what needs a worker for itself."""

    async def scenario() -> None:
        async with a_pool(tmp_path, BOTH) as pool:
            peers = [await pool.worker(slot) for slot in (1, 2)]
            for number in range(2):
                pool.dispatcher._take(a_task(f"token-{number}"))
            await receive_runs(peers[0], 2)
            assert 1 == pool.dispatcher.idle

            pool.dispatcher._take(a_task("other", name="flow_send"))

            (other,) = await receive_runs(peers[1], 1)
            assert ("send", 1) == (other.head["activity"], other.head["threads"])

    asyncio.run(scenario())


def test_an_activity_without_threads_waits_for_a_worker_of_its_own(tmp_path):
    """One free thread of another activity's worker is no place for it."""

    async def scenario() -> None:
        async with a_pool(tmp_path, BOTH) as pool:
            peer = await pool.worker()
            pool.dispatcher._take(a_task("one"))
            (one,) = await receive_runs(peer, 1)

            pool.dispatcher._take(a_task("other", name="flow_send"))
            assert pool.dispatcher.has_in_hand
            await pool.dispatcher.on_frame(peer.child, says(one, "done"))

            assert "send" == (await receive_runs(peer, 1))[0].head["activity"]

    asyncio.run(scenario())


def test_a_worker_with_threads_ends_its_sitting_so_that_others_have_their_turn(tmp_path):
    """After so many rounds with nobody idle it finishes what it has; alone it would go on."""

    async def serve(flow: FlowDescription) -> int:
        async with a_pool(tmp_path, flow) as pool:
            peer = await pool.worker()
            given = 0
            for number in range(3 * ROUNDS):
                pool.dispatcher._take(a_task(f"{flow.name}-{number}"))
            # One thread stays taken all the time.
            runs = await receive_runs(peer, 2)
            while runs[1:]:
                given += 1
                before = pool.dispatcher.in_hand
                await pool.dispatcher.on_frame(peer.child, says(runs.pop(), "done"))
                if pool.dispatcher.in_hand < before:
                    runs += await receive_runs(peer, 1)
            return given

    async def scenario() -> None:
        assert 2 * ROUNDS - 1 == await serve(BOTH)
        assert 3 * ROUNDS - 1 == await serve(ALONE)

    asyncio.run(scenario())


def test_an_overdue_one_is_answered_at_once_and_its_worker_goes_after_the_others(tmp_path):
    """A thread cannot be ended alone; until then the worker gets nothing new."""

    async def scenario() -> None:
        async with a_pool(tmp_path, ALONE) as pool:
            peer = await pool.worker(slot=3)
            for number in range(2):
                pool.dispatcher._take(a_task(f"token-{number}"))
            late, other = await receive_runs(peer, 2)
            task = pool.dispatcher._held[late.head["task"]]
            task.start_to_close_s = 100.0

            pool.dispatcher._endings.end_due(task.taken_at_s + 99.6)

            ((operation, body),) = await pool.plane.wait_answers(1)
            assert ("RespondActivityTaskFailed", "token-0") == (operation, body["taskToken"])
            pool.dispatcher._take(a_task("further"))
            assert 1 == pool.dispatcher.in_hand
            assert [] == pool.overdue

            await pool.dispatcher.on_frame(peer.child, says(other, "done"))
            pool.dispatcher._endings.end_due(task.taken_at_s + 100)
            pool.dispatcher._endings.end_due(task.taken_at_s + 101)
            assert [3] == pool.overdue
            assert 1 == pool.dispatcher.tally.completed
            assert 1 == pool.dispatcher.in_hand

    asyncio.run(scenario())


def test_a_canceled_one_is_answered_at_once_and_its_worker_stays_if_it_obeys(tmp_path):
    """Told to end at its next heartbeat; when its thread has ended, its place is free again."""

    async def scenario() -> None:
        async with a_pool(tmp_path, ALONE, cancel_grace_s=7.0) as pool:
            pool.plane.replies["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}
            peer = await pool.worker(slot=3)
            pool.dispatcher._take(a_task("canceled"))
            (run,) = await receive_runs(peer, 1)
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)

            answers = await all_that_is_answered(pool, 2)
            assert "RespondActivityTaskCanceled" == answers[-1][0]
            assert "cancel" == (await peer.receive()).kind
            pool.dispatcher._take(a_task("next"))
            assert 1 == pool.dispatcher.in_hand
            pool.dispatcher._endings.end_due(task.cancel_by_s - 0.1)
            assert [] == pool.overdue
            await pool.dispatcher.on_frame(peer.child, says(run, "canceled"))

            await receive_runs(peer, 1)
            assert 1 == pool.dispatcher.tally.canceled

    asyncio.run(scenario())


def test_a_canceled_one_that_does_not_obey_takes_its_worker_along(tmp_path):
    """When its grace is over, and nobody else is there."""

    async def scenario() -> None:
        async with a_pool(tmp_path, ALONE, cancel_grace_s=7.0) as pool:
            pool.plane.replies["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}
            peer = await pool.worker(slot=3)
            pool.dispatcher._take(a_task("canceled"))
            await receive_runs(peer, 1)
            (task,) = pool.dispatcher._held.values()
            await pool.dispatcher._heartbeats.beat(task)

            pool.dispatcher._endings.end_due(task.cancel_by_s + 0.1)

            assert [3] == pool.overdue

    asyncio.run(scenario())


def test_a_worker_that_dies_loses_all_of_its_tasks(tmp_path):
    """Each is answered at once."""

    async def scenario() -> None:
        async with a_pool(tmp_path, ALONE) as pool:
            peer = await pool.worker(slot=3)
            for number in range(2):
                pool.dispatcher._take(a_task(f"token-{number}"))
            await receive_runs(peer, 2)

            pool.dispatcher.remove_worker(3, "was killed by SIGKILL", {"pid": 4711})

            answers = await all_that_is_answered(pool, 2)
            kinds = [decode_failure(one["reason"], one["details"]).kind for _, one in answers]
            assert [Kind.LOST, Kind.LOST] == kinds

    asyncio.run(scenario())


def test_a_task_past_twice_the_bound_is_killed_and_failed_as_out_of_memory(tmp_path):
    """Before the kernel chooses whom to kill; the history tells how much it was."""
    facts: list = []

    async def scenario() -> None:
        share = Share(memory=100 * MB)
        async with a_pool(tmp_path, ALONE, share=share, on_fact=facts.append) as pool:
            sizes = iter([30 * MB, 229 * MB, 231 * MB])
            pool.dispatcher._turnover._read_memory = lambda _pid: next(sizes)
            peer = await pool.worker(slot=3)
            pool.dispatcher._take(a_task("large"))
            await receive_runs(peer, 1)

            pool.dispatcher._turnover.look(0.0)
            assert [] == facts
            pool.dispatcher._turnover.look(0.0)
            pool.dispatcher._turnover.look(0.0)

            assert [KillAsked(3)] == facts
            ((_, body),) = await all_that_is_answered(pool, 1)
            failure = decode_failure(body["reason"], body["details"])
            assert (Kind.OUT_OF_MEMORY, ("MemoryError",)) == (failure.kind, failure.errors)
            assert "its task took 201 MB, the bound is 100 MB" == body["reason"]

    asyncio.run(scenario())


def test_of_several_tasks_past_the_bound_none_pays_with_its_retries(tmp_path):
    """Whose memory it is nobody can say: all of them count as lost."""
    facts: list = []

    async def scenario() -> None:
        share = Share(memory=100 * MB)
        async with a_pool(tmp_path, ALONE, share=share, on_fact=facts.append) as pool:
            sizes = iter([30 * MB, 300 * MB])
            pool.dispatcher._turnover._read_memory = lambda _pid: next(sizes)
            peer = await pool.worker(slot=3)
            for number in range(2):
                pool.dispatcher._take(a_task(f"token-{number}"))
            await receive_runs(peer, 2)

            pool.dispatcher._turnover.look(0.0)

            assert [KillAsked(3)] == facts
            for _, body in await all_that_is_answered(pool, 2):
                assert Kind.LOST is decode_failure(body["reason"], body["details"]).kind
                assert "with 2 tasks on its threads" in body["reason"]

    asyncio.run(scenario())


def test_a_worker_that_has_had_its_share_gets_nothing_more(tmp_path):
    """Judged before the next task goes out, not some time after."""
    facts: list = []

    async def scenario() -> None:
        flow = replace(ALONE, activities=(FETCH,))
        async with a_pool(tmp_path, flow, share=Share(tasks=2), on_fact=facts.append) as pool:
            peer = await pool.worker(slot=3)
            for number in range(2):
                pool.dispatcher._take(a_task(f"token-{number}"))
                (run,) = await receive_runs(peer, 1)
                assert [] == facts
                if number:
                    pool.dispatcher._take(a_task("next"))
                await pool.dispatcher.on_frame(peer.child, says(run, "done"))

            assert [RetireAsked(3)] == facts
            assert 1 == pool.dispatcher.in_hand
            assert 0 == pool.dispatcher.idle

    asyncio.run(scenario())


@asynccontextmanager
async def a_worker_with_a_slate(pool: Pool) -> AsyncIterator[tuple[Peer, Slate]]:
    """Add a worker on whose slate the test writes."""
    peer, slate = await Peer.open(1, ChildKind.WORKER), Slate.make()
    pool.peers.append(peer)
    peer.child = replace(peer.child, slate=slate)
    pool.dispatcher.add_worker(peer.child)
    try:
        yield peer, slate
    finally:
        slate.close()


def test_last_words_go_out_with_the_next_beat_and_with_a_cancel(tmp_path):
    """The latest of them, whenever they were said."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool, a_worker_with_a_slate(pool) as (peer, slate):
            pool.dispatcher._take(a_task())
            (run,) = await receive_runs(peer, 1)
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)
            slate.write(1, 0, task.number, "half way")
            await pool.dispatcher._heartbeats.beat(task)
            slate.write(1, 0, task.number + 1, "somebody else's")
            await pool.dispatcher._heartbeats.beat(task)
            slate.write(1, 0, task.number, "almost")
            await pool.dispatcher.on_frame(peer.child, says(run, "canceled"))

            answers = await all_that_is_answered(pool, 4)
            told = [body.get("details") for _, body in answers]
            assert [None, "half way", "half way", "almost"] == told

    asyncio.run(scenario())


@pytest.mark.parametrize(("asks", "grace_s"), [(True, 7.0), (False, 1.0)])
def test_a_task_that_never_heartbeats_has_no_grace_to_hear_its_cancel(tmp_path, asks, grace_s):
    """The exception could not reach it; one that asks has all of the time."""

    async def scenario() -> None:
        async with (
            a_pool(tmp_path, cancel_grace_s=7.0) as pool,
            a_worker_with_a_slate(pool) as (peer, slate),
        ):
            pool.dispatcher._take(a_task())
            (run,) = await receive_runs(peer, 1)
            (task,) = pool.dispatcher._held.values()
            if asks:
                slate.write(1, HEARING_PLACE, run.head["task"], "")

            await pool.dispatcher._endings.cancel(task)

            pool.dispatcher._endings.end_due(task.cancel_by_s - 0.1)
            assert [] == pool.overdue
            pool.dispatcher._endings.end_due(task.cancel_by_s)
            assert [1] == pool.overdue
            assert grace_s == task.grace_s

    asyncio.run(scenario())


def test_a_lost_task_tells_how_far_it_was(tmp_path):
    """What its process had said before it died is still there."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool, a_worker_with_a_slate(pool) as (peer, slate):
            pool.dispatcher._take(a_task())
            (run,) = await receive_runs(peer, 1)
            slate.write(1, 0, run.head["task"], "three of four")

            pool.dispatcher.remove_worker(1, "was killed by SIGKILL", {"pid": 1})

            ((_, body),) = await all_that_is_answered(pool, 1)
            assert "three of four" == json.loads(body["details"])["heartbeat"]

    asyncio.run(scenario())

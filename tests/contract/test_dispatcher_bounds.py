"""What bounds a task: its time, its cancel, its activity's cap, the choice of the command."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from garcon.description import FlowDescription
from garcon.errors import ServiceError, UsageError
from garcon.outcome import Kind, decode_failure
from tests.contract.dispatcher_harness import (
    FETCH,
    FLOW,
    SEND,
    a_pool,
    a_task,
    all_that_is_answered,
    says,
)
from tests.contract.pool_stand_ins import wait_until


def test_a_task_over_its_time_fails_with_the_reason_and_its_worker_goes(tmp_path):
    """It is ended a moment before the engine would end it, and not earlier."""

    async def scenario() -> None:
        flow = replace(FLOW, activities=(replace(FETCH, start_to_close_s=100),))
        async with a_pool(tmp_path, flow) as pool:
            peer = await pool.worker(slot=3)
            pool.offer(a_task())
            run = await peer.receive()
            assert (60, 100) == (run.head["heartbeat_s"], run.head["start_to_close_s"])
            (task,) = pool.dispatcher._held.values()

            pool.dispatcher._endings.end_due(task.taken_at_s + 99.0)
            assert [] == pool.overdue
            pool.dispatcher._endings.end_due(task.taken_at_s + 99.6)

            assert [3] == pool.overdue
            ((operation, body),) = await all_that_is_answered(pool, 1)
            assert "RespondActivityTaskFailed" == operation
            assert "took longer than its 100 s" == body["reason"]
            failure = decode_failure(body["reason"], body["details"])
            assert (Kind.FAILED, ("TimeoutError",)) == (failure.kind, failure.errors)
            assert {"worker": 3, "pid": peer.child.pid} == failure.facts
            assert 1 == pool.dispatcher.tally.failed

    asyncio.run(scenario())


def test_a_worker_that_is_ended_gets_nothing_more_and_its_last_words_go_nowhere(tmp_path):
    """Its slot is not idle, a late result is not answered, its death loses nothing."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker(slot=3)
            pool.offer(a_task())
            run = await peer.receive()
            (task,) = pool.dispatcher._held.values()

            pool.dispatcher._endings.end_due(task.taken_at_s + 600)
            await pool.dispatcher.on_frame(peer.child, says(run, "done"))
            assert 0 == pool.dispatcher.idle
            pool.dispatcher.remove_worker(3, "was killed by SIGKILL", {})

            await all_that_is_answered(pool, 1)
            assert (0, 0) == (pool.dispatcher.tally.completed, pool.dispatcher.tally.lost)

    asyncio.run(scenario())


def test_an_input_may_bring_a_task_its_own_time(tmp_path):
    """The worker says so before it begins; the description's time counts no more."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            pool.offer(a_task())
            run = await peer.receive()
            (task,) = pool.dispatcher._held.values()

            timing = says(run, "timing", heartbeat_s=9, start_to_close_s=5000)
            await pool.dispatcher.on_frame(peer.child, timing)
            pool.dispatcher._endings.end_due(task.taken_at_s + 4999)

            assert [] == pool.overdue
            assert 9 == task.heartbeat_s

    asyncio.run(scenario())


def test_the_loop_wakes_in_time_for_a_short_task(tmp_path):
    """A task of one second is ended within its second, though the loop looks twice a second."""

    async def scenario() -> None:
        flow = replace(FLOW, activities=(replace(FETCH, start_to_close_s=1),))
        async with a_pool(tmp_path, flow) as pool:
            await pool.worker()
            pool.offer(a_task())
            await wait_until(lambda: pool.dispatcher.held == 1)
            (task,) = pool.dispatcher._held.values()

            assert 0.5 == pool.dispatcher._next_tick_s(task.taken_at_s)
            assert 0.15 == pytest.approx(pool.dispatcher._next_tick_s(task.taken_at_s + 0.8))

    asyncio.run(scenario())


def test_a_canceled_task_has_its_grace_and_then_its_worker_goes(tmp_path):
    """The worker is told at once; SWF hears Canceled when the grace is over."""

    async def scenario() -> None:
        async with a_pool(tmp_path, cancel_grace_s=7.0) as pool:
            pool.plane.replies["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}
            peer = await pool.worker(slot=3)
            pool.offer(a_task())
            await peer.receive()
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)
            asked_s = task.cancel_by_s - 7.0
            assert "cancel" == (await peer.receive()).kind
            await pool.dispatcher._heartbeats.beat(task)
            pool.dispatcher._endings.end_due(asked_s + 6.9)
            assert [] == pool.overdue
            pool.dispatcher._endings.end_due(asked_s + 7.1)

            assert [3] == pool.overdue
            answers = await all_that_is_answered(pool, 3)
            assert "RespondActivityTaskCanceled" == answers[-1][0]
            assert 1 == pool.dispatcher.tally.canceled

    asyncio.run(scenario())


def test_a_task_that_is_canceled_before_it_runs_is_answered_at_once(tmp_path):
    """No worker has to be asked."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pool.plane.replies["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}
            pool.dispatcher._take(a_task())
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)

            answers = await all_that_is_answered(pool, 2)
            assert "RespondActivityTaskCanceled" == answers[-1][0]
            assert not pool.dispatcher.has_in_hand

    asyncio.run(scenario())


def test_tasks_of_a_run_whose_cancel_was_decided_here_hear_of_it_at_once(tmp_path):
    """Not with their next beat, which may be twenty seconds away; those of other runs go on."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pool.plane.replies["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}
            peers = [await pool.worker(slot) for slot in (1, 2)]
            other = {**a_task("other"), "workflowExecution": {"workflowId": "o", "runId": "o"}}
            for task in (a_task("this"), other):
                pool.dispatcher._take(task)
            for peer in peers:
                await peer.receive()

            pool.dispatcher.ask_after("r")

            assert "cancel" == (await peers[0].receive()).kind
            assert ["this"] == [body["taskToken"] for _, body in pool.plane.answered]

    asyncio.run(scenario())


def test_a_task_that_vanished_is_given_its_grace_and_answered_to_nobody(tmp_path):
    """The engine would only refuse the answer."""

    async def scenario() -> None:
        async with a_pool(tmp_path, cancel_grace_s=7.0) as pool:
            pool.plane.faults["RecordActivityTaskHeartbeat"] = ServiceError(
                "UnknownResourceFault", "Unknown activity, scheduledEventId = 5"
            )
            peer = await pool.worker(slot=3)
            pool.offer(a_task())
            await peer.receive()
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)
            pool.dispatcher._endings.end_due(task.cancel_by_s + 0.1)

            assert [3] == pool.overdue
            await wait_until(lambda: pool.dispatcher.held == 0)
            assert ["RecordActivityTaskHeartbeat"] == [name for name, _ in pool.plane.answered]

    asyncio.run(scenario())


def test_no_more_instances_of_a_capped_activity_run_than_its_cap_allows(tmp_path):
    """Three workers, a cap of two: the third task is asked for when one of two has ended."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (replace(FETCH, max_procs=2), SEND))
        async with a_pool(tmp_path, flow) as pool:
            peers = [await pool.worker(slot) for slot in (1, 2, 3)]
            for number in range(3):
                pool.offer(a_task(f"token-{number}"))
            first = await peers[0].receive()
            await peers[1].receive()
            assert 1 == pool.plane.tasks["PollForActivityTask:flow_fetch"].qsize()

            pool.offer(a_task("other", name="flow_send"))
            other = await peers[2].receive()
            assert "send" == other.head["activity"]
            await pool.dispatcher.on_frame(peers[0].child, says(first, "done"))

            third = await peers[0].receive()
            assert "fetch" == third.head["activity"]

    asyncio.run(scenario())


def test_a_capped_task_that_is_in_hand_lets_others_pass(tmp_path):
    """It waits for its own kind; a task of another activity takes the idle worker."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (replace(FETCH, max_procs=1), SEND))
        async with a_pool(tmp_path, flow) as pool:
            peers = [await pool.worker(slot) for slot in (1, 2)]
            pool.dispatcher._take(a_task("one"))
            pool.dispatcher._take(a_task("two"))
            first = await peers[0].receive()
            assert pool.dispatcher.has_in_hand

            pool.dispatcher._take(a_task("three", name="flow_send"))

            assert "send" == (await peers[1].receive()).head["activity"]
            await pool.dispatcher.on_frame(peers[0].child, says(first, "done"))
            assert "fetch" == (await peers[0].receive()).head["activity"]

    asyncio.run(scenario())


def test_only_the_chosen_activities_are_polled_for(tmp_path):
    """`--activities send`: the other list is left to other pools."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (FETCH, SEND))
        async with a_pool(tmp_path, flow, activities=["send"]) as pool:
            assert ["flow_send"] == pool.dispatcher.task_lists

    asyncio.run(scenario())


def test_an_unknown_activity_is_a_usage_error_that_names_the_known_ones(tmp_path):
    """Before anything is polled for."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (FETCH, SEND))
        async with a_pool(tmp_path, flow, activities=["fetsch"]):
            raise AssertionError("it was taken")

    with pytest.raises(UsageError, match=r"no activity 'fetsch' \(known: fetch, send\)"):
        asyncio.run(scenario())


def test_every_end_is_told_with_what_it_used_and_by_whom(tmp_path, caplog):
    """For metrics: the activity, the outcome, seconds, CPU and memory; for the log, who ran it."""
    caplog.set_level(logging.INFO, logger="garcon.pool")

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            pool.offer(a_task())
            run = await peer.receive()
            failed = says(
                run, "failed", json.dumps({"reason": "no"}).encode(), cpu_s=1.5, peak_kb=9
            )
            await pool.dispatcher.on_frame(peer.child, failed)

            (end,) = pool.ends
            assert ("fetch", "failed", 1.5, 9) == (
                end.activity,
                end.outcome,
                end.cpu_s,
                end.peak_kb,
            )
            assert end.seconds >= 0
            (line,) = [one for one in caplog.records if "event=task.failed" in one.getMessage()]
            assert line.garcon_event == {
                "event": "task.failed",
                "activity": "fetch",
                "id": "fetch-1",
                "workflow": "w",
                "run": "r",
                "attempt": 1,
                "pid": peer.child.pid,
                "reason": "no",
            }

    asyncio.run(scenario())

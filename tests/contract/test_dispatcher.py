"""The way of an activity task through the supervisor."""

from __future__ import annotations

import asyncio
import json

from garcon.errors import ServiceError
from garcon.pool.frames import Frame
from tests.contract.dispatcher_harness import a_pool, a_task
from tests.contract.pool_stand_ins import wait_until


def test_a_result_goes_to_the_engine_as_the_worker_sent_it(tmp_path):
    """Input goes down, result comes up, and the token is journalled in between."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            pool.offer(a_task())
            run = await peer.receive()
            assert run.kind == "run"
            assert run.head["activity"] == "fetch"
            assert json.loads(run.body) == {"day": "2026-01-01"}
            assert pool.held_in_journal() == ("token-1",)

            done = Frame("done", {"kind": "done", "task": run.head["task"]}, b'{"rows":  3}')
            await pool.dispatcher.on_frame(peer.child, done)

            assert await pool.plane.wait_answers(1) == [
                (
                    "RespondActivityTaskCompleted",
                    {"taskToken": "token-1", "result": '{"rows":  3}'},
                )
            ]
            await wait_until(lambda: pool.dispatcher.held == 0)
            assert pool.held_in_journal() == ()
            assert pool.dispatcher.idle == 1

    asyncio.run(scenario())


def test_a_worker_that_dies_loses_nothing(tmp_path):
    """Its task is answered at once, as lost, with the signal that ended the worker."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker(slot=3)
            pool.offer(a_task())
            await peer.receive()

            facts = {"pid": 4711, "signal": "SIGKILL"}
            pool.dispatcher.remove_worker(3, "killed by SIGKILL", facts)

            ((operation, body),) = await pool.plane.wait_answers(1)
            assert operation == "RespondActivityTaskFailed"
            assert body["reason"] == "worker 3 (pid 4711) killed by SIGKILL"
            details = json.loads(body["details"])
            assert details["kind"] == "lost"
            assert details["signal"] == "SIGKILL"

    asyncio.run(scenario())


def test_a_task_of_an_unknown_version_is_failed_at_once_with_the_reason(tmp_path):
    """Dropped in silence it would wait for a timeout."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await pool.worker()
            pool.offer(a_task(version="9"))

            ((operation, body),) = await pool.plane.wait_answers(1)

            assert operation == "RespondActivityTaskFailed"
            assert "no activity 'flow_fetch' of version '9'" in body["reason"]
            assert "flow_fetch 1.0" in body["reason"]
            # Handed back it would be scheduled again, and come here again.
            assert json.loads(body["details"])["kind"] == "failed"

    asyncio.run(scenario())


def test_what_no_worker_takes_in_time_goes_back_unrun(tmp_path):
    """A task in hand is handed back after ten seconds, and not before."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            pool.offer(a_task("first"))
            await peer.receive()
            await wait_until(lambda: pool.dispatcher.idle == 0)
            # A second poll was not sent: nobody is idle. One that came all the same:
            pool.dispatcher._take(a_task("second"))
            now_s = asyncio.get_running_loop().time()

            pool.dispatcher.hand_back_stale(now_s + 9.0)
            early = pool.dispatcher.has_in_hand
            pool.dispatcher.hand_back_stale(now_s + 10.5)

            assert early
            ((_, body),) = await pool.plane.wait_answers(1)
            assert body["taskToken"] == "second"
            assert json.loads(body["details"])["kind"] == "handed_back"

    asyncio.run(scenario())


def test_a_stop_hands_back_what_has_not_begun_and_waits_for_what_has(tmp_path):
    """The running task is answered by its worker; nothing is left."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.worker()
            pool.offer(a_task("running"))
            run = await peer.receive()
            pool.dispatcher._take(a_task("waiting"))

            pool.dispatcher.stop_taking()
            ((_, back),) = await pool.plane.wait_answers(1)
            done = Frame("done", {"kind": "done", "task": run.head["task"]}, b"{}")
            await pool.dispatcher.on_frame(peer.child, done)
            answers = await pool.plane.wait_answers(2)

            assert back["taskToken"] == "waiting"
            assert answers[1][0] == "RespondActivityTaskCompleted"
            await wait_until(lambda: pool.dispatcher.held == 0)

    asyncio.run(scenario())


def test_a_task_that_the_engine_no_longer_knows_is_stopped_and_not_answered(tmp_path):
    """Its heartbeat is refused: the worker is told, and what it says later goes nowhere."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pool.plane.faults["RecordActivityTaskHeartbeat"] = ServiceError(
                "UnknownResourceFault", "Unknown activity, scheduledEventId = 5"
            )
            peer = await pool.worker()
            pool.offer(a_task())
            run = await peer.receive()
            (task,) = pool.dispatcher._held.values()

            await pool.dispatcher._heartbeats.beat(task)
            told = await peer.receive()
            failed = Frame(
                "failed", {"kind": "failed", "task": run.head["task"]}, b'{"reason": "x"}'
            )
            await pool.dispatcher.on_frame(peer.child, failed)
            await wait_until(lambda: pool.dispatcher.held == 0)

            assert told.kind == "cancel"
            assert [name for name, _ in pool.plane.answered] == ["RecordActivityTaskHeartbeat"]

    asyncio.run(scenario())


def test_a_stop_that_does_not_wait_leaves_its_tokens_to_the_next_pool(tmp_path):
    """An answer that was cut off stays in the journal."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            never = asyncio.Event()

            async def answer(*_, **__) -> bytes:
                await never.wait()
                return b""

            pool.plane.answer = answer
            peer = await pool.worker()
            pool.offer(a_task())
            run = await peer.receive()
            done = Frame("done", {"kind": "done", "task": run.head["task"]}, b"{}")
            await pool.dispatcher.on_frame(peer.child, done)
            await asyncio.sleep(0)

            await pool.dispatcher.abort()

            assert pool.held_in_journal() == ("token-1",)

    asyncio.run(scenario())

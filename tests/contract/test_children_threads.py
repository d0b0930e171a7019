"""A worker that runs several instances at once, with real processes."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from garcon.pool.nursery import Child
from tests.contract.nursery_harness import answer_any, hear, house, order, said, wait_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children of a zygote")


async def order_day(child: Child, activity: str, task: int, **data: object) -> None:
    """Have a worker run an activity beside others; its input holds the task's number as a day."""
    body = json.dumps({"day": str(task), **data}).encode()
    await order(child, activity, body, task, threads=4, place=task, workflow_id=f"w{task}")


def test_instances_run_side_by_side_each_with_its_own_log_context() -> None:
    """Two that wait for each other both end; neither mixes up whom it is about."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            for task in (1, 2):
                await order_day(child, "meet", task)
            frames = [await answer_any(child) for _ in range(2)]
            told = {one.head["task"]: json.loads(one.body) for one in frames}
            for task in (1, 2):
                assert {"day": str(task), "logger": f"garcon.tests.w{task}.r"} == told[task]

    asyncio.run(run())


def test_each_is_told_with_the_cpu_time_of_its_own_thread(tmp_path) -> None:
    """One that only waits has not used what the one beside it has."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            await order_day(child, "wait", 1, file=str(tmp_path / "end"))
            await said(child, 1, place=1)
            await order_day(child, "burn", 2, cpu_s=0.5)
            burnt = await answer_any(child)
            (tmp_path / "end").touch()
            waited = await answer_any(child)
            assert (2, 1) == (burnt.head["task"], waited.head["task"])
            assert burnt.head["cpu_s"] >= 0.5
            assert waited.head["cpu_s"] < 0.25

    asyncio.run(run())


def test_a_cancel_reaches_the_one_that_it_names() -> None:
    """The other goes on, and the worker takes further tasks beside it."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            for task in (1, 2):
                await order_day(child, "beat", task)
                await said(child, task, place=task)
            await child.stream.send("cancel", task=1)
            first = await answer_any(child)
            assert ("canceled", 1) == (first.kind, first.head["task"])
            await order_day(child, "stumble", 3)
            second = await answer_any(child)
            assert ("failed", 3) == (second.kind, second.head["task"])
            await child.stream.send("cancel", task=2)
            third = await answer_any(child)
            assert ("canceled", 2) == (third.kind, third.head["task"])

    asyncio.run(run())


def test_a_stop_waits_for_all_of_them(tmp_path) -> None:
    """Each answers; then the worker leaves in order."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            for task in (1, 2):
                await order_day(child, "wait", task, file=str(tmp_path / str(task)))
                await said(child, task, place=task)
            await child.stream.send("stop")
            (tmp_path / "2").touch()
            assert 2 == (await answer_any(child)).head["task"]
            (tmp_path / "1").touch()
            assert 1 == (await answer_any(child)).head["task"]
            await wait_end(child)
            assert 0 == (await one.wait_exit(child)).exit_code

    asyncio.run(run())


def test_between_two_sittings_a_worker_takes_any_task_and_leaves_when_told() -> None:
    """Nothing of the threads is left but a bell."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            await order_day(child, "stumble", 1)
            assert "failed" == (await answer_any(child)).kind
            await order(child, "stumble", b'{"day": "alone"}', 2)
            assert "failed" == (await answer_any(child)).kind
            await child.stream.send("stop")
            await wait_end(child)
            assert 0 == (await one.wait_exit(child)).exit_code

    asyncio.run(run())


def test_a_copy_that_was_forked_on_a_thread_ends_before_it_answers() -> None:
    """One answer, from the worker itself."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            await order_day(child, "split", 1)
            frame = await answer_any(child)
            assert ("done", b'{"parent":true}') == (frame.kind, frame.body)
            await order_day(child, "stumble", 2)
            assert 2 == (await answer_any(child)).head["task"]

    asyncio.run(run())


def test_a_worker_whose_supervisor_is_gone_ends_with_all_its_threads() -> None:
    """The main thread hears it while the others work."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            await order_day(child, "beat", 1)
            await said(child, 1, place=1)
            child.stream.close()
            assert "SIGKILL" == (await one.wait_exit(child)).signal

    asyncio.run(run())


def test_a_task_of_an_activity_that_the_flow_lacks_fails_on_its_thread_too() -> None:
    """A worker of another version of the code, mostly."""

    async def run() -> None:
        async with house("beside") as one:
            child = await one.worker()
            await order_day(child, "brew", 1)
            frame = await hear(child)
            assert frame is not None
            assert "no activity 'brew'" in json.loads(frame.body)["reason"]

    asyncio.run(run())

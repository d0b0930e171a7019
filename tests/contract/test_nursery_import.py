"""What becomes of a flow's import in the zygote: served, refused, ended, called off."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from garcon.errors import BootError
from garcon.pool.nursery import FlowRefused, Notice, ZygoteKilled
from tests.contract.nursery_harness import House, answer, house, order, wait_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, needs pidfds")


def test_a_flow_that_leaves_threads_is_named_and_imported_by_each_child() -> None:
    """Forking a process with threads copies locks that nobody will release."""

    async def run() -> None:
        async with house("threaded") as one:
            notice = await one.wait_fact(Notice)
            assert "thread 'watcher'" in notice.text
            assert "2 connected sockets" in notice.text
            for slot in (1, 2):
                child = await one.worker(slot)
                await order(child, "where")
                told = json.loads((await answer(child)).body)
                assert {"imported_here": True, "threads": 2} == told

    asyncio.run(run())


def test_a_flow_that_raises_at_import_is_refused_in_one_line_with_its_traceback() -> None:
    """The line for the user, the traceback for who asks."""

    async def run() -> None:
        with pytest.raises(FlowRefused) as refused:
            await House("broken").nursery.start()
        assert "\n" not in str(refused.value)
        assert "the table of countries is missing" in str(refused.value)
        assert "broken.py" in refused.value.traceback
        assert 3 == refused.value.exit_code

    asyncio.run(run())


def test_a_flow_that_does_not_exist_is_refused_as_wrong_usage() -> None:
    """Exit code 2, as for any other slip in the command."""

    async def run() -> None:
        with pytest.raises(FlowRefused, match="nowhere") as refused:
            await House("nowhere").nursery.start()
        assert 2 == refused.value.exit_code

    asyncio.run(run())


def test_a_flow_that_exits_at_import_is_refused_too() -> None:
    """sys.exit in a module is no way to end a pool."""

    async def run() -> None:
        with pytest.raises(FlowRefused, match="SystemExit"):
            await House("leaving").nursery.start()

    asyncio.run(run())


def test_a_flow_that_kills_its_importer_is_told_with_the_signal() -> None:
    """A crash in a C extension's import."""

    async def run() -> None:
        with pytest.raises(ZygoteKilled, match="was killed by SIGKILL"):
            await House("dying").nursery.start()

    asyncio.run(run())


def test_an_import_that_does_not_end_is_ended() -> None:
    """With the bound named, and no process left."""

    async def run() -> None:
        one = House("slow", ready_timeout_s=0.5)
        with pytest.raises(BootError, match=r"not imported within 0\.5 s"):
            await one.nursery.start()
        assert one.nursery.pid is not None
        assert [] == await wait_gone([one.nursery.pid], 2.0)

    asyncio.run(run())


def test_a_close_during_the_import_does_not_wait_for_it() -> None:
    """Ctrl-C while a large flow is being imported."""

    async def run() -> None:
        one = House("slow")
        starting = asyncio.create_task(one.nursery.start())
        while one.nursery.pid is None:
            await asyncio.sleep(0)
        await asyncio.wait_for(one.nursery.close(), 4.0)
        with pytest.raises(BootError):
            await starting

    asyncio.run(run())

"""A pool on a machine that has run out of file descriptors for a while."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator

import psutil
import pytest

from garcon.pool.journal import journal_folder
from garcon.pool.status_socket import QUESTION
from tests.contract.nursery_harness import answer, order
from tests.contract.nursery_harness import house as nursery
from tests.contract.supervisor_harness import Histories, a_house, busy, config, gated, tell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs PDEATHSIG and /proc")


@contextlib.contextmanager
def no_descriptor_free() -> Iterator[None]:
    """Use up all descriptors that this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(taken[0]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def test_who_cannot_be_let_in_is_told_of_once_and_served_later(engine, tmp_path, gate):
    """asyncio meets it a hundred times a second and would call it an accident; the work goes on."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            (path,) = journal_folder().glob("*.sock")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.setblocking(False)
                with no_descriptor_free():
                    client.connect(str(path))
                    await house.until_told("event=descriptors.short")
                await loop.sock_sendall(client, QUESTION)
                told = await asyncio.wait_for(loop.sock_recv(client, 100), 30)
                assert told.startswith(b'{"version"')

            assert len(house.lines_with("event=descriptors.short")) == 1
            assert not house.lines_with("event=pool.accident")
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_children_that_cannot_be_forked_come_when_there_is_room_again(engine, tmp_path, gate):
    """A worker dies meanwhile: its task is answered, and its place is filled later."""

    async def scenario() -> None:
        async with a_house(config(engine.url, procs=1), gated(tmp_path, tasks=1)) as house:
            await busy(house, 1)
            with no_descriptor_free():
                os.kill(house.children()[0], signal.SIGKILL)
                await house.until_told("event=slot.unforked")
            await busy(house, 1)
            assert not house.lines_with("event=pool.accident")
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == ["lost"]


def test_a_zygote_that_cannot_be_started_comes_when_there_is_room_again(engine, monkeypatch):
    """However often it is tried: nothing of it is the flow's fault, nor an accident of garcon's."""

    def unread(_: float | None) -> float:
        raise OSError(errno.EMFILE, "Too many open files: '/proc/stat'")

    async def scenario() -> None:
        async with a_house(config(engine.url, procs=1)) as house:
            await house.until_told("event=pool.ready")
            with no_descriptor_free():
                # Whether the dead zygote's descriptors are free by then is a matter of moments.
                monkeypatch.setattr(psutil, "cpu_percent", unread)
                os.kill(house.zygotes[0], signal.SIGKILL)
                await house.until_told("cannot be started", times=2)
            assert house.supervisor._pool.boot_failures == 0
            await house.until(lambda: house.children(), "a worker")
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_a_fork_that_found_no_descriptor_leaves_nothing_behind():
    """The same slot is asked for again, and the nursery has forgotten the first time."""

    async def run() -> None:
        async with nursery() as one:
            with no_descriptor_free(), pytest.raises(Exception, match="no socket for it"):
                await one.nursery.fork(1, "worker")
            assert not one.nursery._requests
            child = await one.worker(1)
            await order(child, "add", b'{"n": 1}')
            assert "done" == (await answer(child)).kind

    asyncio.run(run())

"""When the engine takes its turns: at once for one client, together for many."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from garcon.engine.core.faults import Fault
from garcon.engine.core.model import Domain, Execution, Profile
from garcon.engine.service.batch import Batch
from garcon.engine.service.clock import SystemClock
from garcon.engine.service.kernel import Kernel
from garcon.engine.service.lists import ListKey
from garcon.engine.service.world import World
from garcon.engine.store.database import Database, Writes


class HandLoop(asyncio.SelectorEventLoop):
    """A loop whose time moves by hand."""

    now_s = 100.0

    def time(self) -> float:
        """Seconds, as they were set."""
        return self.now_s


class Counted(Database):
    """A file in memory that counts its commits, and can be out of reach."""

    commits = 0
    is_gone = False

    def commit(self, writes: Writes) -> None:
        """Keep a batch."""
        if self.is_gone:
            raise sqlite3.OperationalError("disk I/O error")
        self.commits += 1
        super().commit(writes)

    def execution(self, key: int) -> Execution | None:
        """One execution."""
        if self.is_gone:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execution(key)


def register(name: str) -> Callable[[Batch], Any]:
    """An act that changes something."""
    domain = Domain(name, "REGISTERED", None, 30, "30", {})
    return lambda batch: batch.put_domain(domain)


def play(scene: Callable[[HandLoop, Kernel, Counted], Awaitable[None]]) -> None:
    """Run a scene with a kernel on such a loop."""
    loop = HandLoop()
    database = Counted(":memory:")

    async def played() -> None:
        world = World(database)
        world.load()
        await scene(loop, Kernel(world, SystemClock()), database)

    try:
        loop.run_until_complete(played())
    finally:
        loop.close()
        database.close()


async def few_steps() -> None:
    """Let the loop do what is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_client_alone_never_waits():
    """Each of its requests has a turn at once, though no time passes."""

    async def scene(_loop: HandLoop, kernel: Kernel, database: Counted) -> None:
        for number in range(3):
            kept = kernel.submit(register(f"d{number}"))
            await few_steps()

            assert kept.done()
        assert database.commits == 3

    play(scene)


def test_the_only_client_that_asks_has_its_turn_on_the_spot():
    """What it asked for is kept before the loop goes round; the next client waits for its turn."""

    async def scene(_loop: HandLoop, kernel: Kernel, database: Counted) -> None:
        kernel.alone = True
        assert kernel.submit(register("a")).done()
        assert database.commits == 1

        waiting = kernel.submit(register("b"))
        kernel.alone = True
        behind = kernel.submit(register("c"))
        assert not waiting.done()
        assert not behind.done()

        await asyncio.gather(waiting, behind)
        assert database.commits == 2

    play(scene)


def test_clients_that_ask_together_share_the_next_commit_as_well():
    """Behind a turn of two requests the next one waits a moment, for all that come meanwhile."""

    async def scene(loop: HandLoop, kernel: Kernel, database: Counted) -> None:
        await asyncio.gather(kernel.submit(register("a")), kernel.submit(register("b")))
        early = kernel.submit(register("c"))
        await few_steps()
        late = kernel.submit(register("d"))

        assert not early.done()
        loop.now_s += 0.01
        await asyncio.gather(early, late)
        assert database.commits == 2

    play(scene)


def with_two_runs(kernel: Kernel) -> None:
    """Start runs whose decision tasks wait in the list `d`."""
    kernel.alone = True
    kernel.submit(register("dom"))
    for number in range(2):
        profile = Profile(
            *("dom", f"w{number}", f"r{number}", "flow", "1", "d", None, 60, 600, "TERMINATE"),
            *(None, (), 0, 0, None, None, 0),
        )
        kernel.alone = True
        kernel.submit(lambda batch, profile=profile: batch.start(profile, None))


def test_a_poll_of_the_only_client_has_its_task_on_the_spot_unless_it_is_gone():
    """Who hung up before the task was started leaves it to the next."""
    where: ListKey = ("decision", "dom", "d")

    async def scene(_loop: HandLoop, kernel: Kernel, database: Counted) -> None:
        with_two_runs(kernel)
        before = database.commits
        kernel.alone = True
        gone = asyncio.ensure_future(kernel.poll(where, None, None, lambda: False))
        await few_steps()
        assert await gone is None
        assert database.commits == before

        for number in (1, 2):
            kernel.alone = True
            there = kernel.poll(where, None, None, lambda: True)
            with pytest.raises(StopIteration) as answered:
                there.send(None)
            assert answered.value.value is not None
            assert database.commits == before + number

    play(scene)


@pytest.mark.parametrize("alone", [True, False])
def test_a_task_that_could_not_be_started_nor_read_again_goes_to_the_next_poll(alone):
    """The file was out of reach for a while: the task waits in its list as before."""
    where: ListKey = ("decision", "dom", "d")

    async def scene(loop: HandLoop, kernel: Kernel, database: Counted) -> None:
        with_two_runs(kernel)
        database.is_gone = True
        kernel.alone = alone
        with pytest.raises(Fault, match="could not keep"):
            await kernel.poll(where, None, None, lambda: True)
        database.is_gone = False

        polls = [
            asyncio.ensure_future(kernel.poll(where, None, None, lambda: True)) for _ in range(2)
        ]
        await few_steps()
        loop.now_s += 1
        await few_steps()
        kernel.stop()
        found = await asyncio.gather(*polls)
        assert {one.key for one in found if one} == {1, 2}

    play(scene)


@pytest.mark.parametrize("count", [1, 2])
def test_a_stop_in_that_moment_refuses_what_waits(count):
    """Nothing is left without an answer."""

    async def scene(_loop: HandLoop, kernel: Kernel, _database: Counted) -> None:
        await asyncio.gather(kernel.submit(register("a")), kernel.submit(register("b")))
        waiting = [kernel.submit(register(f"c{number}")) for number in range(count)]
        kernel.stop()

        for one in waiting:
            assert one.exception() is not None

    play(scene)

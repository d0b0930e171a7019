"""A pool some of whose processes are stopped with SIGSTOP: what a debugger or a full host does."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys

import psutil
import pytest

from garcon.pool import supervisor as supervisor_module
from garcon.pool.slots import ChildKind
from garcon.pool.vitals import Vitals
from tests.contract.supervisor_harness import (
    Histories,
    House,
    a_house,
    busy,
    config,
    gated,
    is_alive,
    write_flow,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs PDEATHSIG and /proc")

#: One instance waits for the gate, which opens once the other has been stopped for its time.
FLOW = """
    import os, time
    from pathlib import Path
    from garcon import activity, runner, task

    domain, name = "garcon-tests", "halting"
    create = activity.create(domain, name)

    @task.decorate(timeout=4, heartbeat=1)
    def wait(folder, number):
        mark = Path(folder, f"started-{number}")
        if number == 1 and not mark.exists():
            mark.write_text(str(os.getpid()))
            time.sleep(600)

    def numbers(context):
        yield from ({"number": number} for number in range(1, 20))

    work = create(
        name="work", retry=1, generators=[numbers],
        run=runner.Sync(wait.fill(folder="folder", number="number")),
    )
"""


async def longest_turn_s(stop: asyncio.Event) -> float:
    """Return the longest time that the loop did not come round until `stop`, seconds."""
    loop = asyncio.get_running_loop()
    longest_s, last_s = 0.0, loop.time()
    while not stop.is_set():
        await asyncio.sleep(0.002)
        now_s = loop.time()
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
    return longest_s


def fill_pipe(house: House, pid: int) -> None:
    """Send a worker more than its socket holds."""
    nurseries = house.supervisor._nurseries.values()
    (child,) = (one for home in nurseries for one in home.children.values() if one.pid == pid)
    assert child.stream.write("noise", bytes(8_000_000))


def test_a_stopped_worker_holds_up_neither_the_loop_nor_other_tasks(engine, tmp_path, monkeypatch):
    """Its pipe is full as well. SWF hears of its task until its time is over; then it goes.

    Nobody looks meanwhile: for what it has not taken it would be replaced before.
    """
    monkeypatch.setattr(Vitals, "look", do_not_look)
    flow = write_flow(tmp_path, FLOW)
    first = tmp_path / "started-1"

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path), {"folder": str(tmp_path)}) as house:
            await house.until(lambda: first.exists() and first.read_text(), "the first task")
            stopped = int(first.read_text())
            os.kill(stopped, signal.SIGSTOP)
            fill_pipe(house, stopped)
            loop, over = asyncio.get_running_loop(), asyncio.Event()
            began_s = loop.time()
            turns = asyncio.ensure_future(longest_turn_s(over))

            assert await house.ended() == 0

            over.set()
            stood_s = loop.time() - began_s
            # A loop that waits for the worker would stand until the worker is killed.
            assert await turns < stood_s / 4
            assert house.lines_with("event=task.overdue")
            assert not is_alive(stopped)

    asyncio.run(scenario())
    histories = Histories(engine.url)
    kinds = histories.kinds()
    assert kinds.count("ActivityTaskCompleted") == 19
    assert histories.failures() == ["failed"]
    assert "ActivityTaskTimedOut" not in kinds, "nobody beat for the stopped worker's task"
    ends = [kind for kind in kinds if kind in ("ActivityTaskCompleted", "ActivityTaskFailed")]
    assert ends.index("ActivityTaskFailed") == 18, "the others waited for it"


async def do_not_look(_: Vitals) -> None:
    """Stand for a look that is not made."""


class Looks:
    """The looks at a pool's processes, made by the test alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._look = Vitals.look
        monkeypatch.setattr(Vitals, "look", do_not_look)

    async def look(self, house: House) -> None:
        """Look once."""
        await self._look(house.supervisor._observatory.vitals)


def stop(pid: int) -> None:
    """Stop a process, and wait until it is."""
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        os.sched_yield()


async def serving(house: House) -> None:
    """Wait until the pool works."""
    await house.until_told("event=pool.ready")
    await house.until(house.has_decider, "a decider")


async def ended_as_asked(house: House) -> None:
    """Stop the pool."""
    os.kill(os.getpid(), signal.SIGTERM)
    assert await house.ended() == 0


@pytest.mark.parametrize("kind", ChildKind)
def test_an_idle_child_that_was_stopped_is_replaced_before_it_gets_a_task(
    engine, kind, monkeypatch
):
    """It would hold the task for all of its time."""
    looks = Looks(monkeypatch)

    async def scenario() -> None:
        async with a_house(config(engine.url, deciders=1)) as house:
            await serving(house)
            await looks.look(house)
            assert not house.lines_with("event=child.stopped")
            stopped = house.children(kind)[0]
            stop(stopped)

            await looks.look(house)

            assert len(house.lines_with("event=child.stopped")) == 1
            await house.until(lambda: not is_alive(stopped), "its end")
            count = 2 if kind is ChildKind.WORKER else 1
            await house.until(
                lambda: len({*house.children(kind)} - {stopped}) == count, "its successor"
            )
            await ended_as_asked(house)

    asyncio.run(scenario())


def test_a_task_that_a_stopped_worker_never_took_is_given_to_another(
    engine, tmp_path, gate, monkeypatch
):
    """It was stopped in the moment before; the task runs long before its time is over."""
    looks = Looks(monkeypatch)

    async def scenario() -> None:
        async with a_house(config(engine.url, procs=1)) as house:
            await serving(house)
            (stopped,) = house.children()
            stop(stopped)
            Histories(engine.url).start("gated", gated(tmp_path, 1))
            await busy(house, 1)

            await looks.look(house)
            assert not house.lines_with("event=child.stopped")
            await looks.look(house)

            await house.until_told("event=task.lost")
            await house.until((tmp_path / "started-0").exists, "its begin elsewhere")
            gate.touch()
            await house.until(lambda: house.busy() == 0, "its end")
            await ended_as_asked(house)

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == ["lost"]


def test_a_task_whose_worker_is_stopped_on_the_way_keeps_its_time(
    engine, tmp_path, gate, monkeypatch
):
    """Somebody may want to look at it, and have it go on."""
    looks = Looks(monkeypatch)

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path, 1)) as house:
            began = tmp_path / "started-0"
            await house.until(lambda: began.exists() and began.read_text(), "its begin")
            worker = int(began.read_text())
            stop(worker)
            for _ in range(3):
                await looks.look(house)
            assert not house.lines_with("event=child.stopped")

            os.kill(worker, signal.SIGCONT)
            gate.touch()

            assert await house.ended() == 0

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == []


def test_a_death_under_a_stopped_zygote_is_answered_all_the_same(
    engine, tmp_path, gate, monkeypatch
):
    """Nobody reaps the dead worker, so nobody tells of it; the zygote goes, and its children."""
    monkeypatch.setattr(supervisor_module, "SILENT_S", 0.2)
    hasty = functools.partial(supervisor_module.Nursery, fork_timeout_s=0.5)
    monkeypatch.setattr(supervisor_module, "Nursery", hasty)

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            (zygote,) = house.zygotes
            os.kill(zygote, signal.SIGSTOP)
            os.kill(house.children()[0], signal.SIGKILL)

            await house.until_told("event=task.lost", times=2)
            await busy(house, 2)
            assert not is_alive(zygote)
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == ["lost", "lost"]

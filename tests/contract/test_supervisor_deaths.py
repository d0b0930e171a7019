"""A pool as a whole: what it survives, reloads among it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import psutil
import pytest

from garcon.engine.address import EngineFiles, read_address
from garcon.engine.ensure import ensure_engine
from garcon.engine.testing import engine_in_process
from garcon.pool import supervisor as supervisor_module
from garcon.pool.facts import KillAsked
from garcon.pool.slots import ChildKind
from tests.contract.supervisor_harness import (
    Histories,
    a_house,
    busy,
    config,
    gated,
    is_alive,
    tell,
    write_flow,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs PDEATHSIG and /proc")


# -- reloads --------------------------------------------------------------------------------------

FIRST = """
    from garcon import activity, runner, task

    domain, name = "garcon-tests", "changing"
    create = activity.create(domain, name)

    @task.decorate()
    def first():
        return {"first": True}

    one = create(name="one", run=runner.Sync(first.fill()))
"""

SECOND = """
    @task.decorate()
    def second():
        return {"second": True}

    two = create(name="two", requires=[one], run=runner.Sync(second.fill()))
"""


def test_after_a_reload_the_flow_s_new_activity_is_served(engine, tmp_path):
    """It is registered, polled for, and run by children of the new code."""
    flow = write_flow(tmp_path, FIRST)

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            await house.until_told("event=pool.ready")
            old = house.children()
            write_flow(tmp_path, FIRST + SECOND)

            tell(signal.SIGHUP)
            await house.until(
                lambda: len(house.children()) == 2 and not set(old) & set(house.children()),
                "two new workers",
            )
            histories = Histories(engine.url)
            histories.start("changing", {})
            await house.until(
                lambda: "WorkflowExecutionCompleted" in histories.kinds(), "the end of the run"
            )
            assert histories.kinds().count("ActivityTaskCompleted") == 2
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_a_reload_of_code_that_cannot_run_changes_nothing(engine, tmp_path):
    """The pool goes on with what it had, and says so; the next reload may be better."""
    flow = write_flow(tmp_path, FIRST)

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            await house.until_told("event=pool.ready")
            old = house.children()
            for number, code in enumerate(
                ("raise ValueError('no')", FIRST.replace("garcon-", "x")), 1
            ):
                write_flow(tmp_path, code)
                tell(signal.SIGHUP)
                await house.until_told("event=reload.failed", times=number)

            assert house.children() == old
            assert "has moved from domain" in house.lines_with("event=reload.failed")[1]
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_a_reload_during_the_start_only_delays_it(engine):
    """The zygote that was being started gives way to the next."""

    async def scenario() -> None:
        async with a_house(config(engine.url)) as house:
            await house.until(lambda: house.zygotes, "the first zygote")
            first = house.zygotes
            tell(signal.SIGHUP)
            await house.until_told("event=pool.ready workers=2")
            assert not set(first) & set(house.zygotes)
            assert not any(map(is_alive, first))
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


# -- deaths ---------------------------------------------------------------------------------------


def test_a_killed_zygote_takes_its_children_along_and_their_tasks_run_again(engine, tmp_path, gate):
    """The tasks are answered at once, and a new zygote forks new children for them."""

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            pids = [*house.zygotes, *house.children(), *house.children(ChildKind.DECIDER)]

            os.kill(house.zygotes[0], signal.SIGKILL)

            await house.until_told("event=task.lost", times=2)
            await busy(house, 2)
            assert not any(map(is_alive, pids))
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == ["lost", "lost"]


def files(process: psutil.Process) -> int:
    """Return how many files are open beside connections, which come and go with polls."""
    return process.num_fds() - len(process.net_connections("inet"))


def test_killed_zygotes_leave_nothing_open_behind(engine):
    """Pipes, socket, slate and guard of each go with it: a pool outlives many of them."""

    async def scenario() -> None:
        async with a_house(config(engine.url, procs=1)) as house:
            await house.until_told("event=pool.ready")
            process = psutil.Process()
            before, programs = files(process), len(process.children())
            for death in range(1, 4):
                os.kill(house.zygotes[-1], signal.SIGKILL)
                await house.until_told("event=zygote.died", times=death)
                await house.until(
                    lambda: len(house.zygotes) == 1 and house.children() and house.has_decider(),
                    "the next zygote alone, with its children",
                )
            await house.until(lambda: files(process) <= before, "as few files as before")
            await house.until(lambda: len(process.children()) == programs, "no guard too many")
            assert [] == house.lines_with("event=slot.unforked")  # nothing was short but a zygote
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_an_order_that_crosses_the_death_it_is_for_does_not_meet_the_successor(
    engine, tmp_path, gate
):
    """Kept for the slot, it would leave the next worker without work for ever."""

    async def scenario() -> None:
        async with a_house(config(engine.url, procs=1), gated(tmp_path, tasks=1)) as house:
            await busy(house, 1)
            supervisor = house.supervisor
            service_removes = supervisor._service.remove

            def remove(slot, *facts, **more):
                service_removes(slot, *facts, **more)
                # In the queue ahead of the exit, as when both come in one turn of the loop.
                supervisor._facts.put_nowait(KillAsked(slot))

            supervisor._service.remove = remove
            os.kill(house.children()[0], signal.SIGKILL)
            await house.until_told("event=task.lost")
            await busy(house, 1)
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_killed_children_are_replaced_and_leave_no_socket_behind(engine, tmp_path, gate):
    """Worker after worker dies over its task; the supervisor's descriptors stay as many."""

    def sockets() -> int:
        return len(psutil.Process().net_connections(kind="unix"))

    async def scenario() -> None:
        # A worker that dies quickly, again and again, comes back later each time.
        async with a_house(config(engine.url, procs=1), gated(tmp_path, tasks=1)) as house:
            await busy(house, 1)
            before = sockets()
            for death in range(1, 4):
                os.kill(house.children()[0], signal.SIGKILL)
                await house.until_told("event=task.lost", times=death)
                assert f" attempt={death} " in house.lines_with("event=task.lost")[-1]
                await busy(house, 1)
            assert sockets() == before
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == 3 * ["lost"]


def test_a_killed_decider_delays_a_run_by_no_more_than_its_successor_s_start(
    engine, tmp_path, gate
):
    """Before, between and after its tasks: the run goes on."""

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            (first,) = house.children(ChildKind.DECIDER)
            os.kill(first, signal.SIGKILL)
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_a_stopped_decider_is_killed_when_it_overruns_its_time(engine, tmp_path):
    """SIGSTOP is what a debugger or an exhausted host does; the run is decided by the next one."""
    flow = write_flow(tmp_path, FIRST)

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            await house.until_told("event=pool.ready")
            await house.until(house.has_decider, "a decider that is up")
            (decider,) = house.children(ChildKind.DECIDER)
            os.kill(decider, signal.SIGSTOP)
            histories = Histories(engine.url)
            histories.start("changing", {}, decision_timeout=2)
            await house.until(
                lambda: "WorkflowExecutionCompleted" in histories.kinds(), "the end of the run"
            )
            assert house.lines_with("the decider took more than")
            assert not is_alive(decider)
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_a_worker_that_closed_its_connection_and_lives_on_is_killed(engine, tmp_path, monkeypatch):
    """A task that makes itself a daemon closes all descriptors, the pool's among them."""
    monkeypatch.setattr(supervisor_module, "SILENT_S", 0.5)
    flow = write_flow(
        tmp_path,
        f"""
        import os, pathlib, time
        from garcon import activity, runner, task

        domain, name = "garcon-tests", "closing"
        create = activity.create(domain, name)

        @task.decorate()
        def close():
            mark = pathlib.Path({str(tmp_path)!r}, "closed")
            if not mark.exists():
                mark.touch()
                os.closerange(3, 1024)
                time.sleep(600)

        one = create(name="one", run=runner.Sync(close.fill()))
        """,
    )

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path), {}) as house:
            assert await house.ended() == 0
            assert house.lines_with("event=child.silent")

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == ["lost"]


@pytest.fixture
def local_db(tmp_path):
    """Return the file of a local engine, and end the one that a pool has started for it."""
    db = tmp_path / "engine.db"
    yield db
    kill_engine(db)


def kill_engine(db) -> None:
    """SIGKILL the engine of this file."""
    address = read_address(EngineFiles.of(db).address)
    assert address is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.pid, signal.SIGKILL)


def test_an_engine_that_is_killed_over_running_tasks_is_started_again_and_told(
    local_db, tmp_path, gate
):
    """Polls, heartbeats and answers go on where they were; nothing runs twice."""

    async def scenario() -> None:
        async with a_house(config(f"local:{local_db}"), gated(tmp_path)) as house:
            await busy(house, 2)
            kill_engine(local_db)
            await house.until_told("event=engine.lost")
            gate.touch()
            assert await house.ended() == 0
            assert house.lines_with("event=engine.back")

    asyncio.run(scenario())
    kinds = Histories(ensure_engine(local_db)).kinds()
    assert kinds.count("ActivityTaskStarted") == kinds.count("ActivityTaskCompleted") == 2


def test_a_stop_while_the_engine_is_away_for_good_ends_all_the_same(tmp_path, monkeypatch):
    """Nothing is in hand; polls over a line that is cut are not waited for a minute."""
    monkeypatch.setattr("garcon.pool.service.CUT_POLLS_S", 0.5)

    async def scenario() -> None:
        with engine_in_process(db=str(tmp_path / "engine.db")) as engine:
            pool = a_house(config(engine.url))
            house = await pool.__aenter__()
            await house.until_told("event=pool.ready")
        await house.until_told("event=engine.lost")
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        tell(signal.SIGTERM)
        assert await house.ended() == 0
        assert loop.time() - asked_s < 20.0
        await pool.__aexit__(None, None, None)

    asyncio.run(scenario())

"""A pool as a whole: how it starts, runs and stops."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import sys

import pytest

from garcon.engine.testing import engine_in_process
from garcon.errors import BootError, EngineError, FlowError, GarconError, Interrupted
from garcon.log import LogSettings
from garcon.pool import lifecycle
from garcon.pool.autosize import first_size
from garcon.pool.dispatcher import Dispatcher
from garcon.pool.display import Display
from garcon.pool.facts import Resized
from garcon.pool.nursery import Nursery
from garcon.pool.resources import Machine
from garcon.pool.slots import ChildKind
from garcon.pool.supervisor import Supervisor
from tests.contract.scripted_engine import ScriptedEngine
from tests.contract.supervisor_harness import (
    PATIENCE_S,
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


# -- the plain life -------------------------------------------------------------------------------


def test_a_pool_boots_says_so_and_leaves_nothing_behind_when_it_is_stopped(engine):
    """TERM to a serving pool is its good end: exit code 0, no process, no journal."""

    async def scenario() -> None:
        async with a_house(config(engine.url)) as house:
            await house.until_told("event=pool.ready workers=2")
            await house.until(lambda: house.children(ChildKind.DECIDER), "a decider")
            pids = [*house.zygotes, *house.children(), *house.children(ChildKind.DECIDER)]
            assert len(pids) == 4

            tell(signal.SIGTERM)

            assert await house.ended() == 0
            assert not any(map(is_alive, pids))
            assert "a second signal stops at once" in house.err.getvalue()

    asyncio.run(scenario())
    runtime = os.environ["XDG_RUNTIME_DIR"]
    assert [name for name in os.listdir(f"{runtime}/garcon") if "journal" in name] == []


def test_a_pool_is_ready_when_its_last_worker_is(engine, monkeypatch):
    """A service manager that was told so earlier would send work to whom cannot take it."""
    late, fork = asyncio.Event(), Nursery.fork

    async def fork_the_second_late(self, slot, kind):
        if slot == 2:
            await late.wait()
        return await fork(self, slot, kind)

    monkeypatch.setattr(Nursery, "fork", fork_the_second_late)

    async def scenario() -> None:
        async with a_house(config(engine.url)) as house:
            await house.until(house.has_decider, "a decider")
            await house.until(lambda: house.workers_up() == 1, "the first worker")
            assert house.lines_with("event=pool.ready") == []
            late.set()
            await house.until_told("event=pool.ready workers=2")
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_an_execution_is_run_shown_and_ends_the_pool(engine, tmp_path, gate):
    """The mission's end is the pool's end."""
    gate.touch()

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            assert await house.ended() == 0
            assert "COMPLETED" in house.out.getvalue()
            assert "work: 2 of 2 done, 0 failed" in house.out.getvalue()

    asyncio.run(scenario())


def test_the_first_signal_lets_running_tasks_end(engine, tmp_path, gate):
    """Nothing is lost, nothing runs twice, and the command says that it was interrupted."""

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            tell(signal.SIGTERM)
            await house.until_told("event=pool.stopping")
            gate.touch()
            with pytest.raises(Interrupted, match="the same command goes on"):
                await house.ended()

    asyncio.run(scenario())
    kinds = Histories(engine.url).kinds()
    assert kinds.count("ActivityTaskCompleted") == 2
    assert kinds.count("ActivityTaskStarted") == 2


def test_status_and_log_tell_of_a_lost_engine_its_return_and_a_stop(engine, tmp_path, gate):
    """What an operator asks first."""

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            look, line = house.supervisor._observatory.status.document, house.supervisor._service
            assert (True, "serving") == told_of(await look())
            line._on_connection(True, "nobody answers")
            assert (False, "serving") == told_of(await look())
            line._on_connection(False, "somebody does")
            assert (True, "serving") == told_of(await look())
            tell(signal.SIGTERM)
            await house.until_told("event=pool.stopping")
            assert (True, "stopping") == told_of(await look())
            gate.touch()
            with pytest.raises(Interrupted):
                await house.ended()
            (lost,) = house.lines_with("event=engine.lost")
            (back,) = house.lines_with("event=engine.back")
            assert ("nobody answers" in lost, "somebody does" in back) == (True, True)

    def told_of(document: dict) -> tuple[bool, str]:
        return document["engine_reachable"], document["state"]

    asyncio.run(scenario())


def test_the_second_signal_ends_the_tasks_and_still_answers_for_them(engine, tmp_path):
    """The next pool need not wait for a timeout."""

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path)) as house:
            await busy(house, 2)
            tell(signal.SIGINT)
            await house.until_told("event=pool.stopping")
            tell(signal.SIGINT)
            with pytest.raises(Interrupted):
                await house.ended()

    asyncio.run(scenario())
    assert Histories(engine.url).failures() == ["lost", "lost"]


@pytest.mark.parametrize(
    ("drain_s", "signals", "why"),
    [
        (0.2, 1, "the time of the drain was over"),
        (60.0, 2, "the pool was told to stop at once"),
    ],
)
def test_a_task_that_the_pool_itself_has_killed_is_told_with_the_reason(
    engine, tmp_path, drain_s, signals, why
):
    """Or an operator would look for whoever sent the signal, or for want of memory."""

    async def scenario() -> None:
        async with a_house(config(engine.url, drain_timeout_s=drain_s), gated(tmp_path)) as house:
            await busy(house, 2)
            for _ in range(signals):
                tell(signal.SIGTERM)
                await house.until_told("event=pool.stopping")
            with pytest.raises(Interrupted):
                await house.ended()
            (killing,) = house.lines_with("event=pool.killing")
            assert f'why="{why}"' in killing
            assert len(house.lines_with(f"was killed by SIGKILL: {why}")) >= 2

    asyncio.run(scenario())


def test_a_signal_after_the_mission_s_own_end_is_the_first_one(engine, tmp_path, gate):
    """The pool drains for another execution's task; one Ctrl-C more does not kill that task."""
    (tmp_path / "other").mkdir()

    async def scenario() -> None:
        async with a_house(config(engine.url), gated(tmp_path, tasks=1)) as house:
            await busy(house, 1)
            histories = Histories(engine.url)
            other = gated(tmp_path / "other", tasks=1)
            histories.start("gated", other)
            await busy(house, 2)
            gate.touch()
            await house.until(lambda: "COMPLETED" in house.out.getvalue(), "the summary")
            await house.until_told("event=pool.stopping")

            tell(signal.SIGTERM)
            await house.until(lambda: "second signal" in house.err.getvalue(), "the note")
            (tmp_path / "other" / "gate").touch()

            assert await house.ended() == 0

    asyncio.run(scenario())
    kinds = Histories(engine.url).kinds(run=1)
    assert "ActivityTaskCompleted" in kinds
    assert "ActivityTaskFailed" not in kinds


def test_an_engine_that_cannot_call_polls_off_is_waited_for_after_the_result(
    tmp_path, gate, monkeypatch
):
    """On AWS a poll lasts up to a minute: the result is printed before, no poll is cut."""
    gate.touch()
    monkeypatch.setattr("garcon.engine.http.wire.RELEASE_POLLS", "Nobody.CallsThis")

    async def scenario(url: str) -> None:
        async with a_house(config(url), gated(tmp_path, tasks=1)) as house:
            await house.until(lambda: "COMPLETED" in house.out.getvalue(), "the summary")
            work = house.supervisor._service.work
            assert work.dispatcher.under_way + work.deciding.under_way > 0
            assert await house.ended() == 0
            assert work.dispatcher.under_way + work.deciding.under_way == 0

    with engine_in_process(poll_hold_s=2.0) as running:
        asyncio.run(scenario(running.url))


# -- starts that fail, or are stopped -------------------------------------------------------------


def test_a_flow_that_cannot_run_ends_the_command_with_one_line(engine, tmp_path):
    """Its own exit code, and nothing left of the zygote."""
    flow = write_flow(tmp_path, "name = 'empty'\ndomain = 'garcon-tests'\n")

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            with pytest.raises(FlowError) as refused:
                await house.ended()
            assert "no activity" in str(refused.value)
            assert "\n" not in str(refused.value)

    asyncio.run(scenario())


def test_children_that_cannot_boot_end_the_pool_and_show_what_they_raised(engine, tmp_path):
    """Exit code 3. Its import leaves a thread, so each child has to import it anew, and cannot."""
    flow = write_flow(
        tmp_path,
        """
        import threading, time
        from pathlib import Path
        from garcon import activity, runner, task

        if (mark := Path(__file__).with_suffix(".seen")).exists():
            raise RuntimeError("not a second time")
        mark.touch()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

        domain, name = "garcon-tests", "once"
        create = activity.create(domain, name)
        work = create(name="work", run=runner.Sync(task.decorate()(lambda: {})))
        """,
    )

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            with pytest.raises(BootError) as refused:
                await house.ended()
            assert refused.value.exit_code == 3
            assert "children cannot boot, 5 times in a row" in str(refused.value)
            assert "its traceback stands above" in str(refused.value)
            assert '    raise RuntimeError("not a second time")' in house.err.getvalue()

    asyncio.run(scenario())


def test_an_engine_that_cannot_be_reached_is_told_of_and_ends_the_command_with_its_exit_code(
    caplog,
):
    """The children that were up already leave."""

    async def scenario() -> None:
        async with a_house(config("http://127.0.0.1:9")) as house:
            with pytest.raises(EngineError) as refused:
                await house.ended()
            assert refused.value.exit_code == 4
            assert "127.0.0.1:9" in str(refused.value)
            assert house.children() == []
            told = [one for one in caplog.records if "event=control.again" in one.getMessage()]
            # One that is seen at every level of the log: until then nothing else is to be seen.
            assert [logging.WARNING, logging.INFO, logging.INFO] == [one.levelno for one in told]
            assert "http://127.0.0.1:9/" in told[0].getMessage()
            assert "again_s=0.200 left=3" in told[0].getMessage()

    asyncio.run(scenario())


def test_a_stop_while_the_flow_is_imported_is_obeyed_at_once(engine, tmp_path):
    """An import may take a minute; who pressed Ctrl-C does not wait for it."""
    flow = write_flow(
        tmp_path,
        f"""
        import pathlib, time
        pathlib.Path({str(tmp_path)!r}, "importing").touch()
        time.sleep(600)
        """,
    )

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            await house.until((tmp_path / "importing").exists, "the import")
            zygotes = house.zygotes
            loop = asyncio.get_running_loop()
            asked_s = loop.time()

            tell(signal.SIGTERM)

            assert await house.ended() == 0
            assert loop.time() - asked_s < 5.0
            assert not any(map(is_alive, zygotes))
            assert "stopping: no task was taken yet" in house.err.getvalue()
            assert "running tasks" not in house.err.getvalue()

    asyncio.run(scenario())


def test_an_import_that_takes_long_is_told_of_and_a_stop_is_obeyed_meanwhile(
    engine, tmp_path, monkeypatch
):
    """Who waits sees which process is at it and for how long, instead of nothing for a minute."""
    monkeypatch.setattr("garcon.pool.supervisor.SLOW_IMPORT_S", (0.2, 0.4))
    flow = write_flow(tmp_path, "import time; time.sleep(600)")

    async def scenario() -> None:
        async with a_house(config(engine.url, flow, tmp_path)) as house:
            await house.until_told("event=import.slow", times=2)
            first, second = house.lines_with("event=import.slow")
            assert f"flow={flow} pid={house.zygotes[0]} seconds=0.200 limit_s=60" in first
            assert "seconds=0.400" in second
            tell(signal.SIGINT)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_an_import_that_ends_is_told_of_no_more(engine, monkeypatch):
    """What is said later would be about another."""
    monkeypatch.setattr("garcon.pool.supervisor.SLOW_IMPORT_S", (0.0, 3_600.0))

    async def scenario() -> None:
        async with a_house(config(engine.url)) as house:
            await house.until_told("event=pool.ready")
            assert 1 == len(house.lines_with("event=import.slow"))
            names = [job.get_coro().__name__ for job in asyncio.all_tasks()]
            assert "_tell_slow_import" not in names
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_a_stop_while_the_engine_does_not_answer_is_obeyed_at_once():
    """boto3 would try on for minutes in a thread; nobody waits for it."""
    asked = asyncio.Event()

    async def say_nothing(_):
        asked.set()
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with ScriptedEngine(say_nothing) as engine, a_house(config(engine.url)) as house:
            await asyncio.wait_for(asked.wait(), PATIENCE_S)
            loop = asyncio.get_running_loop()
            asked_s = loop.time()

            tell(signal.SIGTERM)

            assert await house.ended() == 0
            assert loop.time() - asked_s < 5.0

    asyncio.run(scenario())


def test_an_automatic_pool_knows_its_bounds_and_what_its_workers_use(engine):
    """It starts with what the machine has, and else would grow by a guess, or without end."""
    first = first_size(Machine(), 3)

    async def scenario() -> None:
        async with a_house(config(engine.url, procs=None, max_procs=3)) as house:
            await house.until_told(f"event=pool.ready workers={first}")
            size = house.supervisor._service._autosize
            assert size.cap == 3
            await house.until(lambda: size._worker_memory > 0, "a look at the workers")
            tell(signal.SIGTERM)
            assert await house.ended() == 0

    asyncio.run(scenario())


def test_an_accident_of_garcon_s_own_ends_the_pool_with_its_text(
    engine, tmp_path, gate, monkeypatch
):
    """No coroutine dies in silence; the traceback is in the log."""
    gate.touch()

    def broken(*_):
        raise AssertionError("the pump is dry")

    monkeypatch.setattr(Dispatcher, "_act_on", broken)

    async def scenario() -> None:
        async with a_house(config(engine.url, drain_timeout_s=1.0), gated(tmp_path)) as house:
            with pytest.raises(GarconError, match="the pump is dry"):
                await house.ended()
            assert house.lines_with("event=pool.accident")

    asyncio.run(scenario())


def test_an_accident_while_the_pool_drains_is_told_like_any_other(engine, tmp_path):
    """Nobody looks at how the drain itself ended; a pool that lost tasks must not end with 0."""

    async def scenario() -> None:
        async with a_house(config(engine.url)) as house:
            await house.until_told("event=pool.ready")

            async def drain(_: float) -> None:
                raise ZeroDivisionError("no way out")

            house.supervisor._service.drain = drain
            tell(signal.SIGTERM)

            with pytest.raises(GarconError, match="no way out"):
                await house.ended()

    asyncio.run(scenario())


def test_a_fact_is_seen_though_there_is_no_time_to_wait_for_one(monkeypatch):
    """A deadline that stays due would else keep every fact out, and the pool busy with nothing."""
    monkeypatch.setattr(lifecycle, "next_wake_s", lambda _: 0.0)

    async def scenario() -> None:
        supervisor = Supervisor(config("local"), Display(io.StringIO(), io.StringIO()))
        assert await supervisor._observe() == []
        supervisor._facts.put_nowait(Resized(3))

        assert await supervisor._observe() == [Resized(3)]

    asyncio.run(scenario())


# -- looking inside -------------------------------------------------------------------------------


def test_usr1_writes_every_child_s_stacks_into_the_log_and_disturbs_nobody(engine, tmp_path, gate):
    """One after the other, each under its child's name; the tasks and their programs go on."""
    log = LogSettings(process="supervisor", file=str(tmp_path / "pool.log"))

    async def scenario() -> None:
        async with a_house(config(engine.url, log=log), gated(tmp_path)) as house:
            await house.until(lambda: len(list(tmp_path.glob("started-*"))) == 2, "two tasks")
            before = house.children()
            tell(signal.SIGUSR1)
            await house.until_told("event=child.stacks", times=3)
            await house.until_told("in wait_for_gate", times=2)
            assert house.children() == before
            gate.touch()
            assert await house.ended() == 0

    asyncio.run(scenario())

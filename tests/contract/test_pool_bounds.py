"""A pool whose tasks do what they must not: take too long, hear nothing, hold the interpreter."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from garcon.pool import bounds, supervisor
from tests.contract.supervisor_harness import (
    Histories,
    a_house,
    config,
    is_alive,
    tell,
    write_flow,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs PDEATHSIG and /proc")

#: Tasks that start a program which ignores SIGTERM, write down both pids, and stay.
FLOW = """
    import ctypes, os, signal, subprocess, sys, time
    from pathlib import Path
    from garcon import activity, runner, task

    domain, name = "garcon-tests", "stubborn"
    create = activity.create(domain, name)
    DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

    @task.decorate(timeout={timeout}, heartbeat={heartbeat})
    def stay(folder):
        program = subprocess.Popen([sys.executable, "-c", DEAF])
        for note, pid in (("worker", os.getpid()), ("program", program.pid)):
            (Path(folder) / f"{{note}}-{{os.getpid()}}").write_text(str(pid))
        {how}

    work = create(name="work", retry={retry}, run=runner.Sync(stay.fill(folder="folder")))
"""


def stubborn(folder, how: str, timeout: int = 600, heartbeat: int = 60, retry: int = 0) -> str:
    """Write the flow whose task stays as `how` says."""
    code = FLOW.format(timeout=timeout, heartbeat=heartbeat, how=how, retry=retry)
    return write_flow(folder, code)


def noted(folder, note: str) -> list[int]:
    """Return the pids that the tasks have written down."""
    return [int(path.read_text() or 0) for path in folder.glob(f"{note}-*")]


def test_a_task_over_its_time_is_failed_and_tried_again_by_a_fresh_worker(
    engine, tmp_path, monkeypatch
):
    """Stacks are told, worker and program go; SWF hears why before it would time the task out."""
    # The part of a short time that the pool is ahead of SWF by is less than a slow machine is late.
    monkeypatch.setattr(bounds, "LEAD_S", 2.0)
    monkeypatch.setattr(bounds, "LEAD_PART", 0.7)
    flow = stubborn(tmp_path, how="time.sleep(600)", timeout=3, retry=1)

    async def scenario() -> None:
        words = config(engine.url, flow, tmp_path, procs=1)
        async with a_house(words, {"folder": str(tmp_path)}) as house:
            await house.until(lambda: noted(tmp_path, "program"), "a running task")

            assert await house.ended() == 1

            assert len(house.lines_with("event=task.overdue")) == 2
            assert "in stay" in house.err.getvalue(), "no stacks"
            workers, programs = noted(tmp_path, "worker"), noted(tmp_path, "program")
            assert len(set(workers)) == len(set(programs)) == 2
            assert not any(map(is_alive, workers + programs))

    asyncio.run(scenario())
    histories = Histories(engine.url)
    reasons = [
        event["activityTaskFailedEventAttributes"]["reason"]
        for event in histories.events()
        if event["eventType"] == "ActivityTaskFailed"
    ]
    assert reasons == ["took longer than its 3 s"] * 2
    assert "ActivityTaskTimedOut" not in histories.kinds()


@pytest.mark.parametrize(
    "how",
    ["time.sleep(600)", "ctypes.PyDLL(None).sleep(600)"],
    ids=["asleep", "holding the interpreter"],
)
def test_a_canceled_task_that_hears_nothing_goes_with_all_that_it_started(engine, tmp_path, how):
    """Its grace is short here; SWF is told Canceled, and the slot is refilled."""
    flow = stubborn(tmp_path, how, heartbeat=6)

    async def scenario() -> None:
        words = config(engine.url, flow, tmp_path, procs=1, cancel_grace_s=0.5)
        async with a_house(words, {"folder": str(tmp_path)}) as house:
            await house.until(lambda: noted(tmp_path, "program"), "a running task")
            (run,) = Histories(engine.url).runs()
            Histories(engine.url).client.request_cancel_workflow_execution(
                domain="garcon-tests", workflowId=run["workflowId"], runId=run["runId"]
            )

            assert await house.ended() == 1

            (deaf,) = house.lines_with("event=task.deaf")
            assert "did not end within 0.5 s of its cancel" in deaf
            pids = noted(tmp_path, "worker") + noted(tmp_path, "program")
            assert not any(map(is_alive, pids))

    asyncio.run(scenario())
    kinds = Histories(engine.url).kinds()
    assert kinds.count("ActivityTaskCanceled") == 1
    assert kinds[-1] == "WorkflowExecutionCanceled"
    assert "ActivityTaskTimedOut" not in kinds


def test_programs_of_a_task_that_is_ended_are_asked_before_they_are_killed(
    engine, tmp_path, monkeypatch
):
    """TERM reaches the whole group first; here the program's answer to it ends its worker."""
    monkeypatch.setattr(supervisor, "OVERDUE_GRACE_S", 600.0)
    trap = "trap 'echo > $0/asked; kill -9 $PPID' TERM; echo > $0/armed; while :; do sleep 1; done"
    start = f'subprocess.Popen(["sh", "-c", {trap!r}, folder]); time.sleep(600)'
    flow = stubborn(tmp_path, how=start)

    async def scenario() -> None:
        words = config(engine.url, flow, tmp_path, procs=1, cancel_grace_s=0.1)
        async with a_house(words, {"folder": str(tmp_path)}) as house:
            await house.until((tmp_path / "armed").exists, "a program that listens")
            (run,) = Histories(engine.url).runs()
            Histories(engine.url).client.request_cancel_workflow_execution(
                domain="garcon-tests", workflowId=run["workflowId"], runId=run["runId"]
            )

            assert await house.ended() == 1
            assert (tmp_path / "asked").exists()

    asyncio.run(scenario())


def test_the_supervisor_beats_for_a_task_that_holds_the_interpreter(engine, tmp_path):
    """Three heartbeat timeouts pass while no Python runs in the worker."""
    flow = stubborn(tmp_path, how="program.kill(); ctypes.PyDLL(None).sleep(4)", heartbeat=1)

    async def scenario() -> None:
        words = config(engine.url, flow, tmp_path, procs=1)
        async with a_house(words, {"folder": str(tmp_path)}) as house:
            assert await house.ended() == 0

    asyncio.run(scenario())
    kinds = Histories(engine.url).kinds()
    assert kinds.count("ActivityTaskStarted") == 1
    assert "ActivityTaskTimedOut" not in kinds


def test_stacks_that_are_asked_for_end_no_task(engine, tmp_path):
    """USR1 to the pool: the task is seen where it is, and what it has started lives on."""
    flow = stubborn(tmp_path, how="time.sleep(600)")

    async def scenario() -> None:
        words = config(engine.url, flow, tmp_path, procs=1)
        async with a_house(words, {"folder": str(tmp_path)}) as house:
            (program,) = await house.until(lambda: noted(tmp_path, "program"), "a running task")

            tell(signal.SIGUSR1)
            await house.until(lambda: "in stay" in house.err.getvalue(), "the stacks")

            assert is_alive(program)
            assert 1 == house.busy()

    asyncio.run(scenario())

"""How quickly does a pool begin, how little does it hold and use, and does its loop ever stand?

    python -m benchmarks.pool [--quick]

Sixteen workers from a ready zygote; memory of an idle worker and of the whole pool without its
engine; CPU and polls of an idle pool; a thousand tasks that appear on one of its four lists; and
the longest turn of the supervisor's loop while a worker is stopped, results have 128 kB, a flow is
imported slowly and nobody reads the log. Exit code 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks import _pool_flow
from benchmarks.metrics_run import memory
from garcon.pool.nursery import Nursery
from garcon.pool.slots import ChildKind
from tests.acceptance.harness import (
    Command,
    Place,
    grandchildren_of,
    is_engine,
    read_history,
    wait_until,
)

FLOW = "benchmarks._pool_flow"
LISTS = ("north", "south", "east", "large")
WORKERS = 16
MB = 2**20

#: Tasks that appear at once, and the decisions that bring them.
TASKS = 1000
A_DECISION = 100


class Figures:
    """What was measured, against the goals."""

    def __init__(self) -> None:
        self.missed = 0

    def tell(self, what: str, value: float, goal: float, unit: str) -> None:
        """Print one figure; the goal is the most that it may be."""
        mark = "" if value <= goal else "   MISSED"
        self.missed += value > goal
        print(f"{what:58} {value:8.2f} {unit:3} goal {goal:g}{mark}", flush=True)


# -- from a ready zygote --------------------------------------------------------------------------


async def _births_s() -> float:
    nursery = Nursery(FLOW, 1, on_fact=lambda _: None, on_output=lambda *_: None)
    await nursery.start()
    try:
        began_s = time.perf_counter()

        async def born(slot: int) -> None:
            child = await nursery.fork(slot, ChildKind.WORKER)
            frame = await child.stream.receive()
            assert frame is not None
            assert frame.kind == "ready"

        await asyncio.gather(*map(born, range(1, WORKERS + 1)))
        return time.perf_counter() - began_s
    finally:
        for child in nursery.children.values():
            child.stream.close()
        await nursery.close()


def births(figures: Figures, runs: int) -> None:
    """Fork sixteen workers, several times."""
    times = [asyncio.run(_births_s()) for _ in range(runs)]
    figures.tell("ready zygote to 16 ready workers", statistics.median(times), 0.3, "s")


# -- an idle pool ---------------------------------------------------------------------------------


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def idle(figures: Figures, place: Place, pool: Command, seconds: float) -> None:
    """Look at a pool that has nothing to do."""
    # What its start has left to do (first looks, timers) is not idling.
    time.sleep(min(5.0, seconds))
    workers = [one for one in grandchildren_of(pool) if one.is_running()]
    largest = max(one.memory_full_info().uss for one in workers)
    figures.tell("private memory of an idle worker", largest / MB, 2.0, "MB")
    held = {kind: size for kind, (_, size) in memory(place, pool).items() if kind != "engine"}
    figures.tell("PSS of the pool without engine", sum(held.values()) / MB, 120.0, "MB")
    processes = [one for one in place.processes() if not is_engine(one)]
    before_s, began_s = _cpu_s(processes), time.monotonic()
    time.sleep(seconds)
    used = (_cpu_s(processes) - before_s) / (time.monotonic() - began_s)
    figures.tell("CPU of the idle pool", used * 100, 1.0, "%")
    figures.tell("waiting polls a list", _polls(place, pool) / len(LISTS), 1.0, "")


def _polls(place: Place, pool: Command) -> int:
    code = "from garcon.cli import main; main()"
    command = place.start("-c", code, "status", "--json", str(pool.pid))
    assert command.wait() == 0, command.err()
    return int(json.loads(command.out())["polls"])


# -- a thousand tasks -----------------------------------------------------------------------------


def burst(figures: Figures, place: Place, runs: int) -> None:
    """Have a thousand tasks appear on one list; each run leaves its tasks to be terminated."""
    with place.client() as client:
        times = [_burst_s(client, number) for number in range(runs)]
    figures.tell("1,000 tasks on one list to 16 busy workers", statistics.median(times), 1.0, "s")


def _burst_s(client: Any, number: int) -> float:
    """Return the seconds from the first task's appearance to the start of the sixteenth."""
    domain, own_list = _pool_flow.domain, f"burst-{number}"
    run = client.start_workflow_execution(
        domain=domain,
        workflowId=own_list,
        workflowType={"name": _pool_flow.name, "version": "1.0"},
        taskList={"name": own_list},
        executionStartToCloseTimeout="600",
        taskStartToCloseTimeout="30",
        childPolicy="TERMINATE",
    )
    run = {"workflowId": own_list, "runId": run["runId"]}
    for part in range(TASKS // A_DECISION):
        task = client.poll_for_decision_task(domain=domain, taskList={"name": own_list})
        more = {"timerId": f"more-{part}", "startToFireTimeout": "0"}
        client.respond_decision_task_completed(
            taskToken=task["taskToken"],
            decisions=[
                *(_schedule(part * A_DECISION + one) for one in range(A_DECISION)),
                {"decisionType": "StartTimer", "startTimerDecisionAttributes": more},
            ],
        )

    def started() -> list[Any]:
        events = read_history(client, domain, run)
        found = [one for one in events if one["eventType"] == "ActivityTaskStarted"]
        return events if len(found) >= WORKERS else []

    events = wait_until(started, "sixteen tasks that have begun", 60.0, 0.1)
    times = {
        kind: sorted(one["eventTimestamp"] for one in events if one["eventType"] == kind)
        for kind in ("ActivityTaskScheduled", "ActivityTaskStarted")
    }
    client.terminate_workflow_execution(domain=domain, workflowId=own_list)
    first, sixteenth = times["ActivityTaskScheduled"][0], times["ActivityTaskStarted"][WORKERS - 1]
    # The tasks of this run still hold the workers for a moment.
    time.sleep(STAY_S + 1.0)
    return float((sixteenth - first).total_seconds())


#: How long each of the thousand tasks stays, seconds.
STAY_S = 3.0


def _schedule(number: int) -> dict[str, Any]:
    full_name = f"{_pool_flow.name}_{LISTS[0]}"
    return {
        "decisionType": "ScheduleActivityTask",
        "scheduleActivityTaskDecisionAttributes": {
            "activityId": str(number),
            "activityType": {"name": full_name, "version": "1.0"},
            "taskList": {"name": full_name},
            "input": json.dumps({"seconds": STAY_S}),
            "startToCloseTimeout": "120",
            "scheduleToStartTimeout": "600",
            "scheduleToCloseTimeout": "600",
            "heartbeatTimeout": "60",
        },
    }


# -- the loop -------------------------------------------------------------------------------------


def loop(figures: Figures, place: Place, rounds: int) -> None:
    """Do to a pool what might make its loop stand, and look at its longest turn."""
    noted = place.folder / "turns.json"
    command = [sys.executable, "-m", "benchmarks._lagging", str(noted), "pool", FLOW]
    command += ["--procs", "4", "--engine", f"local:{place.db}", "--log-level", "debug"]
    environment = place.environment(GARCON_BENCH_FOLDER=str(place.folder))
    # Nobody ever reads this pipe: a log at DEBUG fills its 64 kB soon.
    reading, writing = os.pipe()
    with subprocess.Popen(
        command, cwd=place.folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=writing, start_new_session=True,
    ) as pool:  # fmt: skip
        os.close(writing)
        try:
            _trouble(place, pool, rounds)
        finally:
            pool.terminate()
            pool.wait(60)
            os.close(reading)
    told = json.loads(noted.read_text(encoding="utf-8"))
    figures.tell("longest turn of the loop", told["longest"][0][0] * 1000, 50.0, "ms")
    for seconds, what in told["longest"][:3]:
        print(f"    {seconds * 1000:6.1f} ms  {what[:110]}")


def _is_registered(client: Any) -> bool:
    try:
        found = client.list_workflow_types(
            domain=_pool_flow.domain, name=_pool_flow.name, registrationStatus="REGISTERED"
        )
    except client.exceptions.UnknownResourceFault:
        return False
    return bool(found["typeInfos"])


def _trouble(place: Place, pool: subprocess.Popen[bytes], rounds: int) -> None:
    def workers() -> list[psutil.Process]:
        zygotes = psutil.Process(pool.pid).children()
        return [child for zygote in zygotes for child in zygote.children()]

    wait_until(lambda: len(workers()) >= 5, "a pool of four workers and a decider")
    with place.client() as client:
        wait_until(lambda: _is_registered(client), "the flow's types")
        _run(client, "first", {"large": 4})
        pool.send_signal(signal.SIGUSR2)  # what its start took is another question
        stopped = workers()[0]
        stopped.suspend()
        slow = place.folder / _pool_flow.SLOW_FILE
        for number in range(rounds):
            _run(client, f"large-{number}", {"large": 100}, wait=False)
            time.sleep(1.0)
        slow.touch()
        pool.send_signal(signal.SIGHUP)
        time.sleep(_pool_flow.SLOW_S + 2.0)
        if stopped.is_running():
            stopped.resume()
        time.sleep(1.0)
        for number in range(rounds):
            if _is_open(client, f"large-{number}"):
                client.terminate_workflow_execution(
                    domain=_pool_flow.domain, workflowId=f"large-{number}"
                )


def _is_open(client: Any, workflow_id: str) -> bool:
    found = client.count_open_workflow_executions(
        domain=_pool_flow.domain,
        startTimeFilter={"oldestDate": 0},
        executionFilter={"workflowId": workflow_id},
    )
    return bool(found["count"])


def _run(client: Any, workflow_id: str, data: dict[str, Any], *, wait: bool = True) -> None:
    client.start_workflow_execution(
        domain=_pool_flow.domain,
        workflowId=workflow_id,
        workflowType={"name": _pool_flow.name, "version": "1.0"},
        taskList={"name": _pool_flow.name},
        input=json.dumps({"seconds": 0.1, **data}),
        executionStartToCloseTimeout="600",
        taskStartToCloseTimeout="30",
        childPolicy="TERMINATE",
    )
    if wait:
        wait_until(lambda: not _is_open(client, workflow_id), f"the end of {workflow_id}")


# -- all of it ------------------------------------------------------------------------------------


def in_a_place(work: Callable[[Place], None]) -> None:
    """Call `work` with a folder and an engine of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            work(place)
        finally:
            place.clear()


def main() -> int:
    """Measure, print, and return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="The figures of a pool.")
    parser.add_argument("--quick", action="store_true", help="one run of each, seconds of idling")
    quick = parser.parse_args().quick
    figures = Figures()
    print(f"{WORKERS} workers, {os.cpu_count()} CPUs, {len(LISTS)} lists")
    births(figures, 1 if quick else 5)

    def serving(place: Place) -> None:
        pool = place.start_pool(FLOW, procs=WORKERS)
        pool.wait_for_text("event=pool.ready")
        idle(figures, place, pool, 5.0 if quick else 60.0)
        burst(figures, place, 1 if quick else 5)

    in_a_place(serving)
    in_a_place(lambda place: loop(figures, place, 2 if quick else 10))
    return int(figures.missed > 0)


if __name__ == "__main__":
    sys.exit(main())

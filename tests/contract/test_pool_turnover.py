"""A whole pool whose workers leak, outgrow their bounds, or run many instances at once."""

from __future__ import annotations

import asyncio
import sys

import pytest

from garcon.pool.recycling import Share
from tests.contract.supervisor_harness import Histories, a_house, config, write_flow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs PDEATHSIG and /proc")

MB = 1_000_000

#: Instances that write down which process they ran in, and how much it has for itself by then.
LEAKING = """
    import os
    from pathlib import Path
    from garcon import activity, runner, task

    domain, name = "garcon-tests", "leaking"
    create = activity.create(domain, name)
    kept = []

    @task.decorate(timeout=60)
    def leak(folder, number, size):
        kept.append(b"x" * size)
        with open(Path(folder) / "ran", "a") as file:
            file.write(f"{os.getpid()} {number}\\n")

    def numbers(context):
        return ({"number": number} for number in range(context["tasks"]))

    work = create(
        name="work", generators=[numbers],
        run=runner.Sync(leak.fill(folder="folder", number="number", size="size")),
    )
"""

#: Instances that end only when all of them run at the same time.
TOGETHER = """
    import threading
    from garcon import activity, runner, task

    domain, name = "garcon-tests", "together"
    create = activity.create(domain, name)
    meeting = threading.Barrier(8)

    @task.decorate(timeout=60)
    def meet():
        meeting.wait(30)

    def eight(context):
        return ({"number": number} for number in range(8))

    work = create(name="work", generators=[eight], run=runner.Sync(meet.fill()), threads=8)
"""

#: Instances on threads of one worker, the first of which hears nothing.
UNEVEN = """
    import time
    from pathlib import Path
    from garcon import activity, runner, task

    domain, name = "garcon-tests", "uneven"
    create = activity.create(domain, name)

    def begin(context):
        (Path(context["folder"]) / f"began-{context['number']}").touch()

    @task.timeout(1)
    def hang(activity, context):
        begin(context)
        time.sleep(600)

    @task.timeout(60)
    def wait(activity, context):
        begin(context)
        while not (Path(context["folder"]) / "gate").exists():
            time.sleep(0.01)

    @task.list
    def chosen(context):
        yield hang if context.get("number") == 0 else wait

    def three(context):
        return ({"number": number} for number in range(3))

    work = create(name="work", generators=[three], run=runner.Sync(chosen), threads=3)
"""


def ran(folder) -> dict[int, int]:
    """Return how many instances each process has run."""
    pids = [int(line.split()[0]) for line in (folder / "ran").read_text().splitlines()]
    return {pid: pids.count(pid) for pid in dict.fromkeys(pids)}


async def run(engine, folder, code: str, share: Share, procs: int = 1, **data) -> list[str]:
    """Run one execution and return what the pool told."""
    words = config(engine.url, write_flow(folder, code), folder, procs=procs, share=share)
    async with a_house(words, {"folder": str(folder), **data}) as house:
        await house.ended()
        return house.told


def test_a_leaking_worker_is_replaced_at_its_bound(engine, tmp_path):
    """Five MB a task, a bound of twenty: the fifth task is the last, and nothing is lost."""
    told = asyncio.run(run(engine, tmp_path, LEAKING, Share(memory=20 * MB), tasks=12, size=5 * MB))

    counts = list(ran(tmp_path).values())
    assert 12 == sum(counts)
    assert all(3 <= count <= 5 for count in counts[:-1])
    worn = sum("event=worker.worn" in line for line in told)
    assert worn in (len(counts) - 1, len(counts))
    assert "ActivityTaskFailed" not in Histories(engine.url).kinds()


def test_a_bound_that_no_worker_can_keep_is_said_once_and_replaces_nobody(engine, tmp_path):
    """One MB: a fresh worker has many times as much."""
    told = asyncio.run(run(engine, tmp_path, LEAKING, Share(memory=MB), procs=2, tasks=12, size=1))

    assert 12 == sum(ran(tmp_path).values())
    assert 1 == sum("event=memory.low_bound" in line for line in told)
    assert not [line for line in told if "event=worker.worn" in line]


def test_a_task_that_takes_all_memory_is_killed_and_the_history_says_so(engine, tmp_path):
    """Out of memory, with the figures; the pool serves on."""

    async def scenario() -> None:
        code = LEAKING.replace("kept.append", "import time; kept.append").replace(
            "with open", "time.sleep(60 if size > 1 else 0)\n        with open"
        )
        words = config(
            engine.url, write_flow(tmp_path, code), tmp_path, procs=1, share=Share(memory=40 * MB)
        )
        data = {"folder": str(tmp_path), "tasks": 1, "size": 400 * MB}
        async with a_house(words, data) as house:
            assert 1 == await house.ended()
            assert house.lines_with("event=task.oversized")

    asyncio.run(scenario())
    histories = Histories(engine.url)
    assert ["out_of_memory"] == histories.failures()


def test_workers_are_replaced_after_so_many_tasks(engine, tmp_path):
    """Each instance once, however many processes it takes."""
    asyncio.run(run(engine, tmp_path, LEAKING, Share(tasks=3), tasks=10, size=1))

    assert [3, 3, 3, 1] == list(ran(tmp_path).values())


def test_one_worker_runs_eight_instances_that_wait_for_each_other(engine, tmp_path):
    """`threads=8`: none of them could end alone."""
    asyncio.run(run(engine, tmp_path, TOGETHER, Share()))

    assert 8 == Histories(engine.url).kinds().count("ActivityTaskCompleted")


def test_an_overdue_instance_does_not_cost_those_beside_it(engine, tmp_path):
    """It is answered in time; the others end as if nothing were, then the process goes."""

    async def scenario() -> None:
        words = config(engine.url, write_flow(tmp_path, UNEVEN), tmp_path, procs=1)
        async with a_house(words, {"folder": str(tmp_path)}) as house:
            await house.until(lambda: len(list(tmp_path.glob("began-*"))) == 3, "three threads")
            (worker,) = house.children()
            await house.until_told("event=task.overdue")
            (tmp_path / "gate").touch()

            assert 1 == await house.ended()
            assert worker not in house.children()

    asyncio.run(scenario())
    histories = Histories(engine.url)
    assert 2 == histories.kinds().count("ActivityTaskCompleted")
    assert ["failed"] == histories.failures()

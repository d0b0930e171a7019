"""Memory and CPU of real processes, and counts of the engine's lists."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import ServiceError
from garcon.pool import autosize, backlog
from garcon.pool.backlog import Backlog
from garcon.pool.vitals import Vitals, read_vital
from tests.contract.pool_stand_ins import ScriptedPlane

MEGA = 1_000_000

FETCH = ActivityDescription("fetch", "flow_fetch", "1.0", "flow_fetch")
OUT = ActivityDescription("out", "flow_out", "1.0", "flow_out", external=True)
FLOW = FlowDescription("dev", "flow", "1.0", (FETCH, OUT))


def test_memory_is_what_a_process_has_for_itself():
    """A child that fills 30 MB has them; one that is gone has no figures."""
    program = "import sys; kept = b'x' * 30_000_000; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        vital = read_vital(child.pid)
        child.communicate()

    assert vital is not None
    assert 30 * MEGA < vital.memory < 80 * MEGA
    assert vital.cpu_s > 0
    assert read_vital(child.pid) is None


def test_a_process_that_was_stopped_is_told_from_one_that_sleeps():
    """It still has its memory and its time; it only runs no more."""
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        sleeping = read_vital(child.pid)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        stopped = read_vital(child.pid)
        child.send_signal(signal.SIGCONT)
        child.communicate()

    assert sleeping is not None
    assert not sleeping.is_stopped
    assert stopped is not None
    assert stopped.is_stopped


def test_cpu_is_what_was_used_between_two_looks():
    """The first look knows none; who listens is told of each."""
    told = []

    async def scenario() -> None:
        with ThreadPoolExecutor(1) as threads:
            vitals = Vitals(lambda: [os.getpid()], threads)
            vitals.on_look.append(lambda seen, now_s: told.append((set(seen), now_s)))
            await vitals.look()
            first = vitals.of(os.getpid())
            await vitals.look()
            second = vitals.of(os.getpid())

        assert first is not None
        assert second is not None
        assert first.cpu is None
        assert second.cpu is not None
        assert second.cpu >= 0
        assert vitals.of(1 << 22) is None

    asyncio.run(scenario())

    assert [{os.getpid()}] * 2 == [seen for seen, _ in told]


def test_lists_are_counted_when_somebody_looks_and_no_more_often():
    """Own activities and decisions; what another program serves is its own business."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.replies["CountPendingActivityTasks"] = lambda _: {"count": 3, "truncated": True}
        plane.replies["CountPendingDecisionTasks"] = lambda _: {"count": 0}
        looked = Backlog(plane, FLOW)

        counts = await looked.look(patience_s=30.0)
        again = await looked.look(patience_s=30.0)

        assert ["flow_fetch", "flow"] == list(counts)
        assert (3, True) == (counts["flow_fetch"].tasks, counts["flow_fetch"].truncated)
        assert (0, False) == (counts["flow"].tasks, counts["flow"].truncated)
        assert counts == again
        assert 2 == len(plane.answered)
        await looked.close()

    asyncio.run(scenario())


def test_what_the_engine_does_not_tell_is_not_known():
    """A throttle is no zero."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.faults["CountPendingActivityTasks"] = ServiceError("ThrottlingException", "slow down")
        looked = Backlog(plane, FLOW)

        counts = await looked.look(patience_s=30.0)
        asked = len(plane.answered)
        again = await looked.look(patience_s=30.0)

        assert counts["flow_fetch"] is None
        assert again == counts
        assert len(plane.answered) == asked, "who is throttled is not to ask at every look"
        await looked.close()

    asyncio.run(scenario())


def test_a_pool_asks_for_counts_less_often_than_aws_allows_an_account():
    """Six a second; for its size and for whoever looks at it together."""
    for_its_size_per_s = 1 / autosize.LOOK_S
    for_status_per_s = 1 / backlog.APART_S

    assert for_its_size_per_s + for_status_per_s < 6


def test_an_answer_without_a_count_is_not_known_and_no_accident():
    """A proxy's page with a good status, say: a `KeyError` would end the pool."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.replies["CountPendingActivityTasks"] = lambda _: {"message": "hello"}
        plane.replies["CountPendingDecisionTasks"] = lambda _: {"count": 2}
        looked = Backlog(plane, FLOW)

        counts = await looked.look(patience_s=30.0)

        assert counts["flow_fetch"] is None
        assert 2 == counts["flow"].tasks
        await looked.close()

    asyncio.run(scenario())


def test_a_look_does_not_wait_for_an_engine_that_takes_its_time():
    """What is not known yet is told as such."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        never = asyncio.Event()

        async def call(*_, **__) -> bytes:
            await never.wait()
            return b""

        plane.call = call
        looked = Backlog(plane, FLOW)

        assert {"flow_fetch": None, "flow": None} == await looked.look(patience_s=0.01)
        await looked.close()

    asyncio.run(scenario())

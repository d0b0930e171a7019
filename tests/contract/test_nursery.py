"""Zygote and nursery with real processes: births, deaths of every kind, refusals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from garcon.pool import nursery as nursery_module
from garcon.pool.frames import Frame
from garcon.pool.lifecycle import ChildKind
from garcon.pool.nursery import (
    ChildExited,
    ForkError,
    Notice,
    ZygoteExited,
)
from garcon.pool.resources import Machine
from tests.contract.nursery_harness import (
    FLOWS,
    PATIENCE_S,
    House,
    answer,
    gone,
    hear,
    house,
    order,
    said,
    wait_end,
    wait_gone,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, needs pidfds")

ROOT = Path(__file__).resolve().parents[2]


def test_the_zygote_describes_the_flow_without_the_supervisor_importing_it() -> None:
    """Names and numbers come over; the module does not."""

    async def run() -> None:
        one = House("plain")
        described = await one.nursery.start()
        await one.nursery.close()
        assert ("tests", "plain") == (described.domain, described.name)
        assert "add" in {activity.name for activity in described.activities}
        assert f"{FLOWS}.plain" not in sys.modules

    asyncio.run(run())


def test_an_exit_is_told_with_code_cpu_and_memory() -> None:
    """What wait4 knows reaches the supervisor."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "vanish")
            await wait_end(child)
            fact = await one.wait_exit(child)
        assert 7 == fact.exit_code
        assert fact.signal is None
        assert "ended with exit code 7" == fact.status
        assert fact.peak_kb > 1000
        assert not fact.with_zygote

    asyncio.run(run())


@pytest.mark.parametrize(("activity", "name"), [("crash", "SIGSEGV"), ("hang", "SIGKILL")])
def test_a_death_by_signal_is_told_with_the_signal_s_name(activity: str, name: str) -> None:
    """A mistake in C, or an operator's kill -9."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, activity)
            if activity == "hang":
                await said(child)
                os.kill(child.pid, signal.SIGKILL)
            await wait_end(child)
            fact = await one.wait_exit(child)
        assert (name, f"was killed by {name}") == (fact.signal, fact.status)

    asyncio.run(run())


def test_what_a_dead_worker_had_started_goes_with_it() -> None:
    """A task's own programs must not run on beside the next attempt."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "settle_down")
            programs = json.loads(await said(child))
            os.kill(child.pid, signal.SIGKILL)
            await wait_end(child)
            assert [] == await wait_gone(programs, 2.0)
            await one.wait_exit(child)

    asyncio.run(run())


def test_a_signal_may_be_meant_for_a_child_alone() -> None:
    """A stack dump, above all: what the task has started would die of it."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "settle_down")
            programs = json.loads(await said(child))
            assert one.nursery.signal(child, signal.SIGUSR1, alone=True)
            await one.wait_line("most recent call first")
            assert programs == await wait_gone(programs, 0)

    asyncio.run(run())


def test_a_signal_reaches_the_whole_group_of_a_child() -> None:
    """TERM ends what the task has started, while the worker itself obeys frames alone."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "settle_down")
            programs = json.loads(await said(child))
            assert one.nursery.signal(child, signal.SIGTERM)
            assert [] == await wait_gone(programs, 2.0)
            assert one.nursery.signal(child, signal.SIGKILL)
            await wait_end(child)
            assert "SIGKILL" == (await one.wait_exit(child)).signal
            assert not one.nursery.signal(child, signal.SIGTERM)

    asyncio.run(run())


def test_stop_signals_of_a_terminal_pass_zygote_and_children_by() -> None:
    """Ctrl-C and a service manager's TERM reach everyone; only the supervisor acts on them."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            assert one.nursery.pid is not None
            for pid in (one.nursery.pid, child.pid):
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    os.kill(pid, number)
            await order(child, "add", b'{"n": 1}')
            assert b'{"n":2}' == (await answer(child)).body
            second = await one.worker(2)
            await order(second, "add", b'{"n": 1}')
            assert "done" == (await answer(second)).kind

    asyncio.run(run())


def test_signals_that_a_flow_takes_at_import_are_taken_back() -> None:
    """Else a Ctrl-C would end the workers of such a flow, and deaths would go unseen."""

    async def run() -> None:
        async with house("talkative") as one:
            child = await one.worker()
            assert one.nursery.pid is not None
            os.kill(one.nursery.pid, signal.SIGTERM)
            os.kill(child.pid, signal.SIGTERM)
            await order(child, "work")
            assert "done" == (await answer(child)).kind
            os.kill(child.pid, signal.SIGKILL)
            await wait_end(child)
            assert "SIGKILL" == (await one.wait_exit(child)).signal

    asyncio.run(run())


def test_the_death_of_the_zygote_is_the_death_of_its_children_and_their_programs() -> None:
    """Told child by child, then for the zygote, with its own reason; nothing is left."""

    async def run() -> None:
        async with house() as one:
            working, idle = await one.worker(1), await one.worker(2)
            await order(working, "settle_down")
            programs = json.loads(await said(working))
            assert one.nursery.pid is not None
            os.kill(one.nursery.pid, signal.SIGKILL)
            await wait_end(working)
            await wait_end(idle)
            end = await one.wait_fact(ZygoteExited)
            assert [] == await wait_gone([*programs, working.pid, idle.pid], 2.0)
            assert "was killed by SIGKILL" == end.status
            assert [ChildExited, ChildExited, ZygoteExited] == [type(fact) for fact in one.facts]
            exits = [fact for fact in one.facts if isinstance(fact, ChildExited)]
            assert {1, 2} == {fact.slot for fact in exits}
            assert all(fact.with_zygote and "SIGKILL" in fact.status for fact in exits)
            with pytest.raises(ForkError, match="there is no zygote"):
                await one.nursery.fork(3, ChildKind.WORKER)

    asyncio.run(run())


def test_a_fork_asked_for_while_a_dead_zygote_s_children_leave_fails_with_it(monkeypatch) -> None:
    """The first exit that is told has a pool ask for the next child, and nobody is left to fork."""
    monkeypatch.setattr(nursery_module, "LINGER_S", PATIENCE_S)

    async def run() -> None:
        async with house() as one:
            heard, unheard = await one.worker(1), await one.worker(2)
            assert one.nursery.pid is not None
            os.kill(one.nursery.pid, signal.SIGKILL)
            await wait_end(heard)
            await one.wait_exit(heard)
            asking = asyncio.create_task(one.nursery.fork(1, ChildKind.WORKER))
            await wait_end(unheard)
            with pytest.raises(ForkError, match="the zygote was killed by SIGKILL"):
                await asking
            # Told before, so that the pool knows why: it is no want of memory or processes.
            assert [ChildExited, ChildExited, ZygoteExited] == [type(fact) for fact in one.facts]

    asyncio.run(run())


def test_closing_ends_everyone() -> None:
    """A retired generation leaves nothing behind, whatever its workers are doing."""

    async def run() -> None:
        one = House("plain")
        await one.nursery.start()
        child = await one.worker()
        await order(child, "settle_down")
        programs = json.loads(await said(child))
        assert one.nursery.pid is not None
        pids = [*programs, child.pid, one.nursery.pid]
        child.stream.close()
        await one.nursery.close()
        assert [] == await wait_gone(pids, 2.0)

    asyncio.run(run())


def test_a_stopped_zygote_is_killed_when_it_does_not_fork_in_time() -> None:
    """The pool must not wait for ever for one process; nor may a close."""

    async def run() -> None:
        async with house(fork_timeout_s=0.3) as one:
            child = await one.worker()
            assert one.nursery.pid is not None
            os.kill(one.nursery.pid, signal.SIGSTOP)
            with pytest.raises(ForkError, match=r"did not fork within 0\.3 s"):
                await one.nursery.fork(2, ChildKind.WORKER)
            await wait_end(child)
            assert (await one.wait_exit(child)).with_zygote
            await one.wait_fact(ZygoteExited)

    asyncio.run(run())


def test_a_stopped_zygote_is_killed_when_it_does_not_kill_as_it_was_told() -> None:
    """The order waits in its socket: a worker that has to go would live on under it."""

    async def run() -> None:
        async with house(fork_timeout_s=0.3) as one:
            child = await one.worker()
            assert one.nursery.pid is not None
            os.kill(one.nursery.pid, signal.SIGSTOP)
            assert one.nursery.signal(child, signal.SIGKILL)
            await wait_end(child)
            assert (await one.wait_exit(child)).with_zygote
            await one.wait_fact(ZygoteExited)

    asyncio.run(run())


def test_a_zygote_that_kills_as_it_is_told_is_left_alone() -> None:
    """It is not to pay for a child that outlives its kill for a while: of a dead disk, say."""

    async def run() -> None:
        async with house(fork_timeout_s=0.3) as one:
            child, other = await one.worker(1), await one.worker(2)
            assert one.nursery.signal(child, signal.SIGKILL)
            await wait_end(child)
            assert not (await one.wait_exit(child)).with_zygote
            assert all(born.killing is None for born in one.nursery._born.values())
            await order(other, "add", b'{"n": 1}')
            assert "done" == (await answer(other)).kind

    asyncio.run(run())


def test_a_stopped_worker_does_not_block_the_loop_and_can_be_killed() -> None:
    """SIGSTOP, a debugger, a dead network file system: the supervisor goes on."""

    async def run() -> None:
        async with house() as one:
            child, other = await one.worker(1), await one.worker(2)
            os.kill(child.pid, signal.SIGSTOP)
            sending = asyncio.create_task(
                child.stream.send("run", bytes(8_000_000), task=1, activity="add")
            )
            began_s = time.monotonic()
            await order(other, "add", b'{"n": 1}')
            assert "done" == (await answer(other)).kind
            assert time.monotonic() - began_s < child.stream.send_timeout_s / 2
            assert not sending.done()
            assert one.nursery.signal(child, signal.SIGKILL)
            assert "SIGKILL" == (await one.wait_exit(child)).signal
            await asyncio.wait({sending})
            assert sending.exception() is not None

    asyncio.run(run())


def test_an_answer_that_was_sent_before_a_death_is_read_before_the_death_is_told() -> None:
    """Else a finished task would count as lost and run again."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "add", b'{"n": 1}')
            await order(child, "vanish", task=2)
            seen: list[str] = []

            async def read() -> None:
                while (frame := await hear(child)) is not None:
                    assert not one.facts
                    seen.append(frame.kind)

            await read()
            await one.wait_exit(child)
            assert "done" in seen

    asyncio.run(run())


def test_children_print_through_the_supervisor_line_by_line() -> None:
    """At once, and told apart."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "shout")
            await answer(child)
            assert "stdout" == (await one.wait_line("to stdout"))[0]
            assert "stderr" == (await one.wait_line("to stderr"))[0]

    asyncio.run(run())


def test_all_stacks_are_dumped_at_usr1() -> None:
    """An operator sees where a hanging task hangs."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "hang")
            await said(child)
            one.nursery.signal(child, signal.SIGUSR1)
            assert "stderr" == (await one.wait_line("in hang"))[0]

    asyncio.run(run())


class ShortOfMemory(Machine):
    """A machine on which the kernel kills whenever it is looked at again."""

    kills = 0

    def oom_kills(self) -> int:
        """Return one more each time."""
        self.kills += 1
        return self.kills


def test_a_kill_by_the_kernel_for_want_of_memory_is_named() -> None:
    """From the control group's counter; else it looks like anybody's kill -9."""

    async def run() -> None:
        async with house(machine=ShortOfMemory()) as one:
            child = await one.worker()
            os.kill(child.pid, signal.SIGKILL)
            await wait_end(child)
            fact = await one.wait_exit(child)
        assert fact.oom
        assert "was killed by SIGKILL (out of memory, by the kernel)" == fact.status

    asyncio.run(run())


def test_a_kill_by_the_pool_is_not_taken_for_the_kernel_s() -> None:
    """The kernel may have killed a program of a task just then."""

    async def run() -> None:
        async with house(machine=ShortOfMemory()) as one:
            child = await one.worker()
            one.nursery.signal(child, signal.SIGKILL)
            await wait_end(child)
            fact = await one.wait_exit(child)
        assert not fact.oom
        assert "was killed by SIGKILL" == fact.status

    asyncio.run(run())


SUPERVISOR = """
import asyncio, json, sys
from garcon.pool.resources import Machine
from tests.contract.nursery_harness import House, order, said

async def run():
    one = House(sys.argv[1])
    if sys.argv[1] == "slow":
        starting = asyncio.create_task(one.nursery.start())
        while one.nursery.pid is None:
            await asyncio.sleep(0.01)
        print(json.dumps([one.nursery.pid]), flush=True)
        await starting
    await one.nursery.start()
    pids = [one.nursery.pid]
    for slot in (1, 2):
        child = await one.worker(slot)
        await order(child, "settle_down")
        pids += [child.pid, *json.loads(await said(child))]
    print(json.dumps(pids), flush=True)
    await asyncio.sleep(600)

asyncio.run(run())
"""


def test_nothing_is_left_when_supervisor_and_zygote_are_killed_at_one_blow() -> None:
    """What tasks have started too, which the kernel does not end with their worker."""
    command = [sys.executable, "-c", SUPERVISOR, "plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as supervisor:
        assert supervisor.stdout is not None
        zygote, *others = json.loads(supervisor.stdout.readline())
        # Stopped, so that it cannot do anything between the two.
        supervisor.send_signal(signal.SIGSTOP)
        os.kill(zygote, signal.SIGKILL)
        supervisor.kill()
        supervisor.wait()
        assert [] == gone([zygote, *others], 2.0)


def test_the_kernel_itself_ends_the_workers_of_a_zygote_whose_guard_is_gone_too() -> None:
    """Of all three nobody is left to do it; programs that tasks have started may go on then."""
    command = [sys.executable, "-c", SUPERVISOR, "plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as supervisor:
        assert supervisor.stdout is not None
        zygote, *others = json.loads(supervisor.stdout.readline())
        workers = [one.pid for one in psutil.Process(zygote).children()]
        assert 2 == len(workers)
        supervisor.send_signal(signal.SIGSTOP)
        try:
            for one in psutil.Process(supervisor.pid).children():
                one.kill()  # zygote and guard
            supervisor.kill()
            supervisor.wait()
            assert [] == gone([zygote, *workers], 2.0)
        finally:
            for pid in gone(others, 0.0):
                os.kill(pid, signal.SIGKILL)


def test_a_zygote_that_ends_in_order_has_its_guard_leave_all_others_alone() -> None:
    """A program that a task has detached on purpose may go on; the guard is gone."""

    async def run() -> int:
        async with house() as one:
            child = await one.worker()
            await order(child, "detach")
            pid = int(json.loads((await answer(child)).body)["pid"])
            assert one.nursery._guard is not None
            guard = one.nursery._guard._process
        assert 0 == guard.returncode
        return pid

    pid = asyncio.run(run())
    try:
        assert [pid] == gone([pid], 0.0)
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("flow", ["plain", "slow"])
def test_nothing_is_left_two_seconds_after_the_supervisor_was_killed(flow: str) -> None:
    """kill -9 of the supervisor, while it works and while the flow is still being imported."""
    command = [sys.executable, "-c", SUPERVISOR, flow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as supervisor:
        assert supervisor.stdout is not None
        pids = json.loads(supervisor.stdout.readline())
        supervisor.kill()
        supervisor.wait()
        assert [] == gone(pids, 2.0)


def test_a_zygote_that_says_what_nobody_can_read_is_ended_and_told_of(monkeypatch) -> None:
    """A reload may start a newer garcon; unheard, the pool would wait for it for ever."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()

            async def odd(_: object) -> Frame:
                return Frame("forked", {"kind": "forked", "place": "one"})

            monkeypatch.setattr(nursery_module, "read_frame", odd)
            await one.nursery.fork(2, ChildKind.WORKER)  # its answer is the last that is read

            fact = await one.wait_fact(ZygoteExited)
            notice = await one.wait_fact(Notice)
            assert "SIGKILL" in fact.status
            assert "nobody can read" in notice.text
            assert (await one.wait_exit(child)).with_zygote
            assert one.nursery.children == {}
            with pytest.raises(ForkError):
                await one.nursery.fork(3, ChildKind.WORKER)

    asyncio.run(run())

"""Threads that nobody waits for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from garcon.pool.helper import HelperThreads

PATIENCE_S = 30.0


def test_results_and_errors_come_back():
    """To the loop they are an executor like any other."""

    async def scenario() -> None:
        helper, loop = HelperThreads(1), asyncio.get_running_loop()
        assert await loop.run_in_executor(helper, int, "7") == 7
        with pytest.raises(ValueError, match="invalid literal"):
            await loop.run_in_executor(helper, int, "seven")
        helper.shutdown()

    asyncio.run(scenario())


def test_a_call_that_hangs_does_not_hold_up_the_next():
    """There is more than one thread: a look at an execution must not delay a name's look-up."""
    helper, gate = HelperThreads(2), threading.Event()
    stuck = helper.submit(gate.wait, PATIENCE_S)

    assert helper.submit(int, "1").result(PATIENCE_S) == 1
    assert not stuck.done()
    gate.set()
    helper.shutdown()


def test_what_waits_at_the_end_is_cancelled():
    """Nobody is left waiting for a call that will not be made."""
    helper, gate = HelperThreads(1), threading.Event()
    helper.submit(gate.wait, PATIENCE_S)
    waiting = helper.submit(int, "1")

    helper.shutdown(cancel_futures=True)

    with pytest.raises(CancelledError):
        waiting.result(PATIENCE_S)
    with pytest.raises(RuntimeError, match="shut down"):
        helper.submit(int, "1")
    gate.set()


def test_a_call_that_hangs_does_not_keep_the_interpreter_from_ending():
    """A thread of `ThreadPoolExecutor` would be joined at exit, for as long as its call lasts."""
    script = (
        "import time\n"
        "from garcon.pool.helper import HelperThreads\n"
        "helper = HelperThreads(1)\n"
        "helper.submit(time.sleep, 3600)\n"
        "helper.shutdown()\n"
    )

    ended = subprocess.run([sys.executable, "-c", script], timeout=PATIENCE_S, check=False)

    assert ended.returncode == 0


def test_where_no_more_threads_may_be_started_those_there_are_do_the_work(monkeypatch):
    """A container has a bound on processes, and threads count."""
    helper, gate = HelperThreads(2), threading.Event()
    helper.submit(gate.wait, PATIENCE_S)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    waits = helper.submit(int, "1")
    gate.set()

    assert waits.result(PATIENCE_S) == 1
    helper.shutdown()

"""The policy under which the kernel runs a pool."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from garcon.pool import batch

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux alone has it")

#: Whether it was taken, its own policy, that of a thread and of a program begun afterwards.
PROGRAM = """
import os, subprocess, sys, threading
from garcon.pool.batch import run_as_batch
if sys.argv[1:]:
    os.sched_setscheduler(0, int(sys.argv[1]), os.sched_param(0))
print(run_as_batch(), os.sched_getscheduler(0))
thread = threading.Thread(target=lambda: print(os.sched_getscheduler(0)))
thread.start()
thread.join()
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], check=True)
"""


def told(*arguments: str) -> list[str]:
    """Run the program; return the words that it prints."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_what_a_pool_starts_is_batch_work_as_it_is() -> None:
    """Threads, zygote, workers, and the engine that it starts on demand."""
    word = str(os.SCHED_BATCH)

    assert told() == ["True", word, word, word]


def test_a_policy_that_somebody_chose_stays() -> None:
    """Such as idle work on a machine that serves others."""
    word = str(os.SCHED_IDLE)

    assert told(word) == ["False", word, word, word]


def test_a_system_that_knows_no_policies_or_forbids_them_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS has no such call, and a sandbox may refuse it."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert batch.run_as_batch() is False

    monkeypatch.delattr(os, "sched_getscheduler")
    assert batch.run_as_batch() is False

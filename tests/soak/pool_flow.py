"""The flow of the pool's soaks: work that notes what it did, and work that misbehaves on demand.

An instance says in a file that it ended: what the history tells and what really happened can be
compared. Each note is one write of one line, which no kill can tear.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from garcon import activity, runner, task

domain = "garcon-soak"
name = "load"

create = activity.create(domain, name)

#: Programs that outlive a TERM: only KILL ends them.
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"

_kept: list[bytes] = []


def note(folder: str, file: str, *words: object) -> None:
    """Add a line to a file of the soak."""
    line = " ".join(map(str, words)) + "\n"
    with (Path(folder) / file).open("a", encoding="ascii") as notes:
        notes.write(line)


@task.decorate(timeout=60)
def work(folder: str, number: int, seconds: float, programs: int) -> None:
    """Take a moment, now and then beside a program of its own, and note the end."""
    if programs and number % programs == 0:
        program = subprocess.Popen([sys.executable, "-S", "-c", DEAF])
        note(folder, "programs", program.pid)
        time.sleep(seconds)
        program.kill()
        program.wait()
    else:
        time.sleep(seconds)
    note(folder, "ended", number, os.getpid())


@task.decorate(timeout=600, heartbeat=3)
def hold(folder: str, seconds: int, deaf: bool) -> None:
    """Hold the interpreter in C, beside a program that ignores TERM."""
    if deaf:
        program = subprocess.Popen([sys.executable, "-S", "-c", DEAF])
        note(folder, "programs", program.pid)
    note(folder, "holding", os.getpid())
    ctypes.PyDLL(None).sleep(seconds)


@task.decorate(timeout=60)
def leak(folder: str, number: int, size: int) -> None:
    """Keep so many bytes for ever."""
    _kept.append(b"x" * size)
    note(folder, "ended", number, os.getpid())


def _numbers(kind: str) -> Any:
    def numbers(context: Any) -> Any:
        """Yield as many instances as the input has for this kind."""
        first = context["first"]
        return ({"number": first + number} for number in range(context.get(kind, 0)))

    return numbers


works = create(
    name="work",
    generators=[_numbers("works")],
    run=runner.Sync(
        work.fill(folder="folder", number="number", seconds="seconds", programs="programs")
    ),
)
holds = create(
    name="hold",
    generators=[_numbers("holds")],
    run=runner.Sync(hold.fill(folder="folder", seconds="seconds", deaf="deaf")),
)
leaks = create(
    name="leak",
    generators=[_numbers("leaks")],
    run=runner.Sync(leak.fill(folder="folder", number="number", size="size")),
)

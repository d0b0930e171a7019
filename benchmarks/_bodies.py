"""What every side of a comparison runs: three bodies and one final step, from the standard library.

Each call leaves a line in a ledger, so that who counts it afterwards knows that everything ran,
and that the final step ran once, after it. The ledger's path is in the environment. Imported by
garcon's workers and, as a plain file on their path, by those of the others.
"""

from __future__ import annotations

import os
import sys
import time

LEDGER = "BENCH_LEDGER"

#: What each body does for one instance.
SLEEP_S = 0.020
CPU_S = 0.010

_files: dict[int, int] = {}


def begin() -> None:
    """Say that all is imported and connected, wait to be told to go on, and say when that was.

    For drivers: what comes before is start-up, what comes after is measured.
    """
    print("ready", flush=True)
    sys.stdin.readline()
    print(f"{time.monotonic():.6f}", flush=True)


def stay() -> None:
    """Wait to be killed: CPU and memory of a process that has gone cannot be asked for."""
    sys.stdin.read()


def run(kind: str, number: int) -> None:
    """Do the work of instance `number` and say so in the ledger.

    Args:
        kind: `noop`, `sleep` or `cpu`.
        number: which instance.
    """
    if kind == "sleep":
        time.sleep(SLEEP_S)
    elif kind == "cpu":
        spin(CPU_S)
    _say(f"{number}\n")


def finish(_results: object = None) -> None:
    """Say in the ledger when the final step ran, as the machine's monotonic seconds."""
    _say(f"final {time.monotonic():.6f}\n")


def spin(seconds: float) -> None:
    """Use the CPU so long: this thread's own time, so that waiting for a core does not count."""
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        for _ in range(500):
            pass


def _say(text: str) -> None:
    # Opened once a process: a fork has its own entry, and appends are whole.
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_files[pid], text.encode())

"""How long from the command until sixteen workers wait for work?

    python -m benchmarks.startup

Cold: no engine runs, the command starts one. Warm: the engine of an earlier command is used. The
pool says `event=pool.ready workers=16` once all workers are up and its polls have begun; what
counts is when that line is there, from the moment the command was started.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.harness import Place, wait_until

RUNS = 5
WORKERS = 16
GOAL_S = 1.5


def start_s(place: Place) -> float:
    """Start a pool, stop it once it is ready, and return the seconds it took to be ready."""
    began_s = time.monotonic()
    pool = place.start_pool("flows.metrics", procs=WORKERS)
    pool.wait_for_text(f"event=pool.ready workers={WORKERS}")
    took_s = time.monotonic() - began_s
    os.kill(pool.pid, signal.SIGTERM)
    code = pool.wait()
    if code:
        raise RuntimeError(f"the pool ended with {code}:\n{pool.err()}")
    return took_s


def cold_s(place: Place) -> float:
    """Return the time of a start that finds no engine."""
    for pid in place.engine_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not place.engine_pids(), "the end of the engine")
    return start_s(place)


def main() -> int:
    """Print the table; return 1 where the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            cold = [cold_s(place) for _ in range(RUNS)]
            warm = [start_s(place) for _ in range(RUNS)]
        finally:
            place.clear()
    print(f"command to {WORKERS} idle workers, {RUNS} starts each, {os.cpu_count()} CPUs")
    print(f"{'engine':8} {'best':>7} {'median':>7} {'worst':>7}   goal {GOAL_S} s")
    for name, times in (("cold", cold), ("warm", warm)):
        figures = (min(times), statistics.median(times), max(times))
        print(f"{name:8} " + " ".join(f"{one:5.2f} s" for one in figures))
    return int(statistics.median(cold) > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())

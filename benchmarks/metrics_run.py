"""How long does the main job take, and how much memory does its pool hold?

    python -m benchmarks.metrics_run

Seven days x 250 countries of `flows.metrics` on sixteen workers, engine cold, set-up of the
virtual environment left out: the first week of what `make run` does. Memory is the proportional
set size (PSS), which shares a page among those who have it; the sum over processes is what the
machine gives. Samples are taken every second; the table shows each kind's highest sum.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

from tests.acceptance.harness import Command, Place, count_rows, is_engine

DATA = {"start": "2026-01-01", "end": "2026-01-07", "output": "rows.db"}
ROWS = 7 * 250
WORKERS = 16
GOAL_S = 30.0
SAMPLE_S = 1.0


def kind_of(process: psutil.Process, pool: Command) -> str:
    """Return what a process of the run is."""
    if is_engine(process):
        return "engine"
    if process.pid == pool.pid:
        return "supervisor"
    if "garcon-guard" in process.cmdline():
        return "guard"
    return "zygote" if process.ppid() == pool.pid else "children"


def memory(place: Place, pool: Command) -> dict[str, tuple[int, int]]:
    """Return how many processes of each kind there are and their PSS in bytes."""
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for process in place.processes():
        try:
            kind, size = kind_of(process, pool), process.memory_full_info().pss
        except psutil.Error:
            continue
        count, total = found[kind]
        found[kind] = (count + 1, total + size)
    return found


def run(place: Place) -> tuple[float, dict[str, tuple[int, int]]]:
    """Run the job; return its seconds and the highest memory of each kind."""
    peaks: dict[str, tuple[int, int]] = {}
    began_s = time.monotonic()
    pool = place.start_pool("flows.metrics", procs=WORKERS, data=DATA)
    next_s = began_s + SAMPLE_S
    while pool.process.poll() is None:
        if time.monotonic() >= next_s:
            next_s += SAMPLE_S
            for kind, seen in memory(place, pool).items():
                peaks[kind] = max(peaks.get(kind, (0, 0)), seen, key=lambda one: one[1])
        time.sleep(0.01)
    took_s = time.monotonic() - began_s
    rows = count_rows(place.folder / "rows.db")
    if pool.process.returncode or rows != ROWS:
        raise RuntimeError(f"exit {pool.process.returncode}, {rows} rows:\n{pool.err()}")
    return took_s, peaks


def main() -> int:
    """Print the table; return 1 where the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            took_s, peaks = run(place)
        finally:
            place.clear()
    print(f"{ROWS} activities on {WORKERS} workers, {os.cpu_count()} CPUs")
    print(f"{took_s:.1f} s, {ROWS / took_s:.0f} activities/s   goal {GOAL_S:.0f} s")
    print(f"{'process':12} {'count':>5} {'PSS':>9} {'each':>9}")
    for kind in ("supervisor", "zygote", "guard", "children", "engine"):
        count, size = peaks.get(kind, (0, 0))
        each = size / count if count else 0.0
        print(f"{kind:12} {count:5} {size / 2**20:6.1f} MB {each / 2**20:6.1f} MB")
    pool_size = sum(size for kind, (_, size) in peaks.items() if kind != "engine")
    print(f"{'pool':12} {'':5} {pool_size / 2**20:6.1f} MB")
    return int(took_s > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())

"""January x 250 countries while every decider is killed every few seconds.

    python -m tests.soak.decider_kills [--every 3] [--deciders 1] [--end 2026-01-31]

Exit code 0: the command ends with 0, every row is there, nothing was scheduled twice, and in no
five seconds nothing came to an end; 1: the first of these that does not hold is on stderr.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date
from itertools import pairwise
from typing import Any

from flows import metrics
from garcon.pool.status_socket import ask_all
from tests.acceptance.harness import (
    Command,
    Place,
    count_rows,
    kill,
    list_runs,
    read_history,
)
from tests.soak.places import run_in_place
from tests.soak.tree import Tree

START = date(2026, 1, 1)
WORKERS = 16
RUN_S = 600.0
STALL_S = 5.0


def strike(pool: Command) -> int:
    """Kill every decider; return how many there were."""
    told = next((one for one in ask_all() if one["pid"] == pool.pid), {})
    pids = [one["pid"] for one in told.get("deciders", ()) if one["pid"]]
    for pid in pids:
        kill(pid)
    return len(pids)


def run(place: Place, words: argparse.Namespace) -> tuple[float, int]:
    """Run under fire; return the seconds it took and how many deciders died."""
    data = {"start": str(START), "end": str(words.end), "output": "rows.db"}
    options = ("--deciders", str(words.deciders))
    began_s = time.monotonic()
    pool = place.start_pool("flows.metrics", *options, procs=WORKERS, data=data)
    next_s, killed = began_s + words.every, 0
    while pool.process.poll() is None:
        now_s = time.monotonic()
        assert now_s < began_s + RUN_S, f"still runs after {RUN_S:g} s:\n{pool.err()}"
        if now_s >= next_s:
            next_s += words.every
            killed += strike(pool)
        time.sleep(0.05)
    assert pool.process.returncode == 0, pool.err()
    return time.monotonic() - began_s, killed


def check(place: Place, rows: int) -> Tree:
    """Fail if the histories tell of anything scheduled twice, or of a stall."""
    tree, ends = Tree(), []
    with place.client() as client:
        for one in list_runs(client, metrics.domain):
            events = read_history(client, metrics.domain, one)
            tree.take(events)
            ends += [
                event["eventTimestamp"].timestamp()
                for event in events
                if event["eventType"] == "ActivityTaskCompleted"
            ]
    assert rows + 2 == len(tree.scheduled) == tree.counts["ActivityTaskScheduled"], (
        f"{tree.counts['ActivityTaskScheduled']:,} schedules of {len(tree.scheduled):,} ids"
    )
    stall_s = max(after - before for before, after in pairwise(sorted(ends)))
    print(f"longest time in which nothing ended: {stall_s:.1f} s")
    assert stall_s <= STALL_S, f"a stall of {stall_s:.1f} s"
    return tree


def soak(place: Place, words: argparse.Namespace) -> None:
    """Run and check; tell the figures."""
    rows = ((words.end - START).days + 1) * 250
    took_s, killed = run(place, words)
    print(f"{rows:,} rows in {took_s:.1f} s, {killed} deciders killed", flush=True)
    assert rows == count_rows(place.folder / "rows.db")
    for line in check(place, rows).lines():
        print(line)


def main() -> int:
    """Read the words, run, and tell how it went."""
    parser = argparse.ArgumentParser(description="Run flows.metrics while its deciders die.")
    parser.add_argument("--every", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--deciders", type=int, default=1)
    parser.add_argument("--end", type=date.fromisoformat, default=date(2026, 1, 31))
    words: Any = parser.parse_args()
    return run_in_place("decider_kills", lambda place: soak(place, words))


if __name__ == "__main__":
    sys.exit(main())

"""The main job over a year: 365 days x 250 countries, checked by its histories.

    python -m tests.soak.year [--start 2025-01-01] [--end 2025-12-31] [--rate 180] [--throttle]

Without more it is the command of the README over a longer range. `--throttle` runs it against an
engine with AWS's rates, where the pool has to keep to `--rate` by itself. Exit code 0: every row is
there, no history is over 10,000 events, no decision was refused for a limit, and an activity took
3.5 events at most; 1: the first of these that does not hold is on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

from flows import metrics
from tests.acceptance.harness import Command, Place, count_rows, swf_client, wait_until
from tests.soak.places import run_in_place
from tests.soak.tree import Tree, read_tree

WORKERS = 16
COUNTRIES = 250

EVENTS_MAX = 10_000
EVENTS_PER_ACTIVITY = 3.5

#: With AWS's rates: schedules a second that the quota allows, what garcon may take longer than
#: that, and the share of activities that may be refused.
FLOOR_PER_S = 200.0
FLOOR_FACTOR = 1.25
REFUSED_SHARE = 0.001

#: Bound of a whole run, seconds for each day of it, and at least.
DAY_S = 5.0
LEAST_S = 120.0


@contextlib.contextmanager
def engine(place: Place, throttle: bool) -> Iterator[str]:
    """Give the engine's words for the pool."""
    if not throttle:
        yield f"local:{place.db}"
        return
    command = place.start("-m", "garcon.engine", "--db", str(place.db), "--throttle", "aws")
    url = wait_until(lambda: command.out().strip(), "the engine's URL")
    yield str(url)


def run(place: Place, words: argparse.Namespace, where: str) -> tuple[float, Command]:
    """Run the range; return the seconds it took and the command."""
    data = {"start": str(words.start), "end": str(words.end), "output": "rows.db"}
    options = ["--schedule-rate", words.rate] if words.rate else []
    began_s = time.monotonic()
    pool = place.start_pool("flows.metrics", *options, procs=WORKERS, data=data, engine=where)
    days = (words.end - words.start).days + 1
    code = pool.wait(max(LEAST_S, days * DAY_S))
    assert code == 0, pool.err()
    return time.monotonic() - began_s, pool


def check(tree: Tree, rows: int, took_s: float, throttled: bool) -> None:
    """Fail if what the histories say is not what was promised."""
    activities = tree.counts["ActivityTaskScheduled"]
    assert rows + 2 == len(tree.scheduled), f"{len(tree.scheduled):,} ids scheduled"
    again = activities - len(tree.scheduled)
    assert again <= rows // 1_000, f"{again:,} scheduled again"
    assert tree.longest <= EVENTS_MAX, f"a history of {tree.longest:,} events"
    if throttled:
        floor_s = FLOOR_FACTOR * activities / FLOOR_PER_S
        assert took_s <= floor_s, f"{took_s:.0f} s, {floor_s:.0f} s were allowed"
        refused = sum(tree.causes[cause] for cause in tree.causes if "RATE_EXCEEDED" in cause)
        assert refused <= REFUSED_SHARE * activities, f"{refused:,} refused for their rate"
        return
    assert tree.per_activity <= EVENTS_PER_ACTIVITY, f"{tree.per_activity:.2f} events an activity"
    limits = [cause for cause in tree.causes if cause != "UNHANDLED_DECISION"]
    assert not limits, tree.causes


def soak(place: Place, words: argparse.Namespace) -> None:
    """Run and check; tell the figures."""
    rows = ((words.end - words.start).days + 1) * COUNTRIES
    with engine(place, words.throttle) as where:
        took_s, _ = run(place, words, where)
        print(f"{rows:,} rows in {took_s:.1f} s, {rows / took_s:.0f} a second", flush=True)
        assert rows == count_rows(place.folder / "rows.db")
        tree = _read(place, where)
    for line in tree.lines():
        print(line)
    check(tree, rows, took_s, words.throttle)


def _read(place: Place, where: str) -> Tree:
    if where.startswith("http"):
        with contextlib.closing(swf_client(where)) as client:
            return read_tree(client, metrics.domain)
    with place.client() as client:
        return read_tree(client, metrics.domain)


def main() -> int:
    """Read the words, run, and tell how it went."""
    parser = argparse.ArgumentParser(description="Run flows.metrics over a long range.")
    parser.add_argument("--start", type=date.fromisoformat, default=date(2025, 1, 1))
    parser.add_argument("--end", type=date.fromisoformat, default=date(2025, 12, 31))
    parser.add_argument("--rate", help="what the pool's --schedule-rate says")
    parser.add_argument("--throttle", action="store_true", help="an engine with AWS's rates")
    words: Any = parser.parse_args()
    return run_in_place("year", lambda place: soak(place, words))


if __name__ == "__main__":
    sys.exit(main())

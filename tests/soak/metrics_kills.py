"""The whole main job under fire: 7 days x 250 countries while something keeps dying.

    python -m tests.soak.metrics_kills none|workers|engine|supervisor [--days 7] [--every S]

Checks what the suite checks on a smaller range: every row there and a random hundred right, exit
code 0, each kill of a worker in the log, histories legal, each instance completed once, nobody left
behind. Exit code 0: all of it held; 1: the first thing that did not is on stderr.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from contextlib import closing
from datetime import date, timedelta

from flows import metrics
from tests.acceptance.harness import Command, Place, count_rows, kill, of_type, workers_of
from tests.acceptance.legal import assert_legal_history
from tests.soak.places import run_in_place
from tests.sources import random_hundred, source_facts

START = date(2026, 1, 1)
WORKERS = 16

#: Bound of a whole run, seconds, whatever dies.
RUN_S = 300.0

#: Between two kills, seconds. A new supervisor needs up to two before its first row.
EVERY_S = {"none": RUN_S, "workers": 2.0, "engine": 3.0, "supervisor": 5.0}


class Soak:
    """One run and its tormentor."""

    def __init__(self, place: Place, victim: str, days: int, every_s: float) -> None:
        """Run `days` days in `place` and kill a `victim` every `every_s` seconds."""
        self._place = place
        self._victim = victim
        self._every_s = every_s
        self._rows = days * 250
        end = START + timedelta(days=days - 1)
        self._data = {"start": str(START), "end": str(end), "output": "rows.db"}
        self._kills: list[tuple[Command, int]] = []

    def run(self) -> None:
        """Run until the command ends by itself, then check everything."""
        began_s = time.monotonic()
        pool = self._start()
        next_s = began_s + self._every_s
        while pool.process.poll() is None:
            now_s = time.monotonic()
            assert now_s < began_s + RUN_S, f"still runs after {RUN_S:g} s:\n{pool.err()}"
            if now_s >= next_s and count_rows(self._place.folder / "rows.db") < self._rows:
                next_s = now_s + self._every_s
                pool = self._strike(pool)
            time.sleep(0.02)
        took_s = time.monotonic() - began_s
        assert pool.process.returncode == 0, pool.err()
        self._check()
        print(f"{self._victim}: {self._rows} rows in {took_s:.1f} s, {len(self._kills)} kills")

    def _start(self) -> Command:
        return self._place.start_pool("flows.metrics", procs=WORKERS, data=self._data)

    def _strike(self, pool: Command) -> Command:
        """Kill one victim; return the command that goes on with the run."""
        if self._victim == "workers":
            workers = workers_of(pool)
            if workers:
                pid = random.choice(workers)
                kill(pid)
                self._kills.append((pool, pid))
        elif self._victim == "engine" and self._place.engine_pids():
            self._kills.append((pool, self._place.kill_engine()))
        elif self._victim == "supervisor":
            kill(pool.pid)
            pool.wait()
            self._kills.append((pool, pool.pid))
            return self._start()
        return pool

    def _check(self) -> None:
        assert [] == self._place.pool_pids(), "processes are left"
        with closing(metrics.connect(self._place.folder / "rows.db")) as connection:
            rows = {
                (row.day, row.country): row
                for row in metrics.load_rows(connection, date.min, date.max)
            }
        assert self._rows == len(rows), f"{len(rows)} rows"
        for day, country in random_hundred(rows):
            expected = source_facts(day, country)
            assert expected == {key: getattr(rows[day, country], key) for key in expected}
        completed = 0
        for events in self._place.histories(metrics.domain):
            assert_legal_history(events)
            completed += len(list(of_type(events, "ActivityTaskCompleted")))
        assert self._rows + 2 == completed
        if self._victim == "workers":
            for pool, pid in self._kills:
                assert pool.lines_with(f"pid={pid}", "SIGKILL"), f"no word of {pid}:\n{pool.err()}"


def main() -> int:
    """Read the words, run, and tell how it went."""
    parser = argparse.ArgumentParser(description="Run flows.metrics while something keeps dying.")
    parser.add_argument("victim", choices=list(EVERY_S))
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--every", type=float, metavar="SECONDS", help="between two kills")
    words = parser.parse_args()
    every_s = words.every or EVERY_S[words.victim]
    return run_in_place(
        words.victim, lambda place: Soak(place, words.victim, words.days, every_s).run()
    )


if __name__ == "__main__":
    sys.exit(main())

"""How many activities a second, against what else a user would pick?

    python -m benchmarks.throughput [--quick] [--runs N] [--part P] [--only NAME,...]

N instances of one body on sixteen slots, then one final step that needs all of them: no-op, sleep
20 ms, 10 ms of CPU. The sides take turns, so that what the machine does otherwise falls on all.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks import _sides as sides
from benchmarks._report import Report

#: Body: goal of garcon's own rate; sides with the number of instances of a full and a quick run.
GARCON_FIRST: list[tuple[type[sides.Side], int, int]] = [
    (sides.Garcon, 10_000, 1_000),
    (sides.Empty, 10_000, 1_000),
    (sides.Executor, 10_000, 1_000),
    (sides.CeleryRedis, 10_000, 1_000),
    (sides.CeleryLate, 10_000, 1_000),
    (sides.DramatiqRedis, 10_000, 1_000),
    (sides.DramatiqAppend, 10_000, 1_000),
    (sides.HueySqlite, 10_000, 1_000),
    (sides.Dbos, 1_000, 200),
    (sides.TemporalDev, 1_000, 200),
    (sides.PrefectOwn, 1_000, 200),
    (sides.Garcon1, 300, 100),
]
BODIES = {
    "noop": GARCON_FIRST,
    "sleep": [
        (sides.Garcon, 10_000, 1_000),
        (sides.GarconThreads, 10_000, 1_000),
        (sides.Executor, 10_000, 1_000),
        (sides.CeleryRedis, 10_000, 1_000),
        (sides.DramatiqRedis, 10_000, 1_000),
        (sides.HueySqlite, 10_000, 1_000),
    ],
    "cpu": [
        (sides.Garcon, 3_000, 300),
        (sides.Executor, 3_000, 300),
        (sides.CeleryRedis, 3_000, 300),
        (sides.DramatiqRedis, 3_000, 300),
        (sides.HueySqlite, 3_000, 300),
    ],
}
GOALS = {("noop", "garcon"): 1_500.0, ("sleep", "garcon"): 760.0}
GOALS |= {("sleep", "garcon, threads=8"): 1_000.0}

#: No-op, garcon's rate over another's.
RATIOS = {
    "garcon on an empty server": 0.6, "Celery": 1.3, "Dramatiq": 1.3, "Huey": 1.3, "DBOS": 10.0,
    "Temporal": 10.0, "Prefect": 4.0, "garcon 1.1.1": 1.5,
}  # fmt: skip


class Table:
    """The runs of all sides at one body."""

    def __init__(self, report: Report, body: str) -> None:
        self.report, self.body = report, body
        self.runs: dict[str, list[sides.Figures]] = {}
        self.counts: dict[str, int] = {}

    def measure(self, side: type[sides.Side], count: int) -> None:
        """Run one side once; a side that fails is noted, and left out of the ratios."""
        try:
            found = sides.measure(side, self.body, count)
        except Exception as error:  # another's failure is a result of its own
            self.report.notes.append(f"{self.body}, {side.name} at {count:,}: {str(error)[:160]}")
            return
        print(f"   {self.body:6} {side.name:28} {found.rate:8,.0f}/s {found.cpu_ms:7.2f} ms CPU")
        self.runs.setdefault(side.name, []).append(found)
        self.counts[side.name] = count

    def tell(self, *, quick: bool) -> None:
        """Add the figures."""
        for name, runs in self.runs.items():
            goal = None if quick else GOALS.get((self.body, name))
            what = f"{self.body}, {name} (N = {self.counts[name]:,})"
            self.report.add(what, "activities/s", [one.rate for one in runs], goal)
        ours = self.runs.get("garcon")
        if not ours:
            return
        for name, runs in self.runs.items():
            goal = RATIOS.get(name) if self.body == "noop" else None
            if self.body == "cpu" and name == "ProcessPoolExecutor":
                goal = 0.9
            if name == "garcon" or (goal is None and self.body != "noop"):
                continue
            pairs = zip(ours, runs, strict=False)
            ratios = [mine.rate / theirs.rate for mine, theirs in pairs]
            self.report.add(f"{self.body}, garcon / {name}", "x", ratios, None if quick else goal)
        if self.body == "noop":
            self._tell_shares(quick=quick)

    def _tell_shares(self, *, quick: bool) -> None:
        for name, runs in self.runs.items():
            goal = 1.3 if name == "garcon" and not quick else None
            used = [one.cpu_ms for one in runs]
            if min(used) < 0.01:
                continue  # its processes were gone before they could be asked
            self.report.add(f"noop, {name}: CPU", "ms/activity", used, goal, at_most=True)
        for name, runs in self.runs.items():
            held = [one.memory_mb for one in runs]
            self.report.add(f"noop, {name}: memory", "MB (PSS)", held)
        for part in self.runs["garcon"][0].parts:
            shares = [one.parts[part][0] for one in self.runs["garcon"]]
            self.report.add(f"noop, garcon's {part}: CPU", "ms/activity", shares)


def run(*, quick: bool, runs: int, only: list[str], part: float, bodies: list[str]) -> Report:
    """Measure everything, at this part of the full number of instances."""
    about = "N instances on 16 slots, then one step that needs all; sides alternating"
    report = Report("throughput", about)
    tables = {body: Table(report, body) for body in BODIES}
    try:
        for _ in range(runs):
            for body in bodies:
                for side, full, short in BODIES[body]:
                    if not only or side.__name__ in only:
                        count = short if quick else max(300, round(part * full))
                        tables[body].measure(side, count)
    except KeyboardInterrupt:
        report.notes.append("interrupted: the last round is not complete")
    for table in tables.values():
        if table.runs:
            table.tell(quick=quick)
    return report


def main(words: list[str] | None = None) -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="activities a second, against others")
    parser.add_argument("--quick", action="store_true", help="few instances, one run")
    parser.add_argument("--runs", type=int, default=None, help="runs of each side (3)")
    parser.add_argument("--only", default="", help="names of sides, such as Garcon,CeleryRedis")
    parser.add_argument("--part", type=float, default=1.0, help="part of the full N, 300 at least")
    parser.add_argument("--bodies", default=",".join(BODIES), help="some of noop,sleep,cpu")
    parser.add_argument("--add", action="store_true", help="keep what was measured before")
    told: Any = parser.parse_args(words)
    runs = told.runs or (1 if told.quick else 3)
    only = [name for name in told.only.split(",") if name]
    bodies = told.bodies.split(",")
    report = run(quick=told.quick, runs=runs, only=only, part=told.part, bodies=bodies)
    if told.add:
        report.keep_earlier()
    return int(report.show() > 0)


if __name__ == "__main__":
    sys.exit(main())

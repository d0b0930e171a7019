"""How many activities a second, against what else a user would pick?

    python -m benchmarks.throughput [noop] [sleep] [cpu] [--quick] [--runs N] [--only NAME,...]

N instances of one body on sixteen slots, then one final step that needs all of them: no-op, sleep
20 ms, 10 ms of CPU. The sides take turns, so that what the machine does otherwise falls on all.
What is known is written after each run of a side.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import _others as others
from benchmarks import _sides as sides
from benchmarks._report import Report
from benchmarks._stopping import clear_when_stopped

#: A side with the number of instances of a full and of a quick run.
Entry = tuple[type[sides.Side], int, int]

#: Those that are asked for 1.3 x of the best of them.
QUEUES: list[type[sides.Side]] = [
    others.HueySqlite,
    others.CeleryRedis,
    others.CeleryLate,
    others.DramatiqRedis,
    others.DramatiqAppend,
    others.DramatiqThreads,
]
LIMITS: list[type[sides.Side]] = [sides.Empty, others.Executor]
FAST = [others.HueySqlite, others.CeleryRedis, others.DramatiqRedis, others.DramatiqThreads]

#: The slow get fewer, and come last.
SLOW: list[Entry] = [
    (others.Dbos, 1_000, 100),
    (others.TemporalDev, 1_000, 100),
    (others.PrefectOwn, 1_000, 100),
    (others.Garcon1, 300, 50),
    (others.Simpleflow, 300, 50),
]


def each(chosen: list[type[sides.Side]], full: int, short: int) -> list[Entry]:
    """Return entries of the same size."""
    return [(side, full, short) for side in chosen]


BODIES: dict[str, list[Entry]] = {
    "noop": [*each([sides.Garcon, *LIMITS, *QUEUES], 10_000, 500), *SLOW],
    "sleep": each([sides.Garcon, sides.GarconThreads, *LIMITS, *FAST], 10_000, 500),
    "cpu": each([sides.Garcon, *LIMITS, *FAST], 3_000, 200),
}

#: Garcon's own rate.
GOALS = {("noop", "garcon"): 1_500.0, ("sleep", "garcon"): 760.0}
GOALS |= {("sleep", "garcon, threads=8"): 1_000.0}

#: Garcon's rate over another's.
RATIOS = {("noop", side.name): 1.3 for side in QUEUES}
RATIOS |= {
    ("noop", sides.Empty.name): 0.6,
    ("noop", "DBOS"): 10.0,
    ("noop", "Temporal"): 10.0,
    ("noop", "Prefect"): 4.0,
    ("noop", "garcon 1.1.1"): 1.5,
    ("noop", "simpleflow"): 1.5,
    ("cpu", "ProcessPoolExecutor"): 0.9,
}
CPU_MS = 1.3

#: A side that failed so often is not tried again: each time may cost minutes.
ATTEMPTS = 2


class Table:
    """The runs of all sides at one body.

    Attributes:
        runs: by side's name and number of the turn, so that ratios are those of one turn.
    """

    def __init__(self, body: str, *, quick: bool) -> None:
        self.body, self.quick = body, quick
        self.runs: dict[str, dict[int, sides.Figures]] = {}
        self.counts: dict[str, int] = {}
        self.failures: dict[str, list[str]] = {}
        self.versions: dict[str, str] = {}

    def measure(self, turn: int, side: type[sides.Side], count: int) -> None:
        """Run one side once; a side that fails is noted, and left out of the ratios."""
        failed = self.failures.setdefault(side.name, [])
        if len(failed) >= ATTEMPTS:
            return
        try:
            found = sides.measure(side, self.body, count)
            self.versions |= side.versions()
        except Exception as error:  # another's failure is a result of its own
            failed.append(f"{type(error).__name__}: {str(error)[:200]}")
            print(f"   {self.body:6} {side.name:28} {failed[-1]}", flush=True)
            return
        line = f"{found.rate:8,.0f}/s {found.cpu_ms:7.2f} ms CPU {found.memory_mb:6.0f} MB"
        print(f"   {self.body:6} {side.name:28} {line} {found.seconds:6.1f} s", flush=True)
        self.runs.setdefault(side.name, {})[turn] = found
        self.counts[side.name] = count

    def report(self) -> Report:
        """Return the figures of all turns so far."""
        about = f"{self.body}: N instances on 16 slots, then one step that needs all; sides in turn"
        report = Report(f"throughput-{self.body}", about, quick=self.quick)
        report.versions |= self.versions
        for name, texts in self.failures.items():
            if texts:
                report.notes.append(f"{name} failed {len(texts)} times, at last: {texts[-1]}")
        for name in self.runs:
            what = f"{name} (N = {self.counts[name]:,})"
            goal = self._goal(GOALS.get((self.body, name)))
            report.add(what, "activities/s", self._values(name, lambda one: one.rate), goal)
        if "garcon" in self.runs:
            self._add_ratios(report)
            self._add_shares(report)
        return report

    def _values(self, name: str, of: Callable[[sides.Figures], float]) -> list[float]:
        return [of(one) for one in self.runs[name].values()]

    def _goal(self, goal: float | None) -> float | None:
        return None if self.quick else goal

    def _add_ratios(self, report: Report) -> None:
        for name in self.runs:
            ratios = list(self._ratios(name).values())
            if name != "garcon" and ratios:
                goal = self._goal(RATIOS.get((self.body, name)))
                report.add(f"garcon / {name}", "x", ratios, goal)
        worst = list(self._against_best())
        if worst and self.body == "noop":
            goal = self._goal(1.3)
            report.add("garcon / the best of Celery, Dramatiq, Huey", "x", worst, goal)

    def _ratios(self, name: str) -> dict[int, float]:
        ours, theirs = self.runs["garcon"], self.runs.get(name, {})
        return {turn: ours[turn].rate / theirs[turn].rate for turn in ours if turn in theirs}

    def _against_best(self) -> Iterator[float]:
        """Yield garcon's ratio to the fastest of the queues, by turn."""
        found = [self._ratios(side.name) for side in QUEUES]
        for turn in self.runs["garcon"]:
            ratios = [one[turn] for one in found if turn in one]
            if ratios:
                yield min(ratios)

    def _add_shares(self, report: Report) -> None:
        for name in self.runs:
            is_asked = name == "garcon" and self.body == "noop"
            goal = self._goal(CPU_MS if is_asked else None)
            used = self._values(name, lambda one: one.cpu_ms)
            report.add(f"{name}: CPU", "ms/activity", used, goal, at_most=True)
        for name in self.runs:
            report.add(f"{name}: memory", "MB (PSS)", self._values(name, lambda one: one.memory_mb))
        ours = list(self.runs["garcon"].values())
        for part in ours[0].parts:
            shares = [one.parts[part][0] for one in ours if part in one.parts]
            report.add(f"garcon's {part}: CPU", "ms/activity", shares)


def run(body: str, *, quick: bool, turns: int, only: list[str]) -> Report:
    """Measure one body, at all sides or those."""
    table = Table(body, quick=quick)
    for turn in range(turns):
        for side, full, short in BODIES[body]:
            if not only or side.__name__ in only:
                table.measure(turn, side, short if quick else full)
                table.report().save()
    return table.report()


def main(words: list[str] | None = None) -> int:
    """Print the tables; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="activities a second, against others")
    parser.add_argument("bodies", nargs="*", metavar="BODY", help=f"of {', '.join(BODIES)} (all)")
    parser.add_argument("--quick", action="store_true", help="few instances, one run")
    parser.add_argument("--runs", type=int, default=None, help="runs of each side (3)")
    parser.add_argument("--only", default="", help="names of sides, such as Garcon,CeleryRedis")
    told: Any = parser.parse_args(words)
    unknown = {*told.bodies} - {*BODIES}
    if unknown:
        parser.error(f"no such body: {', '.join(sorted(unknown))}")
    turns = told.runs or (1 if told.quick else 3)
    only = [name for name in told.only.split(",") if name]
    missed = 0
    for body in told.bodies or BODIES:
        missed += run(body, quick=told.quick, turns=turns, only=only).show()
    return int(missed > 0)


if __name__ == "__main__":
    clear_when_stopped()
    sys.exit(main())

"""Does a year of countries go as fast as a month, and does memory stay?

    python -m benchmarks.fanout [--quick]

365 x 250 = 91,250 no-op instances of one activity against 10,000, in turns; memory of supervisor,
decider and engine is looked at every five seconds, the highest counts.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import _sides as sides
from benchmarks._report import Report

LARGE = 91_250
SMALL = 10_000
MEMORY_MB = 150.0


def run(*, quick: bool, runs: int) -> Report:
    """Measure both sizes."""
    large, small = (6_000, 1_500) if quick else (LARGE, SMALL)
    report = Report("fanout", f"{large:,} no-op instances against {small:,}, 16 workers")
    ratios, rates, held = [], [], []
    for _ in range(runs):
        first = sides.measure(sides.Garcon, "noop", small)
        second = sides.measure(sides.Garcon, "noop", large)
        ratios.append(second.rate / first.rate)
        rates.append(second.rate)
        held.append(second.parts)
    report.add(f"{large:,} instances", "activities/s", rates)
    report.add(f"rate at {large:,} / rate at {small:,}", "x", ratios, None if quick else 0.9)
    for part in sorted({name for one in held for name in one} - {"zygote"}):
        memory = [one[part][1] for one in held if part in one]
        goal = None if part == "workers" else MEMORY_MB
        report.add(f"memory of {part}, highest", "MB (PSS)", memory, goal, at_most=True)
    return report


def main(words: list[str] | None = None) -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="91,250 instances against 10,000")
    parser.add_argument("--quick", action="store_true", help="6,000 against 1,500")
    parser.add_argument("--runs", type=int, default=None, help="runs of each (3)")
    told = parser.parse_args(words)
    runs = told.runs or (1 if told.quick else 3)
    return int(run(quick=told.quick, runs=runs).show() > 0)


if __name__ == "__main__":
    sys.exit(main())

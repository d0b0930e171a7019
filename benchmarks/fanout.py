"""Does a year of countries go as fast as a month, and does memory stay?

    python -m benchmarks.fanout [--quick]

365 x 250 = 91,250 no-op instances of one activity against 10,000, in turns. The memory of
supervisor, decider and engine is looked at every five seconds throughout; the highest counts.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import _sides as sides
from benchmarks._report import Report
from benchmarks._stopping import clear_when_stopped

LARGE = 91_250
SMALL = 10_000
MEMORY_MB = 150.0
RATIO = 0.9

#: What keeps the large one's memory; the workers' is sixteen processes', and has no bound.
BOUNDED = ("supervisor", "decider", "engine")

#: A run of 91,250 on a machine that does other work as well, seconds.
LIMIT_S = 900.0


def tell(pairs: list[tuple[sides.Figures, sides.Figures]], *, quick: bool) -> Report:
    """Return the figures of all pairs of a small and a large run so far."""
    large, small = (6_000, 1_500) if quick else (LARGE, SMALL)
    about = f"{large:,} no-op instances against {small:,}, 16 workers, sides in turn"
    report = Report("fanout", about, quick=quick)
    report.add(f"{small:,} instances", "activities/s", [one.rate for one, _ in pairs])
    report.add(f"{large:,} instances", "activities/s", [one.rate for _, one in pairs])
    ratios = [second.rate / first.rate for first, second in pairs]
    report.add(f"rate at {large:,} / rate at {small:,}", "x", ratios, None if quick else RATIO)
    for part in (*BOUNDED, "workers"):
        for count, which in ((small, 0), (large, 1)):
            held = [pair[which].parts[part][1] for pair in pairs]
            goal = MEMORY_MB if part in BOUNDED and count == large else None
            name = f"memory of {part} at {count:,}, highest"
            report.add(name, "MB (PSS)", held, goal, at_most=True)
    report.add("CPU at the large one", "ms/activity", [one.cpu_ms for _, one in pairs])
    return report


def run(*, quick: bool, runs: int) -> Report:
    """Measure both sizes, in turns."""
    large, small = (6_000, 1_500) if quick else (LARGE, SMALL)
    pairs: list[tuple[sides.Figures, sides.Figures]] = []
    for _ in range(runs):
        first = sides.measure(sides.Garcon, "noop", small)
        second = sides.measure(sides.Garcon, "noop", large, LIMIT_S)
        pairs.append((first, second))
        print(f"   {first.rate:,.0f}/s, {second.rate:,.0f}/s", flush=True)
        tell(pairs, quick=quick).save()
    return tell(pairs, quick=quick)


def main(words: list[str] | None = None) -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="91,250 instances against 10,000")
    parser.add_argument("--quick", action="store_true", help="6,000 against 1,500")
    parser.add_argument("--runs", type=int, default=None, help="runs of each (3)")
    told = parser.parse_args(words)
    runs = told.runs or (1 if told.quick else 3)
    return int(run(quick=told.quick, runs=runs).show() > 0)


if __name__ == "__main__":
    clear_when_stopped()
    sys.exit(main())

"""Runs the benchmarks, one after the other, and makes the page of docs/ from what they left.

    python -m benchmarks [--quick] [NAME ...]    # all, or those
    python -m benchmarks --page    # docs/benchmarks.md from results/benchmarks/*.json

Each prints its own table; a goal that is missed is no error of the runner's. Those that write no
JSON have what they printed on the page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import _page
from benchmarks._report import RESULTS

#: In the order of the page.
QUESTIONS = (
    "throughput",
    "latency",
    "fanout",
    "engine",
    "pool",
    "decider",
    "startup",
    "metrics_run",
)

#: Those that have a short form.
QUICK = frozenset({"throughput", "latency", "fanout", "engine", "pool", "decider"})


def run_one(question: str, *, quick: bool) -> int:
    """Run one benchmark, show what it prints, and keep that; return its exit code."""
    words = ["--quick"] if quick and question in QUICK else []
    command = [sys.executable, "-m", f"benchmarks.{question}", *words]
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{question}.txt").open("w") as kept:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            kept.write(line)
    return process.wait()


def main(words: list[str] | None = None) -> int:
    """Run what was asked for; return 1 where one of them broke or missed a goal."""
    parser = argparse.ArgumentParser(description="garcon's benchmarks")
    parser.add_argument("--quick", action="store_true", help="a few minutes instead of an hour")
    parser.add_argument("--page", action="store_true", help="only make the page")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(QUESTIONS))
    told = parser.parse_args(words)
    here = Path(__file__).parent
    code = 0
    if not told.page:
        for question in told.names or [one for one in QUESTIONS if (here / f"{one}.py").exists()]:
            print(f"-- {question}", flush=True)
            code |= run_one(question, quick=told.quick)
    if told.page or not told.quick:
        _page.make()
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())

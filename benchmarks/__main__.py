"""Runs the benchmarks, one after the other, and makes the page of docs/ from what they left.

    python -m benchmarks [--quick] [NAME ...]    # all, or those
    python -m benchmarks --page    # docs/benchmarks.md from results/benchmarks/

Each prints its own table and leaves its results when it is done, so what is interrupted keeps what
it has. A missed goal is a result; only one that breaks makes the exit code 1. A quick run leaves
its results and its page in results/benchmarks/quick.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import _page
from benchmarks._report import QUICK_RESULTS, RESULTS, ROOT

#: Longer than the longest should take, seconds: what hangs must not keep the others waiting.
LIMIT_S = 2400.0


@dataclass(frozen=True)
class Step:
    """A benchmark as it is run.

    Attributes:
        words: its module and what it is told.
        has_short_form: whether it knows `--quick`.
    """

    words: tuple[str, ...]
    has_short_form: bool = True


def engine_words() -> tuple[str, ...]:
    """Return the engine's benchmark, without moto's server where what that needs is not there."""
    return ("engine",) if find_spec("flask") else ("engine", "--no-moto")


#: What matters most comes first, so that an interrupted run has it.
STEPS = {
    "throughput-noop": Step(("throughput", "noop")),
    "latency": Step(("latency",)),
    "fanout": Step(("fanout",)),
    "throughput-sleep": Step(("throughput", "sleep")),
    "throughput-cpu": Step(("throughput", "cpu")),
    "engine": Step(engine_words()),
    "pool": Step(("pool",)),
    "decider": Step(("decider",)),
    "startup": Step(("startup",), has_short_form=False),
    "metrics_run": Step(("metrics_run",), has_short_form=False),
}


def run_step(name: str, folder: Path, *, quick: bool) -> int:
    """Run one benchmark, show what it prints, and keep that once it is done; return its code."""
    step = STEPS[name]
    words = [*step.words, *(["--quick"] if quick and step.has_short_form else [])]
    print(f"-- {name}", flush=True)
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "benchmarks._one", *words],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    except (KeyboardInterrupt, TimeoutError) as error:
        process.send_signal(signal.SIGINT)
        print(process.communicate()[0], end="")
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    code = process.wait()
    if code not in (0, 1):
        lines.append(f"broke off here: exit code {code}\n")
        print(f"   {name} {lines[-1]}", end="", flush=True)
    (folder / f"{name}.txt").write_text("".join(lines))
    print(f"   {name} took {time.monotonic() - began_s:.0f} s", flush=True)
    return code


def run_all(names: list[str], folder: Path, *, quick: bool) -> int:
    """Run those; return 1 where one of them broke, 130 where it was interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    broken = []
    try:
        for name in names:
            if run_step(name, folder, quick=quick) not in (0, 1):
                broken.append(name)
    except KeyboardInterrupt:
        print(f"interrupted in {name}; what was done before is kept", flush=True)
        return 130
    if broken:
        print(f"broke: {', '.join(broken)}", flush=True)
    return int(bool(broken))


def chosen(words: list[str]) -> list[str]:
    """Return the steps that are meant: `throughput` means all of its bodies."""
    return [name for name, step in STEPS.items() if not words or {name, step.words[0]} & {*words}]


def main(words: list[str] | None = None) -> int:
    """Run what was asked for, make the page."""
    known = {*STEPS, *(step.words[0] for step in STEPS.values())}
    parser = argparse.ArgumentParser(description="garcon's benchmarks")
    parser.add_argument("--quick", action="store_true", help="minutes: only whether all works")
    parser.add_argument("--page", action="store_true", help="only make the page")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(STEPS))
    told = parser.parse_args(words)
    if unknown := {*told.names} - known:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, _too_long)
    folder = QUICK_RESULTS if told.quick else RESULTS
    code = 0 if told.page else run_all(chosen(told.names), folder, quick=told.quick)
    page = _page.make(folder, folder if told.quick else ROOT / "docs")
    print(f"made {page.relative_to(ROOT)}")
    return code


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    sys.exit(main())

"""What was measured, as a table, as JSON and as the page and pictures of docs/.

A figure is a name, its unit and the values of all runs; shown are median, lowest and highest. The
page is made from the JSON alone, so figures of different days can stand on it, each with its own.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "benchmarks"

#: Short runs leave theirs apart: they must not stand where a full run's figures were.
QUICK_RESULTS = RESULTS / "quick"


@dataclass
class Figure:
    """One figure.

    Attributes:
        name: what was measured.
        unit: of the values.
        values: one a run.
        goal: what it has to be; None where nothing is promised.
        at_most: whether the goal is the most, rather than the least.
    """

    name: str
    unit: str
    values: list[float]
    goal: float | None = None
    at_most: bool = False

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the goal is met: `yes`, `no`, or nothing where there is none."""
        if self.goal is None:
            return ""
        met = self.median <= self.goal if self.at_most else self.median >= self.goal
        return "yes" if met else "no"


@dataclass
class Report:
    """The figures of one question.

    Attributes:
        question: name of its file.
        about: what was done, a sentence or two.
        quick: whether the run is a short one.
        figures: what came of it.
        notes: what could not be measured, and why.
        versions: of the packages and programs that took part.
    """

    question: str
    about: str
    quick: bool = False
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=lambda: own_versions())

    def add(
        self, name: str, unit: str, values: list[float], goal: float | None = None, *,
        at_most: bool = False,
    ) -> Figure:  # fmt: skip
        """Add a figure."""
        self.figures.append(Figure(name, unit, values, goal, at_most))
        return self.figures[-1]

    def show(self) -> int:
        """Print the table, write the JSON; return how many goals are missed."""
        rows = [row(one) for one in self.figures]
        head = ("", "median", "lowest", "highest", "runs", "unit", "goal", "met")
        widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
        print(f"== {self.question}: {self.about}")
        print(f"   {machine()}; {', '.join(f'{name} {it}' for name, it in self.versions.items())}")
        for line in [head, *rows]:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            print("   " + "  ".join(cells).rstrip())
        for note in self.notes:
            print(f"   {note}")
        self.save()
        return sum(one.verdict == "no" for one in self.figures)

    def save(self) -> None:
        """Write the JSON: after each round, so that one that is interrupted leaves the others."""
        folder = QUICK_RESULTS if self.quick else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            **asdict(self), "machine": machine(), "when": time.strftime("%Y-%m-%d"),
            "load": round(os.getloadavg()[0], 1),
        }  # fmt: skip
        text = json.dumps(document, indent=1)
        (folder / f"{self.question}.json").write_text(f"{text}\n")


def row(one: Figure) -> tuple[str, ...]:
    """Return a figure as the cells of a table."""
    goal = "" if one.goal is None else f"{'<=' if one.at_most else '>='} {number(one.goal)}"
    spread = (number(min(one.values)), number(max(one.values)))
    runs = str(len(one.values))
    return (one.name, number(one.median), *spread, runs, one.unit, goal, one.verdict)


def number(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """Return what this was measured on."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} CPUs ({_processor()}), {memory_gb:.0f} GB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def own_versions() -> dict[str, str]:
    """Return the versions of what garcon itself stands on."""
    found = {name: metadata.version(name) for name in ("aiohttp", "boto3", "botocore")}
    return {**found, "SQLite": sqlite3.sqlite_version}


def load(folder: Path, question: str) -> dict[str, Any] | None:
    """Return what a question's last run has left there, None where it never ran."""
    path = folder / f"{question}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def figures_of(document: dict[str, Any]) -> list[Figure]:
    """Return the figures of such a document."""
    return [Figure(**one) for one in document["figures"]]

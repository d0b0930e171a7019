"""What a report shows, as plain data: cells by place, the slowest, failures grouped, the rate.

Pure. Law: one entry an instance, and texts that repeat are kept once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from typing import Any

from garcon.backfill.cells import Cell, Grid, Mark, Told
from garcon.backfill.keys import format_keys
from garcon.backfill.layout import Layout, lay_out

#: One letter a state; `-` is a place where no instance is.
LETTERS = {
    Mark.DONE: "d",
    Mark.FAILED: "f",
    Mark.RUNNING: "r",
    Mark.WAITING: "w",
    Mark.MISSING: "m",
}
RETRIED = "t"
NOBODY = "-"

#: Slowest instances that are named, and points of the rate's curve.
SLOWEST = 20
POINTS = 120


@dataclass(frozen=True)
class Shown:
    """One execution on the page.

    Attributes:
        title: its range in words.
        workflow_id: SWF's workflow id.
        run_id: SWF's run id.
        told: what its histories say.
        started: when it started.
        closed: when it closed; None while it is open.
    """

    title: str
    workflow_id: str
    run_id: str
    told: Told
    started: datetime
    closed: datetime | None = None


@dataclass
class Painting:
    """One activity, over all executions of the page that have the same columns.

    Attributes:
        activity: its name.
        rows: what stands before each row.
        columns: what stands above each column; empty where cells only follow each other.
        width: places of a row.
        marks: a letter for each place.
        milliseconds: how long the last attempt at each place took, -1 where that is not known.
        attempts: places of instances that took more than one, with how many.
        reasons: places of instances that ended badly, with the number of the text.
        texts: how they ended.
        wrapped: what each place stands for, where rows and columns do not say it.
    """

    activity: str
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    width: int = 1
    marks: list[str] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    wrapped: list[str] = field(default_factory=list)

    def add(self, grid: Grid, layout: Layout) -> None:
        """Put a fan-out below what is there."""
        base = len(self.rows) * self.width
        self.rows += layout.rows
        room = len(self.rows) * self.width - base
        self.marks += [NOBODY] * room
        self.milliseconds += [-1] * room
        if not layout.columns:
            self.wrapped += [format_keys(grid.context(n)) for n in range(grid.manifest.count)]
            self.wrapped += [""] * (base + room - len(self.wrapped))
        missing = Cell(Mark.MISSING)
        for index in range(grid.manifest.count):
            self._put(base + layout.place(index), grid.cells.get(index, missing))

    def _put(self, place: int, cell: Cell) -> None:
        is_retried = cell.mark is Mark.DONE and cell.attempts > 1
        self.marks[place] = RETRIED if is_retried else LETTERS[cell.mark]
        if cell.began_s and cell.ended_s:
            self.milliseconds[place] = round(cell.seconds * 1000)
        if cell.attempts > 1:
            self.attempts[place] = cell.attempts
        if cell.reason and cell.mark is not Mark.DONE:
            self.reasons[place] = self.texts.setdefault(cell.reason, len(self.texts))

    def plain(self) -> dict[str, Any]:
        """Return it as the page's script reads it."""
        return {
            "activity": self.activity,
            "rows": self.rows,
            "columns": self.columns,
            "width": self.width,
            "marks": "".join(self.marks),
            "milliseconds": self.milliseconds,
            "attempts": self.attempts,
            "reasons": self.reasons,
            "texts": list(self.texts),
            "wrapped": self.wrapped,
        }


def paint(shown: Sequence[Shown]) -> list[Painting]:
    """Return the grids of all executions; those of one activity and the same columns are one."""
    found: dict[tuple[str, tuple[str, ...]], Painting] = {}
    for one in shown:
        for grid in one.told.grids.values():
            layout = lay_out(grid.manifest)
            columns = tuple(layout.columns)
            painting = found.setdefault(
                (grid.activity, columns),
                Painting(grid.activity, columns=list(columns), width=layout.width),
            )
            if grid.manifest.lists is None:
                layout = Layout([one.title], layout.columns)
            painting.add(grid, layout)
    return list(found.values())


def slowest(shown: Iterable[Shown]) -> list[tuple[str, str, Cell]]:
    """Return the instances whose last attempts took longest: activity, keys, cell."""
    cells = (
        (grid, index, cell)
        for one in shown
        for grid in one.told.grids.values()
        for index, cell in grid.cells.items()
        if cell.seconds > 0
    )
    longest = nlargest(SLOWEST, cells, key=lambda found: found[2].seconds)
    return [
        (grid.activity, format_keys(grid.context(index)) or "-", cell)
        for grid, index, cell in longest
    ]


def grouped_failures(shown: Iterable[Shown]) -> list[tuple[str, str, int, str]]:
    """Return activity, error, how many instances, and the first one's keys; most frequent first."""
    failed = [
        (grid, index, cell.reason)
        for one in shown
        for grid in one.told.grids.values()
        for index, cell in sorted(grid.cells.items())
        if cell.mark is Mark.FAILED
    ]
    counts = Counter((grid.activity, reason) for grid, _, reason in failed)
    keys: dict[tuple[str, str], str] = {}
    for grid, index, reason in failed:
        keys.setdefault((grid.activity, reason), format_keys(grid.context(index)) or "-")
    return [(*group, count, keys[group]) for group, count in counts.most_common()]


def rate_curve(shown: Iterable[Shown]) -> tuple[float, float, list[float]]:
    """Return when the first and the last instance ended, epoch seconds, and the rate between.

    The rates are instances a second, one for each of `POINTS` equal parts of that time.
    """
    ends = [
        cell.ended_s
        for one in shown
        for grid in one.told.grids.values()
        for cell in grid.cells.values()
        if cell.mark is Mark.DONE and cell.ended_s
    ]
    if len(ends) < 2 or max(ends) - min(ends) <= 0:
        return 0.0, 0.0, []
    first, last = min(ends), max(ends)
    part = (last - first) / POINTS
    counts = [0] * POINTS
    for end in ends:
        counts[min(POINTS - 1, int((end - first) / part))] += 1
    return first, last, [count / part for count in counts]


def totals(shown: Iterable[Shown]) -> dict[str, int]:
    """Return how many instances are done, retried, failed, running, waiting and missing."""
    found = {"done": 0, "retried": 0, "failed": 0, "running": 0, "waiting": 0, "missing": 0}
    for one in shown:
        for grid in one.told.grids.values():
            for mark, count in grid.counts().items():
                found[mark] += count
            retried = sum(
                cell.mark is Mark.DONE and cell.attempts > 1 for cell in grid.cells.values()
            )
            found["done"] -= retried
            found["retried"] += retried
    return found

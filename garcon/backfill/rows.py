"""How the days of an execution stand: counts of each state, row by row. Pure.

A row is an entry of a fan-out's first list, which is a day in most flows. Law: rows that need
nobody's attention are added up; the others are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from garcon.backfill.cells import Cell, Grid, Mark, Told, failed_of
from garcon.backfill.layout import label

#: Rows that are named.
ROWS_MAX = 12


@dataclass
class Row:
    """One day, or whatever the first list holds.

    Attributes:
        title: what it is.
        counts: instances of each state.
    """

    title: str
    counts: dict[Mark, int] = field(default_factory=lambda: dict.fromkeys(Mark, 0))

    @property
    def is_done(self) -> bool:
        """Whether every instance of it is done."""
        return self.counts[Mark.DONE] == sum(self.counts.values())

    @property
    def is_untouched(self) -> bool:
        """Whether none of it has begun."""
        return self.counts[Mark.MISSING] == sum(self.counts.values())


def rows_of(grid: Grid) -> list[Row]:
    """Return the rows of a fan-out, in its own order; none where it has a single list or fewer."""
    lists = grid.manifest.lists
    if lists is None or len(lists) < 2:
        return []
    rows = [Row(label(entry)) for entry in lists[0]]
    width = prod(len(items) for items in lists[1:])
    missing = Cell(Mark.MISSING)
    for index in range(grid.manifest.count):
        rows[index // width].counts[grid.cells.get(index, missing).mark] += 1
    return rows


@dataclass(frozen=True)
class Detail:
    """What the histories of a range say beyond its counts, small enough to be drawn at once.

    Attributes:
        errors: how many instances failed of each error.
        rows: of the largest fan-out.
        size: instances of that.
    """

    errors: Mapping[str, int]
    rows: Sequence[Row]
    size: int


def digest(told: Told) -> Detail:
    """Return what is worth drawing of a range."""
    grids = list(told.grids.values())
    errors = Counter(cell.reason for _, _, cell in failed_of(grids))
    largest = max(grids, key=lambda grid: grid.manifest.count, default=None)
    if largest is None:
        return Detail(errors, (), 0)
    return Detail(errors, rows_of(largest), largest.manifest.count)


def noteworthy(rows: Sequence[Row], most: int = ROWS_MAX) -> tuple[list[Row], int, int, int]:
    """Return at most `most` rows to name, and how many are done, untouched and under way beside.

    Rows with failures come first, then those under way.
    """
    done = sum(row.is_done for row in rows)
    untouched = sum(row.is_untouched for row in rows)
    rest = [row for row in rows if not row.is_done and not row.is_untouched]
    ordered = sorted(rest, key=lambda row: row.counts[Mark.FAILED] == 0)
    chosen = {id(row) for row in ordered[:most]}
    named = [row for row in rest if id(row) in chosen]
    return named, done, untouched, len(rest) - len(named)

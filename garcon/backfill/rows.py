"""How the days of an execution stand: counts of each state, row by row. Pure.

A row is an entry of a fan-out's first list, which is a day in most flows. Law: rows that need
nobody's attention are added up; the others are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod

from garcon.backfill.cells import Cell, Grid, Mark, Told
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


def largest_grid(told: Iterable[Told]) -> Grid | None:
    """Return the fan-out with the most instances, None where there is none."""
    grids = [grid for one in told for grid in one.grids.values()]
    return max(grids, key=lambda grid: grid.manifest.count, default=None)


def noteworthy(rows: Sequence[Row]) -> tuple[list[Row], int, int, int]:
    """Return the rows to name, and how many others are done, untouched and under way.

    Rows with failures come first, then those under way.
    """
    done = sum(row.is_done for row in rows)
    untouched = sum(row.is_untouched for row in rows)
    rest = [row for row in rows if not row.is_done and not row.is_untouched]
    ordered = sorted(rest, key=lambda row: row.counts[Mark.FAILED] == 0)
    chosen = {id(row) for row in ordered[:ROWS_MAX]}
    named = [row for row in rest if id(row) in chosen]
    return named, done, untouched, len(rest) - len(named)

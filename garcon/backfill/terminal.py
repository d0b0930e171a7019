"""A backfill on a terminal: a bar for each activity, workers, failures, days. Redrawn in place.

Law: what is drawn fits the window, however large the backfill is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.table import Table
from rich.text import Text

from garcon.backfill.cells import Mark
from garcon.backfill.ranges import Range
from garcon.backfill.rows import ROWS_MAX, Detail, Row, noteworthy
from garcon.backfill.show import Outcome, Show, summary_lines
from garcon.pool.display import EDGE, TerminalDisplay
from garcon.progress import Counts, format_duration

#: Errors that are shown at most.
GROUPS_SHOWN = 5

#: Lines that belong to nothing below: headlines of tables, the prompt.
AROUND_LINES = 6

TITLE_SHOWN = 40  # characters

_STYLES = {
    Mark.DONE: "green",
    Mark.FAILED: "red",
    Mark.RUNNING: "blue",
    Mark.WAITING: "cyan",
    Mark.MISSING: "dim",
}


class TerminalShow(TerminalDisplay, Show):
    """Everything at a glance."""

    wants_detail = True

    def __init__(
        self, out: TextIO, err: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Draw on the terminal behind `err`; `clock` gives monotonic seconds."""
        super().__init__(out, err)
        self._clock = clock
        self._began_s = clock()
        self._totals: Mapping[str, Counts] = {}
        self._details: dict[str, Detail] = {}

    def progress(self, counts: Mapping[str, Counts], now_s: float) -> None:
        """Take the counts of all open ranges and redraw."""
        self.rates.observe(counts, now_s)
        self._totals = counts
        self._draw()

    def detail(self, one: Range, detail: Detail) -> None:
        """Take what the histories of a range say and redraw."""
        self._details[str(one)] = detail
        self._draw()

    def ended(self, outcome: Outcome) -> None:
        """Forget a range that is over."""
        super().ended(outcome)
        self._details.pop(str(outcome.of), None)
        self._draw()

    def summed_up(self, outcomes: Sequence[Outcome], code: int) -> None:
        """End the bars and sum up."""
        self.close()
        if not self._out.isatty():
            super().summed_up(outcomes, code)
            return
        for line in summary_lines(outcomes):
            self._print(line)

    def _draw(self) -> None:
        if not self._totals:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        picture = Constrain(self.picture(), max(1, self._console.width - EDGE))
        self._live.update(picture, refresh=True)

    def picture(self) -> RenderableType:
        """Return what is drawn."""
        parts: list[RenderableType] = [self._headline(), self._table(self._totals)]
        room = self._console.height - AROUND_LINES - len(self._totals)
        errors: Counter[str] = Counter()
        for one in self._details.values():
            errors.update(one.errors)
        groups = errors.most_common()
        if groups and room > 1:
            shown = min(GROUPS_SHOWN, len(groups), max(1, room // 3))
            parts.append(failure_table(groups, shown))
            room -= shown + 2
        largest = max(self._details.values(), key=lambda one: one.size, default=None)
        if largest is not None and largest.rows and room > 1:
            parts.append(day_table(largest.rows, min(ROWS_MAX, room - 1)))
        return Group(*parts)

    def _headline(self) -> Text:
        text = f"{format_duration(self._clock() - self._began_s)}"
        if self.workers is not None:
            busy, workers = self.workers()
            text += f"   {busy} of {workers} workers busy"
        if len(self._counts) > 1:
            text += f"   {len(self._open)} of {len(self._counts)} ranges open"
        return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def failure_table(groups: Sequence[tuple[str, int]], most: int) -> Table:
    """Return the most frequent errors with how many instances failed of each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("error", no_wrap=True, overflow="ellipsis")
    for reason, count in groups[:most]:
        table.add_row(Text(f"{count:,}", style="red"), Text(reason))
    if len(groups) > most:
        table.add_row("", Text(f"and {len(groups) - most} other errors", style="dim"))
    return table


def day_table(rows: Sequence[Row], most: int) -> Table:
    """Return the grid of days and states: at most so many days, the others added up."""
    named, done, untouched, others = noteworthy(rows, most)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for mark in Mark:
        table.add_column(mark.value, justify="right", no_wrap=True)
    for row in named:
        cells = [
            Text(f"{row.counts[mark]:,}" if row.counts[mark] else "·", style=_STYLES[mark])
            for mark in Mark
        ]
        table.add_row(Text(row.title[:TITLE_SHOWN]), *cells)
    told = [f"{done:,} done", f"{untouched:,} not begun"]
    told += [f"{others:,} more under way"] if others else []
    table.add_row(Text(f"{len(rows):,}: {', '.join(told)}", style="dim"))
    return table

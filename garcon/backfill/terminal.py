"""A backfill on a terminal: a bar for each activity, workers, failures, days. Redrawn in place.

Law: what is drawn is bounded, however large the backfill is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from garcon.backfill.cells import Mark, Told, failed_of
from garcon.backfill.ranges import Range
from garcon.backfill.rows import Row, largest_grid, noteworthy, rows_of
from garcon.backfill.show import FailedInstance, Outcome, Show, error_groups
from garcon.progress import Counts, format_duration

BAR_WIDTH = 28
GROUPS_SHOWN = 5
REASON_SHOWN = 90  # characters

_STYLES = {
    Mark.DONE: "green",
    Mark.FAILED: "red",
    Mark.RUNNING: "blue",
    Mark.WAITING: "cyan",
    Mark.MISSING: "dim",
}


class TerminalShow(Show):
    """Everything at a glance."""

    wants_detail = True

    def __init__(
        self, out: TextIO, err: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Draw on the terminal behind `err`; `clock` gives monotonic seconds."""
        super().__init__(out, err)
        self._console = Console(file=err, highlight=False)
        self._clock = clock
        self._began_s = clock()
        self._live: Live | None = None
        self._totals: Mapping[str, Counts] = {}
        self._details: dict[str, Told] = {}

    def note(self, text: str) -> None:
        """Tell something above what is drawn."""
        self._console.print(Text(text))

    def output(self, stream: str, line: str) -> None:
        """Pass on a task's line above what is drawn."""
        if stream == "stdout" and not self._out.isatty():
            self._write(self._out, line)
        else:
            self._console.print(Text(line))

    def progress(self, counts: Mapping[str, Counts], now_s: float) -> None:
        """Take the counts of all open ranges and redraw."""
        self.rates.observe(counts, now_s)
        self._totals = counts
        self._draw()

    def detail(self, one: Range, told: Told) -> None:
        """Take what the histories of a range say and redraw."""
        self._details[str(one)] = told
        self._draw()

    def ended(self, outcome: Outcome) -> None:
        """Forget a range that is over."""
        super().ended(outcome)
        self._details.pop(str(outcome.of), None)
        self._draw()

    def summed_up(self, outcomes: Sequence[Outcome], code: int) -> None:
        """Take away what is drawn and sum up."""
        self.close()
        super().summed_up(outcomes, code)

    def close(self) -> None:
        """Stop drawing; the last picture stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> None:
        if not self._totals:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(self.picture(), refresh=True)

    def picture(self) -> RenderableType:
        """Return what is drawn."""
        parts: list[RenderableType] = [self._headline(), self._bars()]
        groups = error_groups(failed_instances(self._details.values()))
        if groups:
            parts.append(failure_table(groups))
        grid = largest_grid(self._details.values())
        rows = rows_of(grid) if grid is not None else []
        if rows:
            parts.append(day_table(rows))
        return Group(*parts)

    def _headline(self) -> Text:
        text = f"{format_duration(self._clock() - self._began_s)}"
        if self.workers is not None:
            busy, workers = self.workers()
            text += f"   {busy} of {workers} workers busy"
        if len(self._counts) > 1:
            text += f"   {len(self._open)} of {len(self._counts)} ranges open"
        return Text(text, style="dim")

    def _bars(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("activity")
        table.add_column("", min_width=BAR_WIDTH)
        for name in ("done", "failed", "running", "left", "rate", "time left"):
            table.add_column(name, justify="right")
        for name, one in self._totals.items():
            rate, left_s = self.rates.per_s(name), self.rates.time_left_s(name, one)
            table.add_row(
                Text(name),
                bar(one),
                f"{one.done:,}",
                f"{one.failed:,}",
                f"{one.running:,}",
                f"{one.left:,}",
                f"{rate:,.1f}/s" if rate else "",
                format_duration(left_s) if left_s is not None else "",
            )
        return table


def bar(one: Counts, width: int = BAR_WIDTH) -> Text:
    """Return the bar of an activity; of what failed at least one mark shows."""
    if not one.total:
        return Text("·" * width, style="dim")
    failed = min(width, -(-width * one.failed // one.total))
    done = min(width - failed, width * one.done // one.total)
    running = min(width - failed - done, -(-width * one.running // one.total))
    return Text.assemble(
        ("█" * done, "green"),
        ("█" * failed, "red"),
        ("█" * running, "blue"),
        ("─" * (width - done - failed - running), "dim"),
    )


def failed_instances(told: Iterable[Told]) -> list[FailedInstance]:
    """Return what has failed so far; its keys are left to the summary."""
    found = [grid for one in told for grid in one.grids.values()]
    return [FailedInstance(grid.activity, "", cell.reason) for grid, _, cell in failed_of(found)]


def failure_table(groups: Sequence[tuple[str, int]]) -> Table:
    """Return the most frequent errors with how many instances failed of each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("failed", justify="right")
    table.add_column("error")
    for reason, count in groups[:GROUPS_SHOWN]:
        table.add_row(Text(f"{count:,}", style="red"), Text(reason[:REASON_SHOWN]))
    if len(groups) > GROUPS_SHOWN:
        table.add_row("", Text(f"and {len(groups) - GROUPS_SHOWN} other errors", style="dim"))
    return table


def day_table(rows: Sequence[Row]) -> Table:
    """Return the grid of days and states."""
    named, done, untouched, others = noteworthy(rows)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for mark in Mark:
        table.add_column(mark.value, justify="right")
    for row in named:
        cells = [
            Text(f"{row.counts[mark]:,}" if row.counts[mark] else "·", style=_STYLES[mark])
            for mark in Mark
        ]
        table.add_row(Text(row.title[:40]), *cells)
    told = [f"{done:,} done", f"{untouched:,} not begun"]
    told += [f"{others:,} more under way"] if others else []
    table.add_row(Text(f"{len(rows):,}: {', '.join(told)}", style="dim"))
    return table

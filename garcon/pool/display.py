"""What a person, a log file or a program sees of a pool: notes, progress, the summary.

Three shapes of the same facts: bars on a terminal, plain lines elsewhere, JSON lines on request.
Results go to the first stream (stdout), all else to the second (stderr). Law: a reader that went
away silences the display and disturbs nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from garcon.pool.execution import Ending, Run, Started
from garcon.progress import Counts, Rates, format_duration, progress_line, retries_told

#: Between two plain progress lines of an activity, seconds.
PLAIN_EVERY_S = 10.0

#: Widths in characters: of a bar at most and at least, and of the window from which it is shown.
BAR_WIDTH = 24
BAR_LEAST = 6
BAR_FROM = 70

#: Of an activity's name, at most.
NAME_WIDTH = 24

#: Columns that stay free at the right edge, and lines above and below the activities.
EDGE = 3
AROUND_LINES = 4


@dataclass(frozen=True)
class Report:
    """How an execution ended, for the summary.

    Attributes:
        run: the execution.
        status: SWF's close status.
        counts: instances of each activity at the end.
        ending: texts of the closing event.
        seconds: how long this command watched it.
    """

    run: Run
    status: str
    counts: Mapping[str, Counts]
    ending: Ending
    seconds: float


class Display:
    """Plain lines: for cron, files and pipes."""

    def __init__(self, out: TextIO, err: TextIO, every_s: float = PLAIN_EVERY_S) -> None:
        """Write results to `out` and all else to `err`, progress at most each `every_s`."""
        self._out = out
        self._err = err
        self._every_s = every_s
        self._shown_s: float | None = None
        self._shown: Mapping[str, Counts] = {}
        self.rates = Rates()

    def note(self, text: str) -> None:
        """Tell something about the pool itself."""
        self._write(self._err, text)

    def output(self, stream: str, line: str) -> None:
        """Pass on a line that a task wrote to its `stdout` or `stderr`."""
        self._write(self._out if stream == "stdout" else self._err, line)

    def started(self, started: Started) -> None:
        """Tell which execution this is."""
        if started.joined:
            self.note(f"joined the open execution {started.run.workflow_id}")
            return
        if started.earlier is not None:
            self.note(f"an earlier execution of this id closed as {started.earlier}; a new one")
        self.note(f"started execution {started.run.workflow_id} (run {started.run.run_id})")

    def progress(self, counts: Mapping[str, Counts], now_s: float) -> None:
        """Show `counts`, seen at `now_s` (monotonic seconds)."""
        self.rates.observe(counts, now_s)
        if self._shown_s is None:
            self._shown_s = now_s
        if now_s - self._shown_s < self._every_s:
            return
        self._shown_s = now_s
        for name, one in counts.items():
            if one.total and self._shown.get(name) != one:
                left_s = self.rates.time_left_s(name, one)
                self.note(progress_line(name, one, self.rates.per_s(name), left_s))
        self._shown = dict(counts)

    def closed(self, report: Report) -> None:
        """Sum up an execution that closed; one that failed is told on stderr as well."""
        for line in summary_lines(report):
            self._write(self._out, line)
        if report.status != "COMPLETED":
            self.note(failure_line(report))

    def close(self) -> None:
        """Leave the terminal as it was."""

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            # The reader is gone (a closed pipe, a full disk); the work goes on.
            return


class JsonDisplay(Display):
    """One JSON object a line on stdout; what tasks print goes to stderr."""

    def output(self, stream: str, line: str) -> None:
        """Keep stdout for JSON: every line of a task goes to stderr."""
        del stream
        self._write(self._err, line)

    def started(self, started: Started) -> None:
        """Write `{"event": "started", workflow_id, run_id, joined, earlier}`."""
        self._json("started", **asdict(started.run), joined=started.joined, earlier=started.earlier)

    def progress(self, counts: Mapping[str, Counts], now_s: float) -> None:
        """Write `{"event": "progress", activities: {name: counts}}` whenever it changed."""
        self.rates.observe(counts, now_s)
        if counts and dict(counts) != self._shown:
            self._shown = dict(counts)
            self._json("progress", activities=_plain(counts))

    def closed(self, report: Report) -> None:
        """Write `{"event": "closed", workflow_id, run_id, status, reason, ...}`."""
        self._json(
            "closed",
            **asdict(report.run),
            status=report.status,
            **asdict(report.ending),
            seconds=round(report.seconds, 3),
            activities=_plain(report.counts),
        )
        if report.status != "COMPLETED":
            self.note(failure_line(report))

    def _json(self, event: str, **fields: Any) -> None:
        self._write(self._out, json.dumps({"event": event, **fields}, ensure_ascii=False))


class TerminalDisplay(Display):
    """A line an activity, redrawn in place."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        """Draw on the terminal behind `err`."""
        super().__init__(out, err)
        self._console = Console(file=err, highlight=False)
        self._live: Live | None = None

    def note(self, text: str) -> None:
        """Tell something above the bars."""
        self._print(text)

    def output(self, stream: str, line: str) -> None:
        """Pass on a task's line above the bars; a stdout that is no terminal gets it as it is."""
        if stream == "stdout" and not self._out.isatty():
            self._write(self._out, line)
        else:
            self._print(line)

    def _print(self, text: str) -> None:
        # Wrapped by the terminal, not by us: a path or an id that is copied stays whole.
        self._console.print(Text(text), soft_wrap=True)

    def progress(self, counts: Mapping[str, Counts], now_s: float) -> None:
        """Redraw the bars."""
        self.rates.observe(counts, now_s)
        if not counts:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        # Not up to the edge: the ^C that a terminal echoes would wrap, and move the bars' lines.
        self._live.update(
            Constrain(self._table(counts), max(1, self._console.width - EDGE)), refresh=True
        )

    def closed(self, report: Report) -> None:
        """End the bars and sum up; a screen that shows both streams is told once."""
        self.close()
        if self._out.isatty():
            for line in summary_lines(report):
                self._print(line)
        else:
            super().closed(report)

    def close(self) -> None:
        """Stop drawing; the last state of the bars stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self, counts: Mapping[str, Counts]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("activity", no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH)
        has_bar = self._console.width >= BAR_FROM
        if has_bar:
            table.add_column("")
        for name in ("done", "failed", "running", "left", "rate", "time left"):
            table.add_column(name, justify="right", no_wrap=True)
        shown = self._choose(counts)
        for name, one in shown.items():
            bar = [_Bar(one)] if has_bar else []
            table.add_row(name, *bar, *self._cells(name, one))
        if len(shown) < len(counts):
            table.add_row(Text(f"and {len(counts) - len(shown)} more", style="dim"))
        return table

    def _choose(self, counts: Mapping[str, Counts]) -> Mapping[str, Counts]:
        """Return what the window has lines for; those at work come first where not all fit."""
        room = max(1, self._console.height - AROUND_LINES)
        if len(counts) <= room:
            return counts
        at_work = [name for name, one in counts.items() if one.left or not one.total]
        over = [name for name in reversed(list(counts)) if name not in at_work]
        kept = set([*at_work, *over][:room])
        return {name: one for name, one in counts.items() if name in kept}

    def _cells(self, name: str, one: Counts) -> list[str]:
        rate = self.rates.per_s(name)
        left_s = self.rates.time_left_s(name, one)
        return [
            str(one.done),
            str(one.failed),
            str(one.running),
            str(one.left),
            f"{rate:.1f}/s" if rate else "",
            format_duration(left_s) if left_s is not None else "",
        ]


def failure_line(report: Report) -> str:
    """Return the one line that says why an execution did not complete."""
    why = f": {report.ending.reason}" if report.ending.reason else ""
    return f"garcon: execution {report.run.workflow_id} {report.status}{why}"


def summary_lines(report: Report) -> list[str]:
    """Return the summary of a closed execution: one line for it, one for each activity."""
    took = format_duration(report.seconds)
    lines = [f"execution {report.run.workflow_id} {report.status} after {took}"]
    if report.ending.reason:
        lines.append(f"  reason: {report.ending.reason}")
    for name, one in report.counts.items():
        told = f"  {name}: {one.done} of {one.total} done, {one.failed} failed"
        lines.append(told + retries_told(one))
    return lines


def _plain(counts: Mapping[str, Counts]) -> dict[str, dict[str, int]]:
    return {name: {**asdict(one), "left": one.left} for name, one in counts.items()}


class _Bar:
    """How much of an activity is done and failed, as wide as there is room."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        del console
        return Measurement(min(BAR_LEAST, options.max_width), min(BAR_WIDTH, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        width, one = min(BAR_WIDTH, options.max_width), self._counts
        full, half, line = ("#", "x", "-") if options.ascii_only else ("█", "█", "─")
        if not one.total:
            yield Text(line * width, style="dim")
            return
        done = width * one.done // one.total
        failed = min(width - done, -(-width * one.failed // one.total))
        rest = width - done - failed
        yield Text.assemble((full * done, "green"), (half * failed, "red"), (line * rest, "dim"))

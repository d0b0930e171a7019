"""What people, cron mails and programs see of a backfill."""

from __future__ import annotations

import io
import json
from datetime import date, datetime, timezone

import pytest
from rich.console import Console

from garcon.backfill.cells import Cell, Grid, Mark, Told
from garcon.backfill.days import DayRange
from garcon.backfill.ranges import Range, Seen
from garcon.backfill.rows import Row, digest, noteworthy, rows_of
from garcon.backfill.show import (
    FailedInstance,
    JsonShow,
    Outcome,
    QuietShow,
    Show,
    added_up,
    summary_lines,
)
from garcon.backfill.status import (
    Standing,
    code_of,
    list_lines,
    plain_seen,
    plain_standing,
    standing_lines,
)
from garcon.backfill.steps import Act, Step
from garcon.backfill.terminal import TerminalShow
from garcon.manifest import Manifest
from garcon.pool.execution import Run
from garcon.progress import Counts

WEEK = Range("flow-1", {}, DayRange(date(2026, 1, 1), date(2026, 1, 7)))
RUN = Run("flow-1", "run-1")
NOON = datetime(2026, 1, 8, 12, tzinfo=timezone.utc)


def good(one=WEEK):
    """Return a range that completed."""
    counts = {"each": Counts(total=7_750, done=7_750, retries=3)}
    return Outcome(one, Step(Act.START), 0, "COMPLETED", RUN, counts=counts, seconds=75)


def bad(failed=30, one=WEEK):
    """Return a range that failed."""
    instances = [
        FailedInstance("each", f"day=2026-01-0{n % 7 + 1},n={n}", f"ValueError: {n % 3}")
        for n in range(failed)
    ]
    counts = {"each": Counts(total=100, done=100 - failed, failed=failed)}
    return Outcome(
        one, Step(Act.RESUME), 1, "FAILED", RUN, "30 failed", counts, 75, instances, "garcon go on"
    )


def show_of(kind=Show):
    """Return a display and its two streams."""
    out, err = io.StringIO(), io.StringIO()
    return kind(out, err), out, err


def test_what_is_right_is_told_in_few_words():
    """A line for the range and one for each activity."""
    assert [
        "2026-01-01..2026-01-07 COMPLETED after 1:15",
        "  each: 7,750 of 7,750 done, 0 failed, 3 retries",
    ] == summary_lines([good()])


def test_a_mail_names_what_failed_and_the_line_that_goes_on():
    """Grouped by error, the first twenty by their keys."""
    lines = summary_lines([bad()])

    assert "2026-01-01..2026-01-07 FAILED after 1:15" == lines[0]
    assert "  reason: 30 failed" in lines
    assert "    10 x ValueError: 0" in lines
    assert "  failed (first 20 of 30):" in lines
    assert 20 == sum(line.startswith("    each day=") for line in lines)
    assert "  go on with it: garcon go on" == lines[-1]


def test_few_failures_are_all_named():
    """And the text says so."""
    lines = summary_lines([bad(2)])

    assert "  failed (first 2 of 2):" in lines


def test_many_ranges_end_with_a_count_and_bad_ones_come_last():
    """A mail's end is what is read."""
    ranges = [
        Range(f"w{n}", {}, DayRange(date(2026, 1, n), date(2026, 1, n))) for n in range(1, 30)
    ]
    outcomes = [bad(1, ranges[0]), *(good(one) for one in ranges[1:4])]

    lines = summary_lines(outcomes)
    many = summary_lines([bad(1, one) for one in ranges])

    assert lines.index("2026-01-02 COMPLETED after 1:15") < lines.index(
        "2026-01-01 FAILED after 1:15"
    )
    assert "3 of 4 ranges are good, 1 are not" == lines[-1]
    assert "and 9 more ranges that did not complete" in many


def test_what_was_done_already_is_said():
    """In the step's own words."""
    step = Step(Act.DONE, None, "2026-01-01 completed on 2026-01-02")

    assert [step.text] == summary_lines([Outcome(WEEK, step)])
    assert ["nothing to do"] == summary_lines([])


def test_quiet_says_nothing_when_all_is_well():
    """Not a note, not a line of a task."""
    show, out, err = show_of(QuietShow)

    show.note("engine: local")
    show.output("stdout", "a task's line")
    show.began(WEEK, Step(Act.START), RUN)
    show.summed_up([good()], 0)
    show.close()

    assert ("", "") == (out.getvalue(), err.getvalue())


@pytest.mark.parametrize("is_summed_up", [True, False])
def test_quiet_says_everything_once_when_it_goes_wrong(is_summed_up):
    """Also where the end was never reached: an engine that is away, a signal."""
    show, out, err = show_of(QuietShow)

    show.note("engine: local")
    show.output("stdout", "a task's line")
    if is_summed_up:
        show.summed_up([bad()], 1)
    show.close()
    show.close()

    assert 1 == err.getvalue().count("engine: local")
    assert out.getvalue().startswith("a task's line\n")
    assert is_summed_up is ("go on with it" in out.getvalue())


def test_plain_progress_comes_every_thirty_seconds():
    """A log is not a terminal."""
    show, _, err = show_of()
    for second in range(100):
        show.range_progress(WEEK, {"each": Counts(total=1_000, done=second)}, float(second))

    lines = err.getvalue().splitlines()

    assert 3 == len(lines)
    assert "each: 30 of 1000 done" in lines[0]


def test_progress_of_several_ranges_is_added_up():
    """One line an activity, whatever is open."""
    one, other = Counts(10, 1, 2, 3, 4), Counts(20, 5, 0, 1, 0)

    assert {"a": Counts(30, 6, 2, 4, 4), "b": one} == added_up([{"a": one, "b": one}, {"a": other}])


def test_what_is_told_of_a_step_fits_what_is_done():
    """A start is told with its ids; what is done is left to the summary."""
    show, _, err = show_of()

    show.began(WEEK, Step(Act.START), RUN)
    show.began(WEEK, Step(Act.RESUME, None, "closed as FAILED"), RUN)
    show.began(WEEK, Step(Act.WAIT, None, "another one is open"), RUN)
    show.began(WEEK, Step(Act.DONE, None, "completed"), None)

    assert [
        "2026-01-01..2026-01-07: started execution flow-1 (run run-1)",
        "closed as FAILED",
        "2026-01-01..2026-01-07: resumed as execution flow-1 (run run-1)",
        "another one is open",
    ] == err.getvalue().splitlines()


def test_json_is_one_object_a_line():
    """With documented events, and stdout to itself."""
    show, out, err = show_of(JsonShow)

    show.output("stdout", "a task's line")
    show.began(WEEK, Step(Act.START), RUN)
    for _ in range(2):
        show.range_progress(WEEK, {"each": Counts(total=5, done=1)}, 1.0)
    show.ended(bad(2))
    show.summed_up([bad(2)], 1)

    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert ["began", "progress", "ended", "summary"] == [one["event"] for one in events]
    assert 4 == events[1]["activities"]["each"]["left"]
    assert {"activity": "each", "keys": "day=2026-01-01,n=0", "reason": "ValueError: 0"} == events[
        2
    ]["failed"][0]
    assert {"resume": 1} == events[3]["ranges"]
    assert "a task's line\n" == err.getvalue()


# On a terminal.


def a_year(days=31, items=10):
    """Return what histories say of days x items: some done, some failed, some running."""
    lists = (
        tuple({"day": f"2026-01-{n + 1:02}"} for n in range(days)),
        tuple({"n": n} for n in range(items)),
    )
    grid = Grid(Manifest("each", "flow_each", lists, 1))
    for index in range(15 * items):
        grid.cells[index] = Cell(Mark.DONE, 1)
    grid.cells[3] = Cell(Mark.FAILED, 4, reason="ValueError: [bold]no")
    grid.cells[15 * items] = Cell(Mark.RUNNING, 1)
    return Told({("each", ""): grid})


class Window(io.StringIO):
    """A terminal that does what it is told and keeps it."""

    def isatty(self):
        """Say that it is one."""
        return True


def drawn_on(monkeypatch, lines=40, columns=110, **options):
    """Return a show on a window of this size."""
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("COLUMNS", str(columns))
    return TerminalShow(Window(), Window(), **options)


def picture_of(show, columns=110):
    """Return the lines of what is drawn."""
    console = Console(width=columns, file=io.StringIO(), record=True)
    console.print(show.picture())
    return console.export_text().splitlines()


def test_a_terminal_shows_bars_workers_failures_and_days(monkeypatch):
    """With the errors' own texts, whatever they hold."""
    show = drawn_on(monkeypatch, clock=lambda: 65.0)
    show.workers = lambda: (14, 16)
    show.range_progress(WEEK, {"each": Counts(310, 149, 1, 1, 3)}, 1.0)
    show.range_progress(WEEK, {"each": Counts(310, 159, 1, 1, 3)}, 2.0)
    show.detail(WEEK, digest(a_year()))

    lines = picture_of(show)

    assert "14 of 16 workers busy" in lines[0]
    assert "10.0/s" in lines[2]
    assert "0:15" in lines[2]
    assert "ValueError: [bold]no" in lines[4]
    assert lines[6].split() == ["2026-01-01", "9", "1", "·", "·", "·"]
    assert lines[7].split() == ["2026-01-16", "·", "·", "1", "·", "9"]
    assert "31: 14 done, 15 not begun" in lines[8]


@pytest.mark.parametrize("lines", [8, 15, 24, 60])
def test_what_a_terminal_shows_fits_its_window(monkeypatch, lines):
    """A year of days, each of them with a failure of its own."""
    told = a_year(365, 3)
    (grid,) = told.grids.values()
    for index in range(0, 365 * 3, 3):
        grid.cells[index] = Cell(Mark.FAILED, 1, reason=f"error {index}")
    show = drawn_on(monkeypatch, lines, 60)
    show.range_progress(WEEK, {"each": Counts(1_095, 1, 365, 1)}, 1.0)
    show.detail(WEEK, digest(told))

    picture = picture_of(show, 60)

    assert len(picture) < lines
    assert max(map(len, picture)) <= 60


def test_a_terminal_is_told_the_end_once(monkeypatch):
    """On the screen that shows both streams; a pipe behind stdout gets it as text."""
    show = drawn_on(monkeypatch)
    piped = TerminalShow(io.StringIO(), Window())
    for one in (show, piped):
        one.summed_up([good()], 0)

    assert "" == show._out.getvalue()
    assert 1 == show._err.getvalue().count("COMPLETED after 1:15")
    assert 1 == piped._out.getvalue().count("COMPLETED after 1:15")


def test_rows_count_each_state():
    """Those that failed come before those under way; the rest is added up."""
    rows = rows_of(a_year().grids["each", ""])
    named, done, untouched, others = noteworthy(rows)

    assert 31 == len(rows)
    assert (["2026-01-01", "2026-01-16"], 14, 15, 0) == (
        [one.title for one in named],
        done,
        untouched,
        others,
    )
    many = [
        Row(str(n), {**dict.fromkeys(Mark, 0), Mark.RUNNING: 1, Mark.FAILED: n % 2})
        for n in range(40)
    ]
    assert all(row.counts[Mark.FAILED] for row in noteworthy(many)[0])
    assert 28 == noteworthy(many)[3]
    assert [] == rows_of(Grid(Manifest("one", "flow_one", None, 1)))


# Status and lists.


def seen(status, run_id="r"):
    """Return an execution of the week."""
    closed = None if status is None else NOON
    return Seen(Run("flow-1", run_id), status, NOON, closed, WEEK.days)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["COMPLETED"], 0),
        (["COMPLETED", "COMPLETED"], 0),
        ([None], 6),
        (["COMPLETED", None], 6),
        (["FAILED"], 1),
        (["FAILED", None], 1),
        (["COMPLETED", "TERMINATED"], 1),
        (["CANCELED"], 1),
        (["TIMED_OUT"], 1),
        (["never"], 1),
        ([], 1),
    ],
)
def test_status_ends_with_the_worst(words, code):
    """0 only where everything has completed."""
    found = [Standing("x", None if one == "never" else seen(one)) for one in words]

    assert code == code_of(found)


def test_status_is_told_in_words_and_as_json():
    """Open since, closed on, never started."""
    found = [
        Standing("a", seen(None), {"each": Counts(5, 1)}),
        Standing("b", seen("FAILED")),
        Standing("c", None),
    ]

    assert [
        "a  OPEN since 2026-01-08 12:00",
        "  each: 1 of 5 done, 0 failed, 0 running, 4 left",
        "b  FAILED on 2026-01-08 12:00",
        "c  NEVER_STARTED",
    ] == standing_lines(found)
    assert ["nothing was ever started"] == standing_lines([])
    assert ("OPEN", "flow-1", 4) == (
        plain_standing(found[0])["status"],
        plain_standing(found[0])["workflow_id"],
        plain_standing(found[0])["activities"]["each"]["left"],
    )
    assert plain_standing(found[2])["run_id"] is None


def test_a_list_is_a_table():
    """Aligned, without blanks at the ends of lines."""
    lines = list_lines([seen(None), seen("COMPLETED", "longer")])

    assert ["range", "status", "started", "took", "workflow", "id", "run", "id"] == lines[0].split()
    assert lines[1].index("OPEN") == lines[2].index("COMPLETED") == lines[0].index("status")
    assert all(line == line.rstrip() for line in lines)
    assert "2026-01-01" == plain_seen(seen(None))["start"]

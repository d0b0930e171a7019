"""What a person, a log file or a program sees of a pool."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from garcon.pool.display import Display, JsonDisplay, Report, TerminalDisplay
from garcon.pool.execution import Ending, Run, Started
from garcon.progress import Counts

RUN = Run("w", "r")
HALF = {"fetch": Counts(total=10, done=4, failed=1, running=2, retries=3)}
WHOLE = {"fetch": Counts(total=10, done=10)}


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def report(status: str = "COMPLETED", reason: str = "") -> Report:
    """Return how an execution ended."""
    return Report(RUN, status, WHOLE, Ending(reason=reason), 62.0)


# -- plain lines ----------------------------------------------------------------------------------


def test_plain_lines_tell_progress_now_and_then_and_only_what_changed():
    """A log of cron is read by people: a line for each activity every ten seconds at most."""
    out, err = io.StringIO(), io.StringIO()
    display = Display(out, err, every_s=10.0)

    for second in range(31):
        display.progress(HALF if second < 15 else WHOLE, float(second))

    first, second = err.getvalue().splitlines()
    assert first.startswith("fetch: 4 of 10 done, 1 failed, 2 running, 5 left, 3 retries")
    assert second.startswith("fetch: 10 of 10 done, 0 failed, 0 running, 0 left")
    assert out.getvalue() == ""


def test_the_summary_is_the_result_and_a_failure_is_told_on_stderr_as_well():
    """Who keeps only errors has the reason, too."""
    out, err = io.StringIO(), io.StringIO()

    Display(out, err).closed(report("FAILED", "2 of 7 instances of fetch failed"))

    assert out.getvalue().splitlines() == [
        "execution w FAILED after 1:02",
        "  reason: 2 of 7 instances of fetch failed",
        "  fetch: 10 of 10 done, 0 failed",
    ]
    assert err.getvalue() == "garcon: execution w FAILED: 2 of 7 instances of fetch failed\n"


@pytest.mark.parametrize(
    ("started", "lines"),
    [
        (Started(RUN, joined=False), ["started execution w (run r)"]),
        (Started(RUN, joined=True), ["joined the open execution w"]),
        (
            Started(RUN, joined=False, earlier="FAILED"),
            [
                "an earlier execution of this id closed as FAILED; a new one",
                "started execution w (run r)",
            ],
        ),
    ],
)
def test_it_is_told_which_execution_it_is(started, lines):
    """A joined one, a new one, or a new one after another."""
    err = io.StringIO()

    Display(io.StringIO(), err).started(started)

    assert err.getvalue().splitlines() == lines


def test_what_tasks_print_stays_on_its_stream():
    """Their stdout is a result, their stderr is not."""
    out, err = io.StringIO(), io.StringIO()
    display = Display(out, err)

    display.output("stdout", "42 rows")
    display.output("stderr", "careful")

    assert (out.getvalue(), err.getvalue()) == ("42 rows\n", "careful\n")


def test_a_reader_that_went_away_disturbs_nothing():
    """A closed pipe is no reason to end a night's work."""
    out, err = io.StringIO(), io.StringIO()
    out.close()
    err.close()

    Display(out, err).closed(report("FAILED"))


# -- JSON lines -----------------------------------------------------------------------------------


def test_json_lines_are_all_that_is_on_stdout():
    """Start, progress where it changed, end; what tasks print goes to stderr."""
    out, err = io.StringIO(), io.StringIO()
    display = JsonDisplay(out, err)

    display.started(Started(RUN, joined=True))
    for second in range(3):
        display.progress(HALF, float(second))
    display.output("stdout", "a task speaks")
    display.closed(report("FAILED", "no"))

    started, progress, closed = map(json.loads, out.getvalue().splitlines())
    assert started == {
        "event": "started", "workflow_id": "w", "run_id": "r", "joined": True, "earlier": None,
    }  # fmt: skip
    assert progress["activities"]["fetch"] == {
        "total": 10, "done": 4, "failed": 1, "running": 2, "retries": 3, "left": 5,
    }  # fmt: skip
    assert (closed["event"], closed["status"], closed["reason"]) == ("closed", "FAILED", "no")
    assert closed["seconds"] == 62.0
    assert err.getvalue().splitlines()[0] == "a task speaks"


# -- a terminal -----------------------------------------------------------------------------------


@pytest.fixture
def window(monkeypatch):
    """Make windows of 80 columns and 24 lines."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def lines_of(display: TerminalDisplay, counts: dict[str, Counts], width: int = 80) -> list[str]:
    """Return the bars as they stand in a window."""
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True)
    with console.capture() as captured:
        console.print(display._table(counts), no_wrap=True)
    return seen(captured.get()).splitlines()


def seen(text: str) -> str:
    """Return `text` without what steers a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_line_an_activity_fits_into_80_columns_with_room_for_ctrl_c(window):
    """The ^C that a terminal echoes must not wrap, or the bars lose count of their lines."""
    err = Screen()
    display = TerminalDisplay(Screen(), err)
    counts = {
        "a_rather_long_name_of_an_activity": Counts(99_999, 50_000, 1_000, 64, 12),
        "fetch": Counts(total=10),
    }
    for second in range(20):
        display.progress({**counts, "fetch": Counts(total=10, done=second // 2)}, float(second))

    rows = [row for row in re.split(r"[\r\n]", seen(err.getvalue())) if row]
    assert any(row.startswith("fetch") and "4" in row for row in rows)
    assert max(map(len, rows)) <= 77
    display.close()


def test_bars_show_what_is_done_and_what_failed(window):
    """In their colours and in proportion; a failure is seen however few there are."""
    display = TerminalDisplay(Screen(), Screen())

    header, done, failed = lines_of(
        display, {"a": Counts(total=10, done=5), "b": Counts(total=10_000, failed=1)}
    )

    assert " ".join(header.split()) == "activity done failed running left rate time left"
    assert done.count("█") * 2 == done.count("█") + done.count("─")
    assert failed.count("█") == 1
    display.close()


def test_a_narrow_window_shows_numbers_rather_than_a_bar(window):
    """Where something has to go, it is what is only there for the eye."""
    window.setenv("COLUMNS", "60")
    display = TerminalDisplay(Screen(), Screen())

    _, row = lines_of(display, HALF, width=60)

    assert row.split()[:5] == ["fetch", "4", "1", "2", "5"]
    assert "█" not in row
    display.close()


def test_more_activities_than_lines_leave_out_those_that_are_done(window):
    """What is at work stays in sight."""
    window.setenv("LINES", "10")
    display = TerminalDisplay(Screen(), Screen())
    done = {f"done_{number}": Counts(total=1, done=1) for number in range(20)}

    rows = lines_of(display, {**done, **HALF})

    assert len(rows) <= 10
    assert any("fetch" in row for row in rows)
    assert "and 15 more" in rows[-1]
    display.close()


def test_notes_and_lines_of_tasks_are_never_broken_by_us(window):
    """A path or an id that is copied from the screen stays whole."""
    err = Screen()
    display = TerminalDisplay(Screen(), err)
    long = "/data/" + "x" * 200

    display.note(long)
    display.progress(HALF, 0.0)
    display.output("stdout", long)
    display.close()

    assert err.getvalue().count(long) == 2


def test_a_screen_is_told_of_the_end_once(window):
    """Both streams lead to the same eyes."""
    out, err = Screen(), Screen()
    display = TerminalDisplay(out, err)
    display.progress(HALF, 0.0)

    display.closed(report("FAILED", "the reason"))

    assert out.getvalue() == ""
    assert err.getvalue().count("the reason") == 1


def test_results_go_to_a_file_though_the_bars_are_on_a_screen(window):
    """`garcon pool ... > result.txt`."""
    out, err = io.StringIO(), Screen()
    display = TerminalDisplay(out, err)
    display.progress(HALF, 0.0)

    display.output("stdout", "42 rows")
    display.closed(report())

    assert out.getvalue().splitlines()[:2] == ["42 rows", "execution w COMPLETED after 1:02"]
    assert "42 rows" not in err.getvalue()

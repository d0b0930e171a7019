"""What follows for a range, and which ranges a catch-up runs."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from garcon.backfill.catchup import catch_up, catch_up_window, first_words
from garcon.backfill.days import DayRange
from garcon.backfill.ranges import Seen, days_in_tags, make_ranges, overlapping, own_runs
from garcon.backfill.steps import Act, Overlap, Wish, next_step
from garcon.errors import UsageError
from garcon.pool.execution import Run, tags_of

BEGIN = datetime(2026, 2, 1, tzinfo=timezone.utc)
FIRST = date(2026, 1, 1)


def days(first, last=None):
    """Return a range of days of January 2026."""
    last = last or first
    return DayRange(date(2026, 1, first), date(2026, 1, last))


def range_of(first, last=None, **data):
    """Return the range of a flow for days of January 2026."""
    (one,) = make_ranges("flow", [days(first, last)], data)
    return one


def seen(one, status=None, at=0, run_id=None, is_same=False, workflow_id=None):
    """Return an execution of a range, started `at` minutes after the first."""
    started = BEGIN + timedelta(minutes=at)
    return Seen(
        Run(workflow_id or one.workflow_id, run_id or f"r{at}"),
        status,
        started,
        None if status is None else started + timedelta(minutes=1),
        one.days,
        is_same,
    )


BAD = ["FAILED", "CANCELED", "TERMINATED", "TIMED_OUT", "CONTINUED_AS_NEW"]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("status", [None, "OPEN", "COMPLETED", *BAD])
@pytest.mark.parametrize("overlap", list(Overlap))
def test_run_does_what_the_table_says(status, overlap, again):
    """Every state of a range by every choice."""
    one = range_of(1, 3)
    found = [] if status is None else [seen(one, None if status == "OPEN" else status)]
    opened = {Overlap.JOIN: Act.JOIN, Overlap.SKIP: Act.SKIP, Overlap.FAIL: Act.FAIL}
    closed = {
        None: Act.START,
        "COMPLETED": Act.START if again else Act.DONE,
        "OPEN": opened[overlap],
    }
    expected = closed.get(status, Act.START if again else Act.RESUME)

    step = next_step(one, found, Wish(again=again, overlap=overlap))

    assert expected is step.act
    code = getattr(step.error, "exit_code", 0)
    assert (5 if expected is Act.FAIL else 0) == code


@pytest.mark.parametrize(
    ("status", "act", "code"),
    [
        (None, Act.REFUSE, 2),
        ("OPEN", Act.JOIN, 0),
        ("COMPLETED", Act.DONE, 0),
        *[(status, Act.RESUME, 0) for status in BAD],
    ],
)
def test_resume_starts_nothing_new(status, act, code):
    """What was never started is said to be so."""
    one = range_of(1, 3)
    found = [] if status is None else [seen(one, None if status == "OPEN" else status)]

    step = next_step(one, found, Wish(resume_only=True))

    assert act is step.act
    assert code == getattr(step.error, "exit_code", 0)


def test_a_part_cannot_be_resumed_while_the_range_is_open():
    """It would not do what was asked for."""
    one = range_of(1)

    step = next_step(one, [seen(one)], Wish(resume_only=True, is_part=True))

    assert Act.FAIL is step.act
    assert 5 == step.error.exit_code


@pytest.mark.parametrize(
    ("overlap", "act"),
    [(Overlap.JOIN, Act.WAIT), (Overlap.SKIP, Act.SKIP), (Overlap.FAIL, Act.FAIL)],
)
def test_an_open_execution_that_shares_days_is_said_and_obeys_the_same_choice(overlap, act):
    """Of another range, or of the same days with another input."""
    one = range_of(2, 4)
    for other in (range_of(1, 2), range_of(4, 9), range_of(3), range_of(2, 4, countries=["FR"])):
        step = next_step(one, [seen(other)], Wish(overlap=overlap))

        assert act is step.act
        assert other.workflow_id in step.text


def test_executions_that_share_no_day_or_are_closed_do_not_matter():
    """Done means completed in this range, never in another."""
    one = range_of(2, 4)
    others = [seen(range_of(1)), seen(range_of(5)), seen(range_of(1, 9), "COMPLETED")]

    assert Act.START is next_step(one, others, Wish()).act


def test_what_completed_is_done_though_another_range_is_open_over_it():
    """Nothing would be started, so nothing is in the way."""
    one = range_of(2, 4)

    step = next_step(one, [seen(range_of(1, 9)), seen(one, "COMPLETED", 1)], Wish())

    assert Act.DONE is step.act


def test_the_newest_execution_of_a_range_counts():
    """A failure after a completion, as `--again` may leave it, is gone on with."""
    one = range_of(1)
    found = [seen(one, "COMPLETED", 0), seen(one, "FAILED", 5), seen(one, "COMPLETED", 3)]

    step = next_step(one, found, Wish())

    assert Act.RESUME is step.act
    assert "r5" == step.of.run.run_id


def test_an_execution_of_the_same_input_under_another_id_is_the_ranges_own():
    """A user may have chosen the id."""
    one = range_of(1)
    other = seen(one, "COMPLETED", workflow_id="mine", is_same=True)

    assert [other] == own_runs(one, [other])
    assert Act.DONE is next_step(one, [other], Wish()).act
    assert [] == overlapping(one, [seen(one, workflow_id="mine", is_same=True)])


def test_the_same_days_and_input_have_the_same_id():
    """In any order of keys; other days or inputs have others."""
    one = range_of(1, 2, b=1, a=2)

    assert one.workflow_id == range_of(1, 2, a=2, b=1).workflow_id
    assert one.workflow_id != range_of(1, 2).workflow_id
    assert one.workflow_id != range_of(1, 3, a=2, b=1).workflow_id
    assert {"start": "2026-01-01", "end": "2026-01-02", "a": 2, "b": 1} == one.input


def test_a_range_is_read_back_from_its_tags():
    """And nothing is read from tags that tell none."""
    one = range_of(1, 9)

    assert one.days == days_in_tags(tags_of(one.workflow_id, one.input))
    for tags in (
        [],
        ["start=2026-01-01"],
        ["start=x", "end=y"],
        ["start=2026-01-02", "end=2026-01-01"],
    ):
        assert days_in_tags(tags) is None


def test_days_in_the_input_make_a_range_of_their_own():
    """And days named twice are refused."""
    (told,) = make_ranges("flow", None, {"start": "2026-01-01", "end": "2026-01-02"})
    (none,) = make_ranges("flow", None, {"tables": 3})

    assert told.workflow_id == range_of(1, 2).workflow_id
    assert days(1, 2) == told.days
    assert none.days is None
    with pytest.raises(UsageError, match="both give start"):
        range_of(1, 2, start="2026-01-01")


# Catching up.


def night(number, status="COMPLETED"):
    """Return the execution of one day's night."""
    return seen(range_of(number), status, at=number)


def test_three_days_of_downtime_are_filled_exactly():
    """Nights 1 to 6 ran, 7 to 9 did not; today is the tenth."""
    found = [night(number) for number in range(1, 7)]

    window = catch_up_window(None, None, days(9), found)

    assert [days(7, 9)] == catch_up(window, None, found)
    assert [days(7), days(8), days(9)] == catch_up(window, "day", found)


def test_a_gap_in_the_middle_is_filled_too():
    """Only completed executions cover their days."""
    found = [night(1), night(2, "FAILED"), night(3), night(4, "TERMINATED"), night(5)]

    window = catch_up_window(None, None, days(6), found)

    assert [days(2), days(4), days(6)] == catch_up(window, None, found)


def test_what_was_begun_is_gone_on_with_as_it_is():
    """Its days are not begun a second time under another range."""
    found = [night(1), seen(range_of(3, 5), "FAILED", at=9), night(8)]

    ranges = catch_up(days(1, 9), None, found)

    assert [days(2), days(3, 5), days(6, 7), days(9)] == ranges
    assert [days(3, 5)] == catch_up(days(3, 5), "day", found)


def test_of_ranges_that_were_begun_and_overlap_the_newest_counts():
    """The older one's days that are left are begun anew."""
    found = [seen(range_of(1, 3), "FAILED", at=1), seen(range_of(3, 4), "CANCELED", at=2)]

    assert [days(1, 2), days(3, 4)] == catch_up(days(1, 4), None, found)


@pytest.mark.parametrize(
    ("asked", "max_days", "window"),
    [
        (None, None, days(2, 20)),
        (None, 3, days(18, 20)),
        (None, 40, DayRange(date(2025, 12, 12), date(2026, 1, 20))),
        (days(5, 9), None, days(5, 9)),
        (days(5, 9), 2, days(8, 9)),
        (days(5, 9), 99, days(5, 9)),
    ],
)
def test_a_catch_up_looks_back_as_far_as_it_is_told(asked, max_days, window):
    """Without a word: since the first day that ever completed."""
    found = [night(2), night(3)]

    assert window == catch_up_window(asked, max_days, days(20), found)


def test_a_first_catch_up_runs_yesterday():
    """Nothing was ever completed: there is no downtime to make up for."""
    assert days(20) == catch_up_window(None, None, days(20), [night(3, "FAILED")])


def test_a_catch_up_without_a_word_looks_back_thirty_days():
    """However long ago the first day was."""
    yesterday = DayRange(date(2026, 12, 31), date(2026, 12, 31))
    (old,) = make_ranges("flow", [DayRange(FIRST, date(2026, 6, 30))], {})

    window = catch_up_window(None, None, yesterday, [seen(old, "COMPLETED")])

    assert DayRange(date(2026, 12, 2), date(2026, 12, 31)) == window


def test_many_ranges_are_named_in_few_words():
    """The first of them, and how many more."""
    assert "2026-01-01, 2026-01-02 and 3 more" == first_words([days(n) for n in range(1, 6)], 2)
    assert "2026-01-01..2026-01-03" == first_words([days(1, 3)])

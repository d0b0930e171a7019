"""Ranges of days: read, divided, and what is left of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from garcon.backfill.days import (
    DayRange,
    day_before,
    divide,
    find_zone,
    read_days,
    today_in,
    uncovered,
)
from garcon.errors import UsageError

TODAY = date(2026, 3, 31)
PARIS = ZoneInfo("Europe/Paris")


def days(first, last=None):
    """Return a range of two ISO dates."""
    return DayRange(date.fromisoformat(first), date.fromisoformat(last or first))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-01..2026-01-31", days("2026-01-01", "2026-01-31")),
        ("2026-01-05", days("2026-01-05")),
        ("2024-02-29", days("2024-02-29")),
        ("2024-02-28..2024-03-01", days("2024-02-28", "2024-03-01")),
        ("yesterday", days("2026-03-30")),
        ("today", days("2026-03-31")),
        ("2026-03-28..yesterday", days("2026-03-28", "2026-03-30")),
        ("last-1", days("2026-03-30")),
        ("last-7", days("2026-03-24", "2026-03-30")),
        ("0001-01-01", days("0001-01-01")),
        ("9999-12-31", days("9999-12-31")),
    ],
)
def test_days_are_read(text, meant):
    """Dates, words and counts, both ends included."""
    assert meant == read_days(text, TODAY, PARIS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-01-31..2026-01-01", "ends before it begins; write 2026-01-01..2026-01-31"),
        ("2026-02-30", "2026-02-30 is no day: February 2026 has 28 days"),
        ("2026-01-01..2026-13-01", "2026-13-01 is no day: a year has 12 months"),
        ("2025-02-29", "February 2025 has 28 days"),
        ("2026-04-31", "April 2026 has 30 days"),
        ("0000-01-01", "years begin with 1"),
        ("last-0", "holds no day"),
        ("last-999999", "is no day"),
        ("last-99999", None),
        ("2026-01-01..", "lacks an end"),
        ("..2026-01-01", "lacks an end"),
        ("..", "lacks an end"),
        ("", "is no day"),
        ("20260101", "is no day; write"),
        ("2026-1-1", "is no day; write"),
        ("tomorrow", "'tomorrow' is no day"),
        ("2026-01-01...2026-01-03", "is no day"),
        ("\u0662026-01-01", "is no day; write"),
    ],
)
def test_what_is_no_range_is_told_in_one_line(text, told):
    """With the word, what is wrong and how to write it."""
    if told is None:
        assert 99_999 == len(read_days(text, TODAY, None))
        return
    with pytest.raises(UsageError) as caught:
        read_days(text, TODAY, None)

    assert told in str(caught.value)
    assert "--days" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_range_before_the_first_year_is_told():
    """The calendar ends somewhere."""
    with pytest.raises(UsageError, match="before the year 1"):
        read_days("last-400", date(2, 1, 1), None)


@pytest.mark.parametrize(
    ("now", "zone", "meant"),
    [
        ("2026-03-29T22:30+00:00", PARIS, "2026-03-30"),
        ("2026-03-29T21:59+00:00", PARIS, "2026-03-29"),
        ("2026-10-25T22:30+00:00", PARIS, "2026-10-25"),
        ("2026-10-25T23:30+00:00", PARIS, "2026-10-26"),
        ("2026-01-01T05:00+00:00", ZoneInfo("America/New_York"), "2026-01-01"),
        ("2026-01-01T04:59+00:00", ZoneInfo("America/New_York"), "2025-12-31"),
    ],
)
def test_today_is_the_zones(now, zone, meant):
    """Also in the night in which its clocks change."""
    assert date.fromisoformat(meant) == today_in(zone, datetime.fromisoformat(now))


def test_a_day_on_which_clocks_change_appears_once():
    """23 and 25 hours long, and a day each."""
    spring = list(read_days("2026-03-28..2026-03-30", TODAY, PARIS))
    autumn = list(read_days("last-3", date(2026, 10, 27), PARIS))

    assert ["2026-03-28", "2026-03-29", "2026-03-30"] == [str(day) for day in spring]
    assert ["2026-10-24", "2026-10-25", "2026-10-26"] == [str(day) for day in autumn]


def test_a_date_that_a_zone_skipped_is_no_day_of_it():
    """Samoa went from the 29th to 31 December 2011."""
    apia = ZoneInfo("Pacific/Apia")

    assert date(2011, 12, 29) == day_before(date(2011, 12, 31), apia)
    assert days("2011-12-29", "2011-12-31") == read_days("last-2", date(2012, 1, 1), apia)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "Europe", "a\0b"])
def test_an_unknown_zone_is_told(name):
    """Whatever the tables' reader makes of it."""
    with pytest.raises(UsageError, match="no time zone"):
        find_zone(name)


def test_no_zone_is_the_machines_own():
    """And its today is the clock's."""
    now = datetime.now(timezone.utc)

    assert find_zone(None) is None
    assert now.astimezone().date() == today_in(None, now)


def test_weeks_and_months_are_cut_at_the_ends():
    """Mondays begin weeks; firsts begin months."""
    weeks = divide(days("2026-01-01", "2026-01-20"), "week")
    months = divide(days("2024-01-30", "2024-03-02"), "month")

    assert [str(one) for one in weeks] == [
        "2026-01-01..2026-01-04",
        "2026-01-05..2026-01-11",
        "2026-01-12..2026-01-18",
        "2026-01-19..2026-01-20",
    ]
    assert [str(one) for one in months] == [
        "2024-01-30..2024-01-31",
        "2024-02-01..2024-02-29",
        "2024-03-01..2024-03-02",
    ]


@pytest.mark.parametrize("each", ["day", "week", "month", None])
def test_the_parts_of_a_range_are_its_days(each):
    """Each day once and in order, also at the end of the calendar."""
    for whole in (days("2025-12-20", "2026-03-10"), days("9999-12-30", "9999-12-31")):
        parts = divide(whole, each)

        assert list(whole) == [day for part in parts for day in part]


def test_too_many_parts_are_refused():
    """A slip of the pen must not start a hundred thousand executions."""
    with pytest.raises(UsageError, match="more than 10,000 executions"):
        divide(days("1900-01-01", "2026-01-01"), "day")


def test_uncovered_days_are_what_is_left():
    """Ranges may touch, overlap, contain each other and lie outside."""
    window = days("2026-01-10", "2026-01-20")
    covered = [
        days("2026-01-15", "2026-01-16"),
        days("2026-01-01", "2026-01-11"),
        days("2026-01-15"),
        days("2026-01-17"),
        days("2026-02-01", "2026-02-02"),
        days("2025-01-01"),
    ]

    left = uncovered(window, covered)

    assert [days("2026-01-12", "2026-01-14"), days("2026-01-18", "2026-01-20")] == left
    assert [window] == uncovered(window, [])
    assert [] == uncovered(window, [days("2026-01-01", "2026-01-31")])


def test_uncovered_and_covered_are_all_days():
    """Tried on every pair of ranges of a short month."""
    window = days("2026-01-03", "2026-01-08")
    all_days = [date(2026, 1, 1) + timedelta(days=number) for number in range(10)]
    ranges = [DayRange(a, b) for a in all_days for b in all_days if a <= b]
    for one in ranges:
        for other in ranges[::3]:
            left = [day for gap in uncovered(window, [one, other]) for day in gap]

            assert [day for day in window if day not in {*one, *other}] == left

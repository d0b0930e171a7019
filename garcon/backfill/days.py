"""Ranges of days: read from words, divided, and what others leave of them.

Pure but for the time zones' own tables: the present is an argument. Law: a day is a date of the
zone that was asked for, never 24 hours; so a day on which clocks change is one day, and a date that
a zone skipped is none.
"""

from __future__ import annotations

import re
from calendar import month_name, monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from garcon.errors import UsageError

#: How a range may be divided.
EACH = ("day", "week", "month")

#: Executions that one command may make of a range.
PARTS_MAX = 10_000

FORMS = "2026-01-05, 2026-01-01..2026-01-31, yesterday, today or last-7"

_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_LAST = re.compile(r"last-(\d{1,5})")


@dataclass(frozen=True, order=True)
class DayRange:
    """Days from `first` to `last`, both included; never empty."""

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range(len(self)))

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def overlaps(self, other: DayRange) -> bool:
        """Whether a day is in both."""
        return self.first <= other.last and other.first <= self.last

    def contains(self, other: DayRange) -> bool:
        """Whether every day of `other` is in this range."""
        return self.first <= other.first and other.last <= self.last


def find_zone(name: str | None) -> tzinfo | None:
    """Return the time zone of this name; None, the machine's own, for None.

    Raises:
        UsageError: this machine knows no such zone.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"--tz {name!r} is no time zone that this machine knows; write it like Europe/Paris or "
            "UTC (its tables come with the package tzdata)"
        ) from None


def today_in(zone: tzinfo | None, now: datetime) -> date:
    """Return the date in `zone`, None for the machine's own, at the aware moment `now`."""
    return now.astimezone(zone).date()


def read_days(text: str, today: date, zone: tzinfo | None = None) -> DayRange:
    """Return the range that `--days` names.

    Args:
        text: `DAY`, `DAY..DAY` or `last-N`, the N days that end yesterday; a DAY is an ISO date,
            `yesterday` or `today`.
        today: the date in `zone`.
        zone: whose days are meant; None for the machine's own.
    Raises:
        UsageError: it is none of these, no date, empty or reversed.
    """
    found = _LAST.fullmatch(text)
    if found:
        return _last_days(text, int(found[1]), today, zone)
    first_text, dots, last_text = text.partition("..")
    if not dots:
        day = _read_day(text, text, today, zone)
        return DayRange(day, day)
    if not first_text or not last_text:
        raise UsageError(f"--days {text!r} lacks an end; write both: 2026-01-01..2026-01-31")
    first = _read_day(first_text, text, today, zone)
    last = _read_day(last_text, text, today, zone)
    if first > last:
        raise UsageError(f"--days {text!r} ends before it begins; write {last_text}..{first_text}")
    return DayRange(first, last)


def _last_days(text: str, count: int, today: date, zone: tzinfo | None) -> DayRange:
    if count == 0:
        raise UsageError(f"--days {text!r} holds no day; last-1 is yesterday")
    try:
        last = first = day_before(today, zone)
        for _ in range(count - 1):
            first = day_before(first, zone)
    except OverflowError:
        raise UsageError(f"--days {text!r} begins before the year 1") from None
    return DayRange(first, last)


def _read_day(word: str, text: str, today: date, zone: tzinfo | None) -> date:
    if word == "today":
        return today
    if word == "yesterday":
        return day_before(today, zone)
    found = _ISO.fullmatch(word)
    if not found or not found.string.isascii():
        raise UsageError(f"--days {text!r}: {word!r} is no day; write {FORMS}")
    year, month, day = map(int, found.groups())
    try:
        return date(year, month, day)
    except ValueError:
        raise UsageError(f"--days {text!r}: {word} is no day: {_why(year, month)}") from None


def _why(year: int, month: int) -> str:
    if not 1 <= month <= 12:
        return "a year has 12 months"
    if year < 1:
        return "years begin with 1"
    return f"{month_name[month]} {year} has {monthrange(year, month)[1]} days"


def day_before(day: date, zone: tzinfo | None) -> date:
    """Return the day of `zone` before `day`; a date that the zone skipped is passed over."""
    before = day - timedelta(days=1)
    while not _exists(before, zone):
        before -= timedelta(days=1)
    return before


def _exists(day: date, zone: tzinfo | None) -> bool:
    """Whether the zone had this date: Samoa, for one, went from the 29th to 31 December 2011."""
    if zone is None:
        return True
    noon = datetime.combine(day, time(12), zone)
    return noon.astimezone(timezone.utc).astimezone(zone).date() == day


def divide(days: DayRange, each: str | None) -> list[DayRange]:
    """Return the parts of `days`: whole days, ISO weeks or months, cut at the range's ends.

    Args:
        days: the range.
        each: `day`, `week` or `month`; None leaves it whole.
    Raises:
        UsageError: there would be more than `PARTS_MAX`.
    """
    if each is None:
        return [days]
    parts = []
    first = days.first
    while first <= days.last:
        last = min(_end_of(first, each), days.last)
        parts.append(DayRange(first, last))
        if len(parts) > PARTS_MAX:
            raise UsageError(
                f"--each {each} of {days} makes more than {PARTS_MAX:,} executions; divide coarser"
            )
        if last == days.last:
            break
        first = last + timedelta(days=1)
    return parts


def _end_of(day: date, each: str) -> date:
    if each == "week":
        return day + timedelta(days=min(6 - day.weekday(), (date.max - day).days))
    if each == "month":
        return day.replace(day=monthrange(day.year, day.month)[1])
    return day


def uncovered(window: DayRange, covered: Iterable[DayRange]) -> list[DayRange]:
    """Return the days of `window` that no range of `covered` holds, as ranges in order."""
    left = []
    first: date | None = window.first
    for one in sorted(covered):
        if first is None or one.first > window.last:
            break
        if one.last < first:
            continue
        if one.first > first:
            left.append(DayRange(first, one.first - timedelta(days=1)))
        first = one.last + timedelta(days=1) if one.last < window.last else None
    if first is not None:
        left.append(DayRange(first, window.last))
    return left

"""Which ranges `--catch-up` runs: the days that no completed execution covers. Pure.

Law: a range that was begun and did not complete is gone on with as it is; its days are not begun a
second time under another range.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from garcon.backfill.days import DayRange, divide, uncovered
from garcon.backfill.ranges import COMPLETED, Seen, completed_days

#: How far back a catch-up looks that names neither days nor a bound.
MAX_DAYS = 30


def catch_up_window(
    days: DayRange | None, max_days: int | None, yesterday: DayRange, seen: Sequence[Seen]
) -> DayRange:
    """Return the days among which `--catch-up` looks for those that nothing covers.

    Args:
        days: what `--days` says; None where it says nothing.
        max_days: what `--max-days` says; None where it says nothing.
        yesterday: the last day there can be work for.
        seen: executions of the flow.
    Returns:
        The days asked for, their last `max_days` at most; without either, those since the first day
        that was ever completed, `MAX_DAYS` at most, and yesterday alone where none ever was.
    """
    last = (days or yesterday).last
    if max_days is not None:
        first = last - timedelta(days=min(max_days, last.toordinal()) - 1)
        return DayRange(max(first, days.first) if days else first, last)
    if days is not None:
        return days
    earliest = last - timedelta(days=MAX_DAYS - 1)
    covered = [max(one.first, earliest) for one in completed_days(seen)]
    return DayRange(min([day for day in covered if day <= last], default=last), last)


def catch_up(window: DayRange, each: str | None, seen: Sequence[Seen]) -> list[DayRange]:
    """Return the ranges to run so that completed executions cover all of `window`.

    Args:
        window: the days looked at.
        each: how what was never begun is divided; see `divide`.
        seen: executions of the flow.
    """
    gaps = uncovered(window, completed_days(seen))
    begun: list[DayRange] = []
    for one in sorted(seen, key=lambda found: found.started, reverse=True):
        if one.status == COMPLETED or one.days is None:
            continue
        free = not any(one.days.overlaps(other) for other in begun)
        if free and any(gap.contains(one.days) for gap in gaps):
            begun.append(one.days)
    fresh = [part for gap in gaps for part in uncovered(gap, begun)]
    return sorted([*begun, *(part for one in fresh for part in divide(one, each))])


def first_words(ranges: Sequence[DayRange], most: int = 5) -> str:
    """Return the ranges in words, the first few of them by name."""
    named = ", ".join(map(str, ranges[:most]))
    return named if len(ranges) <= most else f"{named} and {len(ranges) - most} more"

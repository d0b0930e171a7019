"""What a command is about: ranges, each of them one execution known by its id and its tags.

Pure. Law: the same flow, days and input make the same range with the same workflow id, whoever asks
and whenever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from garcon.backfill.days import DayRange
from garcon.errors import UsageError
from garcon.pool.execution import Run, default_workflow_id

#: SWF's close status of an execution that did all it was asked to.
COMPLETED = "COMPLETED"


@dataclass(frozen=True)
class Range:
    """One execution to be.

    Attributes:
        workflow_id: SWF's workflow id.
        input: what it is started with.
        days: its days; None for a flow that has none.
    """

    workflow_id: str
    input: Mapping[str, Any]
    days: DayRange | None = None

    def __str__(self) -> str:
        return self.workflow_id if self.days is None else str(self.days)


@dataclass(frozen=True)
class Seen:
    """An execution as the engine lists it.

    Attributes:
        run: its ids.
        status: SWF's close status; None while it is open.
        started: when it started.
        closed: when it closed; None while it is open.
        days: the range that its tags tell; None where they tell none.
        is_same: whether its input is known to be the one of the range that was looked up, though
            its workflow id is another.
    """

    run: Run
    status: str | None
    started: datetime
    closed: datetime | None = None
    days: DayRange | None = None
    is_same: bool = False


def make_ranges(
    flow_name: str, days: Iterable[DayRange] | None, data: Mapping[str, Any]
) -> list[Range]:
    """Return the ranges of a command.

    Args:
        flow_name: the flow's name, which begins the workflow ids.
        days: the days of each; None where the input alone says what to run.
        data: the input beside `start` and `end`, or with them where `days` is None.
    Raises:
        UsageError: both say from when to when.
    """
    if days is None:
        found = days_of(data.get("start"), data.get("end"))
        return [Range(default_workflow_id(flow_name, data), dict(data), found)]
    double = sorted({"start", "end"} & set(data))
    if double:
        raise UsageError(f"--days and the input both give {' and '.join(double)}; leave one out")
    inputs = [(one, {"start": str(one.first), "end": str(one.last), **data}) for one in days]
    return [Range(default_workflow_id(flow_name, data), data, one) for one, data in inputs]


def days_of(start: Any, end: Any) -> DayRange | None:
    """Return the range of two ISO dates; None where they are none."""
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except (TypeError, ValueError):
        return None
    # Later Pythons read more forms than one; a day has one name.
    is_plain = (str(first), str(last)) == (start, end)
    return DayRange(first, last) if is_plain and first <= last else None


def days_in_tags(tags: Iterable[str]) -> DayRange | None:
    """Return the range that an execution's `start=` and `end=` tags tell, None without them."""
    told = dict(tag.split("=", 1) for tag in tags if "=" in tag)
    return days_of(told.get("start"), told.get("end"))


def own_runs(one: Range, seen: Iterable[Seen]) -> list[Seen]:
    """Return the executions of this very range, the newest first."""
    own = [found for found in seen if found.run.workflow_id == one.workflow_id or found.is_same]
    return sorted(own, key=lambda found: (found.status is None, found.started), reverse=True)


def overlapping(one: Range, seen: Iterable[Seen]) -> list[Seen]:
    """Return the open executions that share days with this range without being of it."""
    if one.days is None:
        return []
    others = [found for found in seen if found.status is None and not found.is_same]
    return [
        found
        for found in others
        if found.run.workflow_id != one.workflow_id
        and found.days is not None
        and found.days.overlaps(one.days)
    ]


def completed_days(seen: Iterable[Seen]) -> list[DayRange]:
    """Return the ranges that completed executions' tags tell."""
    return [one.days for one in seen if one.status == COMPLETED and one.days is not None]

"""Progress of an execution: counts that its decider tells, rates that follow from them.

Every decision carries an `executionContext`, a small JSON with the counts of each activity. This
module reads it, measures the rate between two looks and makes a line of it. Law: it is pure; times
are given, and nothing is printed.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

#: The rate is measured over this time, seconds: long enough to be calm, short enough to be true.
RATE_WINDOW_S = 15.0


@dataclass(frozen=True)
class Counts:
    """Instances of one activity.

    Attributes:
        total: instances of its manifest; 0 while its fan-out is not known yet.
        done: completed.
        failed: out of retries.
        running: taken by a worker.
        retries: further attempts so far.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    retries: int = 0

    @property
    def left(self) -> int:
        """Instances that neither completed nor failed."""
        return max(0, self.total - self.done - self.failed)


def counts_from_context(text: str | None) -> dict[str, Counts]:
    """Return the counts of each activity that an `executionContext` tells.

    A text that garcon did not write (a custom decider of another library) tells nothing.
    """
    try:
        document = json.loads(text or "")
        activities = document["activities"] if document["garcon"] == 1 else {}
        return {name: _counts(told) for name, told in activities.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _counts(told: Mapping[str, int]) -> Counts:
    return Counts(
        told.get("n", 0),
        told.get("done", 0),
        told.get("failed", 0),
        told.get("running", 0),
        told.get("retries", 0),
    )


class Rates:
    """How fast each activity completes, from looks at its counts."""

    def __init__(self, window_s: float = RATE_WINDOW_S) -> None:
        """Measure over the last `window_s` seconds."""
        self._window_s = window_s
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def observe(self, counts: Mapping[str, Counts], now_s: float) -> None:
        """Note what was seen at `now_s` (monotonic seconds)."""
        for name, one in counts.items():
            seen = self._seen.setdefault(name, deque())
            seen.append((now_s, one.done + one.failed))
            while len(seen) > 2 and seen[1][0] < now_s - self._window_s:
                seen.popleft()

    def per_s(self, name: str) -> float:
        """Return how many instances of `name` ended a second; 0.0 while that is not known."""
        seen = self._seen.get(name)
        if not seen or seen[-1][0] <= seen[0][0]:
            return 0.0
        (first_s, first), (last_s, last) = seen[0], seen[-1]
        # Another decider may count otherwise: nothing un-ends.
        return max(0.0, (last - first) / (last_s - first_s))

    def time_left_s(self, name: str, counts: Counts) -> float | None:
        """Return the seconds that what is left will take, None while that is not known."""
        rate = self.per_s(name)
        return counts.left / rate if rate > 0 and counts.left else None


def progress_line(name: str, counts: Counts, rate: float, time_left_s: float | None) -> str:
    """Return one line about one activity, such as a log of a cron job keeps."""
    told = f"{name}: {counts.done} of {counts.total} done, {counts.failed} failed, "
    told += f"{counts.running} running, {counts.left} left"
    told += retries_told(counts)
    if rate > 0:
        told += f", {rate:.1f}/s"
    if time_left_s is not None:
        told += f", {format_duration(time_left_s)} to go"
    return told


def retries_told(counts: Counts) -> str:
    """Return what a line says of further attempts; nothing where there were none."""
    if not counts.retries:
        return ""
    return f", {counts.retries:,} {'retry' if counts.retries == 1 else 'retries'}"


def format_duration(seconds: float) -> str:
    """Return `seconds` as people read them: `0:07`, `12:40`, `3:05:00`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

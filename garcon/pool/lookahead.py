"""How many tasks a pool asks for on behalf of workers that are still busy.

A poll that is sent once a worker is free costs that worker the poll's way to the engine and back.
So as many tasks are asked for ahead as workers are expected to be free within that time: for each
busy worker the share that the way has of its activity's mean run. Pure sums; reads no clock. Law:
a task that is taken ahead waits for a worker for about as long as a poll takes, so nothing is asked
for on behalf of a worker whose activity runs for longer than `SHORT_S`, has not ended here yet, or
has run for that long already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Activities with longer runs are not looked ahead for: what could be gained is a part in a
#: hundred, and what was taken ahead would be kept from other hosts. Seconds.
SHORT_S = 1.0

#: A way to the engine that took longer is no way but a line that was cut, or a throttle; seconds.
TRIP_MAX_S = 0.5

#: Part of the newest figure in a mean.
_NEWEST = 0.1

#: A number so steady is not worth a sum for each task; seconds.
_STEADY_S = 0.01


class LookAhead:
    """What is known of runs and ways, and the number that follows from it."""

    def __init__(self) -> None:
        """Know nothing yet: look ahead for nobody."""
        self._trip_s = 0.0
        self._runs_s: dict[str, float] = {}
        self._number = 0
        self._looked_s = -math.inf

    def note_trip(self, seconds: float) -> None:
        """Take note of how long a call took that the engine answers at once."""
        seconds = min(seconds, TRIP_MAX_S)
        self._trip_s = _mean(self._trip_s, seconds) if self._trip_s else seconds

    def note_run(self, activity: str, seconds: float) -> None:
        """Take note of how long a task of `activity` ran; a long one counts at once."""
        before_s = self._runs_s.get(activity, seconds)
        long = seconds > SHORT_S
        self._runs_s[activity] = max(before_s, seconds) if long else _mean(before_s, seconds)

    def number(self, running: Iterable[tuple[str, float]], now_s: float) -> int:
        """Return how many tasks to ask for ahead, at most one for each worker of a short run.

        More than the mean, for they do not end one after the other: by two standard deviations of
        what ends by chance, nine workers in ten find their next task there.

        Args:
            running: for each busy worker its activity, and since when it runs (loop time).
            now_s: loop time.
        """
        if now_s - self._looked_s >= _STEADY_S:
            self._looked_s = now_s
            self._number = self._count(running, now_s)
        return self._number

    def _count(self, running: Iterable[tuple[str, float]], now_s: float) -> int:
        expected, workers = 0.0, 0
        for activity, began_s in running:
            run_s = self._runs_s.get(activity, math.inf)
            if run_s <= SHORT_S and now_s - began_s <= SHORT_S:
                expected += min(1.0, self._trip_s / run_s) if run_s > 0.0 else 1.0
                workers += 1
        return min(workers, int(expected + 2.0 * math.sqrt(expected)))


def _mean(before: float, newest: float) -> float:
    return before + _NEWEST * (newest - before)

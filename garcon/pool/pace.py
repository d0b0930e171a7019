"""How many activities a pool may have scheduled a second: one bucket for all of its decisions.

AWS takes 200 schedules a second of an account and refuses what is more; a refused schedule costs
events and time. So a decision is given an allowance out of this bucket, and gives back what it has
not used. Pure: the present is an argument. Law: over any time no more is given than the rate allows
and one second's worth beyond it.
"""

from __future__ import annotations

from collections.abc import Callable

#: Schedules a second for an engine on AWS, a little below the quota that all hosts share.
AWS_RATE_PER_S = 180.0

#: What one decision may take at once; a response holds no more.
TAKE_MAX = 100

#: After a refusal the rate is halved for so long, seconds.
HALVED_S = 60.0

#: Refusals within this time are of one and the same surge, seconds.
SURGE_S = 5.0

#: How often the rate is halved at most: with 16 hosts each has its share.
HALVINGS_MAX = 4


class Pace:
    """One bucket, filled at a rate that refusals lower for a while."""

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        """Begin with a full bucket.

        Args:
            rate_per_s: schedules a second.
            now_s: the present, seconds of any clock that only goes on.
        """
        self._rate_per_s = rate_per_s
        self._level = self._size = max(1.0, rate_per_s)
        self._at_s = now_s
        self._halvings = 0
        self._halved_s = 0.0

    @property
    def rate_per_s(self) -> float:
        """The rate as it is now."""
        return self._rate_per_s / (1 << self._halvings)

    def take(self, now_s: float) -> int:
        """Take what is there, at most `TAKE_MAX`; return how many activities that allows."""
        self._refill(now_s)
        taken = min(TAKE_MAX, int(self._level))
        self._level -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Put back what was taken and not used."""
        self._level = min(self._size, self._level + count)

    def refused(self, now_s: float) -> None:
        """Take note that SWF refused a schedule for its rate."""
        self._refill(now_s)
        if not self._halvings or now_s - self._halved_s >= SURGE_S:
            self._halvings = min(HALVINGS_MAX, self._halvings + 1)
        self._halved_s = now_s
        self._level = min(self._level, self.rate_per_s)

    def _refill(self, now_s: float) -> None:
        if self._halvings and now_s - self._halved_s >= HALVED_S:
            # What has come in meanwhile came at the lower rate.
            self._fill(self._halved_s + HALVED_S)
            self._halvings = 0
        self._fill(now_s)

    def _fill(self, now_s: float) -> None:
        gained = max(0.0, now_s - self._at_s) * self.rate_per_s
        self._level = min(self._size, self._level + gained)
        self._at_s = max(self._at_s, now_s)


class Allowances:
    """What decisions may schedule, taken out of a pace; of no pace, anything."""

    def __init__(self, pace: Pace | None, clock: Callable[[], float]) -> None:
        """Give allowances of `pace`, None for none; `clock` tells the present, seconds."""
        self._pace = pace
        self._clock = clock

    def take(self) -> int | None:
        """Return how many activities a decision may schedule now, None for any number."""
        return None if self._pace is None else self._pace.take(self._clock())

    def settle(self, taken: int | None, used: int) -> None:
        """Take back what a decision has left of what it took."""
        if self._pace is not None and taken is not None:
            self._pace.give_back(max(0, taken - used))

    def refused(self) -> bool:
        """Slow down, since SWF refused; return whether there is anything to slow."""
        if self._pace is None:
            return False
        self._pace.refused(self._clock())
        return True

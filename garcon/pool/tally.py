"""What a pool has done: counted since its start, and how fast it went lately.

Plain numbers for whoever looks at the pool; nothing depends on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass

#: Rates are means over about this many seconds.
RATE_OVER_S = 60.0


@dataclass
class Tally:
    """What the pool has done so far.

    Attributes:
        completed: tasks answered as completed.
        failed: tasks answered as failed: by their own code, or because their time was over.
        canceled: tasks answered as canceled.
        lost: tasks whose worker died.
        handed_back: tasks given back unrun.
    """

    completed: int = 0
    failed: int = 0
    canceled: int = 0
    lost: int = 0
    handed_back: int = 0

    def counts(self) -> dict[str, int]:
        """Return the numbers by their names."""
        return asdict(self)


@dataclass(frozen=True)
class TaskEnd:
    """How one task ended, for logs and metrics.

    Attributes:
        activity: the activity's name in the flow.
        outcome: a name of `Tally`, such as `completed`.
        seconds: from the moment at which a worker had it, 0 where none had.
        cpu_s: CPU seconds that it used, None where its worker could not say.
        peak_kb: the largest resident size of its worker meanwhile, likewise.
    """

    activity: str
    outcome: str
    seconds: float
    cpu_s: float | None = None
    peak_kb: int | None = None


class RecentRates:
    """Counts a second, from counts that are looked at now and then."""

    def __init__(self, over_s: float = RATE_OVER_S) -> None:
        """Take the mean over about `over_s` seconds."""
        self._over_s = over_s
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque()

    def look(self, counts: Mapping[str, int], now_s: float) -> None:
        """Note the counts of this moment (monotonic seconds)."""
        self._looks.append((now_s, dict(counts)))
        # One look older than the window stays: the mean is to cover all of it.
        while len(self._looks) > 2 and self._looks[1][0] <= now_s - self._over_s:
            self._looks.popleft()

    def per_s(self, counts: Mapping[str, int], now_s: float) -> dict[str, float]:
        """Return how many there were a second of each count, up to `counts` at `now_s`."""
        if not self._looks:
            return dict.fromkeys(counts, 0.0)
        then_s, before = self._looks[0]
        span_s = max(now_s - then_s, 1.0)
        return {name: (count - before.get(name, 0)) / span_s for name, count in counts.items()}

"""The engine's time: the machine's, or one that only moves when it is told to.

What it never does: go backwards. Its one law: everything in the engine that dates or expires asks
the clock it was given.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the engine gets its time from."""

    def now_ms(self) -> int:
        """Epoch milliseconds; never less than before."""

    def delay_s(self, due_ms: int) -> float | None:
        """Real seconds until ``due_ms``; None when time only moves by hand."""


class SystemClock:
    """Wall-clock time, held still while the machine's clock is set back."""

    def __init__(self) -> None:
        self._last_ms = 0

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        now_ms = time.time_ns() // 1_000_000
        if now_ms > self._last_ms:
            self._last_ms = now_ms
        return self._last_ms

    def delay_s(self, due_ms: int) -> float | None:
        """Seconds to wait, a minute at most so that a set clock is noticed."""
        return min(60.0, max(0.0, (due_ms - self.now_ms()) / 1000))


class VirtualClock:
    """Time for tests: stands still until it is moved.

    Args:
        start_ms: The first instant; 2026-01-01 00:00 UTC by default.
    """

    def __init__(self, start_ms: int = 1_767_225_600_000) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self._now_ms

    def delay_s(self, due_ms: int) -> float | None:  # noqa: ARG002 - the protocol's signature
        """None: no real waiting brings a deadline nearer."""
        return None

    def move_to(self, now_ms: int) -> None:
        """Go forward to an instant; an earlier one changes nothing."""
        self._now_ms = max(self._now_ms, now_ms)

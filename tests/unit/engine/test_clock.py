"""The engine's clocks: never backwards, whatever happens to the machine's."""

from __future__ import annotations

import time

import pytest

from garcon.engine.service.clock import SystemClock, VirtualClock


def test_time_stands_still_while_the_machines_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour back, then past the old time: no event is older than the one before it."""
    clock = SystemClock()
    seen = []
    for now_s in (10_000, 6_400, 9_999, 10_001):
        monkeypatch.setattr(time, "time_ns", lambda now_s=now_s: now_s * 10**9)
        seen.append(clock.now_ms())
    assert seen == [10_000_000, 10_000_000, 10_000_000, 10_001_000]


def test_a_far_deadline_is_looked_at_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a clock that is set forward is noticed; a past one is due at once."""
    monkeypatch.setattr(time, "time_ns", lambda: 10**9)
    clock = SystemClock()
    assert [clock.delay_s(due_ms) for due_ms in (10**9, 1_500, 0)] == [60.0, 0.5, 0.0]


def test_virtual_time_goes_forward_only() -> None:
    """And no real waiting brings anything nearer."""
    clock = VirtualClock(1_000)
    clock.move_to(500)
    assert clock.now_ms() == 1_000
    clock.move_to(2_000)
    assert (clock.now_ms(), clock.delay_s(3_000)) == (2_000, None)

"""Token buckets: the arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garcon.engine.core.buckets import AWS_RATES, EXECUTION_RATES, PER_TASK_LIST, Level, Rate, take
from garcon.engine.core.tables import DECISIONS
from garcon.engine.service.operations import OPERATIONS


def test_a_new_bucket_is_full_and_an_empty_one_refuses() -> None:
    """Size tokens at once, then none."""
    level: Level | None = None
    taken = []
    for _ in range(4):
        level, ok = take(Rate(3, 1), level, 0)
        taken.append(ok)
    assert taken == [True, True, True, False]


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=50))
def test_no_more_leaves_a_bucket_than_its_size_and_its_refill(pauses_ms: list[int]) -> None:
    """Whatever the pattern of calls."""
    rate, level, now_ms, taken = Rate(5, 2), None, 0, 0
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        level, ok = take(rate, level, now_ms)
        taken += ok
        assert 0 <= level.tokens <= rate.size
    assert taken <= rate.size + now_ms / 1000 * rate.refill + 1e-6


def test_every_rate_belongs_to_an_operation_or_a_decision() -> None:
    """Or to task lists; and every operation has one."""
    assert set(AWS_RATES) <= set(OPERATIONS) | set(DECISIONS) | {PER_TASK_LIST}
    assert set(OPERATIONS) <= set(AWS_RATES)
    assert set(EXECUTION_RATES) <= set(OPERATIONS)

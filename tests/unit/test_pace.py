"""The bucket that schedules are paced with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garcon.pool.pace import HALVED_S, TAKE_MAX, Allowances, Pace


def test_a_full_bucket_holds_a_second_s_worth():
    """So much may go at once, in takes of what one response holds."""
    pace = Pace(180, 0.0)

    assert [pace.take(0.0) for _ in range(4)] == [TAKE_MAX, 80, 0, 0]
    assert pace.take(0.5) == 90


def test_what_a_decision_leaves_another_may_use():
    """Up to what the bucket holds."""
    pace = Pace(50, 0.0)

    assert pace.take(0.0) == 50
    pace.give_back(20)
    assert pace.take(0.0) == 20
    pace.give_back(1_000)
    assert pace.take(0.0) == 50


def test_a_rate_below_one_a_second_lets_one_through_at_a_time():
    """One every four seconds."""
    pace = Pace(0.25, 0.0)

    assert [pace.take(second) for second in (0.0, 1.0, 3.9, 4.0, 5.0, 8.0)] == [1, 0, 0, 1, 0, 1]


def test_a_refusal_halves_the_rate_for_a_minute():
    """Those of one surge count as one; later ones halve it again; a quiet minute ends it."""
    pace = Pace(160, 0.0)
    pace.refused(10.0)
    pace.refused(11.0)
    assert pace.rate_per_s == 80
    assert pace.take(11.0) == 80

    pace.refused(20.0)
    assert pace.rate_per_s == 40

    pace.take(20.0 + HALVED_S)
    assert pace.rate_per_s == 160


def test_the_rate_is_not_halved_without_end():
    """A pool that is refused all day still tries."""
    pace = Pace(160, 0.0)
    for second in range(0, 3_600, 10):
        pace.refused(float(second))

    assert pace.rate_per_s == 10


@given(
    st.floats(0.5, 500),
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
)
def test_no_time_gives_more_than_the_rate_allows(rate, steps):
    """Whenever it is asked, and whatever is refused."""
    pace, now_s, taken = Pace(rate, 0.0), 0.0, 0
    for passed_s, is_refused in steps:
        now_s += passed_s
        taken += pace.take(now_s)
        if is_refused:
            pace.refused(now_s)
        assert taken <= max(1.0, rate) + rate * now_s + 1e-6


def test_without_a_pace_anything_is_allowed():
    """An engine without quotas is not slowed by those of another."""
    free = Allowances(None, lambda: 0.0)

    assert free.take() is None
    free.settle(None, 5)
    assert free.refused() is False


def test_allowances_come_out_of_the_pace_and_go_back_into_it():
    """What was not used the next decision may use."""
    paced = Allowances(Pace(10, 0.0), lambda: 0.0)

    assert paced.take() == 10
    paced.settle(10, 4)
    assert paced.take() == 6
    assert paced.refused() is True

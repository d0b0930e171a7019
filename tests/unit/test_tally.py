"""What the pool counts, and how fast it went lately."""

from __future__ import annotations

from garcon.pool.tally import RecentRates, Tally


def test_a_rate_is_the_mean_over_the_last_minute():
    """What happened before counts no more."""
    rates = RecentRates(over_s=60.0)
    for second in range(0, 301, 5):
        # Ten a second at first, none in the second half.
        rates.look({"completed": min(10 * second, 1500)}, float(second))

    assert rates.per_s({"completed": 1500}, 302.0) == {"completed": 0.0}


def test_a_young_pool_has_a_rate_over_its_own_time():
    """Five seconds, fifty tasks: ten a second."""
    rates = RecentRates()
    rates.look({"completed": 0}, 100.0)

    assert rates.per_s({"completed": 50}, 105.0) == {"completed": 10.0}


def test_without_a_look_nothing_is_claimed():
    """A pool that has just begun has no rate."""
    assert RecentRates().per_s(Tally(completed=3).counts(), 5.0)["completed"] == 0.0

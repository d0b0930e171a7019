"""How many tasks are asked for on behalf of workers that are still busy."""

from __future__ import annotations

import pytest

from garcon.pool.lookahead import SHORT_S, LookAhead

#: A worker looks again after this; seconds.
LATER_S = 0.02


def knowing(trip_s: float, **runs_s: float) -> LookAhead:
    """Return what has seen a way and some runs."""
    ahead = LookAhead()
    ahead.note_trip(trip_s)
    for activity, run_s in runs_s.items():
        ahead.note_run(activity, run_s)
    return ahead


def test_nothing_is_asked_for_ahead_before_anything_is_known() -> None:
    """A first task may run for hours."""
    ahead = LookAhead()
    ahead.note_trip(0.004)

    assert ahead.number([("fetch", 0.0)] * 16, 0.0) == 0


@pytest.mark.parametrize(
    ("trip_s", "run_s", "number"),
    [(0.004, 0.020, 6), (0.001, 0.020, 2), (0.004, 0.500, 0), (0.100, 0.900, 4)],
)
def test_the_number_follows_from_how_many_end_while_a_poll_is_under_way(
    trip_s: float, run_s: float, number: int
) -> None:
    """Sixteen workers: the mean of what ends, and twice the root of it for chance."""
    assert knowing(trip_s, fetch=run_s).number([("fetch", 0.0)] * 16, 0.0) == number


def test_there_is_at_most_one_for_each_busy_worker() -> None:
    """However short the runs beside the way: what comes first is what these workers can begin."""
    assert knowing(0.100, fetch=0.001).number([("fetch", 0.0)] * 3, 0.0) == 3
    assert knowing(0.100, fetch=0.0).number([("fetch", 0.0)] * 3, 0.0) == 3
    assert knowing(0.100, fetch=0.001).number([], 0.0) == 0


def test_a_run_of_more_than_a_second_ends_it_at_once_and_for_long() -> None:
    """What was taken ahead would wait for it, while another host could run it."""
    ahead = knowing(0.300, fetch=0.010)
    ahead.note_run("fetch", 10.0)

    assert ahead.number([("fetch", 0.0)] * 16, 0.0) == 0
    for _ in range(15):
        ahead.note_run("fetch", 0.010)
    assert ahead.number([("fetch", LATER_S)] * 16, LATER_S) == 0
    for _ in range(15):
        ahead.note_run("fetch", 0.010)
    assert ahead.number([("fetch", 2 * LATER_S)] * 16, 2 * LATER_S) > 0


def test_each_activity_counts_for_itself_and_not_where_it_has_run_for_long_already() -> None:
    """One worker has begun a moment ago, one hangs, one runs what is known to be long."""
    ahead = knowing(0.500, quick=0.001, slow=3.0)
    now_s = 100.0
    running = [("quick", now_s - 0.01), ("quick", now_s - SHORT_S - 0.01), ("slow", now_s - 0.01)]

    assert ahead.number(running, now_s) == 1


def test_a_line_that_was_cut_for_a_minute_is_no_way_of_a_minute() -> None:
    """An answer that was repeated for so long would have the pool ask for a task a worker."""
    ahead = knowing(0.001, fetch=0.900)
    for _ in range(3):
        ahead.note_trip(60.0)

    assert ahead.number([("fetch", 0.0)] * 16, 0.0) < 8


def test_the_sum_is_not_made_for_each_task() -> None:
    """It is asked for more than a thousand times a second, and changes a few times."""
    ahead = knowing(0.100, fetch=0.010)
    assert ahead.number([("fetch", 0.0)] * 4, 0.0) == 4

    assert ahead.number([], 0.005) == 4
    assert ahead.number([], LATER_S) == 0

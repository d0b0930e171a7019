"""How many workers `auto` keeps, minute by minute in virtual time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from garcon.pool.sizing import (
    IDLE_S,
    SETTLE_S,
    Bounds,
    Seen,
    Sizing,
    default_cap,
    resize,
    start,
)

GIB = 1024**3
BOUNDS = Bounds(floor=2, cap=32)
IDLE = Seen(
    workers=4, busy=0, work_waits=False, cpu_busy=0.1, memory_limit=8 * GIB, memory_free=6 * GIB
)


def full(workers: int, cpu_busy: float = 0.2) -> Seen:
    """Return a pool whose workers are all busy while more work waits."""
    return replace(IDLE, workers=workers, busy=workers, work_waits=True, cpu_busy=cpu_busy)


def test_it_starts_small_on_any_machine() -> None:
    """Two on two CPUs, never more than four, never outside the bounds."""
    assert 2 == start(BOUNDS, 2, 0.0).workers
    assert 4 == start(BOUNDS, 64, 0.0).workers
    assert 6 == start(Bounds(floor=6, cap=8), 1, 0.0).workers
    assert 3 == start(Bounds(floor=1, cap=3), 64, 0.0).workers


def test_it_doubles_while_everyone_is_busy_and_work_waits_up_to_the_cap() -> None:
    """Flows that wait for others keep the CPUs idle, and grow past their number."""
    sizing, now_s, sizes = start(BOUNDS, 4, 0.0), 0.0, []
    for _ in range(5):
        now_s += SETTLE_S
        sizing = resize(sizing, full(sizing.workers), BOUNDS, now_s)
        sizes.append(sizing.workers)

    assert [8, 16, 32, 32, 32] == sizes


def test_it_waits_for_the_effect_of_a_change() -> None:
    """New workers need a moment to show what they cost."""
    sizing = resize(start(BOUNDS, 4, 0.0), full(4), BOUNDS, SETTLE_S)

    assert 8 == resize(sizing, full(8), BOUNDS, 2 * SETTLE_S - 0.01).workers
    assert 16 == resize(sizing, full(8), BOUNDS, 2 * SETTLE_S).workers


def test_it_does_not_grow_for_idle_workers_busy_cpus_or_want_of_work() -> None:
    """Each of the conditions alone holds it back."""
    sizing = start(BOUNDS, 4, 0.0)
    for seen in (
        full(4, cpu_busy=0.9),
        replace(full(4), busy=3),
        replace(full(4), work_waits=False),
    ):
        assert 4 == resize(sizing, seen, BOUNDS, 10.0).workers


def test_it_grows_only_by_what_the_memory_holds() -> None:
    """What workers were seen to use counts, and a reserve stays free."""
    sizing = Sizing(8, changed_s=0.0, window_s=0.0)
    seen = replace(full(8), memory_limit=10 * GIB, memory_free=3 * GIB, worker_memory=GIB)

    assert 10 == resize(sizing, seen, BOUNDS, 10.0).workers


def test_it_gives_workers_back_one_by_one_while_memory_is_short() -> None:
    """Before the kernel chooses whom to kill."""
    sizing = Sizing(8, changed_s=0.0, window_s=0.0)
    short = replace(full(8), memory_free=GIB // 4)

    sizing = resize(sizing, short, BOUNDS, 10.0)
    again = resize(sizing, short, BOUNDS, 10.0 + SETTLE_S)

    assert 7 == sizing.workers
    assert 6 == again.workers


def test_it_shrinks_to_the_floor_after_an_idle_minute_and_not_before() -> None:
    """Idle workers cost memory."""
    sizing = Sizing(16, changed_s=0.0, window_s=0.0)

    early = resize(sizing, IDLE, BOUNDS, 59.0)
    late = resize(early, IDLE, BOUNDS, 60.0)

    assert 16 == early.workers
    assert 2 == late.workers


def test_it_keeps_what_the_last_minute_needed_at_its_peak() -> None:
    """A breath between two bursts takes nothing away, and leaves some to spare."""
    sizing = Sizing(16, changed_s=0.0, window_s=0.0)
    sizing = resize(sizing, replace(IDLE, workers=16, busy=9), BOUNDS, 30.0)

    sizing = resize(sizing, IDLE, BOUNDS, IDLE_S)

    assert 11 == sizing.workers


def test_a_day_of_the_same_load_settles_within_two_minutes() -> None:
    """It never flaps: 20 tasks at once, all day, and whoever says so thinks that work waits."""
    sizing, changes = start(BOUNDS, 4, 0.0), []
    for second in range(0, 24 * 3600, 5):
        busy = min(20, sizing.workers)
        seen = replace(full(sizing.workers), busy=busy, work_waits=busy == sizing.workers)
        after = resize(sizing, seen, BOUNDS, float(second))
        if after.workers != sizing.workers and second > 120:
            changes.append(after.workers)
        sizing = after

    assert [] == changes
    assert 20 <= sizing.workers <= 32


@given(
    workers=st.integers(1, 64),
    busy=st.integers(0, 64),
    work_waits=st.booleans(),
    cpu_busy=st.floats(0, 1),
    free=st.integers(0, 8 * GIB),
    each=st.integers(0, 8 * GIB),
    now_s=st.floats(0, 1e6),
)
def test_no_sight_leads_out_of_the_bounds(
    workers: int,
    busy: int,
    work_waits: bool,
    cpu_busy: float,
    free: int,
    each: int,
    now_s: float,
) -> None:
    """Floor and cap hold whatever is seen, and a pool is never empty."""
    seen = Seen(workers, busy, work_waits, cpu_busy, 8 * GIB, free, each)

    size = resize(Sizing(max(2, min(workers, 32)), 0.0, 0.0), seen, BOUNDS, now_s).workers

    assert 2 <= size <= 32


def test_the_cap_without_a_wish_follows_the_machine() -> None:
    """160 workers in a container of two CPUs end in its OOM killer."""
    assert [8, 8, 64] == [default_cap(cpus) for cpus in (1, 2, 16)]

"""When a worker has had its share."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from garcon.pool.recycling import Fate, Share, Use, judge

MB = 1_000_000
USE = Use(slot=3, pid=400, tasks=50, age_s=500.0, memory=10 * MB, busy=False)


def fate(share: Share, use: Use) -> Fate | None:
    """Return the fate alone."""
    verdict = judge(share, use)
    return verdict.fate if verdict else None


def test_without_bounds_a_worker_stays_for_ever() -> None:
    """The default."""
    assert fate(Share(), replace(USE, tasks=10**9, age_s=1e9, memory=10**12)) is None


def test_each_bound_is_reached_and_not_before() -> None:
    """Tasks and age a little early, by the process's own jitter; memory exactly."""
    assert fate(Share(tasks=100), replace(USE, tasks=89)) is None
    assert Fate.RETIRE is fate(Share(tasks=100), replace(USE, tasks=100))
    assert fate(Share(age_s=100), replace(USE, age_s=89.9)) is None
    assert Fate.RETIRE is fate(Share(age_s=100), replace(USE, age_s=100))
    assert fate(Share(memory=100 * MB), replace(USE, memory=100 * MB)) is None
    assert Fate.RETIRE is fate(Share(memory=100 * MB), replace(USE, memory=100 * MB + 1))


def test_workers_that_were_born_together_do_not_leave_together() -> None:
    """Sixteen at once would leave the pool empty for a moment, again and again."""
    leave_at = {
        next(
            tasks
            for tasks in range(1, 1001)
            if judge(Share(tasks=1000), replace(USE, slot=slot, pid=400 + slot, tasks=tasks))
        )
        for slot in range(16)
    }

    assert len(leave_at) >= 12
    assert 900 <= min(leave_at) <= max(leave_at) <= 1000


def test_memory_is_judged_between_tasks_up_to_twice_the_bound() -> None:
    """A task may need more for a while; twice as much it may not."""
    share = Share(memory=100 * MB)
    busy = replace(USE, busy=True)

    assert fate(share, replace(busy, memory=200 * MB)) is None
    assert Fate.OUT_OF_MEMORY is fate(share, replace(busy, memory=200 * MB + 1))
    verdict = judge(share, replace(busy, memory=300 * MB))
    assert verdict is not None
    assert "its task took 300 MB, the bound is 100 MB" == verdict.text


def test_a_first_task_over_the_bound_is_ended_too() -> None:
    """It need not have finished any for that."""
    first = replace(USE, tasks=0, busy=True, memory=300 * MB)

    assert Fate.OUT_OF_MEMORY is fate(Share(memory=100 * MB), first)


@given(
    tasks=st.integers(0, 5),
    age_s=st.floats(0, 5),
    memory=st.integers(0, 5),
    used=st.integers(0, 10**12),
    lived_s=st.floats(0, 1e9),
)
def test_no_bound_sends_a_worker_away_that_has_done_nothing(
    tasks: int, age_s: float, memory: int, used: int, lived_s: float
) -> None:
    """Else a bound below what a fresh worker has would fork for ever."""
    share = Share(tasks, age_s, memory)

    assert judge(share, Use(1, 2, 0, lived_s, used, busy=False)) is None

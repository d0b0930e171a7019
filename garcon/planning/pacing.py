"""How much a run may have open, and how long an answer may wait for company.

Few decisions for many completions: each decision costs three events and one round trip, so an
answer is held while the run's workers still have enough to do. Pure: rates come from the times in
the history. Law: what is held never idles a worker and never delays a first fill or a close.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from garcon.history import RunState

#: SWF refuses above 1,000; the margin is for what started between two looks.
OPEN_MAX = 900

#: Waiting activities that a run may always have beyond those that run.
WINDOW_MIN = 100

#: The window grows with the completions that one decision brings.
WINDOW_FACTOR = 3

HOLD_MAX_S = 5.0
HOLD_COMPLETIONS = 60  # completions that one decision should answer
SAMPLE_MIN = 32  # completions from which a rate is taken
HOLD_OPEN_MIN = 100  # runs with fewer open activities are never held

#: Share of a decision's timeout that holding may use.
HOLD_SHARE = 0.25

#: While workers empty the window as fast as it is filled, look again after this, seconds. The
#: start of a task wakes no decider, so that many free workers would go unseen.
LOOK_S = 5.0
LOOK_WAITING_MAX = WINDOW_MIN // 2

#: A refused schedule is tried again after this, doubling with every refusal in a row, seconds.
REFUSED_WAIT_S = 1.0
REFUSED_WAIT_MAX_S = 60.0


def open_limit(state: RunState) -> int:
    """Return how many activities the run may have open after this decision."""
    completions = state.closes - state.closes_decided
    return min(OPEN_MAX, state.started + max(WINDOW_MIN, WINDOW_FACTOR * completions))


def rate_room(moments: Sequence[tuple[float, int]], rate_per_s: float, now_s: float) -> int:
    """Return how many instances an activity's rate lets through now.

    A bucket of one second's worth, at least one, that the schedules in the history have drawn on.

    Args:
        moments: when how many were scheduled, ascending; those that matter suffice.
        rate_per_s: what the activity declares.
        now_s: the present, epoch seconds.
    """
    size = max(1.0, rate_per_s)
    level, at_s = size, moments[0][0] if moments else now_s
    for moment_s, count in moments:
        level = min(size, level + (moment_s - at_s) * rate_per_s) - count
        at_s = moment_s
    # A hair of tolerance: sums of fractions fall short of the whole number that they mean.
    return max(0, floor(min(size, level + (now_s - at_s) * rate_per_s) + 1e-6))


def should_look(state: RunState) -> bool:
    """Whether the workers may be more than the window shows: they have emptied it."""
    return state.open - state.started < LOOK_WAITING_MAX


def refused_until_s(state: RunState) -> float:
    """Return until when nothing may be scheduled because SWF refused, epoch seconds; 0.0: now."""
    if not state.refusals:
        return 0.0
    wait_s = REFUSED_WAIT_S * 2.0 ** min(16, state.refusals - 1)
    return state.refused_s + min(REFUSED_WAIT_MAX_S, wait_s)


def hold_s(state: RunState, scheduled: int, decision_timeout_s: int) -> float:
    """Return how long the answer to this decision may be held, seconds.

    The least of: 5 s, a quarter of the decision's timeout, the time that about 60 completions take
    at the run's own rate, and the time until the tasks that wait for a worker fall to one round of
    the workers that run. A rate that is not known yet holds nothing.

    Args:
        state: the run as this decision sees it.
        scheduled: activities that the answer schedules.
        decision_timeout_s: what SWF gives a decision.
    """
    rate = closes_per_s(state)
    if state.open + scheduled < HOLD_OPEN_MIN or rate is None:
        return 0.0
    # In the long run tasks start as fast as they end.
    stock_s = (state.open - 2 * state.started) / rate
    return max(
        0.0, min(HOLD_MAX_S, HOLD_SHARE * decision_timeout_s, HOLD_COMPLETIONS / rate, stock_s)
    )


def closes_per_s(state: RunState) -> float | None:
    """Return how many attempts end a second while all workers are busy; None if unknown.

    Time in which nothing waited does not count: workers that were kept waiting by an answer that
    was held too long would look slow, and the next answer would be held even longer.
    """
    sample = max(SAMPLE_MIN, 2 * state.started)
    last = state.paces[-1] if state.paces else None
    for pace in reversed(state.paces):
        if last is not None and last.closes - pace.closes >= sample:
            passed_s = last.busy_s - pace.busy_s
            return (last.closes - pace.closes) / passed_s if passed_s > 0 else None
    return None

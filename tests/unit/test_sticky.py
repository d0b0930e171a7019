"""When a run's decisions are asked to come to one pool alone."""

from __future__ import annotations

import pytest

from garcon.pool.sticky import (
    CLOSED_S,
    GIVE_BACK_S,
    KEPT_S,
    QUIET_S,
    RUNS_MAX,
    WAIT_S,
    StickyRuns,
    own_list,
)

OURS, THEIRS = "host-a:1", "host-b:2"
COMMON, OWN = "flow", "flow.mark"


def started(event_id: int, identity: str | None, at_s: float) -> dict:
    """Return the event of a decision that `identity` has begun."""
    scheduled = {"scheduledEventId": event_id - 1}
    return {
        "eventId": event_id,
        "eventType": "DecisionTaskStarted",
        "eventTimestamp": at_s,
        "decisionTaskStartedEventAttributes": scheduled
        | ({"identity": identity} if identity else {}),
    }


def head(previous: str | None, previous_at_s: float, at_s: float) -> dict:
    """Return a poll's answer: the run was decided by `previous`, and now it is our turn."""
    return {
        "previousStartedEventId": 3,
        "startedEventId": 9,
        "events": [started(3, previous, previous_at_s), started(9, OURS, at_s)],
    }


def at_work(since_s: float = 100.0) -> StickyRuns:
    """Return the view of a pool that decides since then."""
    sticky = StickyRuns(OURS, OWN)
    first = {
        "startedEventId": 3,
        "previousStartedEventId": 0,
        "events": [started(3, OURS, since_s)],
    }
    assert not sticky.take("another", first, COMMON, 0.0)
    return sticky


def words(
    sticky: StickyRuns, polled: str = COMMON, now_s: float = 0.0, gives_back: bool = False
) -> dict:
    """Return what an answer says of the list."""
    return sticky.members("r", polled, COMMON, now_s, gives_back=gives_back)


STICK = {"taskList": {"name": OWN}, "taskListScheduleToStartTimeout": str(WAIT_S)}
HOME = {"taskList": {"name": COMMON}}


@pytest.mark.parametrize(
    ("identity", "at_s", "is_kept"),
    [
        (OURS, 150.0, False),
        (THEIRS, 99.0, False),
        (THEIRS, 100.0, True),
        (THEIRS, 150.0, True),
        (None, 150.0, True),
    ],
)
def test_a_run_is_kept_once_another_pool_decided_it_while_this_one_was_at_work(
    identity, at_s, is_kept
):
    """A pool of an earlier day, or this one itself, is no reason."""
    sticky = at_work()

    assert is_kept is sticky.take("r", head(identity, at_s, 160.0), COMMON, 0.0)

    assert (STICK if is_kept else {}) == words(sticky)
    assert is_kept is sticky.has_runs(0.0)


def test_the_first_decision_of_a_pool_keeps_nothing():
    """It knows of no time at which both were there."""
    sticky = StickyRuns(OURS, OWN)

    assert not sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    assert {} == words(sticky)


def test_a_page_that_does_not_begin_with_the_last_decision_says_nothing():
    """A whole history, an empty page, or another event in its place."""
    sticky = at_work()
    odd = {"eventId": 3, "eventType": "TimerFired", "eventTimestamp": 150.0}

    for events in ([], [odd, started(9, OURS, 160.0)], [started(2, THEIRS, 150.0)]):
        page = {"previousStartedEventId": 3, "startedEventId": 9, "events": events}
        assert not sticky.take("r", page, COMMON, 0.0)


def test_every_answer_about_a_kept_run_asks_for_the_next_one():
    """An answer that is lost in between changes nothing."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)

    assert not sticky.take("r", head(OURS, 160.0, 170.0), OWN, 1.0)

    assert STICK == words(sticky, OWN)


def test_a_run_that_came_back_to_the_common_list_is_no_longer_kept():
    """Its decision was not taken in time: whoever is free may have it."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)

    page = head(OURS, 160.0, 170.0)
    page["events"].insert(1, {"eventId": 7, "eventType": "DecisionTaskTimedOut"})
    sticky.take("r", page, COMMON, 1.0)

    assert {} == words(sticky)
    assert not sticky.has_runs(1.0)


def test_a_run_is_kept_over_the_decision_that_was_scheduled_before_it_was():
    """That comes over the common list still, and the ones after it do not."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    assert STICK == words(sticky)

    assert not sticky.take("r", head(OURS, 160.0, 170.0), COMMON, 1.0)

    assert STICK == words(sticky, COMMON, 1.0)
    assert sticky.awaits_runs(1.0)


@pytest.mark.parametrize("polled", [COMMON, OWN])
def test_a_pool_that_leaves_gives_its_runs_back(polled):
    """By name also where the decision came over the common list: SWF may know of the own one."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    assert STICK == words(sticky)
    sticky.take("r", head(OURS, 160.0, 170.0), polled, 1.0)

    assert HOME == words(sticky, polled, 1.0, gives_back=True)

    assert not sticky.awaits_runs(1.0)
    assert {} == words(sticky, COMMON, 2.0, gives_back=True), "it is back"


def test_the_own_list_is_polled_for_the_decision_that_was_scheduled_before_its_run_was_given_back():
    """Nobody else would take it; it waits there as long as any."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    sticky.take("r", head(OURS, 160.0, 170.0), OWN, 1.0)

    assert HOME == words(sticky, OWN, 3.0, gives_back=True)

    assert sticky.has_runs(3.0 + WAIT_S - 0.1)
    assert not sticky.has_runs(3.0 + WAIT_S)
    assert 0 == len(sticky)
    assert not sticky.take("r", head(OURS, 170.0, 180.0), OWN, 4.0)
    assert HOME == words(sticky, OWN, 4.0)


def test_runs_that_are_open_and_kept_are_awaited():
    """Those that were closed or given back have their next decision already, or none."""
    sticky = at_work()
    assert not sticky.awaits_runs(0.0)
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    assert sticky.awaits_runs(0.0)

    sticky.closed("r", 1.0)

    assert not sticky.awaits_runs(1.0)
    assert sticky.has_runs(1.0)
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 2.0)
    assert sticky.awaits_runs(2.0)
    sticky.forget("r")
    assert not sticky.awaits_runs(2.0)
    sticky.forget("never kept")


def test_a_decision_is_near_while_kept_runs_are_being_decided():
    """After a quiet time nobody can say when the next one is scheduled."""
    sticky = at_work()
    for now_s, polled in ((0.0, COMMON), (30.0, OWN)):
        sticky.take("r", head(THEIRS, 150.0, 160.0), polled, now_s)
        assert sticky.awaits_runs(now_s + QUIET_S - 0.1, soon=True)
        assert not sticky.awaits_runs(now_s + QUIET_S, soon=True)
        assert sticky.awaits_runs(now_s + QUIET_S)


def test_the_own_list_is_polled_only_while_a_kept_run_may_come():
    """A closed run could come back only if SWF did not take its end; a quiet one not for ever."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    assert sticky.has_runs(KEPT_S)

    sticky.closed("r", 5.0)
    sticky.closed("never kept", 5.0)

    assert sticky.has_runs(5.0 + CLOSED_S - 1)
    assert not sticky.has_runs(5.0 + CLOSED_S)
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    assert not sticky.has_runs(KEPT_S + GIVE_BACK_S)
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    sticky.closed("r", KEPT_S + GIVE_BACK_S - 1)
    assert not sticky.has_runs(KEPT_S + GIVE_BACK_S), "its end keeps it no longer"


def test_a_run_is_given_back_when_nobody_else_was_seen_for_long():
    """The pool that decided it before may be dead since: alone, this one polls no second list."""
    sticky = at_work()
    sticky.take("r", head(THEIRS, 150.0, 160.0), COMMON, 0.0)
    for now_s in (1.0, KEPT_S - 1):
        sticky.take("r", head(OURS, 160.0, 170.0), OWN, now_s)
        assert STICK == words(sticky, OWN)

    sticky.take("r", head(OURS, 170.0, 180.0), OWN, KEPT_S)

    assert HOME == words(sticky, OWN, KEPT_S)
    assert not sticky.has_runs(KEPT_S + WAIT_S)
    sticky.take("r", head(OURS, 180.0, 190.0), COMMON, KEPT_S + 1)
    assert {} == words(sticky)


def test_the_kept_runs_are_bounded():
    """The longest unheard goes, and comes back over the common list."""
    sticky = at_work()
    for number in range(RUNS_MAX + 5):
        sticky.take(f"r-{number}", head(THEIRS, 150.0, 160.0), COMMON, 0.0)

    assert RUNS_MAX == len(sticky)
    assert {} == sticky.members("r-0", COMMON, COMMON, 0.0, gives_back=False)
    sticky.take("r-0", head(OURS, 160.0, 170.0), OWN, 1.0)
    assert HOME == sticky.members("r-0", OWN, COMMON, 1.0, gives_back=False)


def test_the_name_of_the_own_list_fits():
    """SWF takes 256 characters."""
    assert "flow.mark" == own_list("flow", "mark")
    assert 256 > len(own_list(256 * "x", 32 * "y"))


def test_runs_that_come_over_a_dead_pool_s_list_are_kept():
    """That pool had seen another one with them; and nobody but its heir polls that list."""
    sticky = at_work()
    sticky.inherit("flow.dead")

    assert sticky.take("r", head(OURS, 150.0, 160.0), "flow.dead", 0.0)

    assert STICK == words(sticky, "flow.dead")
    assert sticky.has_runs(0.0)
    assert HOME == words(sticky, "flow.dead", gives_back=True)

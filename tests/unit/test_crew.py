"""Who may be given which task, and how many more a list may bring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from garcon.description import ActivityDescription
from garcon.pool.crew import ROUNDS, Crew, Seat
from garcon.pool.tasks import ActivityTask

FETCH = ActivityDescription("fetch", "flow_fetch", "1.0", "fetch")
SEND = ActivityDescription("send", "flow_send", "1.0", "send")
ASK = ActivityDescription("ask", "flow_ask", "1.0", "ask", threads=4)


@dataclass
class AChild:
    """What the crew needs of a child."""

    slot: int
    pid: int = 400
    slate: None = None


class Room:
    """A crew and its tasks."""

    def __init__(self, workers: int, *activities: ActivityDescription) -> None:
        self.crew = Crew()
        self.crew.adopt(activities)
        for slot in range(1, workers + 1):
            self.crew.add(AChild(slot))
        self._last = 0

    def task(self, activity: ActivityDescription) -> ActivityTask:
        """Return a task that has just come."""
        self._last += 1
        return ActivityTask(self._last, "t", activity, "a", "w", "r", b"", 0.0, 0.0)

    def give(self, activity: ActivityDescription) -> int | None:
        """Give a task to whom it belongs; return the slot, None where nobody takes it."""
        found = self.crew.match([self.task(activity)])
        if found is None:
            return None
        self.crew.give(*found, 0.0)
        return found[1].child.slot

    def seat(self, slot: int) -> Seat:
        """Return a worker."""
        seat = self.crew.seat(slot)
        assert seat is not None
        return seat


def test_a_task_goes_to_the_worker_that_was_busy_last() -> None:
    """Its code is warm, and the workers do not come to their last task all at once."""
    room = Room(2, FETCH)

    assert [1, 2, None] == [room.give(FETCH) for _ in range(3)]
    room.crew.take_back(room.seat(2), 2)
    room.crew.take_back(room.seat(1), 1)
    assert [1, 2] == [room.give(FETCH) for _ in range(2)]


def test_a_worker_whose_task_failed_is_the_last_to_get_another() -> None:
    """One that fails fast, for a reason of its own, does not get every retry."""
    room = Room(3, FETCH)
    assert [1, 2, 3] == sorted(room.give(FETCH) for _ in range(3))
    number = {slot: next(iter(room.seat(slot).tasks)) for slot in (1, 2, 3)}

    room.crew.take_back(room.seat(1), number[1])
    room.crew.take_back(room.seat(2), number[2], went_well=False)
    room.crew.take_back(room.seat(3), number[3])

    assert [3, 1, 2] == [room.give(FETCH) for _ in range(3)]


def test_threads_of_one_worker_are_filled_first() -> None:
    """Then those of the next."""
    room = Room(2, ASK, SEND)

    assert [1, 1, 1, 1, 2] == [room.give(ASK) for _ in range(5)]
    assert [0, 1, 2, 3] == [one.place for one in room.seat(1).tasks.values()]
    assert room.give(SEND) is None


def test_activities_with_threads_do_not_share_a_worker() -> None:
    """What one of them does to its process is no business of another."""
    other = replace(ASK, name="tell")
    room = Room(2, ASK, other)

    assert [1, 2, 1] == [room.give(one) for one in (ASK, other, ASK)]


def test_who_leaves_or_has_a_ghost_gets_nothing() -> None:
    """A thread that nobody waits for may do anything to its process."""
    room = Room(2, ASK)
    room.give(ASK)
    room.give(ASK)
    seat = room.seat(1)
    seat.abandon(seat.tasks[1], 5.0)

    assert 2 == room.give(ASK)
    room.crew.retire(2)
    assert room.give(ASK) is None
    room.crew.take_back(seat, 1)
    assert 1 == room.give(ASK)
    assert 0 == seat.tasks[5].place


def test_a_worker_is_idle_again_when_nothing_of_it_runs() -> None:
    """Ghosts run too."""
    room = Room(1, ASK)
    room.give(ASK)
    room.give(ASK)
    seat = room.seat(1)
    seat.abandon(seat.tasks[1], 5.0)

    room.crew.take_back(seat, 2)
    assert (0, {1}) == (room.crew.idle, room.crew.busy)
    room.crew.take_back(seat, 1)
    room.crew.take_back(seat, 1)
    assert (1, frozenset()) == (room.crew.idle, room.crew.busy)


def test_without_caps_and_threads_the_idle_workers_are_all_that_counts() -> None:
    """Nothing has to be added up for each poll."""
    assert {} == Room(3, FETCH, SEND).crew.rooms([])


def test_a_list_with_threads_may_bring_what_they_hold() -> None:
    """Free threads, and all threads of idle workers that are not spoken for."""
    room = Room(2, ASK, SEND)
    assert {"ask": 8} == room.crew.rooms([])
    assert {"ask": 4} == room.crew.rooms([room.task(SEND)])

    room.give(ASK)
    assert {"ask": 7} == room.crew.rooms([])
    room.give(SEND)
    assert {"ask": 3} == room.crew.rooms([])
    room.crew.retire(1)
    assert {"ask": 0} == room.crew.rooms([])


def test_a_cap_counts_what_runs_and_what_is_in_hand() -> None:
    """Over all workers, threads or not."""
    capped = replace(ASK, max_procs=3)
    room = Room(2, capped)

    assert {"ask": 3} == room.crew.rooms([])
    room.give(capped)
    assert {"ask": 1} == room.crew.rooms([room.task(capped)])
    assert [1, 1, None] == [room.give(capped) for _ in range(3)]
    assert {"ask": 0} == room.crew.rooms([])


def test_on_a_shared_list_the_least_holds() -> None:
    """Which of its activities a poll will bring nobody knows."""
    room = Room(2, replace(ASK, task_list="both"), replace(FETCH, task_list="both"))

    assert {"both": 2} == room.crew.rooms([])


@pytest.mark.parametrize(("others", "given"), [((SEND,), ROUNDS * 4), ((), 40)])
def test_a_sitting_ends_where_others_may_be_waiting(
    others: tuple[ActivityDescription, ...], given: int
) -> None:
    """One thread is always taken, so the worker is never idle by itself."""
    room = Room(1, ASK, *others)
    room.give(ASK)
    seat = room.seat(1)
    taken = 1
    while taken < 40 and room.give(ASK):
        taken += 1
        room.crew.take_back(seat, max(seat.tasks))

    assert given == taken


def test_only_workers_that_are_idle_after_their_task_may_be_asked_for_ahead() -> None:
    """One runs on threads, one leaves, one has a task that was answered without it."""
    room = Room(4, FETCH, SEND, ASK)
    assert room.give(ASK) == 1
    assert [room.give(FETCH) for _ in range(3)] == [2, 3, 4]
    assert list(room.crew.running_alone()) == [("fetch", 0.0)] * 3

    room.crew.retire(2)
    (task,) = room.seat(3).tasks.values()
    room.seat(3).abandon(task, 5.0)

    assert list(room.crew.running_alone()) == [("fetch", 0.0)]

"""Which workers are replaced, and what is said of bounds that no worker can keep."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest

from garcon.description import ActivityDescription
from garcon.pool.crew import Crew, Seat
from garcon.pool.facts import Fact, KillAsked, RetireAsked
from garcon.pool.recycling import Share
from garcon.pool.tasks import ActivityTask
from garcon.pool.turnover import Turnover

MB = 1_000_000
FETCH = ActivityDescription("fetch", "flow_fetch", "1.0", "flow_fetch")
ASK = replace(FETCH, threads=4)


@dataclass
class AChild:
    """What the crew needs of a child."""

    slot: int = 3
    pid: int = 400
    slate: None = None


class Shop:
    """A crew of one, whose memory and tasks are the test's."""

    def __init__(self, activity: ActivityDescription = FETCH, **share: Any) -> None:
        self.memory = 30 * MB
        self.facts: list[Fact] = []
        self.killed: list[str] = []
        self.crew = Crew()
        self.crew.adopt([activity])
        self.turnover = Turnover(
            Share(**share), self.crew, self, self.facts.append, lambda _pid: self.memory
        )
        self._activity = activity
        self._last = 0
        self.open()

    def open(self) -> None:
        """Have a fresh worker in the slot."""
        self.crew.add(AChild())
        self.turnover.begin(3, 400, 0.0)
        (self.seat,) = self.crew

    def begin(self) -> int:
        """Give the worker a task; return its number."""
        self._last += 1
        task = ActivityTask(self._last, "t", self._activity, "a", "w", "r", b"", 0.0, 0.0)
        self.crew.give(task, self.seat, 0.0)
        return self._last

    def end(self, number: int, grown: int = 0, now_s: float = 1.0) -> None:
        """End a task that has left the worker so much larger."""
        self.memory += grown
        self.crew.take_back(self.seat, number)
        self.turnover.task_ended(self.seat, now_s)

    def run(self, grown: int = 0, now_s: float = 1.0) -> None:
        """Run one task."""
        self.end(self.begin(), grown, now_s)

    def end_oversized(self, seat: Seat, text: str) -> None:
        """Stand in for the answers to the tasks of a worker that is killed."""
        seat.ended = True
        self.killed.append(text)


def test_a_leaking_worker_is_replaced_before_it_passes_the_bound_by_more_than_one_task() -> None:
    """Five more MB a task; what it had when it was fresh does not count."""
    shop = Shop(memory=100 * MB)

    for _ in range(20):
        shop.run(grown=5 * MB)
        assert [] == shop.facts
    shop.run(grown=5 * MB)

    assert [RetireAsked(3)] == shop.facts
    assert shop.seat.leaving
    assert 0 == shop.crew.idle


def test_a_bound_below_what_a_fresh_worker_has_is_said_once_and_counts_above_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It could never be kept otherwise, and workers would come and go for ever."""
    with caplog.at_level(logging.WARNING):
        shop = Shop(memory=1 * MB)
        for _ in range(5):
            shop.crew.remove(3)
            shop.open()
            shop.run(grown=6 * MB)
            for _ in range(50):
                shop.run()

    assert [] == shop.facts
    (record,) = caplog.records
    assert "event=memory.low_bound" in record.message
    assert "--max-memory is 1 MB, but a fresh worker has 30 MB" in record.message


def test_a_first_task_that_passes_the_bound_is_said_once_and_counted_from_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A library that tasks import is no leak; what comes after it is."""
    with caplog.at_level(logging.WARNING):
        shop = Shop(memory=40 * MB)
        shop.run(grown=60 * MB)
        shop.run(grown=30 * MB)
        assert [] == shop.facts
        shop.run(grown=30 * MB)

    assert [RetireAsked(3)] == shop.facts
    (record,) = [one for one in caplog.records if "low_bound" in one.message]
    assert "has grown by 60 MB with its first task" in record.message


def test_what_a_task_needs_for_a_moment_is_nothing_to_be_killed_for_at_a_low_bound() -> None:
    """Twice what a fresh worker has is allowed to it, where that is more than twice the bound."""
    shop = Shop(memory=1 * MB)
    shop.begin()

    shop.memory = 85 * MB
    shop.turnover.look(1.0)
    assert [] == shop.killed
    shop.memory = 95 * MB
    shop.turnover.look(2.0)

    assert ["its task took 65 MB, the bound is 1 MB"] == shop.killed
    assert [KillAsked(3)] == shop.facts


def test_a_worker_of_age_leaves_while_it_is_idle_or_after_its_task() -> None:
    """Nobody waits for its next task; one that never worked stays."""
    shop = Shop(age_s=100)
    shop.turnover.look(1000.0)
    assert [] == shop.facts
    shop.run(now_s=50.0)

    shop.turnover.look(80.0)
    assert [] == shop.facts
    shop.turnover.look(101.0)
    shop.turnover.look(102.0)

    assert [RetireAsked(3)] == shop.facts


def test_a_worker_with_threads_is_replaced_though_it_is_never_without_a_task() -> None:
    """It gets nothing more, and leaves when the others have ended."""
    shop = Shop(ASK, memory=100 * MB)
    shop.run()
    shop.begin()

    shop.end(shop.begin(), grown=101 * MB)

    assert [RetireAsked(3)] == shop.facts
    assert shop.seat.tasks


def test_without_bounds_nobody_s_memory_is_read() -> None:
    """It costs a system call a task."""
    shop = Shop()
    shop.turnover._read_memory = lambda _pid: pytest.fail("it was read")

    shop.open()
    shop.run()
    shop.turnover.look(1.0)


def test_a_worker_that_is_gone_is_judged_no_more() -> None:
    """Its slot may be another's already."""
    shop = Shop(tasks=1)
    number = shop.begin()
    shop.turnover.end(3)

    shop.end(number)
    shop.turnover.look(1.0)

    assert [] == shop.facts

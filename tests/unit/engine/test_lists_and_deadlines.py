"""Task lists and the heap of deadlines, without an engine around them."""

from __future__ import annotations

import asyncio
import heapq
import random

from garcon.engine.service.deadlines import Deadlines, Ref
from garcon.engine.service.lists import ListKey, Poll, TaskLists

WORK: ListKey = ("activity", "dom", "work")


def test_deadlines_come_in_their_order_whatever_was_changed_in_between() -> None:
    """Against a plain dictionary, over thousands of random changes."""
    dice = random.Random(1)
    deadlines, plain = Deadlines(), dict[Ref, int]()
    now_ms = 0
    for _ in range(5000):
        ref: Ref = (dice.randrange(50), "activities", dice.randrange(10))
        due_ms = None if dice.random() < 0.3 else now_ms + dice.randrange(1000)
        deadlines.set(ref, due_ms)
        if due_ms is None:
            plain.pop(ref, None)
        else:
            plain[ref] = due_ms
        if dice.random() < 0.1:
            now_ms += dice.randrange(300)
            wanted = sorted(due for due in plain.values() if due <= now_ms)
            found = deadlines.pop_due(now_ms, 10_000)
            assert [plain.pop(ref) for ref in found] == wanted
            next_ms = deadlines.next_ms()
            assert (next_ms is None) == (not plain)
            assert next_ms is None or now_ms < next_ms <= min(plain.values())


def test_putting_a_deadline_off_again_and_again_leaves_one_entry() -> None:
    """A heartbeat costs no memory."""
    deadlines = Deadlines()
    for number in range(100_000):
        deadlines.set((1, "activities", 5), 1000 + number)
    assert deadlines.pop_due(1000, 10) == []
    assert deadlines.pop_due(200_000, 10) == [(1, "activities", 5)]


def test_entries_of_things_long_gone_do_not_pile_up() -> None:
    """The heap is rebuilt when the dead outnumber the living."""
    deadlines = Deadlines()
    for number in range(50_000):
        deadlines.set((number, "activities", 5), 10**9)
        deadlines.set((number, "activities", 5), None)
    assert len(deadlines._heap) < 3000


def test_tasks_leave_a_list_like_a_heap_of_priority_and_age() -> None:
    """With withdrawals in between, and the count right throughout."""
    dice = random.Random(2)

    async def run() -> None:
        lists = TaskLists()
        waiting: dict[tuple[int, int], tuple[int, int]] = {}
        for number in range(3000):
            priority = dice.randrange(3)
            lists.offer(WORK, (number, 1), priority)
            waiting[number, 1] = (-priority, number)
            if dice.random() < 0.3:
                gone = dice.choice(list(waiting))
                lists.withdraw(WORK, gone)
                del waiting[gone]
            if dice.random() < 0.4 and waiting:
                if dice.random() < 0.5:
                    answer = asyncio.get_running_loop().create_future()
                    lists.wait(Poll(WORK, None, None, lambda: True, answer))
                    ((_, task),) = lists.match(1)
                else:
                    task = lists.take(WORK)
                first = heapq.nsmallest(1, waiting, key=waiting.__getitem__)
                assert [task] == first
                del waiting[task]
            assert lists.pending(WORK) == len(waiting)

    asyncio.run(run())


def test_a_poll_that_is_gone_is_passed_over() -> None:
    """The living one behind it gets the task."""

    async def run() -> None:
        lists = TaskLists()
        loop = asyncio.get_running_loop()
        gone = Poll(WORK, "me", "i", lambda: False, loop.create_future())
        there = Poll(WORK, None, None, lambda: True, loop.create_future())
        lists.wait(gone)
        lists.wait(there)
        lists.offer(WORK, (1, 2), 0)
        assert lists.match(10) == [(there, (1, 2))]
        assert gone.answer.result() is None
        assert lists.polls_of("me") == []
        assert lists.poll_of_invocation("i") is None
        assert lists.all_polls() == []

    asyncio.run(run())


def test_who_has_just_come_takes_no_task_before_who_waits() -> None:
    """Nor one that is not there."""

    async def run() -> None:
        lists = TaskLists()
        assert lists.take(WORK) is None
        waits = Poll(WORK, None, None, lambda: True, asyncio.get_running_loop().create_future())
        lists.wait(waits)
        assert lists.take(WORK) is None
        lists.offer(WORK, (1, 2), 0)
        assert lists.take(WORK) is None
        assert lists.match(10) == [(waits, (1, 2))]

    asyncio.run(run())

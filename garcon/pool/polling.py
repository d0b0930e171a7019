"""How many polls each task list gets, as a pure table of counters.

A poll that waits may be given a task at any moment, so each waiting poll is a promise to have a
worker. Every list keeps one, a scout, while any worker is idle. A list that brings tasks earns
more, one per task brought, of which it sends as many as there are idle workers; an empty poll gives
one back. For workers that are about to be idle polls are sent ahead (`lookahead`): the lists that
bring tasks share them, and each other list has its scout. A capped list gets no more polls than it
may bring tasks. Law: waiting polls in all are at most twice the workers plus the lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: A list that has brought nothing for so long has no part in the polls that are sent ahead, nor do
#: those that it has waiting keep others from it; seconds.
DRY_S = 1.0


@dataclass
class _List:
    waiting: int = 0
    level: int = 1  # polls that this list has earned
    paused_until_s: float = 0.0
    brought_s: float = -math.inf  # when it last brought a task
    is_served: bool = True

    def is_well(self, now_s: float) -> bool:
        """Whether it brings tasks."""
        return now_s - self.brought_s <= DRY_S


class PollLevels:
    """Polls that wait, and polls that are due, for each list."""

    def __init__(self, task_lists: Iterable[str]) -> None:
        """Start with nothing waiting."""
        self._lists = {name: _List() for name in task_lists}
        self._next = 0  # where the next round starts, so that no list is always first

    def serve(self, task_lists: Iterable[str]) -> None:
        """Poll these lists from now on, and no others; polls that wait elsewhere run out."""
        wanted = dict.fromkeys(task_lists)
        for name, one in list(self._lists.items()):
            one.is_served = name in wanted
            if not one.is_served and not one.waiting:
                del self._lists[name]  # else each reload that renames a list would leave one
        for name in wanted:
            self._lists.setdefault(name, _List())

    @property
    def names(self) -> list[str]:
        """The lists that are served."""
        return [name for name, one in self._lists.items() if one.is_served]

    @property
    def waiting(self) -> int:
        """Polls under way over all lists."""
        return sum(one.waiting for one in self._lists.values())

    def take_due(
        self,
        idle: int,
        in_hand: int,
        workers: int,
        now_s: float,
        rooms: Mapping[str, int] | None = None,
        ahead: int = 0,
    ) -> list[str]:
        """Return the lists to poll now, once per poll, and count those polls as waiting.

        Args:
            idle: workers without a task.
            in_hand: tasks that came and wait for a worker.
            workers: workers in all.
            now_s: monotonic seconds.
            rooms: how many more tasks a list may bring, where that is not the number of idle
                workers without one in hand: lists that are capped, or run on threads. Nothing is
                sent ahead for these.
            ahead: tasks to ask for on behalf of workers that are about to be idle.
        """
        free = idle - in_hand
        room = 2 * workers + len(self._lists) - self.waiting
        spare = free + ahead - self._waiting_on_wells(now_s) if ahead else 0
        due: list[str] = []
        names = self.names
        for turn in range(len(names)):
            name = names[(self._next + turn) % len(names)]
            here = free if rooms is None else rooms.get(name, free)
            wanted = self._wanted(name, here, now_s)
            if spare > wanted and (rooms is None or name not in rooms):
                wanted = max(wanted, self._wanted_ahead(name, spare, now_s))
            wanted = min(wanted, room - len(due))
            self._lists[name].waiting += wanted
            due += [name] * wanted
            if self._lists[name].is_well(now_s):
                spare -= wanted
        if names:
            self._next = (self._next + 1) % len(names)
        return due

    def _wanted(self, name: str, free: int, now_s: float) -> int:
        one = self._lists[name]
        if free <= 0 or one.paused_until_s > now_s:
            return 0
        return max(0, min(one.level, free) - one.waiting)

    def _wanted_ahead(self, name: str, spare: int, now_s: float) -> int:
        one = self._lists[name]
        if one.paused_until_s > now_s:
            return 0
        level = one.level if one.is_well(now_s) else 1
        return max(0, min(level - one.waiting, spare))

    def _waiting_on_wells(self, now_s: float) -> int:
        return sum(one.waiting for one in self._lists.values() if one.is_well(now_s))

    def brought(self, name: str, most: int, now_s: float) -> None:
        """Count a poll of `name` as ended with a task.

        Args:
            name: the list.
            most: polls that it can use at all.
            now_s: monotonic seconds.
        """
        one = self._lists[name]
        one.waiting -= 1
        one.level = max(1, min(one.level + 1, most))
        one.brought_s = now_s

    def empty(self, name: str) -> None:
        """Count a poll of `name` as ended without a task."""
        one = self._lists[name]
        one.waiting -= 1
        one.level = max(1, one.level - 1)

    def failed(self, name: str, until_s: float) -> None:
        """Count a poll of `name` as failed: the list rests until `until_s` (monotonic)."""
        one = self._lists[name]
        one.waiting -= 1
        one.level = 1
        one.paused_until_s = until_s

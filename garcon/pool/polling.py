"""How many polls each task list gets, as a pure table of counters.

A poll that waits may be given a task at any moment, so each waiting poll is a promise to have a
worker. Every list keeps one, a scout, while any worker is idle. A list that brings tasks earns
more, one per task brought, and sends as many of them as there are idle workers; an empty poll gives
one back. For workers that are about to be idle polls are sent ahead (`lookahead`): the lists that
bring tasks share them, and each other list has its scout. A capped list gets no more polls than it
may bring tasks. Law: beside its scout for each list, which it always may have, there wait at most
twice as many polls as there are workers; so lists that went dry keep no other from being asked.
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
        free, names, due = idle - in_hand, self.names, list[str]()
        capped = rooms or {}
        left = ahead + min(0, free) - self._sent_ahead(max(0, free), capped, now_s)
        for turn in range(len(names)):
            name = names[(self._next + turn) % len(names)]
            one = self._lists[name]
            if one.paused_until_s > now_s:
                continue
            wanted, more = max(0, min(one.level, capped.get(name, free)) - one.waiting), 0
            if name not in capped and left > 0:
                if one.is_well(now_s):
                    more, left = left, 0
                elif not one.waiting:
                    wanted = max(wanted, 1)
            sent = self._grant(one, wanted, 2 * workers) + self._grant(one, more, 2 * workers)
            due += [name] * sent
        if names:
            self._next = (self._next + 1) % len(names)
        return due

    def _sent_ahead(self, free: int, capped: Mapping[str, int], now_s: float) -> int:
        """Return how many polls wait where tasks come from, beside those for `free` workers."""
        return sum(
            max(0, one.waiting - min(one.level, free))
            for name, one in self._lists.items()
            if name not in capped and one.is_well(now_s)
        )

    def _grant(self, one: _List, wanted: int, most: int) -> int:
        """Count so many of the wanted polls as waiting that `most` are beside the scouts."""
        if wanted <= 0:
            return 0
        beside = sum(max(0, other.waiting - 1) for other in self._lists.values())
        granted = min(wanted, max(0, most - beside) + (0 if one.waiting else 1))
        one.waiting += granted
        return granted

    def brought(self, name: str, most: int, now_s: float) -> None:
        """Count a poll of `name` as ended with a task.

        Args:
            name: the list.
            most: idle workers, or what else bounds it; what it has earned stays below.
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

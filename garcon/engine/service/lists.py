"""Task lists: tasks that wait for a poller, and pollers that wait for a task.

What it never does: start a task; it only brings the two together. Its one law: what waits is woken
when its other half arrives, nothing is ever scanned for.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

TaskKind = Literal["activity", "decision"]
ListKey = tuple[TaskKind, str, str]
TaskKey = tuple[int, int]

_SLACK: Final = 256


class Assignment(NamedTuple):
    """A started task: execution number, scheduled and started event ids."""

    key: int
    scheduled_id: int
    started_id: int


class Poll:
    """One waiting poller. ``answer`` gets an assignment, or None for the empty result."""

    __slots__ = ("alive", "answer", "identity", "invocation", "where")

    def __init__(
        self,
        where: ListKey,
        identity: str | None,
        invocation: str | None,
        alive: Callable[[], bool],
        answer: asyncio.Future[Assignment | None],
    ) -> None:
        self.where = where
        self.identity = identity
        self.invocation = invocation
        self.alive = alive
        self.answer = answer


class _TaskList:
    """One list; tasks leave by priority, then by age."""

    __slots__ = ("heap", "polls", "tasks")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, TaskKey]] = []
        self.tasks: dict[TaskKey, int] = {}
        self.polls: OrderedDict[int, Poll] = OrderedDict()


class TaskLists:
    """All task lists by kind, domain and name; a list exists while something waits in it."""

    def __init__(self) -> None:
        self._lists: dict[ListKey, _TaskList] = {}
        self._matchable: dict[ListKey, None] = {}
        self._by_identity: dict[str, dict[int, Poll]] = {}
        self._by_invocation: dict[str, Poll] = {}
        self._order = 0

    def offer(self, where: ListKey, task: TaskKey, priority: int) -> None:
        """A task waits; offering it again changes nothing."""
        tasks = self._list(where)
        if task in tasks.tasks:
            return
        self._order += 1
        tasks.tasks[task] = self._order
        heapq.heappush(tasks.heap, (-priority, self._order, task))
        self._note(where, tasks)

    def withdraw(self, where: ListKey, task: TaskKey) -> None:
        """A task no longer waits."""
        tasks = self._lists.get(where)
        if tasks is None or tasks.tasks.pop(task, None) is None:
            return
        if len(tasks.heap) > 2 * len(tasks.tasks) + _SLACK:
            tasks.heap = [entry for entry in tasks.heap if tasks.tasks.get(entry[2]) == entry[1]]
            heapq.heapify(tasks.heap)
        self._drop_if_empty(where, tasks)

    def pending(self, where: ListKey) -> int:
        """How many tasks wait in a list."""
        tasks = self._lists.get(where)
        return len(tasks.tasks) if tasks else 0

    def pollers(self, where: ListKey) -> int:
        """How many polls wait at a list."""
        tasks = self._lists.get(where)
        return len(tasks.polls) if tasks else 0

    def wait(self, poll: Poll) -> None:
        """A poller waits."""
        tasks = self._list(poll.where)
        tasks.polls[id(poll)] = poll
        if poll.identity is not None:
            self._by_identity.setdefault(poll.identity, {})[id(poll)] = poll
        if poll.invocation is not None:
            self._by_invocation[poll.invocation] = poll
        self._note(poll.where, tasks)

    def leave(self, poll: Poll) -> bool:
        """A poller waits no longer; False when it had left before."""
        tasks = self._lists.get(poll.where)
        if tasks is None or tasks.polls.pop(id(poll), None) is None:
            return False
        if poll.identity is not None:
            mates = self._by_identity[poll.identity]
            del mates[id(poll)]
            if not mates:
                del self._by_identity[poll.identity]
        if poll.invocation is not None and self._by_invocation.get(poll.invocation) is poll:
            del self._by_invocation[poll.invocation]
        self._drop_if_empty(poll.where, tasks)
        return True

    def polls_of(self, identity: str) -> list[Poll]:
        """The waiting polls of an identity."""
        return list(self._by_identity.get(identity, {}).values())

    def poll_of_invocation(self, invocation: str) -> Poll | None:
        """The waiting poll that carries an invocation id."""
        return self._by_invocation.get(invocation)

    def all_polls(self) -> list[Poll]:
        """Every waiting poll."""
        return [poll for tasks in self._lists.values() for poll in tasks.polls.values()]

    def take(self, where: ListKey) -> TaskKey | None:
        """Take the next task out of a list for a poller that has not waited.

        None where no task waits, or others wait before it.
        """
        tasks = self._lists.get(where)
        if tasks is None or tasks.polls or not tasks.tasks:
            return None
        return self._next(where, tasks)

    def match(self, limit: int) -> list[tuple[Poll, TaskKey]]:
        """Pairs of a poller and a task, both taken out; polls seen closed are let go."""
        pairs: list[tuple[Poll, TaskKey]] = []
        while self._matchable and len(pairs) < limit:
            where = next(iter(self._matchable))
            tasks = self._lists.get(where)
            pair = self._pair(tasks) if tasks is not None else None
            if pair is None:
                del self._matchable[where]
            else:
                pairs.append(pair)
        return pairs

    def _pair(self, tasks: _TaskList) -> tuple[Poll, TaskKey] | None:
        while tasks.tasks and tasks.polls:
            poll = next(iter(tasks.polls.values()))
            self.leave(poll)
            if not poll.alive():
                if not poll.answer.done():
                    poll.answer.set_result(None)
                continue
            return poll, self._next(poll.where, tasks)
        return None

    def _next(self, where: ListKey, tasks: _TaskList) -> TaskKey:
        """Take out the first task of a list that has some."""
        _, order, task = heapq.heappop(tasks.heap)
        while tasks.tasks.get(task) != order:
            _, order, task = heapq.heappop(tasks.heap)
        self.withdraw(where, task)
        return task

    def _list(self, where: ListKey) -> _TaskList:
        tasks = self._lists.get(where)
        if tasks is None:
            tasks = self._lists[where] = _TaskList()
        return tasks

    def _note(self, where: ListKey, tasks: _TaskList) -> None:
        if tasks.tasks and tasks.polls:
            self._matchable[where] = None

    def _drop_if_empty(self, where: ListKey, tasks: _TaskList) -> None:
        if not tasks.tasks and not tasks.polls and self._lists.get(where) is tasks:
            del self._lists[where]

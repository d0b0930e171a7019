"""The workers of one pool: who has which tasks, and who may be given another.

A worker has one task, or several of one activity whose instances run on threads. Sums over what the
dispatcher told it; it sends nothing and reads no clock. Law: a worker that is to leave, or in which
a task runs that was answered without it, is given nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from garcon.description import ActivityDescription
from garcon.pool.nursery import Child
from garcon.pool.tasks import ActivityTask

#: A worker that runs one activity on threads goes on with it for so many rounds of all its threads
#: while nobody else is free; then it finishes what it has, so that other activities come to it.
ROUNDS = 4


@dataclass
class Seat:
    """One worker.

    Attributes:
        child: its process.
        tasks: what it has, by number.
        ghosts: places of tasks that were answered while their threads run on, by number.
        end_by_s: when it is ended for its ghosts at the earliest, loop time.
        leaving: it gets nothing more.
        ended: it is being killed.
        begun: tasks that it was given since it was idle last.
    """

    child: Child
    tasks: dict[int, ActivityTask] = field(default_factory=dict)
    ghosts: dict[int, int] = field(default_factory=dict)
    end_by_s: float = 0.0
    leaving: bool = False
    ended: bool = False
    begun: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs here, not even what was answered already."""
        return not self.tasks and not self.ghosts

    def free_place(self) -> int:
        """Return the lowest place that nothing runs in."""
        taken = {task.place for task in self.tasks.values()} | set(self.ghosts.values())
        return next(place for place in range(len(taken) + 1) if place not in taken)

    def abandon(self, task: ActivityTask, end_by_s: float) -> None:
        """Note that a task was answered while its thread runs on."""
        del self.tasks[task.number]
        self.ghosts[task.number] = task.place
        self.end_by_s = max(self.end_by_s, end_by_s)


class Crew:
    """All workers, and how many tasks of which kind they may still be given."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._seats: dict[int, Seat] = {}
        self._idle: deque[int] = deque()
        self._lists: dict[str, list[ActivityDescription]] = {}
        self._special: list[str] = []
        self._caps: dict[str, int] = {}

    def adopt(self, activities: Iterable[ActivityDescription]) -> None:
        """Go by the caps and threads of these activities from now on."""
        self._lists, self._caps = {}, {}
        for one in activities:
            self._lists.setdefault(one.task_list, []).append(one)
            if one.max_procs is not None:
                self._caps[one.name] = one.max_procs
        self._special = [
            task_list
            for task_list, found in self._lists.items()
            if any(one.threads > 1 for one in found) or all(one.name in self._caps for one in found)
        ]

    # -- who is there -------------------------------------------------------------------------

    def add(self, child: Child) -> None:
        """Count this worker as idle, behind those that have worked already."""
        self._seats[child.slot] = Seat(child)
        self._idle.appendleft(child.slot)

    def retire(self, slot: int) -> None:
        """Give this worker nothing more; what it has it may finish."""
        seat = self._seats.get(slot)
        if seat is not None:
            seat.leaving = True
            self._forget_idle(slot)

    def remove(self, slot: int) -> Seat | None:
        """Forget this worker; return what is known of it."""
        self._forget_idle(slot)
        return self._seats.pop(slot, None)

    def seat(self, slot: int | None) -> Seat | None:
        """Return what is known of this worker, None where there is none."""
        return None if slot is None else self._seats.get(slot)

    def __iter__(self) -> Iterator[Seat]:
        """Go through the workers of this moment."""
        return iter(list(self._seats.values()))

    def __len__(self) -> int:
        """Return how many workers there are."""
        return len(self._seats)

    @property
    def busy(self) -> frozenset[int]:
        """Slots in which something runs."""
        return frozenset(slot for slot, seat in self._seats.items() if not seat.is_empty)

    @property
    def idle(self) -> int:
        """Workers that wait for a task."""
        return len(self._idle)

    def running_alone(self) -> Iterator[tuple[str, float]]:
        """Yield the activities that have a worker for themselves, and since when (loop time).

        Of workers that are idle when they have ended, and may be given another task.
        """
        for seat in self._seats.values():
            if len(seat.tasks) != 1 or seat.ghosts or seat.leaving:
                continue
            (task,) = seat.tasks.values()
            if task.activity.threads == 1 and task.begun_at_s is not None:
                yield task.activity.name, task.begun_at_s

    # -- who gets what ------------------------------------------------------------------------

    def match(self, in_hand: Iterable[ActivityTask]) -> tuple[ActivityTask, Seat] | None:
        """Return the oldest of these tasks that somebody may run, and who.

        A worker that runs its kind on threads has precedence over an idle one: who is idle may take
        any kind, and some kinds need a worker for themselves. Of the idle ones the last that was
        busy: what it needs is still in the processor's caches (measured: a fifth of its CPU).
        """
        running = self._running() if self._caps else Counter[str]()
        for task in in_hand:
            name = task.activity.name
            if name in self._caps and running[name] >= self._caps[name]:
                continue
            seat = next(self._open_seats(task.activity), None)
            if seat is None and self._idle:
                seat = self._seats[self._idle[-1]]
            if seat is not None:
                return task, seat
        return None

    def give(self, task: ActivityTask, seat: Seat, now_s: float) -> None:
        """Count a task as this worker's, from `now_s` on (loop time)."""
        if seat.is_empty:
            self._forget_idle(seat.child.slot)
            seat.begun = 0
        task.slot, task.place, task.begun_at_s = seat.child.slot, seat.free_place(), now_s
        task.pid, task.slate = seat.child.pid, seat.child.slate
        seat.begun += 1
        seat.tasks[task.number] = task

    def take_back(self, seat: Seat, number: int, *, went_well: bool = True) -> None:
        """Note that a task, or what was left of it, runs no more.

        A worker whose task failed is the last of the idle to get another: what made it fail may lie
        in that worker, and one that fails fast would else be given one task after the other.
        """
        seat.tasks.pop(number, None)
        seat.ghosts.pop(number, None)
        slot = seat.child.slot
        if seat.is_empty and not seat.leaving and slot not in self._idle:
            if went_well:
                self._idle.append(slot)
            else:
                self._idle.appendleft(slot)

    # -- how much more may come ---------------------------------------------------------------

    def rooms(self, in_hand: Collection[ActivityTask]) -> Mapping[str, int]:
        """Return how many more tasks a list may bring.

        Args:
            in_hand: tasks that came and wait for a worker.
        Returns:
            By list, for those lists only where it may differ from the number of idle workers.
        """
        if not self._special:
            return {}
        whole = max(0, len(self._idle) - len(in_hand))
        here = self._running() + Counter(task.activity.name for task in in_hand)
        return {name: self._room(self._lists[name], whole, here) for name in self._special}

    def _room(self, activities: list[ActivityDescription], whole: int, here: Counter[str]) -> int:
        # Which of them a poll will bring nobody knows: the least holds.
        room = min(self._places(one, whole) for one in activities)
        if all(one.name in self._caps for one in activities):
            room = min(
                room, sum(max(0, self._caps[one.name] - here[one.name]) for one in activities)
            )
        return room

    def _places(self, activity: ActivityDescription, whole: int) -> int:
        if activity.threads == 1:
            return whole
        free = (activity.threads - len(seat.tasks) for seat in self._open_seats(activity))
        return whole * activity.threads + sum(free)

    def _open_seats(self, activity: ActivityDescription) -> Iterator[Seat]:
        """Yield the workers that run this activity on threads and may be given one more."""
        if activity.threads == 1:
            return
        for seat in self._seats.values():
            if seat.leaving or seat.ghosts or not 0 < len(seat.tasks) < activity.threads:
                continue
            its_own = all(one.activity.name == activity.name for one in seat.tasks.values())
            if its_own and not self._has_sat_long(seat, activity):
                yield seat

    def _has_sat_long(self, seat: Seat, activity: ActivityDescription) -> bool:
        others_wait = len(self._lists) > 1 and not self._idle
        return others_wait and seat.begun >= ROUNDS * activity.threads

    def _running(self) -> Counter[str]:
        """Return how many tasks of each activity workers have."""
        return Counter(
            task.activity.name for seat in self._seats.values() for task in seat.tasks.values()
        )

    def _forget_idle(self, slot: int) -> None:
        if slot in self._idle:
            self._idle.remove(slot)

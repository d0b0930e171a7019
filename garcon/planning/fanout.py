"""Instances of one fan-out as the history tells them, with the counts that deciding needs.

Part of the fold (`garcon.history`): methods are told what an event says, in the order of events,
and nothing else. Every count is kept as it changes, so that a decision costs what is new and not
what has been. Pure. Law: whatever is kept here follows from events alone.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from garcon.manifest import Manifest, Ranges, ranges_of, size_of
from garcon.outcome import Failure, Kind
from garcon.planning.shards import ShardResult, Spent, minus

#: Characters of a failed attempt's traceback that are kept for the final text.
TRACEBACK_KEPT = 2_000

#: Rough bytes that one instance takes in memory, for the bound on kept states.
INSTANCE_BYTES = 600


class Phase(Enum):
    """Where the last attempt of an instance is."""

    SCHEDULED = "scheduled"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"  #: failed, timed out or lost; another attempt may follow
    CANCELED = "canceled"

    @property
    def is_open(self) -> bool:
        """Whether SWF holds a task for it."""
        return self in (Phase.SCHEDULED, Phase.STARTED)


@dataclass
class Instance:
    """One instance, over all of its attempts.

    Attributes:
        activity_id: SWF's id; attempts share it.
        type_name: SWF's activity type.
        index: place in the manifest; -1 for what was scheduled without one.
        phase: of the last attempt.
        attempts: how often it was scheduled.
        failures: attempts that draw on `retry`.
        losses: attempts that draw on `lost_retry`.
        unrun: attempts that never ran: handed back, or nobody took them in time.
        ends: kinds of all of these, in order.
        scheduled_event_id: of the last attempt.
        ended_event_id: when the last attempt ended; 0 while it is open.
        ended_s: the same as epoch seconds.
        failure: how the last attempt ended, None unless badly.
        result: text of the result once completed.
        cancel_requested: whether its open task was asked to stop.
        final: it failed for good in a shard.
    """

    activity_id: str
    type_name: str
    index: int
    phase: Phase = Phase.SCHEDULED
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    unrun: int = 0
    ends: tuple[Kind, ...] = ()
    scheduled_event_id: int = 0
    ended_event_id: int = 0
    ended_s: float = 0.0
    failure: Failure | None = None
    result: str | None = None
    cancel_requested: bool = False
    final: bool = False

    @property
    def spent(self) -> tuple[int, int, int]:
        """What it has used up: attempts, failures, losses."""
        return self.attempts, self.failures, self.losses

    def schedule(self, event_id: int) -> None:
        """Note that an attempt was scheduled by event `event_id`."""
        self.phase = Phase.SCHEDULED
        self.attempts += 1
        self.scheduled_event_id = event_id
        self.ended_event_id, self.ended_s = 0, 0.0
        self.cancel_requested = False

    def end(self, phase: Phase, event_id: int, at_s: float) -> None:
        """Note that the open attempt ended."""
        self.phase, self.ended_event_id, self.ended_s = phase, event_id, at_s

    def draw(self, failure: Failure) -> None:
        """Note how the attempt failed, on the budget that it draws on."""
        self.failure = replace(failure, traceback=failure.traceback[-TRACEBACK_KEPT:], facts={})
        self.ends += (failure.kind,)
        if failure.kind is Kind.LOST:
            self.losses += 1
        elif failure.kind is Kind.HANDED_BACK:
            self.unrun += 1
        else:
            self.failures += 1


@dataclass
class Slice:
    """A shard of a fan-out, as its parent knows it.

    Attributes:
        workflow_id: of the child execution.
        number: within the fan-out, from 1.
        attempt: how often this slice has been given to a shard.
        ranges: the indexes that it runs.
        run_id: of the child execution; empty until it has started.
        is_open: whether it has not closed.
        is_scheduled: whether all of its instances are scheduled.
        cancel_requested: whether it was asked to cancel.
        done: the indexes that it has done, once it has closed.
    """

    workflow_id: str
    number: int
    attempt: int
    ranges: Ranges
    run_id: str = ""
    is_open: bool = True
    is_scheduled: bool = False
    cancel_requested: bool = False
    done: Ranges = ()


@dataclass
class FanOut:
    """The instances of one manifest, here or in shards.

    Attributes:
        manifest: the frozen fan-out.
        instances: those scheduled at least once, by index.
        upto: one more than the highest index ever scheduled.
        holes: indexes below `upto` that were never scheduled (SWF refused them).
        ended: instances whose last attempt ended badly, by index.
        open: instances with a task at SWF.
        started: those of them that a worker has taken.
        done: completed instances.
        retries: attempts beyond the first ones.
        slices: shards by workflow id.
        returned: indexes that a shard has left, with how often they were given to one.
        lost: why shards ended without a result, by number.
        shard_results: merged results of each shard that had any, JSON objects as text, with the
            event that told of them; 0 for those of an earlier execution.
        spent: what instances have used up that shards have tried and left.
    """

    manifest: Manifest
    instances: dict[int, Instance] = field(default_factory=dict)
    upto: int = 0
    holes: set[int] = field(default_factory=set)
    ended: dict[int, Instance] = field(default_factory=dict)
    open: int = 0
    started: int = 0
    done: int = 0
    retries: int = 0
    slices: dict[str, Slice] = field(default_factory=dict)
    returned: list[tuple[Ranges, int]] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    shard_results: list[tuple[int, str]] = field(default_factory=list)
    spent: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken, left_out = self.manifest.taken, self.manifest.left_out
        if not taken and not left_out:
            return
        # What an earlier execution has done counts as done, and is never scheduled; nor is what
        # nobody asked for, which does not.
        self.done = size_of(taken)
        self.upto = self.manifest.count
        rest = minus(minus(((0, self.upto),), taken), left_out)
        self.holes.update(index for begin, end in rest for index in range(begin, end))
        if self.manifest.results:
            self.shard_results.append((0, as_text(self.manifest.results)))

    @property
    def is_complete(self) -> bool:
        """Whether every instance of the manifest has completed: the barrier is open."""
        return self.done == self.manifest.count

    @property
    def unscheduled(self) -> int:
        """How many instances have neither been scheduled nor given to a shard."""
        returned = sum(size_of(ranges) for ranges, _ in self.returned)
        return self.manifest.count - self.upto + len(self.holes) + returned

    @property
    def open_slices(self) -> list[Slice]:
        """The shards that have not closed."""
        return [one for one in self.slices.values() if one.is_open]

    def next_unscheduled(self) -> Iterator[int]:
        """Yield the indexes that were never scheduled, in order, as of the first call."""
        yield from sorted(self.holes)
        yield from range(self.upto, self.manifest.count)

    def schedule(self, index: int, activity_id: str, event_id: int) -> Instance:
        """Note that instance `index` was scheduled, for the first time or again."""
        instance = self.instances.get(index)
        if instance is None:
            instance = Instance(activity_id, self.manifest.type_name, index)
            self.instances[index] = instance
        self.ended.pop(index, None)
        self._pass(index, index + 1)
        self.open += 1
        self.retries += instance.attempts > 0
        instance.schedule(event_id)
        return instance

    def _pass(self, begin: int, end: int) -> None:
        """Note that the indexes from `begin` to `end` are no longer unscheduled."""
        self.holes.update(range(self.upto, begin))
        self.holes.difference_update(range(begin, end))
        self.upto = max(self.upto, end)

    def unassigned(self) -> list[tuple[Ranges, int]]:
        """Return what may be given to a shard, with how often it was given to one before."""
        fresh = ranges_of(sorted(self.holes))
        if self.upto < self.manifest.count:
            fresh = (*fresh, (self.upto, self.manifest.count))
        return [*self.returned, *([(fresh, 0)] if fresh else [])]

    def assign(self, found: Slice) -> None:
        """Note that a shard was started."""
        self.slices[found.workflow_id] = found
        if found.attempt == 1:
            for begin, end in found.ranges:
                self._pass(begin, end)
            return
        left = [(minus(ranges, found.ranges), attempt) for ranges, attempt in self.returned]
        self.returned = [(ranges, attempt) for ranges, attempt in left if ranges]
        for begin, end in found.ranges:
            for index in range(begin, end):
                # Given away while it was due for another attempt, which is the shard's now.
                self.ended.pop(index, None)

    def go_on(self, spent: Spent) -> None:
        """Note, in a shard that begins, what its instances have used up elsewhere."""
        local = {self.manifest.index_in_whole(index): index for index in range(self.manifest.count)}
        for place, counts in spent.items():
            index = local[place]
            instance = Instance(self.manifest.activity_id(index), self.manifest.type_name, index)
            instance.attempts, instance.failures, instance.losses = counts
            instance.phase = Phase.FAILED
            instance.failure = Failure(Kind.FAILED, "it failed in an earlier history")
            self.instances[index] = self.ended[index] = instance
            self._pass(index, index + 1)

    def spent_of(self, ranges: Ranges) -> Spent:
        """Return what the instances in `ranges` have used up so far, in whatever history."""
        found = {}
        for begin, end in ranges:
            for index in range(begin, end):
                tried = self.instances.get(index)
                if index in self.spent:
                    found[index] = self.spent[index]
                elif tried is not None:
                    found[index] = tried.spent
        return found

    def give_back(self, found: Slice) -> None:
        """Note that a shard did not start after all."""
        del self.slices[found.workflow_id]
        self._return(found.ranges, found.attempt)

    def _return(self, ranges: Ranges, attempt: int) -> None:
        # In one order, whichever was learned first: every decider gives them away alike.
        self.returned = sorted([*self.returned, (ranges, attempt)])

    def _given_after(self, found: Slice) -> list[tuple[Ranges, int]]:
        """Return what was given to shards, or came back from them, that went on after one.

        A cold decider reads the result of a shard in its markers, after it has seen what earlier
        decisions made of it.
        """
        given = [(one.ranges, one.attempt) for one in self.slices.values()]
        return [one for one in [*given, *self.returned] if one[1] > found.attempt]

    def close_slice(self, found: Slice, result: ShardResult, event_id: int, at_s: float) -> None:
        """Note what a shard gave back."""
        found.is_open = False
        if result.results:
            insort(self.shard_results, (event_id, as_text(result.results)))
        failed = ranges_of(sorted(index for index, _, _ in result.failed))
        found.done = minus(minus(found.ranges, result.left), failed)
        self.done += result.done
        self.retries += result.retries
        for index, counts in result.spent.items():
            self.spent[index] = max(counts, self.spent.get(index, counts))
        left = result.left
        for ranges, _ in self._given_after(found):
            left = minus(left, ranges)
        if left:
            self._return(left, found.attempt)
        for index, attempts, reason in result.failed:
            activity_id = self.manifest.activity_id(index)
            instance = Instance(activity_id, self.manifest.type_name, index, Phase.FAILED, attempts)
            instance.failure, instance.final = Failure(Kind.FAILED, reason), True
            instance.end(Phase.FAILED, event_id, at_s)
            self.instances[index] = self.ended[index] = instance

    def done_ranges(self) -> Ranges:
        """Return the indexes that are done, wherever that happened."""
        here = (index for index, one in self.instances.items() if one.phase is Phase.COMPLETED)
        parts = [self.manifest.taken, *(one.done for one in self.slices.values())]
        there = (index for part in parts for begin, end in part for index in range(begin, end))
        return ranges_of(sorted({*here, *there}))

    def failed_indexes(self) -> set[int]:
        """Return the indexes that failed, here or in the earlier execution that left them so."""
        ranges = self.manifest.left_failed
        failed = {index for index, one in self.ended.items() if one.phase is Phase.FAILED}
        return failed.union(index for begin, end in ranges for index in range(begin, end))

    def merged_results(self) -> dict[str, Any]:
        """Return the results of all instances as one dict, later indexes over earlier.

        Those of shards and of an earlier execution come first.
        """
        merged: dict[str, Any] = {}
        for _, text in self.shard_results:
            merged.update(_object(text))
        for index in sorted(self.instances):
            instance = self.instances[index]
            if instance.phase is Phase.COMPLETED and instance.result:
                merged.update(_object(instance.result))
        return merged

    def lose_slice(self, found: Slice, reason: str) -> None:
        """Note that a shard ended without a result."""
        found.is_open = False
        self.lost[found.number] = reason

    def start(self) -> None:
        """Note that a worker took one of the open instances."""
        self.started += 1

    def end(self, instance: Instance, was: Phase) -> None:
        """Note that `instance`, in phase `was` until now, has ended."""
        self.open -= 1
        self.started -= was is Phase.STARTED
        if instance.phase is Phase.COMPLETED:
            self.done += 1
        else:
            self.ended[instance.index] = instance

    def adopt(self, earlier: Mapping[str, Instance]) -> list[Instance]:
        """Take over what was scheduled before the manifest was there; return those instances.

        Args:
            earlier: instances of the manifest's type by activity id.
        """
        adopted = []
        for index in range(self.manifest.count) if earlier else ():
            instance = earlier.get(self.manifest.activity_id(index))
            if instance is not None:
                self._adopt(instance, index)
                adopted.append(instance)
        return adopted

    def _adopt(self, instance: Instance, index: int) -> None:
        instance.index = index
        self.instances[index] = instance
        self._pass(index, index + 1)
        self.retries += max(0, instance.attempts - 1)
        self.open += instance.phase.is_open
        self.started += instance.phase is Phase.STARTED
        self.done += instance.phase is Phase.COMPLETED
        if not instance.phase.is_open and instance.phase is not Phase.COMPLETED:
            self.ended[index] = instance


def as_text(data: Mapping[str, Any]) -> str:
    """Return a JSON object as text."""
    return json.dumps(data, ensure_ascii=False)


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""Instances of one fan-out as the history tells them, with the counts that deciding needs.

Part of the fold (`garcon.history`): methods are told what an event says, in the order of events,
and nothing else. Every count is kept as it changes, so that a decision costs what is new and not
what has been. Pure. Law: whatever is kept here follows from events alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from garcon.manifest import Manifest
from garcon.outcome import Failure, Kind

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
        scheduled_event_id: of the last attempt.
        ended_event_id: when the last attempt ended; 0 while it is open.
        ended_s: the same as epoch seconds.
        failure: how the last attempt ended, None unless badly.
        result: text of the result once completed.
        cancel_requested: whether its open task was asked to stop.
    """

    activity_id: str
    type_name: str
    index: int
    phase: Phase = Phase.SCHEDULED
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    unrun: int = 0
    scheduled_event_id: int = 0
    ended_event_id: int = 0
    ended_s: float = 0.0
    failure: Failure | None = None
    result: str | None = None
    cancel_requested: bool = False

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
        if failure.kind is Kind.LOST:
            self.losses += 1
        elif failure.kind is Kind.HANDED_BACK:
            self.unrun += 1
        else:
            self.failures += 1


@dataclass
class FanOut:
    """The instances of one manifest.

    Attributes:
        manifest: the frozen fan-out.
        instances: those scheduled at least once, by index.
        upto: one more than the highest index ever scheduled.
        holes: indexes below `upto` that were never scheduled (SWF refused them).
        ended: instances whose last attempt ended badly, by index.
        open: instances with a task at SWF.
        started: those of them that a worker has taken.
        done: completed instances.
        attempts: schedules so far.
    """

    manifest: Manifest
    instances: dict[int, Instance] = field(default_factory=dict)
    upto: int = 0
    holes: set[int] = field(default_factory=set)
    ended: dict[int, Instance] = field(default_factory=dict)
    open: int = 0
    started: int = 0
    done: int = 0
    attempts: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every instance of the manifest has completed: the barrier is open."""
        return self.done == self.manifest.count

    @property
    def unscheduled(self) -> int:
        """How many instances have never been scheduled."""
        return self.manifest.count - self.upto + len(self.holes)

    @property
    def retries(self) -> int:
        """How many attempts there were beyond the first ones."""
        return self.attempts - len(self.instances)

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
        self.holes.discard(index)
        self.holes.update(range(self.upto, index))
        self.upto = max(self.upto, index + 1)
        self.open += 1
        self.attempts += 1
        instance.schedule(event_id)
        return instance

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
        self.holes.update(range(self.upto, index))
        self.holes.discard(index)
        self.upto = max(self.upto, index + 1)
        self.attempts += instance.attempts
        self.open += instance.phase.is_open
        self.started += instance.phase is Phase.STARTED
        self.done += instance.phase is Phase.COMPLETED
        if not instance.phase.is_open and instance.phase is not Phase.COMPLETED:
            self.ended[index] = instance

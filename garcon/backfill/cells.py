"""What histories say of each instance: done, failed, running, waiting or missing, over all shards.

Pure: folded states in, cells out. Law: an instance that completed in one of the histories is done,
whatever another one says of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from garcon.description import ActivityDescription, FlowDescription
from garcon.history import FanOutKey, RunState, epoch_s
from garcon.manifest import Item, Manifest
from garcon.planning.fanout import FanOut, Instance, Phase
from garcon.planning.verdict import is_final


class Mark(str, Enum):
    """Where an instance is."""

    DONE = "done"
    FAILED = "failed"  #: its last attempt ended badly, and none is under way
    RUNNING = "running"  #: a worker has it
    WAITING = "waiting"  #: scheduled, not taken yet; or put off until its next attempt
    MISSING = "missing"  #: it never ran, or what ran ended with its execution


@dataclass(frozen=True)
class Cell:
    """One instance.

    Attributes:
        mark: where it is.
        attempts: how often it was scheduled.
        began_s: when its last attempt was taken, epoch seconds; 0 where it was not.
        ended_s: when that ended, epoch seconds; 0 while it has not.
        reason: how its last attempt ended, empty unless badly.
    """

    mark: Mark
    attempts: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long the last attempt took, as far as it is known."""
        return max(0.0, self.ended_s - self.began_s) if self.began_s and self.ended_s else 0.0


@dataclass
class Grid:
    """The instances of one fan-out.

    Attributes:
        manifest: the whole of it.
        cells: what is known, by index; what is not there is missing.
    """

    manifest: Manifest
    cells: dict[int, Cell] = field(default_factory=dict)

    @property
    def activity(self) -> str:
        """Name of the activity, with the schedule id where a custom decider gave one."""
        name, schedule_id = self.manifest.activity, self.manifest.schedule_id
        return f"{name} ({schedule_id})" if schedule_id else name

    @property
    def is_complete(self) -> bool:
        """Whether every instance is done."""
        return self.counts()[Mark.DONE.value] == self.manifest.count

    def mark(self, index: int) -> Mark:
        """Return where instance `index` is."""
        cell = self.cells.get(index)
        return cell.mark if cell else Mark.MISSING

    def context(self, index: int) -> Item:
        """Return what the generators gave instance `index`."""
        return self.manifest.local_context(index)

    def indexes(self, *marks: Mark) -> Iterator[int]:
        """Yield the instances with one of `marks`, in order."""
        return (index for index in range(self.manifest.count) if self.mark(index) in marks)

    def counts(self) -> dict[str, int]:
        """Return how many instances have each mark."""
        found = dict.fromkeys((mark.value for mark in Mark), 0)
        for cell in self.cells.values():
            found[cell.mark.value] += 1
        found[Mark.MISSING.value] += self.manifest.count - len(self.cells)
        return found

    def put(self, index: int, cell: Cell) -> None:
        """Note what one more history says of instance `index`."""
        known = self.cells.get(index)
        if known is None:
            self.cells[index] = cell
        elif known.mark is not Mark.DONE:
            self.cells[index] = replace(cell, attempts=known.attempts + cell.attempts)


class Timeline:
    """When the attempts of one history were taken: what the fold has no need to keep."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self.began_s: dict[str, float] = {}
        self.events = 0
        self.decisions = 0
        self._ids: dict[int, str] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event, in their order."""
        self.events += 1
        kind = event["eventType"]
        if kind == "ActivityTaskScheduled":
            attributes = event["activityTaskScheduledEventAttributes"]
            self._ids[event["eventId"]] = attributes["activityId"]
            self.began_s.pop(attributes["activityId"], None)
        elif kind == "ActivityTaskStarted":
            scheduled = event["activityTaskStartedEventAttributes"]["scheduledEventId"]
            activity_id = self._ids.get(scheduled)
            if activity_id is not None:
                self.began_s[activity_id] = epoch_s(event["eventTimestamp"])
        elif kind == "DecisionTaskCompleted":
            self.decisions += 1


@dataclass
class Told:
    """What the histories of one execution and its shards say.

    Attributes:
        grids: its fan-outs, in the order in which they were frozen.
        status: close status of the root; None while it is open.
        events: of all histories together.
        decisions: of all histories together.
        shards: how many child executions there were.
        context: input and results of the root, as far as its own history holds them.
        flow: what the flow declares, which tells whether a failure is final; None where unknown.
    """

    grids: dict[FanOutKey, Grid] = field(default_factory=dict)
    status: str | None = None
    events: int = 0
    decisions: int = 0
    shards: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)
    flow: FlowDescription | None = None

    def add_root(self, state: RunState, timeline: Timeline, status: str | None) -> None:
        """Take the root's history."""
        self.status = status
        self.context = state.context_at(state.last_event_id)
        for key, fan_out in state.fan_outs.items():
            self.grids[key] = Grid(fan_out.manifest, taken_cells(fan_out.manifest))
        self._add(state, timeline, is_open=status is None)

    def add_earlier(self, earlier: Told) -> None:
        """Take what an execution that this one resumes says of what was taken over from it.

        A fan-out that this one never came to is still as that one left it.
        """
        for key, known in earlier.grids.items():
            grid = self.grids.setdefault(key, known)
            if grid is known:
                continue
            moved = moved_to(grid.manifest, known).cells
            for begin, end in (*grid.manifest.taken, *grid.manifest.left_out):
                grid.cells.update({at: moved[at] for at in range(begin, end) if at in moved})

    def add_shard(self, state: RunState, timeline: Timeline, is_open: bool) -> None:
        """Take a shard's history; the root's has to be there, and older shards first."""
        self.shards += 1
        self._add(state, timeline, is_open)

    def _add(self, state: RunState, timeline: Timeline, is_open: bool) -> None:
        self.events += timeline.events
        self.decisions += timeline.decisions
        for key, fan_out in state.fan_outs.items():
            grid = self.grids.get(key)
            if grid is None:
                continue
            activity = self.flow.activity(key[0]) if self.flow else None
            for index, cell in _cells_of(fan_out, timeline, is_open, activity):
                grid.put(index, cell)


def _cells_of(
    fan_out: FanOut, timeline: Timeline, is_open: bool, activity: ActivityDescription | None
) -> Iterator[tuple[int, Cell]]:
    for index, instance in fan_out.instances.items():
        if instance.final:
            continue  # the shard that it failed in tells it better
        mark = _mark_of(instance, is_open, activity)
        began_s = timeline.began_s.get(instance.activity_id, 0.0)
        reason = instance.failure.reason if instance.failure else ""
        cell = Cell(mark, instance.attempts, began_s, instance.ended_s, reason)
        yield fan_out.manifest.index_in_whole(index), cell


def _mark_of(instance: Instance, is_open: bool, activity: ActivityDescription | None) -> Mark:
    if instance.phase is Phase.COMPLETED:
        return Mark.DONE
    if instance.phase is Phase.FAILED:
        is_over = not is_open or activity is None or is_final(instance, activity)
        return Mark.FAILED if is_over else Mark.WAITING
    if instance.phase is Phase.CANCELED or not is_open:
        return Mark.MISSING
    return Mark.RUNNING if instance.phase is Phase.STARTED else Mark.WAITING


def taken_cells(manifest: Manifest) -> dict[int, Cell]:
    """Return the instances that an earlier execution had done, and those that it had failed at."""
    known = ((Mark.DONE, manifest.taken), (Mark.FAILED, manifest.left_failed))
    return {
        index: Cell(mark)
        for mark, ranges in known
        for begin, end in ranges
        for index in range(begin, end)
    }


def moved_to(manifest: Manifest, grid: Grid) -> Grid:
    """Return what is known of `grid` for the instances of another manifest, found by their keys."""
    if grid.manifest.lists == manifest.lists:
        return Grid(manifest, dict(grid.cells))
    before, now = replace(grid.manifest, legacy_ids=False), replace(manifest, legacy_ids=False)
    known = {before.key(index): cell for index, cell in grid.cells.items()}
    keys = ((index, now.key(index)) for index in range(manifest.count))
    return Grid(manifest, {index: known[key] for index, key in keys if key in known})


def shards_of(state: RunState) -> list[tuple[str, str, bool]]:
    """Return workflow id, run id and whether it is open of each shard that started, in order."""
    slices = [one for fan_out in state.fan_outs.values() for one in fan_out.slices.values()]
    ordered = sorted(slices, key=lambda one: (one.attempt, one.number))
    return [(one.workflow_id, one.run_id, one.is_open) for one in ordered if one.run_id]


def failed_of(grids: Iterable[Grid]) -> Iterator[tuple[Grid, int, Cell]]:
    """Yield the failed instances, fan-out by fan-out."""
    for grid in grids:
        for index in sorted(grid.cells):
            cell = grid.cells[index]
            if cell.mark is Mark.FAILED:
                yield grid, index, cell

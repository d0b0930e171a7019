"""What a list of history events says: the states of activities, and the context.

Adapters over the one fold of `garcon.history`, for flows and programs that ask by these documented
names. Law: nothing is computed here that the fold does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from garcon.context import ExecutionContext
from garcon.history import RunState
from garcon.instance import (
    ACTIVITY_COMPLETED,
    ACTIVITY_FAILED,
    ACTIVITY_SCHEDULED,
    ACTIVITY_STANDBY,
    ActivityState,
)
from garcon.outcome import Kind
from garcon.planning.fanout import Instance, Phase

Event = Mapping[str, Any]

#: Ends of attempts that do not draw on `retry`.
UNCHARGED = frozenset({Kind.LOST, Kind.HANDED_BACK})


class ActivityStates(dict[str, dict[str, ActivityState]]):
    """States by the activities' full names and the instances' ids.

    Attributes:
        run: the folded history that they were read from.
    """

    def __init__(self, run: RunState) -> None:
        """Read the states of all instances that `run` knows."""
        super().__init__()
        self.run = run
        for instance in _instances(run):
            states = self.setdefault(instance.type_name, {})
            states[instance.activity_id] = _state(instance)


class History(list[dict[str, Any]]):
    """Events without those of the decision tasks.

    Attributes:
        run: all events, folded.
    """

    def __init__(self, run: RunState, events: Iterable[dict[str, Any]]) -> None:
        """Hold what remains of `events`, from which `run` was folded."""
        kept = (event for event in events if not event["eventType"].startswith("Decision"))
        super().__init__(kept)
        self.run = run


def activity_states_from_events(events: Iterable[Event]) -> ActivityStates:
    """Return the states of all instances that were ever scheduled.

    A timed-out or canceled attempt counts as failed: it has ended, and not well. One that never
    ran, or was lost with its worker, goes back to standby: it does not draw on `retry`.

    Args:
        events: SWF's history events, in any order; those of decision tasks may be missing.
    Returns:
        A dict of dicts: the activity's full name, the instance's id, its `ActivityState`.
    """
    return ActivityStates(run_of(events))


def get_current_context(events: Iterable[Event]) -> ExecutionContext:
    """Return the context: the execution's input, then each result over it, in their order.

    Args:
        events: SWF's history events, in any order.
    Returns:
        A dict, which also has `.current` (itself) and `.workflow_input`.
    """
    return ExecutionContext(sorted(events, key=_number))


def run_of(events: Iterable[Event]) -> RunState:
    """Return the fold of a list of events, or the one that it was made from."""
    if isinstance(events, History):
        return events.run
    run = RunState()
    for event in sorted(events, key=_number):
        run.take(event)
    return run


def _number(event: Event) -> int:
    number: int = event["eventId"]
    return number


def _instances(run: RunState) -> Iterator[Instance]:
    for fan_out in run.fan_outs.values():
        yield from fan_out.instances.values()
    for loose in run.loose.values():
        yield from loose.values()


def _state(instance: Instance) -> ActivityState:
    state = ActivityState(instance.activity_id)
    state.losses, state.canceled = instance.losses, instance.phase is Phase.CANCELED
    unended = instance.phase.is_open or instance.phase is Phase.COMPLETED
    for place in range(instance.attempts):
        state.add_state(ACTIVITY_SCHEDULED)
        if place < instance.attempts - unended:
            # How a canceled attempt ended, or one in a shard, is not among the kinds.
            kind = instance.ends[place] if place < len(instance.ends) else Kind.FAILED
            state.add_state(ACTIVITY_STANDBY if kind in UNCHARGED else ACTIVITY_FAILED)
    if instance.phase is Phase.COMPLETED:
        state.add_state(ACTIVITY_COMPLETED)
        state.set_result(_result(instance.result))
    return state


def _result(text: str | None) -> Any:
    """Return a result as the activity meant it; an external one may be any text."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text

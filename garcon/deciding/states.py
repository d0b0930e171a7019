"""A folded state out of what the documented decider functions are given.

They take states of activities and a context. Plain dicts, such as a test or an old subclass makes,
become a fold that knows only them. Pure. Law: where the states come from a fold, that fold is used
as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from garcon.event import ActivityStates
from garcon.history import RunState
from garcon.instance import (
    ACTIVITY_COMPLETED,
    ACTIVITY_FAILED,
    ACTIVITY_SCHEDULED,
    ACTIVITY_STANDBY,
    ActivityState,
)
from garcon.manifest import Item
from garcon.planning.fanout import Instance, Phase

_PHASES = {
    ACTIVITY_STANDBY: Phase.FAILED,  # ended without having run: due again
    ACTIVITY_SCHEDULED: Phase.SCHEDULED,
    ACTIVITY_COMPLETED: Phase.COMPLETED,
    ACTIVITY_FAILED: Phase.FAILED,
}

#: Distinguishes a key that is missing from one that holds None.
_MISSING = object()


def state_from(
    states: Mapping[str, Mapping[str, ActivityState]], context: Mapping[str, Any]
) -> tuple[RunState, Item]:
    """Return the folded state, and what `context` has beyond it.

    Args:
        states: what `activity_states_from_events` returned, or plain dicts of the same form.
        context: the execution's context as the caller wants it seen.
    """
    if isinstance(states, ActivityStates):
        known = states.run.context_at(states.run.last_event_id)
        return states.run, {
            key: value for key, value in context.items() if known.get(key, _MISSING) != value
        }
    return _plain(states, context), {}


def _plain(
    states: Mapping[str, Mapping[str, ActivityState]], context: Mapping[str, Any]
) -> RunState:
    run = RunState(
        str(context.get("execution.domain", "")),
        str(context.get("execution.workflow_id", "")),
        str(context.get("execution.run_id", "")),
    )
    run.start.input = json.dumps(dict(context))
    for type_name, known in states.items():
        found = {activity_id: _instance(type_name, state) for activity_id, state in known.items()}
        run.loose[type_name] = found
        run.open += sum(one.phase.is_open for one in found.values())
    return run


def _instance(type_name: str, state: ActivityState) -> Instance:
    last = state.get_last_state()
    instance = Instance(state.activity_id, type_name, -1)
    instance.phase = _PHASES[ACTIVITY_SCHEDULED if last is None else last]
    instance.attempts = max(1, state.states.count(ACTIVITY_SCHEDULED))
    instance.failures = state.states.count(ACTIVITY_FAILED)
    instance.losses = state.losses
    instance.unrun = state.states.count(ACTIVITY_STANDBY) - state.losses
    if state.canceled:
        instance.phase = Phase.CANCELED
    if instance.phase is Phase.COMPLETED:
        instance.result = json.dumps(state.result)
    return instance

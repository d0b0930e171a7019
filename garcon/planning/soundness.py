"""Whether a run can go on at all: what ends it whatever its fan-outs say. Pure.

Law: what cannot be mended by waiting fails the execution with a line that names the mend.
"""

from __future__ import annotations

from garcon.description import FlowDescription
from garcon.errors import DecisionError
from garcon.history import RunState
from garcon.planning.plan import refusal_text

#: No run passes this many events by garcon's doing; SWF ends one at 25,000.
EVENTS_MAX = 20_000

#: Decisions in a row that killed or overran their decider before the run fails.
DEATHS_MAX = 3


def check_run(state: RunState, flow: FlowDescription, left: int) -> None:
    """Accept a run that can go on.

    Args:
        state: the run, folded.
        flow: what the flow declares.
        left: instances that are unscheduled, for the text.
    Raises:
        DecisionError: it cannot.
    """
    if state.fault is not None:
        raise DecisionError(state.fault)
    if state.fatal is not None:
        raise DecisionError(refusal_text(state.fatal.subject, state.fatal.cause))
    if state.last_event_id > EVENTS_MAX:
        raise DecisionError(
            f"the history has {state.last_event_id:,} events, above the {EVENTS_MAX:,} that "
            f"one execution may take; {left:,} instances are left: narrow the input"
        )
    if state.deaths >= DEATHS_MAX:
        raise DecisionError(
            f"{state.deaths} decisions in a row killed their decider or took longer than "
            f"{state.start.decision_timeout_s} s; see the pool's log"
        )
    _check_input(state)
    _check_activities(state, flow)


def _check_input(state: RunState) -> None:
    try:
        state.input()
    except ValueError as error:
        raise DecisionError(
            f"the execution's input is not a JSON object ({error}); start it with one, "
            'such as {"start": "2026-01-01"}'
        ) from None


def _check_activities(state: RunState, flow: FlowDescription) -> None:
    for (name, _), fan_out in state.fan_outs.items():
        if flow.activity(name) is None and not fan_out.is_complete:
            known = ", ".join(one.name for one in flow.activities)
            raise DecisionError(
                f"the execution runs activity {name!r}, which flow {flow.name!r} no "
                f"longer has (known: {known}); bring it back or start a new execution"
            )

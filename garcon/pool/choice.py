"""Which of a flow's activities a pool serves: `--activities`, checked against the flow."""

from __future__ import annotations

from collections.abc import Iterable

from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import UsageError


def choose_activities(
    flow: FlowDescription, names: Iterable[str] | None
) -> tuple[ActivityDescription, ...]:
    """Return the activities that a pool polls for, in the flow's order.

    Args:
        flow: the flow.
        names: their names in the flow, or their full names; None for all that are not external.
    Raises:
        UsageError: a name is unknown, or its activity is served by another program.
    """
    own = tuple(one for one in flow.activities if not one.external)
    if names is None:
        return own
    wanted = set(names)
    known = {name for one in flow.activities for name in (one.name, one.type_name)}
    unknown = sorted(wanted - known)
    if unknown:
        told = ", ".join(one.name for one in own)
        raise UsageError(
            f"--activities: flow {flow.name} has no activity {unknown[0]!r} (known: {told})"
        )
    foreign = [one.name for one in flow.activities if one.external and wanted & names_of(one)]
    if foreign:
        raise UsageError(
            f"--activities: {foreign[0]!r} is external; the program that it belongs to serves it"
        )
    return tuple(one for one in own if wanted & names_of(one))


def names_of(activity: ActivityDescription) -> set[str]:
    """Return the names by which a command may call the activity."""
    return {activity.name, activity.type_name}

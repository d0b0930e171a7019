"""What a flow's own `decider(schedule, context=None)` works with.

The function runs from its start at every decision, over the folded state: `schedule` answers with
the state of what was scheduled earlier and schedules the rest, and whatever is not ready ends the
run of the function with ActivityInstanceNotReadyException. Law: `schedule` adds decisions to one
planning, that of the response; it sends nothing.

`garcon.decider` exports the documented names; import them from there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from garcon.description import ActivityDescription
from garcon.errors import DecisionError, GarconError
from garcon.history import Signal
from garcon.instance import (
    ACTIVITY_COMPLETED,
    ACTIVITY_SCHEDULED,
    ActivityInstanceNotReadyException,
    ActivityState,
)
from garcon.planner import Planning
from garcon.planning.fanout import FanOut
from garcon.planning.plan import Need, Standing

if TYPE_CHECKING:
    from garcon.activity import Activity

#: Begins the ids of a custom decider's timers, so that they are never taken for garcon's own.
USER_TIMER = "timer."

Drive = Callable[["Activity", Generator[Need, Any, Standing]], Standing]


class ActivityFailedError(GarconError):
    """An activity that a custom decider scheduled has used up its retries.

    The decider may catch it and go on; otherwise the execution fails with this text once nothing
    runs any more.

    Attributes:
        details: what the text of the execution's failure adds to the line.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class ScheduleContext:
    """Keeps track of whether everything that was scheduled has completed.

    Attributes:
        completed: True until something is found that has not.
    """

    def __init__(self) -> None:
        """Begin with nothing scheduled, so with everything completed."""
        self.completed = True

    def mark_uncompleted(self) -> None:
        """Note that something scheduled has not completed, so the execution must not close."""
        self.completed = False


class ScheduledState(ActivityState):
    """The state of all instances of one `schedule(...)`, its result read when it is asked for."""

    def __init__(self, activity_id: str, fan_out: FanOut | None, complete: bool) -> None:
        """Stand for `fan_out`; None where nothing could be scheduled yet."""
        super().__init__(activity_id)
        self._fan_out = fan_out
        self.add_state(ACTIVITY_SCHEDULED)
        if complete:
            self.add_state(ACTIVITY_COMPLETED)

    @property
    def result(self) -> dict[str, Any]:
        """The results of all instances, merged in the order of the manifest; yours to change.

        Raises:
            ActivityInstanceNotReadyException: an instance has not completed.
        """
        self.wait()
        return self._fan_out.merged_results() if self._fan_out else {}


def ensure_requirements(requires: Iterable[ActivityState] | None) -> None:
    """Go on only when all that is required has completed.

    Args:
        requires: what earlier `schedule(...)` returned.
    Raises:
        ActivityInstanceNotReadyException: one of them has not completed.
    """
    for state in requires or ():
        if not state:
            raise ActivityInstanceNotReadyException("a required activity is not scheduled yet")
        state.wait()


class Schedule:
    """The `schedule` that a custom decider is given, for one decision."""

    def __init__(self, planning: Planning, drive: Drive, context: ScheduleContext) -> None:
        """Schedule into `planning`; `drive` answers what it needs of the user's code."""
        self._planning = planning
        self._drive = drive
        self._context = context
        self._by_type = {one.type_name: one for one in planning.flow.activities}

    def __call__(
        self,
        id: str | None = None,
        activity: Activity | None = None,
        requires: Iterable[ActivityState] | None = None,
        input: Mapping[str, Any] | None = None,
        version: str | None = None,
        *,
        schedule_id: str | None = None,
        current_activity: Activity | None = None,
    ) -> ActivityState:
        """Schedule `activity` unless that was done earlier; return its state.

        Args:
            id: names this use of the activity; it becomes the end of the instances' ids.
            activity: an activity of the flow.
            requires: states that have to be complete first.
            input: goes over the context of the execution for these instances.
            version: version of the activity's type, if not the flow's.
            schedule_id: the `id` under the name that `decider.schedule` has for it.
            current_activity: the `activity` likewise.
        Raises:
            ActivityInstanceNotReadyException: a required state is not complete.
            ActivityFailedError: instances have failed for good and nothing of it runs any more.
            DecisionError: the activity is not one of the flow's, or not given.
        """
        ensure_requirements(requires)
        id = schedule_id if id is None else id
        activity = activity or current_activity
        if id is None or activity is None:
            raise DecisionError("schedule needs an id and an activity: schedule('pay', flow.pay)")
        found = self._description(activity, version)
        steps = self._planning.fan_out(found, str(id), input, bool(activity.generators))
        standing = self._drive(activity, steps)
        fan_out = self._planning.known(found.name, str(id))
        if standing is Standing.FAILED:
            raise self._failed(fan_out)
        if standing is Standing.OPEN:
            self._context.mark_uncompleted()
        return ScheduledState(f"{activity.name}-{id}", fan_out, standing is Standing.COMPLETE)

    def mark_uncompleted(self) -> None:
        """Note that the decider is not through: the execution must not close."""
        self._context.mark_uncompleted()

    @property
    def signals(self) -> list[Signal]:
        """The signals to the execution so far, in order: each has a `name` and an `input` text."""
        return list(self._planning.state.signals)

    def timer(self, id: str, seconds: int) -> ActivityState:
        """Start a timer unless that was done earlier; return its state.

        Args:
            id: names the timer in this execution.
            seconds: whole seconds until it fires; a timer that runs keeps its time.
        Returns:
            A state that is ready once the timer has fired; its result is empty.
        """
        state = ActivityState(f"{USER_TIMER}{id}")
        state.add_state(ACTIVITY_SCHEDULED)
        if self._planning.timer(state.activity_id, max(0, int(seconds))):
            state.add_state(ACTIVITY_COMPLETED)
            state.set_result({})
        else:
            self._context.mark_uncompleted()
        return state

    def _description(self, activity: Activity, version: str | None) -> ActivityDescription:
        found = self._by_type.get(activity.name)
        if found is None:
            known = ", ".join(sorted(one.name for one in self._planning.flow.activities))
            raise DecisionError(
                f"activity {activity.name!r} is not an activity of flow "
                f"{self._planning.flow.name!r} (known: {known}); make it an attribute of the flow "
                "or list it in flow.activities"
            )
        return found if version is None else replace(found, version=str(version))

    def _failed(self, fan_out: FanOut | None) -> ActivityFailedError:
        error = self._planning.failure(fan_out)
        return ActivityFailedError(str(error), error.details if error else "")


def call_decider(
    decider: Callable[..., Any], schedule: Callable[..., Any], context: Mapping[str, Any]
) -> None:
    """Call a flow's decider with `schedule`, and with the execution's input if it takes that.

    Args:
        decider: `decider(schedule)` of 0.0.4 or `decider(schedule, context=None)` of 1.x.
        schedule: what it schedules with.
        context: the execution's input.
    """
    if "context" in inspect.signature(decider).parameters:
        decider(schedule=schedule, context=context)
    else:
        decider(schedule=schedule)

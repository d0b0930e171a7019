"""The decider's documented names that a loop over `run` does not show by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from garcon import activity, decider, runner
from garcon.activity import ActivityInstanceNotReadyException, ActivityState

CONTEXT = {"key": 1}


class Flow:
    """Two activities, and a decider of its own."""

    domain = "dev"
    name = "flow"

    def __init__(self) -> None:
        """Make the activities."""
        create = activity.create("dev", "flow")
        run = runner.Sync(lambda context, activity: None)
        self.one = create(name="one", run=run)
        self.two = create(name="two", run=run)

    def decider(self, schedule: Any, context: Any = None) -> None:  # noqa: ARG002 - documented
        """One, and then two."""
        schedule("first", self.one).wait()
        schedule("second", self.two)


def scheduled(decisions: list[dict[str, Any]]) -> list[str]:
    """Return the activities that these decisions schedule."""
    found = [one.get("scheduleActivityTaskDecisionAttributes") for one in decisions]
    return [one["activityType"]["name"] for one in found if one]


def test_delegate_decisions_adds_what_the_decider_comes_to() -> None:
    """The flow's own decider, or any other one that is given."""
    flow = Flow()
    worker = decider.DeciderWorker(flow, register=False)
    own: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []

    worker.delegate_decisions(own, flow.decider, {}, CONTEXT)
    worker.delegate_decisions(other, lambda schedule: schedule("x", flow.two), {}, CONTEXT)

    assert scheduled(own) == ["flow_one"]
    assert scheduled(other) == ["flow_two"]


def test_create_decisions_from_flow_adds_what_the_requirements_come_to() -> None:
    """A flow without a decider runs what requires nothing."""
    flow = Flow()
    decisions: list[dict[str, Any]] = []

    decider.DeciderWorker(flow, register=False).create_decisions_from_flow(decisions, {}, CONTEXT)

    assert {"flow_one", "flow_two"} >= set(scheduled(decisions)) != set()


def test_mark_uncompleted_keeps_an_execution_open() -> None:
    """A schedule context counts as completed until something says otherwise."""
    progress = decider.ScheduleContext()
    assert progress.completed is True

    progress.mark_uncompleted()

    assert progress.completed is False


def test_ensure_requirements_stops_at_what_has_not_completed() -> None:
    """Nothing, and what is ready, lets it go on."""
    ready, waiting = ActivityState("ready"), ActivityState("waiting")
    ready.add_state(activity.ACTIVITY_COMPLETED)

    decider.ensure_requirements(requires=None)
    decider.ensure_requirements(requires=[ready])
    with pytest.raises(ActivityInstanceNotReadyException, match="waiting"):
        decider.ensure_requirements(requires=[ready, waiting])

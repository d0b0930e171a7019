"""Which activities a flow has, and which instances are due by the states that are known."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from garcon import activity, runner
from garcon.activity import (
    ACTIVITY_COMPLETED as COMPLETED,
)
from garcon.activity import (
    ACTIVITY_FAILED as FAILED,
)
from garcon.activity import (
    ACTIVITY_SCHEDULED as SCHEDULED,
)
from garcon.activity import (
    ACTIVITY_STANDBY as STANDBY,
)
from garcon.errors import DecisionError, FlowError


def plain(context: Any, activity: Any) -> None:
    """A task that does nothing."""


RUN = runner.Sync(plain)


def days(context: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield three days, or as many as the context says."""
    yield from ({"day": day} for day in range(context.get("days", 3)))


class Flow:
    """One, then three of two, then three; four needs nothing."""

    def __init__(self) -> None:
        """Make the activities."""
        create = activity.create("dev", "flow")
        self.one = create(name="one", run=RUN, retry=1)
        self.two = create(name="two", run=RUN, requires=[self.one], generators=[days])
        self.three = create(name="three", run=RUN, requires=[self.two])
        self.four = create(name="four", run=RUN)


def history(**states: list[int] | dict[str, list[int]]) -> dict[str, Any]:
    """Return the states of instances by activity: those of number one, or of each id."""
    found: dict[str, Any] = {}
    for name, given in states.items():
        by_id = given if isinstance(given, dict) else {f"flow_{name}-1": given}
        found[f"flow_{name}"] = {}
        for key, numbers in by_id.items():
            state = activity.ActivityState(key)
            state.states.extend(numbers)
            found[f"flow_{name}"][key] = state
    return found


def names(instances: Any) -> list[str]:
    """Return the activities' names of these instances."""
    return [one.activity_name.removeprefix("flow_") for one in instances]


def available(flow: Any, known: Any, context: Any = None) -> list[str]:
    """Return the activities of the instances that are due."""
    return names(activity.find_available_activities(flow, known, context or {}))


def test_at_first_what_requires_nothing_is_due() -> None:
    """In the order of the declaration."""
    found = list(activity.find_available_activities(Flow(), {}, {"a": 1}))

    assert names(found) == ["one", "four"]
    assert found[0].execution_context == {"a": 1}


def test_what_is_under_way_or_complete_is_not_due_again() -> None:
    """A state that is not failed keeps an instance from being scheduled."""
    known = history(one=[SCHEDULED], four=[SCHEDULED, COMPLETED])

    assert available(Flow(), known) == []


def test_a_fan_out_is_due_when_its_requirement_has_completed() -> None:
    """All its instances at once."""
    assert available(Flow(), history(one=[SCHEDULED, COMPLETED], four=[SCHEDULED])) == ["two"] * 3


def test_the_barrier_waits_for_every_instance() -> None:
    """Garcon 1.1.1 looked at those in the history only: two of three done opened it."""
    flow = Flow()
    ids = [one.id for one in flow.two.instances({})]
    done = {one: [SCHEDULED, COMPLETED] for one in ids}
    base = {"one": [COMPLETED], "four": [COMPLETED]}

    assert available(flow, history(**base, two=dict(list(done.items())[:2]))) == ["two"]
    assert available(flow, history(**base, two={**done, ids[0]: [SCHEDULED]})) == []
    assert available(flow, history(**base, two=done)) == ["three"]


def test_a_fan_out_of_nothing_opens_the_barrier() -> None:
    """But not before its own requirement: its generator may need what that brings."""
    flow = Flow()

    assert available(flow, history(four=[SCHEDULED]), {"days": 0}) == ["one"]
    assert available(flow, history(one=[COMPLETED], four=[SCHEDULED]), {"days": 0}) == ["three"]


def test_a_failed_instance_is_due_while_it_has_retries() -> None:
    """`retry=1` is two attempts; the second failure fails the execution, naming the instance."""
    once = history(one=[SCHEDULED, FAILED], four=[SCHEDULED])
    twice = history(one=[SCHEDULED, FAILED, SCHEDULED, FAILED], four=[SCHEDULED])

    assert available(Flow(), once) == ["one"]
    with pytest.raises(DecisionError, match=r"flow_one-1 failed 2 times.*retry=1"):
        available(Flow(), twice)


def test_lost_workers_draw_on_their_own_budget() -> None:
    """`lost_retry` is 3: the fourth loss fails the execution, though nothing has failed."""
    known = history(one=[SCHEDULED, STANDBY] * 4, four=[SCHEDULED])
    state = known["flow_one"]["flow_one-1"]

    state.losses = 3
    assert available(Flow(), known) == ["one"]
    state.losses = 4
    with pytest.raises(DecisionError, match=r"flow_one-1 lost its worker 4 times.*lost_retry=3"):
        available(Flow(), known)


def test_instances_of_a_run_of_1_1_1_are_known_by_their_old_ids() -> None:
    """It goes on where it was."""
    flow = Flow()
    old = {one.legacy_id: [SCHEDULED, COMPLETED] for one in flow.two.instances({})}
    assert not set(old) & {one.id for one in flow.two.instances({})}

    assert available(flow, history(one=[COMPLETED], four=[COMPLETED], two=old)) == ["three"]


def test_uncomplete_is_all_that_has_not_completed() -> None:
    """Whether it is due or not."""
    known = history(one=[SCHEDULED, COMPLETED], four=[SCHEDULED])

    found = names(activity.find_uncomplete_activities(Flow(), known, {}))

    assert found == ["two", "two", "two", "three", "four"]


def test_all_instances_of_a_flow_are_found() -> None:
    """Whatever their state."""
    assert names(activity.find_activities(Flow(), {})) == ["one", *["two"] * 3, "three", "four"]


def test_the_activities_of_a_module_are_its_attributes() -> None:
    """In the order in which they were written; other attributes do not count."""
    module = ModuleType("flow")
    create = activity.create("dev", "flow")
    module.b = create(name="b", run=RUN)  # type: ignore[attr-defined]
    module.number = 5  # type: ignore[attr-defined]
    module.a = create(name="a", run=RUN)  # type: ignore[attr-defined]
    module.again = module.a  # type: ignore[attr-defined]

    assert activity.find_workflow_activities(module) == [module.b, module.a]


def test_an_activity_that_a_property_builds_is_found() -> None:
    """Each access builds a new one; its name tells which it is."""

    class Shop:
        def __init__(self) -> None:
            self.create = activity.create("dev", "shop")
            self.activities = [self.order, self.create(name="made", run=RUN), "no activity"]

        @property
        def client(self) -> Any:
            raise AssertionError("a client was made to look for activities")

        @property
        def order(self) -> activity.Activity:
            return self.create(name="order", run=RUN)

    found = activity.find_workflow_activities(Shop())

    assert [one.short_name for one in found] == ["order", "made"]


@pytest.mark.parametrize("kind", [list, tuple, lambda one: {"made": one[0]}])
def test_what_the_flow_lists_is_found(kind: Any) -> None:
    """Activities that are no attributes, such as those of a custom decider."""

    class Shop:
        activities: Any = None

    Shop.activities = kind([activity.create("dev", "shop")(name="made", run=RUN)])

    assert [one.short_name for one in activity.find_workflow_activities(Shop())] == ["made"]


def test_a_property_that_raises_is_named() -> None:
    """The flow has to be mended."""

    class Shop:
        @property
        def order(self) -> Any:
            raise ValueError("closed")

    with pytest.raises(FlowError, match="attribute order of the flow raises ValueError: closed"):
        activity.find_workflow_activities(Shop())

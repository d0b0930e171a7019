"""Small flows for the deciders' tests, and the descriptions that the zygote would make of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from garcon import activity, runner
from garcon.deciding.flowdecider import FlowDecider
from garcon.flow import describe


def noop(context: Any, activity: Any) -> None:
    """Do nothing: the tests' workers are not real."""


def flow_of(*, decider: Any = None, **declared: dict[str, Any]) -> SimpleNamespace:
    """Return a flow of activities, each given by the keywords of `create`.

    `requires` holds names of activities that were given before.
    """
    create = activity.create("domain", "flow")
    flow = SimpleNamespace(domain="domain", name="flow")
    for name, options in declared.items():
        requires = [getattr(flow, required) for required in options.get("requires", ())]
        options = {"run": runner.Sync(noop), **options, "requires": requires}
        setattr(flow, name, create(name=name, **options))
    if decider is not None:
        flow.decider = decider
    return flow


def decider_of(flow: SimpleNamespace, **options: Any) -> FlowDecider:
    """Return a decider that has seen nothing yet; `options` go to every activity's description."""
    described = describe(flow)
    activities = tuple(replace(one, **options) for one in described.activities)
    return FlowDecider(flow, replace(described, activities=activities))


def numbers(count: int, key: str = "number") -> Any:
    """Return a generator of `count` dicts."""

    def generate(context: dict[str, Any]) -> Any:
        return ({key: number} for number in range(count))

    return generate


def days_by_countries(days: int, countries: int, **options: Any) -> SimpleNamespace:
    """Return a flow of one activity, a fan-out with these options behind it, and a last one."""
    return flow_of(
        prepare={},
        country_day={
            "requires": ["prepare"],
            "generators": [numbers(days, "day"), numbers(countries, "country")],
            **options,
        },
        summary={"requires": ["country_day"]},
    )

"""Countries whose figures come from a service that fails now and then: retried one by one.

    python -m garcon.pool flows.flaky --engine local --input '{"countries": 20, "chance": 0.5}'

Input: `countries`, how many, 6 without it; `chance`, how likely a call fails, 0.25 without it. A
call that fails is tried again alone, up to ten times; the others are not held up by it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from garcon import activity, runner, task

domain = "garcon-samples"
name = "flaky"
create = activity.create(domain, name)

RETRY = 10


class ServiceDown(Exception):
    """The service did not answer this time."""


def countries(context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one context a country."""
    for country in range(1, int(context.get("countries", 6)) + 1):
        yield {"generator.country": country}


@task.decorate(timeout=60)
def fetch(country: int, chance: float | None) -> dict[str, Any]:
    """Ask the service for one country."""
    if random.random() < (0.25 if chance is None else chance):
        raise ServiceDown(f"no answer for country {country}")
    return {f"figure.{country}": country * country}


def report(context: Mapping[str, Any], activity: Any) -> dict[str, Any]:
    """Add up all figures."""
    figures = [value for key, value in context.items() if key.startswith("figure.")]
    print(f"{len(figures)} countries, sum {sum(figures)}")
    return {"sum": sum(figures)}


fetch_each = create(
    name="fetch",
    generators=[countries],
    retry=RETRY,
    run=runner.Sync(fetch.fill(country="generator.country", chance="chance")),
)

report_all = create(name="report", requires=[fetch_each], run=runner.Sync(report))

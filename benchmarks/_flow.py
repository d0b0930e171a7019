"""The flow that is measured: `n` instances of one body, then a final step that needs all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import _bodies
from garcon import activity, runner, task

create = activity.create("garcon-benchmarks", "bench")


#: A year of 91,250 is days by countries; one list of them all would be more than a history holds.
COUNTRIES = 250


def days(context: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Yield the first number of each day."""
    for first in range(0, context["n"], math.gcd(context["n"], COUNTRIES)):
        yield {"day": first}


def countries(context: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Yield what each country adds to it."""
    for country in range(math.gcd(context["n"], COUNTRIES)):
        yield {"country": country}


@task.decorate()
def work(kind: str, day: int, country: int) -> None:
    """Run the body."""
    _bodies.run(kind, day + country)


@task.decorate()
def end() -> None:
    """Note that all is done."""
    _bodies.finish()


instance = create(
    name="instance",
    generators=[days, countries],
    run=runner.Sync(work.fill(kind="kind", day="day", country="country")),
)

final = create(name="final", requires=[instance], run=runner.Sync(end.fill()))

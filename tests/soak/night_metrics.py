"""`flows.metrics`, with a share of its instances failing for good while a file says so.

Input: that of `flows.metrics`, and `broken`, the file; while it is there, three in a hundred fail.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from flows import metrics
from garcon import activity, runner, task
from garcon.param import Param

domain = metrics.domain
name = "night-metrics"
create = activity.create(domain, name)

#: Of a hundred instances so many fail.
BROKEN = 3


def is_broken(day: str, country: str) -> bool:
    """Tell whether an instance is one of those that fail."""
    digest = sha256(f"{day} {country}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < BROKEN


@task.decorate(timeout=120)
def store_day(day: str, country: str, output: str, broken: str | None) -> Any:
    """Store the row of one day and country, or fail."""
    if broken and Path(broken).exists() and is_broken(day, country):
        raise LookupError(f"the source of {country} is down")
    return metrics.store_day(day=day, country=country, output=output, busy_timeout_s=30)


prepare = create(
    name="prepare",
    run=runner.Sync(
        metrics.make_output.fill(start="start", end="end", countries="countries", output="output")
    ),
)

country_day = create(
    name="country_day",
    requires=[prepare],
    generators=[metrics.days, metrics.countries],
    run=runner.Sync(
        store_day.fill(
            day="day", country="country", output=Param("metrics.output"), broken="broken"
        )
    ),
)

summary = create(
    name="summary",
    requires=[country_day],
    run=runner.Sync(
        metrics.write_summary.fill(
            start="start", end="end", output="metrics.output", countries="countries"
        )
    ),
)

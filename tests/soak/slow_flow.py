"""Days x countries that take as long as the input says, for what is measured beside a long run."""

from __future__ import annotations

import time
from pathlib import Path

from garcon import activity, runner, task

domain = "garcon-soak"
name = "slow"
create = activity.create(domain, name)


def days(context):
    """Yield as many days as the input asks for."""
    yield from ({"day": day} for day in range(context["days"]))


def countries(context):
    """Yield as many countries as the input asks for."""
    yield from ({"country": country} for country in range(context["countries"]))


@task.decorate(timeout=3_600)
def wait(day, country, countries, seconds, stragglers, gate):
    """Take a while; a straggler waits for its gate."""
    if day * countries + country in stragglers:
        while not Path(gate).exists():
            time.sleep(0.1)
    time.sleep(seconds)


cell = create(
    name="cell",
    generators=[days, countries],
    run=runner.Sync(
        wait.fill(
            day="day",
            country="country",
            countries="countries",
            seconds="seconds",
            stragglers="stragglers",
            gate="gate",
        )
    ),
)

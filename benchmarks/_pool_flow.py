"""The flow of the pool's figures: four lists, tasks that stay, large results, a slow import."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from garcon import activity, runner, task

domain = "garcon-benchmarks"
name = "figures"

#: While this file is there, importing the flow takes so long, seconds.
SLOW_FILE = "slow-import"
SLOW_S = 3.0

#: As many characters as SWF takes, of four bytes each.
LARGE = "\U0001f37d" * 32_000

if Path(os.environ.get("GARCON_BENCH_FOLDER", "."), SLOW_FILE).exists():
    until_s = time.monotonic() + SLOW_S
    while time.monotonic() < until_s:
        pass

create = activity.create(domain, name)


@task.decorate(timeout=120)
def stay(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)


@task.decorate(timeout=120)
def give(text: str) -> dict[str, Any]:
    """Return what was given."""
    return {"text": text}


def _many(which: str) -> Any:
    def many(context: Any) -> Any:
        """Yield as many instances as the input has for this activity."""
        return ({"number": number} for number in range(context.get(which, 0)))

    return many


def _large(context: Any) -> Any:
    """Yield as many instances as the input has for large results."""
    return ({"number": number, "text": LARGE} for number in range(context.get("large", 0)))


north, south, east = (
    create(name=which, generators=[_many(which)], run=runner.Sync(stay.fill(seconds="seconds")))
    for which in ("north", "south", "east")
)
large = create(name="large", generators=[_large], run=runner.Sync(give.fill(text="text")))

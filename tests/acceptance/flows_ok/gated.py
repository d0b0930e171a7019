"""A fan-out whose tasks end when a file appears, so that a test decides how long they run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from garcon import activity, runner, task

domain = "garcon-tests"
name = "gated"
create = activity.create(domain, name)


@task.decorate(timeout=120)
def wait_for_gate(folder, number):
    """Say who runs which task, then wait for the gate."""
    (Path(folder) / f"started-{number}").write_text(str(os.getpid()), encoding="utf-8")
    until_s = time.monotonic() + 100
    while not (Path(folder) / "gate").exists():
        if time.monotonic() > until_s:
            raise TimeoutError("the gate stayed shut")
        time.sleep(0.02)
    return {f"done.{number}": True}


def numbers(context):
    """Yield as many instances as the input asks for."""
    for number in range(context["tasks"]):
        yield {"number": number}


work = create(
    name="work",
    generators=[numbers],
    retry=1,
    run=runner.Sync(wait_for_gate.fill(folder="folder", number="number")),
)

"""A fan-out whose generator never gives the same answer twice, and whose tasks leave notes."""

from __future__ import annotations

import random
import time
from pathlib import Path

from garcon import activity, runner, task

domain = "garcon-tests"
name = "fickle"
create = activity.create(domain, name)

FREE = 50


def moments(context):
    """Yield instances by chance and by the clock, other ones and another number with each call."""
    for _ in range(random.randint(90, 150)):
        yield {"moment": time.time() + random.random()}


@task.decorate(timeout=60)
def note(folder, moment):
    """Leave a line for a moment; after the first fifty they wait for the gate."""
    notes = Path(folder) / "notes"
    with notes.open("a", encoding="ascii") as file:
        file.write(f"{moment!r}\n")
    until_s = time.monotonic() + 50
    while len(notes.read_text(encoding="ascii").split()) >= FREE:
        if (Path(folder) / "gate").exists() or time.monotonic() > until_s:
            break
        time.sleep(0.02)


notes = create(
    name="notes",
    generators=[moments],
    shard_size=40,
    run=runner.Sync(note.fill(folder="folder", moment="moment")),
)

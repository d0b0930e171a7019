"""Days x items whose tasks note that they ran, fail for the items that a file names, or wait."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

from garcon import activity, runner, task

domain = "garcon-tests"
name = "nights"
create = activity.create(domain, name)


def days(context):
    """Yield the days of the range."""
    first, last = (date.fromisoformat(context[key]) for key in ("start", "end"))
    for number in range((last - first).days + 1):
        yield {"day": str(first + timedelta(days=number))}


def items(context):
    """Yield as many items as the input asks for; their names need quotes."""
    for number in range(context["items"]):
        yield {"item": f"no, {number}"}


@task.decorate(timeout=60)
def note(folder, day, item, seconds):
    """Note that this instance ran, if it is not to fail."""
    broken = Path(folder) / "broken"
    if broken.exists() and item in broken.read_text(encoding="utf-8").splitlines():
        raise ValueError(f"{item} is broken")
    while (Path(folder) / "shut").exists():
        time.sleep(0.02)
    with (Path(folder) / "ran").open("a", encoding="utf-8") as file:
        file.write(f"{day} {item}\n")
    time.sleep(seconds or 0)
    return {f"ran.{day}.{item}": 1}


def add_up(context, activity):
    """Say how many have run."""
    return {"sum": sum(value for key, value in context.items() if key.startswith("ran."))}


each = create(
    name="each",
    generators=[days, items],
    run=runner.Sync(note.fill(folder="folder", day="day", item="item", seconds="seconds")),
)
total = create(name="total", requires=[each], run=runner.Sync(add_up))

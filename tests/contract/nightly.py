"""A flow whose executions the tests end by hand: days x shops, and a sum."""

from __future__ import annotations

from datetime import date, timedelta

from garcon import activity, runner, task

domain = "nights"
name = "nightly"
create = activity.create(domain, name)


def days(context):
    """Yield the days of the range."""
    first, last = (date.fromisoformat(context[key]) for key in ("start", "end"))
    for number in range((last - first).days + 1):
        yield {"day": str(first + timedelta(days=number))}


def shops(context):
    """Yield three shops."""
    yield from ({"shop": shop} for shop in "abc")


@task.decorate(timeout=60)
def count(day, shop):
    """Count what a shop sold on a day."""
    return {f"sold.{day}.{shop}": 1}


@task.decorate(timeout=60)
def add_up():
    """Say that all is counted."""
    print("all counted")


each = create(
    name="each", generators=[days, shops], run=runner.Sync(count.fill(day="day", shop="shop"))
)
total = create(name="total", requires=[each], run=runner.Sync(add_up.fill()))

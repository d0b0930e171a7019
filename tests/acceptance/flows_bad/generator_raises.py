"""A generator that raises."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
name = "generator_raises"
create = activity.create(domain, name)


def orders(context):
    """Fail half way."""
    yield {"order": 1}
    raise LookupError("the order book is gone")


brew = create(name="brew", generators=[orders], run=runner.Sync(lambda context, activity: None))

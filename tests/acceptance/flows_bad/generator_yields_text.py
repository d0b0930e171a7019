"""A generator that yields what is no context."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
name = "generator_yields_text"
create = activity.create(domain, name)


def orders(context):
    """Yield a text where a dict belongs."""
    yield "espresso"


brew = create(name="brew", generators=[orders], run=runner.Sync(lambda context, activity: None))

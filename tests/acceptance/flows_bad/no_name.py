"""A flow without its name."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
create = activity.create(domain, "no_name")

brew = create(name="brew", run=runner.Sync(lambda context, activity: None))

"""A task that returns a list."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
name = "result_no_dict"
create = activity.create(domain, name)

brew = create(name="brew", run=runner.Sync(lambda context, activity: ["espresso"]))

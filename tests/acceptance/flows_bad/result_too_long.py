"""A task that returns more than SWF carries."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
name = "result_too_long"
create = activity.create(domain, name)

brew = create(name="brew", run=runner.Sync(lambda context, activity: {"beans": "x" * 32_768}))

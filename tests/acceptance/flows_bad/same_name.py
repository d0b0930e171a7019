"""Two activities of one name."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
name = "same_name"
create = activity.create(domain, name)

first = create(name="brew", run=runner.Sync(lambda context, activity: None))
second = create(name="brew", run=runner.Sync(lambda context, activity: None))

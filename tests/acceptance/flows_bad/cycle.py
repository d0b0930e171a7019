"""Two activities that wait for each other."""

from __future__ import annotations

from garcon import activity, runner

domain = "garcon-tests"
name = "cycle"
create = activity.create(domain, name)

roast = create(name="roast", run=runner.Sync(lambda context, activity: None))
grind = create(name="grind", requires=[roast], run=runner.Sync(lambda context, activity: None))
roast.requires = [grind]

"""One instance that somebody else runs, as often as it takes: a run of many decisions."""

from __future__ import annotations

from garcon import activity

domain = "garcon-tests"
name = "stubborn"
create = activity.create(domain, name)

work = create(name="work", external=True, timeout=60, heartbeat=60, retry=1_000)

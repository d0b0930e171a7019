"""`_flow` with eight threads a worker."""

from __future__ import annotations

from benchmarks._flow import countries, days, end, work
from garcon import activity, runner

create = activity.create("garcon-benchmarks", "bench")

instance = create(
    name="instance",
    generators=[days, countries],
    threads=8,
    run=runner.Sync(work.fill(kind="kind", day="day", country="country")),
)

final = create(name="final", requires=[instance], run=runner.Sync(end.fill()))

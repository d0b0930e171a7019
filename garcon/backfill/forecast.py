"""How much a backfill will be: events, shards, time. Pure arithmetic over counts.

Law: a forecast is told as one; nothing depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from garcon.description import SHARD_SIZE, FlowDescription

#: History events an instance takes, decisions and retries included, measured over whole runs.
EVENTS_PER_INSTANCE = 3.3

#: Events of an execution or a shard beside its instances: its start, first decisions, its end.
EVENTS_PER_EXECUTION = 15

#: Instances a second that an engine takes: AWS schedules 200 activities a second on an account's
#: default quotas (SWF Developer Guide, "Amazon SWF quotas"); the embedded one was measured.
RATES = {"aws": 200.0, "url": 1_000.0, "local": 1_000.0}


@dataclass(frozen=True)
class Forecast:
    """What running some instances comes to.

    Attributes:
        instances: that will run.
        shards: child executions that they are spread over.
        events: history events of all executions.
        seconds: at the engine's rate and the flow's own bounds.
    """

    instances: int
    shards: int
    events: int
    seconds: float


def forecast(
    flow: FlowDescription,
    to_run: dict[str, int],
    frozen: dict[str, int],
    engine_kind: str,
    is_new: bool,
) -> Forecast:
    """Return what running `to_run` comes to.

    Args:
        flow: its bounds.
        to_run: instances by activity.
        frozen: instances of the whole fan-out by activity, in the flow's order.
        engine_kind: `aws`, `url` or `local`.
        is_new: whether an execution is started for it.
    """
    instances = sum(to_run.values())
    shards = _shards(flow, to_run, frozen)
    executions = shards + is_new
    events = round(instances * EVENTS_PER_INSTANCE) + executions * EVENTS_PER_EXECUTION
    seconds = instances / RATES[engine_kind]
    for name, count in to_run.items():
        activity = flow.activity(name)
        if activity is not None and activity.rate_per_s:
            seconds = max(seconds, count / activity.rate_per_s)
    return Forecast(instances, shards, events, seconds)


def _shards(flow: FlowDescription, to_run: dict[str, int], frozen: dict[str, int]) -> int:
    """Return the shards as the planner cuts them: what exceeds a shard's size with all before."""
    before = shards = 0
    for name, count in frozen.items():
        activity = flow.activity(name)
        size = activity.shard_size if activity is not None else SHARD_SIZE
        if size is not None and count > 1 and before + count > size:
            shards += ceil(to_run.get(name, 0) / size)
        else:
            before += count
    return shards

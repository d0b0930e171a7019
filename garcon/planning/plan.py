"""The words of planning: what a plan needs of the user's code, what it is, what it tells.

Pure: data and texts. Law: texts written into the history keep their form, for others read them.

Every response carries the progress as `executionContext`, compact JSON:
`{"garcon":1,"activities":{"country_day":{"n":1750,"done":9,"failed":0,"running":16,"open":100,
"retries":2}}}`, with an entry for each activity whose fan-out is frozen: `n` instances, `done`
completed, `failed` for good, `running` with a worker, `open` running or waiting for a worker,
`retries` attempts beyond the first. Activities of which several uses exist (custom deciders) are
added up. A shard's text has `"shard":true`: its counts add to those of its root, but for `n`, which
the root tells for the whole fan-out, and for what the root knows of shards that have closed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from garcon.description import ActivityDescription
from garcon.errors import DecisionError
from garcon.manifest import Item, Manifest
from garcon.outcome import DETAILS_MAX
from garcon.planning.batch import Decision
from garcon.planning.resuming import Earlier


@dataclass(frozen=True)
class NeedFreeze:
    """Run the generators of `activity` on a copy of `context`; answer with their lists.

    The answer is what `manifest.distinct` returns, or None for an activity without generators.
    """

    activity: ActivityDescription
    schedule_id: str
    context: Mapping[str, Any]


@dataclass(frozen=True)
class NeedInput:
    """Build the input of one instance from copies of both contexts; answer with `Prepared`."""

    activity: ActivityDescription
    manifest: Manifest
    index: int
    context: Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """What the user's code says about one instance: its input, and SWF's four timeouts as text."""

    input: str
    start_to_close: str
    schedule_to_start: str
    schedule_to_close: str
    heartbeat: str


@dataclass(frozen=True)
class NeedShard:
    """Tell what a shard of `activity` needs and has to bring back; answer with `ShardNeeds`."""

    activity: ActivityDescription
    context: Mapping[str, Any]


@dataclass(frozen=True)
class ShardNeeds:
    """What goes into a shard and comes out of it.

    Attributes:
        context: keys of the context that the instances read; None for all.
        carry: keys of results that later activities read; None for all.
    """

    context: frozenset[str] | None
    carry: tuple[str, ...] | None


@dataclass(frozen=True)
class NeedEarlier:
    """Tell what of `manifest` an earlier execution has done; answer with `Taken`."""

    activity: ActivityDescription
    manifest: Manifest
    earlier: Earlier
    context: Mapping[str, Any]


Need = NeedFreeze | NeedInput | NeedShard | NeedEarlier


@dataclass(frozen=True)
class Plan:
    """One response.

    Attributes:
        decisions: in SWF's form.
        execution_context: the progress.
        hold_s: how long the response may wait for more completions, seconds.
        closes: whether the last decision closes the execution.
        notes: lines worth logging.
        terminate: workflow and run ids of shards that are still open though it closes.
        error: why the execution fails, where it does.
    """

    decisions: list[Decision]
    execution_context: str
    hold_s: float = 0.0
    closes: bool = False
    notes: tuple[str, ...] = ()
    terminate: tuple[tuple[str, str], ...] = ()
    error: DecisionError | None = field(default=None, compare=False)


class Standing(Enum):
    """Where a fan-out is."""

    COMPLETE = "complete"  #: every instance completed: what requires it may begin
    OPEN = "open"  #: something runs, waits or is yet to be scheduled
    FAILED = "failed"  #: nothing more will run, and an instance failed for good


PROGRESS_COUNTS = ("n", "done", "failed", "running", "open", "retries")


def progress_text(counts: Mapping[str, Mapping[str, int]], shard: bool = False) -> str:
    """Return the `executionContext` that tells `counts`; the last ones go where it is too long."""
    kept = dict(counts)
    while True:
        told = {"garcon": 1, "shard": True} if shard else {"garcon": 1}
        text = json.dumps({**told, "activities": kept}, separators=(",", ":"))
        if len(text) <= DETAILS_MAX:
            return text
        kept = dict(list(kept.items())[: len(kept) // 2])


def control_text(manifest: Manifest, index: int, attempt: int) -> str:
    """Return what a schedule carries so that the fold knows its place without the id."""
    control: Item = {"garcon": 1, "of": manifest.activity}
    if manifest.schedule_id:
        control["id"] = manifest.schedule_id
    return json.dumps({**control, "n": index, "attempt": attempt}, separators=(",", ":"))


_MENDS = {
    "ACTIVITY_TYPE_DOES_NOT_EXIST": "it is not registered: start the pool, which registers it",
    "ACTIVITY_TYPE_DEPRECATED": "its type is deprecated: raise the flow's version",
    "ACTIVITY_ID_ALREADY_IN_USE": "an open activity has its id: give each schedule its own id",
    "OPERATION_NOT_PERMITTED": "the credentials do not allow it: extend the IAM policy",
}


def refusal_text(subject: str, cause: str) -> str:
    """Return why a run fails whose decision SWF refused for good."""
    return f"SWF refused {subject}: {cause}; {_MENDS.get(cause, 'see the SWF Developer Guide')}"

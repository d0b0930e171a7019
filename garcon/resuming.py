"""Resuming: a new execution takes over what an earlier one had done.

The input's key `garcon.resume` names the earlier execution. When a fan-out is frozen, what the
earlier one had done of it is recorded with it, so its history is needed no more after that; and as
that record counts as done, resuming a resumed execution takes over both. Pure. Law: an instance is
taken over by its key, and only if it completed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from garcon.errors import DecisionError
from garcon.fanout import FanOut
from garcon.history import RunState
from garcon.manifest import Manifest, Ranges, ranges_of

KEY = "garcon.resume"


@dataclass(frozen=True)
class Earlier:
    """The execution to take over from."""

    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class Taken:
    """What is taken over of one fan-out: indexes of the new manifest, and their results."""

    ranges: Ranges = ()
    results: Mapping[str, Any] = field(default_factory=dict)


def earlier_of(state: RunState) -> Earlier | None:
    """Return the execution that this one resumes, None for most.

    Raises:
        DecisionError: the input names it in a way that cannot be read.
    """
    if state.order is not None:
        return None
    found = state.input().get(KEY)
    if found is None:
        return None
    if isinstance(found, Mapping):
        names = found.get("workflow_id"), found.get("run_id")
        if isinstance(names[0], str) and isinstance(names[1], str) and all(names):
            return Earlier(names[0], names[1])
    raise DecisionError(
        f"{KEY} in the execution's input is {found!r:.80}; "
        'it has to be {"workflow_id": "...", "run_id": "..."}'
    )


def taken_over(earlier: RunState, manifest: Manifest, carry: Sequence[str] | None) -> Taken:
    """Return what `earlier` had done of the instances of `manifest`.

    Args:
        earlier: the earlier execution, folded to its end, results of its shards included.
        manifest: of the new execution, whole.
        carry: keys of results that later activities need; None for all.
    """
    fan_out = earlier.fan_outs.get((manifest.activity, manifest.schedule_id))
    if fan_out is None:
        return Taken()
    ranges = _same_instances(fan_out, manifest)
    if not ranges:
        return Taken()
    merged = fan_out.merged_results()
    if carry is not None:
        merged = {key: merged[key] for key in carry if key in merged}
    return Taken(ranges, merged)


def _same_instances(fan_out: FanOut, manifest: Manifest) -> Ranges:
    done = fan_out.done_ranges()
    if fan_out.manifest.lists == manifest.lists:
        return done
    before, now = _by_content(fan_out.manifest), _by_content(manifest)
    keys = {before.key(index) for begin, end in done for index in range(begin, end)}
    return ranges_of(index for index in range(manifest.count) if now.key(index) in keys)


def _by_content(manifest: Manifest) -> Manifest:
    """Return the manifest with keys that depend on nothing but what an instance is."""
    return replace(manifest, legacy_ids=False)


def add_shard(fan_out: FanOut, workflow_id: str, shard: RunState) -> None:
    """Count what a shard had done that never gave a result: it was killed, alone or with its root.

    Args:
        fan_out: of the earlier execution.
        workflow_id: of the shard.
        shard: its history, folded.
    """
    for own in shard.fan_outs.values():
        places = [
            own.manifest.index_in_whole(index)
            for begin, end in own.done_ranges()
            for index in range(begin, end)
        ]
        found = fan_out.slices[workflow_id]
        found.is_open = False
        found.done = ranges_of(sorted(places))
        fan_out.shard_results += [
            one.result for one in own.instances.values() if one.result is not None
        ]

"""Resuming: a new execution takes over what an earlier one had done.

The input's key `garcon.resume` names the earlier execution, and may narrow with `only` what of the
rest is to be run (`garcon.planning.selection`). When a fan-out is frozen, what the earlier one had
done of it is recorded with it. After that the earlier history is needed no more; and as the record
counts as done, resuming a resumed execution takes over both. Pure. Law: an instance is taken over
by its key, and only if it completed; and never from an execution that is still open, since both
would run the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from garcon.errors import DecisionError
from garcon.history import RunState
from garcon.manifest import Manifest, Ranges, ranges_of
from garcon.planning.fanout import FanOut
from garcon.planning.selection import Selection, read_selection
from garcon.planning.shards import minus

KEY = "garcon.resume"

#: How the text begins with which an execution fails that ran all it was asked to, but not all.
LEFT_OUT = "not asked to run"


@dataclass(frozen=True)
class Earlier:
    """The execution to take over from, and what is to be run of that which it left."""

    workflow_id: str
    run_id: str
    only: Selection = field(default_factory=Selection)


@dataclass(frozen=True)
class Taken:
    """What is taken over of one fan-out: indexes of the new manifest, and their results.

    Attributes:
        ranges: what is done.
        results: what that brought.
        left_out: what is neither done nor asked for.
        left_failed: what of it had failed.
    """

    ranges: Ranges = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    left_out: Ranges = ()
    left_failed: Ranges = ()


def earlier_of(state: RunState) -> Earlier | None:
    """Return the execution that this one resumes, None for most.

    Raises:
        DecisionError: the input names it in a way that cannot be read.
    """
    return None if state.order is not None else earlier_in(state.input())


def earlier_in(data: Mapping[str, Any]) -> Earlier | None:
    """Return the execution that an input says is to be resumed, None for most.

    Raises:
        DecisionError: the input names it in a way that cannot be read.
    """
    found = data.get(KEY)
    if found is None:
        return None
    if isinstance(found, Mapping):
        names = found.get("workflow_id"), found.get("run_id")
        if isinstance(names[0], str) and isinstance(names[1], str) and all(names):
            return Earlier(names[0], names[1], _selection(found.get("only")))
    raise DecisionError(
        f"{KEY} in the execution's input is {found!r:.80}; "
        'it has to be {"workflow_id": "...", "run_id": "..."}'
    )


def open_text(earlier: Earlier) -> str:
    """Return why an execution that is open cannot be resumed, with the mend."""
    return (
        f"execution {earlier.workflow_id!r} (run id {earlier.run_id!r}) is open and cannot be "
        "resumed: both would run its instances; wait until it closes, or cancel or terminate it, "
        "then start this again"
    )


def _selection(told: Any) -> Selection:
    try:
        return read_selection(told)
    except ValueError as error:
        raise DecisionError(f"'only' of {KEY} in the execution's input: {error}") from None


def taken_over(
    fan_out: FanOut | None,
    manifest: Manifest,
    carry: Sequence[str] | None,
    only: Selection | None = None,
) -> Taken:
    """Return what an earlier execution had done of the instances of `manifest`.

    Args:
        fan_out: of the earlier execution at its end, results of its shards included; None where it
            never came to it.
        manifest: of the new execution, whole.
        carry: keys of results that later activities need; None for all.
        only: what is to be run of the rest; None for all of it.
    """
    ranges: Ranges = ()
    failed: set[int] = set()
    merged: dict[str, Any] = {}
    if fan_out is not None:
        ranges = _same_instances(fan_out, manifest, _indexes(fan_out.done_ranges()))
        failed = set(_indexes(_same_instances(fan_out, manifest, fan_out.failed_indexes())))
        merged = fan_out.merged_results() if ranges else {}
    if carry is not None:
        merged = {key: merged[key] for key in carry if key in merged}
    if not only:
        return Taken(ranges, merged)
    rest = _indexes(minus(((0, manifest.count),), ranges))
    left_out = [
        index
        for index in rest
        if not only.names(manifest.activity, manifest.local_context(index), index in failed)
    ]
    left_failed = ranges_of(index for index in left_out if index in failed)
    return Taken(ranges, merged, ranges_of(left_out), left_failed)


def _indexes(ranges: Ranges) -> list[int]:
    return [index for begin, end in ranges for index in range(begin, end)]


def _same_instances(fan_out: FanOut, manifest: Manifest, indexes: Iterable[int]) -> Ranges:
    """Return the places in `manifest` of instances that have these places in a fan-out."""
    if fan_out.manifest.lists == manifest.lists:
        return ranges_of(sorted(indexes))
    before, now = _by_content(fan_out.manifest), _by_content(manifest)
    keys = {before.key(index) for index in indexes}
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
        last = shard.last_event_id
        fan_out.shard_results += [
            (last, one.result) for one in own.instances.values() if one.result is not None
        ]

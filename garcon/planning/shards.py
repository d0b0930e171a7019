"""Shards: child executions that run a slice of a fan-out, because one history cannot hold it all.

What a shard is started with (`ShardOrder`), what it gives back (`ShardResult`), its id, and how a
fan-out is cut. Pure. Law: an index of the whole manifest belongs to one shard at a time, and comes
back as done, as failed or as left.

A shard is an execution of type `<flow>.shard` on task list `<flow>.shards`. Its input is JSON:
`garcon.shard` with a format version, and `context`. Its result is JSON as well; where that is too
long for SWF it says how many `garcon.results` markers before the close hold it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from garcon.canonical import NotJsonError, canonical_json
from garcon.errors import ManifestError
from garcon.manifest import Item, Manifest, Ranges
from garcon.planning.packing import BODY_MAX, digest_of, pack, split, unpack

FORMAT = 1
KEY = "garcon.shard"

#: Marker that holds a part of a result which is too long for the closing event.
RESULTS_MARKER = "garcon.results"

#: Signal with which a shard tells its parent that its last instance is scheduled.
SCHEDULED_SIGNAL = "garcon.scheduled"

#: Characters of a shard's input; SWF's limit is 32,768.
INPUT_MAX = 30_000

#: Characters of a result, or of a marker's part of it.
RESULT_MAX = 32_000

#: Shards of an execution that may have unscheduled work, and that may be open at all. SWF allows
#: 1,000 open children; the first few keep the workers busy, more would only bury other runs.
FILLING_MAX = 4
OPEN_MAX = 200

#: Characters of a failed instance's reason that a shard hands on.
REASON_KEPT = 200

FailedEntry = tuple[int, int, str]  #: index in the whole manifest, attempts, reason

#: What an instance has used up that goes on in another history: attempts, failures, losses; by its
#: index in the whole manifest.
Spent = Mapping[int, tuple[int, int, int]]


def child_id(parent_id: str, run_id: str, manifest: Manifest, number: int, attempt: int) -> str:
    """Return the workflow id of shard `number` of a fan-out, at most 256 characters."""
    own = f"{parent_id}\n{run_id}\n{manifest.activity}\n{manifest.schedule_id}"
    digest = sha256(own.encode()).hexdigest()[:16]
    return f"{parent_id[:120]}.{manifest.activity[:60]}.{number}.{attempt}.{digest}"


@dataclass(frozen=True)
class ShardOrder:
    """What a shard is started with.

    Attributes:
        manifest: the slice.
        number: of the shard within its fan-out, from 1.
        attempt: how often this slice has been given to a shard, from 1.
        root: `domain`, `workflow_id` and `run_id` of the execution that the user started.
        context: what the instances see of the root's context.
        carry: keys of results that later activities need; None for all.
        max_open: its share of the activity's `max_open`.
        rate_per_s: its share of the activity's rate.
        max_failures: failed instances above which the whole execution would stop.
        spent: what those of its instances have used up that were tried elsewhere before.
    """

    manifest: Manifest
    number: int
    attempt: int
    root: Mapping[str, str]
    context: Mapping[str, Any]
    carry: tuple[str, ...] | None = None
    max_open: int | None = None
    rate_per_s: float | None = None
    max_failures: int | None = None
    spent: Spent = field(default_factory=dict)

    def encode(self) -> str:
        """Return the input to start the shard with.

        Raises:
            ManifestError: the context has in it what is not JSON.
        """
        manifest = self.manifest
        order: Item = {
            "v": FORMAT,
            "of": manifest.activity,
            "type": manifest.type_name,
            "id": manifest.schedule_id,
            "lists": manifest.lists,
            "ranges": manifest.ranges,
            "base": manifest.base,
            "legacy": manifest.legacy_ids,
            "number": self.number,
            "attempt": self.attempt,
            "root": self.root,
            "carry": self.carry,
            "max_open": self.max_open,
            "rate_per_s": self.rate_per_s,
            "max_failures": self.max_failures,
        }
        if self.spent:
            order["spent"] = _spent_entries(self.spent)
        try:
            return canonical_json({KEY: order, "context": self.context})
        except NotJsonError as error:
            raise ManifestError(
                f"what a shard of {manifest.activity!r} would be given cannot be kept: {error}"
            ) from None


def decode_order(text: str | None) -> ShardOrder:
    """Return what a shard was started with.

    Raises:
        ManifestError: the input is not a shard's, or of a later format.
    """
    try:
        document = json.loads(text or "")
        order, context = document[KEY], document["context"]
        if order["v"] != FORMAT:
            raise ManifestError(
                f"the shard's input has format {order['v']}, this garcon knows {FORMAT}; "
                "let the garcon that began the execution finish it"
            )
        return _order(order, context)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(
            f"this is no input of a shard ({type(error).__name__}: {error}); "
            "shards are started by their execution, not by hand"
        ) from None


def _order(order: Item, context: Item) -> ShardOrder:
    lists = order["lists"]
    manifest = Manifest(
        activity=order["of"],
        type_name=order["type"],
        lists=None if lists is None else tuple(tuple(items) for items in lists),
        context_event_id=1,
        schedule_id=order["id"],
        ranges=_ranges(order["ranges"]),
        base=order["base"],
        legacy_ids=order["legacy"],
    )
    carry = order["carry"]
    return ShardOrder(
        manifest,
        order["number"],
        order["attempt"],
        order["root"],
        context,
        None if carry is None else tuple(carry),
        order["max_open"],
        order["rate_per_s"],
        order["max_failures"],
        _spent(order.get("spent", ())),
    )


def _spent_entries(spent: Spent) -> list[tuple[int, ...]]:
    return [(index, *counts) for index, counts in sorted(spent.items())]


def _spent(found: Iterable[Sequence[int]]) -> Spent:
    return {
        int(index): (int(attempts), int(failures), int(losses))
        for index, attempts, failures, losses in found
    }


def _ranges(found: Iterable[Sequence[int]]) -> Ranges:
    return tuple((int(begin), int(end)) for begin, end in found)


@dataclass(frozen=True)
class ShardResult:
    """What a shard gives back; indexes are those of the whole manifest.

    Attributes:
        done: instances that completed.
        retries: attempts beyond the first ones.
        failed: instances that failed for good.
        left: instances that neither completed nor failed; they are given to another shard.
        results: merged results, of the keys that were asked for.
        spent: what those of the left instances have used up that were tried.
    """

    done: int = 0
    retries: int = 0
    failed: tuple[FailedEntry, ...] = ()
    left: Ranges = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    spent: Spent = field(default_factory=dict)

    def encode(self) -> tuple[str, list[str]]:
        """Return the closing event's text, and the details of the markers to go before it.

        Raises:
            ManifestError: it is too large to be recorded in one response, or is not JSON.
        """
        told: Item = {
            "done": self.done,
            "retries": self.retries,
            "failed": [[index, tries, text[:REASON_KEPT]] for index, tries, text in self.failed],
            "left": self.left,
            "results": self.results,
        }
        if self.spent:
            told["spent"] = _spent_entries(self.spent)
        try:
            body = canonical_json(told)
        except NotJsonError as error:
            raise ManifestError(f"the results of this shard cannot be kept: {error}") from None
        size = len(body.encode())
        if size > BODY_MAX:
            raise ManifestError(
                f"the results of this shard take {size:,} bytes, {BODY_MAX:,} can be kept; return "
                "less, or make shard_size smaller"
            )
        form, text = pack(body)
        head: Item = {"garcon": FORMAT, "as": form, "digest": digest_of(body)}
        if len(text) <= RESULT_MAX - 200:
            return canonical_json({**head, "body": text}), []
        pieces = split(text, RESULT_MAX)
        return canonical_json({**head, "parts": len(pieces)}), [
            f"{head['digest']} {number}\n{piece}" for number, piece in enumerate(pieces, start=1)
        ]


@dataclass(frozen=True)
class Owed:
    """A result that lies in the markers of a closed shard's history."""

    form: str
    digest: str
    parts: int


def decode_result(text: str | None) -> ShardResult | Owed | None:
    """Return what a shard's closing text says; None where it says nothing known."""
    try:
        head = json.loads(text or "")
        if head["garcon"] != FORMAT:
            return None
        if "parts" in head:
            return Owed(head["as"], head["digest"], int(head["parts"]))
        return _result(unpack(head["as"], head["body"], head["digest"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def result_from_markers(
    owed: Owed, newest_first: Iterable[Mapping[str, Any]]
) -> ShardResult | None:
    """Return the result that a closed shard's markers hold, None where they are not all there.

    A close that SWF refused leaves its markers behind; the digest tells the sets apart, and the
    newest whole one counts.

    Args:
        owed: what the closing event told.
        newest_first: the shard's history; read only as far as needed.
    """
    pieces: dict[int, str] = {}
    for event in newest_first:
        if event["eventType"] != "MarkerRecorded":
            continue
        found = event["markerRecordedEventAttributes"]
        head, _, piece = found.get("details", "").partition("\n")
        digest, _, number = head.partition(" ")
        if found["markerName"] == RESULTS_MARKER and digest == owed.digest and number.isdigit():
            pieces.setdefault(int(number), piece)
        if len(pieces) == owed.parts:
            text = "".join(pieces[number] for number in sorted(pieces))
            return _result(unpack(owed.form, text, owed.digest))
    return None


def _result(body: str | None) -> ShardResult | None:
    if body is None:
        return None
    found = json.loads(body)
    return ShardResult(
        done=found["done"],
        retries=found["retries"],
        failed=tuple((index, tries, reason) for index, tries, reason in found["failed"]),
        left=_ranges(found["left"]),
        results=found["results"],
        spent=_spent(found.get("spent", ())),
    )


def first_of(ranges: Ranges, count: int) -> Ranges:
    """Return the first `count` indexes of `ranges`."""
    return tuple(_firsts(ranges, count))


def _firsts(ranges: Ranges, count: int) -> Iterator[tuple[int, int]]:
    for begin, end in ranges:
        if count <= 0:
            return
        yield begin, min(end, begin + count)
        count -= end - begin


def minus(ranges: Ranges, taken: Ranges) -> Ranges:
    """Return the indexes of `ranges` that are not in `taken`; both ascending.

    One walk along both: a resumed year may consist of tens of thousands of pieces.
    """
    found: list[tuple[int, int]] = []
    at = 0
    for begin, end in ranges:
        while at < len(taken) and taken[at][0] < end:
            low, high = taken[at]
            if begin < low:
                found.append((begin, low))
            begin = max(begin, high)
            if high > end:
                break  # the rest of it may lie in the next range
            at += 1
        if begin < end:
            found.append((begin, end))
    return tuple(found)

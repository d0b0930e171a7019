"""Frozen fan-outs: what the generators of an activity said, once, and which instances follow.

Generators run when an activity's requirements are complete, and never again in that execution:
their lists are written into markers of the history, and from then on instances, keys and inputs
come from there. So midnight, a new version of the flow or a cold decider shifts nothing. The lists
are kept, not their product: 365 days x 250 countries are 615 entries.

Pure: lists in, texts out and back. Law: a manifest counts only when all of its parts are there and
their digest is right; the first whole one of a fan-out is the one.

A marker `garcon.manifest` holds one part: a header line of JSON, a line feed, and a piece of the
body. Header: `v` format, `of` activity, `type` its SWF type, `id` where a custom decider gave one,
`part` and `parts`, `n` instances, `at` the last event whose context counts, `as` (`json`, or `zlib`
with base64 for what does not fit one part), `digest` of the whole body.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, product
from math import prod
from typing import Any

from garcon.canonical import OWN_PREFIX, NotJsonError, canonical_json, key_of, legacy_key_of
from garcon.errors import ManifestError
from garcon.planning.packing import BODY_MAX, digest_of, pack, split, unpack

MARKER = "garcon.manifest"
FORMAT = 1

#: Characters of one marker (SWF's limit is 32,768), header included.
PART_MAX = 32_000

#: The key of an instance without a context of its own: the only one of its activity.
SINGLE_KEY = "1"

Item = dict[str, Any]
Ranges = tuple[tuple[int, int], ...]  #: half-open ranges of indexes, ascending


@dataclass(frozen=True)
class Manifest:
    """The frozen fan-out of one activity.

    Attributes:
        activity: name in the flow.
        type_name: SWF's activity type; instance ids begin with it.
        lists: what each generator gave; None for an activity without generators.
        context_event_id: the instances see the context as of this event.
        schedule_id: what a custom decider calls this use of the activity, else empty.
        input: what a custom decider added to the context.
        sharded: whether its instances run in child executions.
        ranges: places in the product that a slice consists of; None for all of them.
        base: what a slice's places lack to those of the whole, whose lists are longer.
        legacy_ids: ids as garcon 1.1.1 made them, for runs that began under it.
        taken: indexes that an earlier execution had done, and this one takes over.
        results: what those brought, as far as later activities need it.
        left_out: indexes that this execution was not asked to run, though they are not done.
        left_failed: those of them that failed in the earlier execution.
        count: how many instances there are.
    """

    activity: str
    type_name: str
    lists: tuple[tuple[Item, ...], ...] | None
    context_event_id: int
    schedule_id: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    sharded: bool = False
    ranges: Ranges | None = None
    base: int = 0
    legacy_ids: bool = False
    taken: Ranges = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    left_out: Ranges = ()
    left_failed: Ranges = ()
    count: int = field(init=False)
    strides: tuple[int, ...] = field(init=False)
    _begins: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = [len(items) for items in self.lists or ()]
        whole = prod(lengths) if self.lists is not None else 1
        sizes = [whole] if self.ranges is None else [end - begin for begin, end in self.ranges]
        object.__setattr__(self, "count", sum(sizes))
        object.__setattr__(self, "_begins", (0, *accumulate(sizes)))
        strides = tuple(prod(lengths[place + 1 :]) for place in range(len(lengths)))
        object.__setattr__(self, "strides", strides)

    @property
    def to_run(self) -> int:
        """How many instances this execution runs: neither taken over nor left out."""
        return self.count - size_of(self.taken) - size_of(self.left_out)

    def local_context(self, index: int) -> Item:
        """Return what the generators gave for instance `index`, 0 to `count` - 1.

        The entries' values are the manifest's own: whoever hands them to a user copies them.
        """
        context: Item = {}
        if self.lists is None:
            return context
        place = self.place(index)
        for items, stride in zip(self.lists, self.strides, strict=True):
            context.update(items[place // stride % len(items)])
        return context

    def place(self, index: int) -> int:
        """Return the place of instance `index` in the product of the lists."""
        if self.ranges is None:
            return index
        number = bisect_right(self._begins, index) - 1
        return self.ranges[number][0] + index - self._begins[number]

    def index_in_whole(self, index: int) -> int:
        """Return the index that instance `index` of a slice has in the whole manifest."""
        return self.base + self.place(index)

    def part(self, ranges: Ranges) -> Manifest:
        """Return a slice of a whole manifest: these indexes, and of the lists what they need."""
        lowest, highest = ranges[0][0], ranges[-1][1] - 1
        lists, base = [*(self.lists or ())], 0
        for number, stride in enumerate(self.strides):
            first, last = (lowest - base) // stride, (highest - base) // stride
            lists[number] = lists[number][first : last + 1]
            base += first * stride
            if first != last:
                break
        return replace(
            self,
            lists=None if self.lists is None else tuple(lists),
            ranges=tuple((begin - base, end - base) for begin, end in ranges),
            base=base,
            sharded=False,
            taken=(),
            results={},
            left_out=(),
            left_failed=(),
        )

    def key(self, index: int) -> str:
        """Return the key of instance `index`: 40 hex digits, or `1` for an empty context."""
        context = self.local_context(index)
        if not context:
            return SINGLE_KEY
        return legacy_key_of(context) if self.legacy_ids else key_of(context)

    def activity_id(self, index: int) -> str:
        """Return SWF's activity id of instance `index`."""
        own = f"{self.type_name}-{self.key(index)}"
        return f"{own}-{self.schedule_id}" if self.schedule_id else own

    def describe(self, index: int) -> str:
        """Return instance `index` in words: the activity and what the generators gave it."""
        name = f"{self.activity} ({self.schedule_id})" if self.schedule_id else self.activity
        return name if self.lists is None else f"{name} {canonical_json(self.local_context(index))}"


def collect(activity: str, generated: Iterable[Any]) -> tuple[Item, ...]:
    """Return the list of one generator, checked and free of repetitions.

    Args:
        activity: name of the activity, for the texts.
        generated: what the generator yields; reading it may raise whatever the generator raises.
    Raises:
        ManifestError: an entry is no dict, is not JSON, or there are too many of them.
    """
    entries: dict[str, Item] = {}
    size = 0
    for number, entry in enumerate(generated, start=1):
        text = _entry_text(activity, number, entry)
        if text in entries:
            continue
        size += len(text.encode()) + 1
        if size > BODY_MAX:
            raise _too_large(activity, size, len(entries) + 1)
        # Read back from its own text: a tuple or a subclass becomes what the markers will hold.
        entries[text] = json.loads(text)
    return tuple(entries.values())


def distinct(activity: str, lists: Sequence[tuple[Item, ...]]) -> tuple[tuple[Item, ...], ...]:
    """Return lists whose product has no two equal instances.

    Generators that share no key cannot give two equal products. Those that do are multiplied
    here, and the product without repetitions becomes the one list.

    Raises:
        ManifestError: that product is too large to keep.
    """
    keys = [{key for entry in entries for key in entry} for entries in lists]
    if sum(map(len, keys)) == len(set().union(*keys)):
        return tuple(lists)
    return (collect(activity, _merged(lists)),)


def _merged(lists: Sequence[tuple[Item, ...]]) -> Iterator[Item]:
    for entries in product(*lists):
        merged: Item = {}
        for entry in entries:
            merged.update(entry)
        yield merged


def _entry_text(activity: str, number: int, entry: Any) -> str:
    if not isinstance(entry, Mapping):
        raise ManifestError(
            f"a generator of {activity!r} yielded {type(entry).__name__} as entry {number}; "
            "it has to yield dicts"
        )
    own = next((key for key in entry if str(key).startswith(OWN_PREFIX)), None)
    if own is not None:
        raise ManifestError(
            f"a generator of {activity!r} yielded the key {own!r}; "
            f"keys that begin with {OWN_PREFIX!r} are garcon's own"
        )
    try:
        return canonical_json(dict(entry))
    except NotJsonError as error:
        raise ManifestError(
            f"entry {number} of a generator of {activity!r} is not JSON: {error}"
        ) from None


def _too_large(activity: str, size: int, entries: int) -> ManifestError:
    return ManifestError(
        f"the generators of {activity!r} give more than {BODY_MAX:,} bytes "
        f"({size:,} after {entries:,} entries); yield keys and let the tasks look the rest up"
    )


def _too_large_in_all(manifest: Manifest, size: int) -> ManifestError:
    entries = sum(len(items) for items in manifest.lists or ())
    lists = len(canonical_json(manifest.lists).encode())
    if lists > size // 2:
        return _too_large(manifest.activity, size, entries)
    what = "the results that are taken over" if manifest.results else "the input of its schedule"
    return ManifestError(
        f"the fan-out of {manifest.activity!r} takes {size:,} bytes with {what}, {BODY_MAX:,} can "
        "be kept; return keys from the tasks and look the rest up"
    )


def encode(manifest: Manifest) -> list[str]:
    """Return the details of the markers that record `manifest`, in order.

    Raises:
        ManifestError: they would take more than `BODY_MAX`, or the added input is not JSON.
    """
    try:
        body = canonical_json(_document(manifest))
    except NotJsonError as error:
        what = f"the input of schedule {manifest.schedule_id!r}"
        if error.path.startswith("results"):
            what = f"what {manifest.activity!r} takes over"
        raise ManifestError(f"{what} is not JSON: {error}") from None
    form, text = pack(body)
    # What does not shrink when it is compressed grows by a third: it has to fit one response.
    size = max(len(body.encode()), len(text))
    if size > BODY_MAX:
        raise _too_large_in_all(manifest, size)
    header = _header(manifest, form, digest_of(body))
    room = PART_MAX - len(canonical_json({**header, "part": 9999, "parts": 9999}))
    pieces = split(text, room)
    heads = ({**header, "part": number, "parts": len(pieces)} for number in range(1, 10_000))
    return [f"{canonical_json(head)}\n{piece}" for head, piece in zip(heads, pieces, strict=False)]


def _document(manifest: Manifest) -> Item:
    document: Item = {"lists": manifest.lists}
    if manifest.input:
        document["input"] = manifest.input
    if manifest.legacy_ids:
        document["legacy"] = True
    if manifest.sharded:
        document["sharded"] = True
    if manifest.taken:
        document["taken"] = bits_of(manifest.taken)
        document["results"] = manifest.results
    if manifest.left_out:
        document["left_out"] = bits_of(manifest.left_out)
        document["left_failed"] = bits_of(manifest.left_failed)
    return document


def _header(manifest: Manifest, form: str, digest: str) -> Item:
    header: Item = {
        "v": FORMAT,
        "of": manifest.activity,
        "type": manifest.type_name,
        "n": manifest.count,
        "at": manifest.context_event_id,
        "as": form,
        "digest": digest,
    }
    return {**header, "id": manifest.schedule_id} if manifest.schedule_id else header


class Parts:
    """Parts of manifests as the history brings them, until one is whole."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[tuple[str, str, str], dict[int, str]] = {}

    def add(self, details: str) -> Manifest | None:
        """Take one marker's details; return the manifest that it completes, if it does.

        Details that garcon did not write are passed over: a marker's name is free for all.

        Raises:
            ManifestError: the manifest is whole but of a later format, or its digest is wrong.
        """
        head, _, piece = details.partition("\n")
        header = _parse_header(head)
        if header is None:
            return None
        key = (header["of"], header.get("id", ""), header["digest"])
        pieces = self._open.setdefault(key, {})
        pieces[header["part"]] = piece
        if len(pieces) < header["parts"]:
            return None
        del self._open[key]
        return _decode(header, "".join(pieces[number] for number in sorted(pieces)))


def _parse_header(head: str) -> Item | None:
    try:
        header = json.loads(head)
        known = {"v", "of", "type", "n", "at", "as", "digest", "part", "parts"} <= header.keys()
    except (ValueError, AttributeError, RecursionError):
        return None
    return header if known else None


def _decode(header: Item, text: str) -> Manifest:
    name = header["of"]
    if header["v"] != FORMAT:
        raise ManifestError(
            f"the manifest of {name!r} has format {header['v']}, this garcon knows {FORMAT}; "
            "let the garcon that began the execution finish it"
        )
    body = unpack(header["as"], text, header["digest"])
    if body is None:
        raise ManifestError(f"the manifest of {name!r} in the history is damaged")
    document = json.loads(body)
    lists = document["lists"]
    return Manifest(
        activity=name,
        type_name=header["type"],
        lists=None if lists is None else tuple(tuple(items) for items in lists),
        context_event_id=header["at"],
        schedule_id=header.get("id", ""),
        input=document.get("input", {}),
        sharded=document.get("sharded", False),
        legacy_ids=document.get("legacy", False),
        taken=ranges_of_bits(document.get("taken", "")),
        results=document.get("results", {}),
        left_out=ranges_of_bits(document.get("left_out", "")),
        left_failed=ranges_of_bits(document.get("left_failed", "")),
    )


def bits_of(ranges: Ranges) -> str:
    """Return indexes as a bitmap in base64: bit `n` stands for index `n`, lowest bits first."""
    number = sum((1 << end) - (1 << begin) for begin, end in ranges)
    return b64encode(number.to_bytes((number.bit_length() + 7) // 8, "little")).decode()


def ranges_of_bits(text: str) -> Ranges:
    """Return the indexes that `bits_of` wrote as `text`."""
    bits = b64decode(text)
    return ranges_of(
        8 * place + bit for place, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1
    )


def ranges_of(indexes: Iterable[int]) -> Ranges:
    """Return ascending indexes as half-open ranges."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return tuple(found)


def size_of(ranges: Ranges) -> int:
    """Return how many indexes `ranges` hold."""
    return sum(end - begin for begin, end in ranges)

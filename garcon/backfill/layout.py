"""Where the cells of a fan-out stand on a page: rows and columns out of its lists. Pure.

Law: every instance has a place of its own, and its place says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from garcon.backfill.keys import format_keys
from garcon.canonical import canonical_json
from garcon.manifest import Manifest

#: Cells in a row where nothing but their order says where they belong.
WRAP = 50

#: Columns beyond which a page stops being one.
COLUMNS_MAX = 4_000


@dataclass(frozen=True)
class Layout:
    """Rows and columns of one fan-out.

    Attributes:
        rows: what stands before each row.
        columns: what stands above each column; empty where cells only follow each other.
        places: the place of each instance, row by row; None where it is the instance's index.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    places: Sequence[int] | None = None

    @property
    def width(self) -> int:
        """Places of a row."""
        return len(self.columns) or WRAP

    def place(self, index: int) -> int:
        """Return the place of an instance: row times width plus column."""
        return index if self.places is None else self.places[index]


def lay_out(manifest: Manifest) -> Layout:
    """Return the layout that suits the lists of a fan-out.

    The first list makes the rows, the others multiplied the columns. One list with several keys is
    divided by its first key; one with a single key, or anything too wide, is wrapped.
    """
    lists = manifest.lists
    if lists is None:
        return Layout(["1"], ["1"])
    if len(lists) > 1 and 0 < prod(map(len, lists[1:])) <= COLUMNS_MAX:
        rows = [label(entry) for entry in lists[0]]
        width = prod(map(len, lists[1:]))
        columns = [label(_without(manifest.local_context(n), lists[0])) for n in range(width)]
        return Layout(rows, columns)
    contexts = [manifest.local_context(index) for index in range(manifest.count)]
    return _divided(contexts) or _wrapped(contexts)


def _without(context: Mapping[str, Any], first: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = {key for entry in first for key in entry}
    return {key: value for key, value in context.items() if key not in keys}


def _divided(contexts: Sequence[Mapping[str, Any]]) -> Layout | None:
    """Return rows by the first key and columns by the rest; None where that is no table."""
    if not contexts or any(len(one) < 2 or one.keys() != contexts[0].keys() for one in contexts):
        return None
    key = next(iter(contexts[0]))
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    found = []
    for one in contexts:
        row = rows.setdefault(label({key: one[key]}), len(rows))
        rest = {name: value for name, value in one.items() if name != key}
        found.append((row, columns.setdefault(label(rest), len(columns))))
    is_sparse = len(rows) * len(columns) > 4 * len(contexts) + WRAP
    if len(columns) > COLUMNS_MAX or is_sparse or len(set(found)) < len(found):
        return None
    places = [row * len(columns) + column for row, column in found]
    return Layout(list(rows), list(columns), places)


def _wrapped(contexts: Sequence[Mapping[str, Any]]) -> Layout:
    rows = [label(contexts[start]) for start in range(0, len(contexts), WRAP)]
    return Layout(rows, ())


def label(context: Mapping[str, Any]) -> str:
    """Return the values of a context in few words; the keys as well where there are several."""
    if len(context) == 1:
        (value,) = context.values()
        return value if isinstance(value, str) else canonical_json(value)
    return format_keys(context)

"""A mapping of which old versions stay readable while new ones are made from it.

What it never does: copy itself; that would cost each step of an execution as much as is open in it.
Its one law: a version reads the same for as long as it lives, whatever becomes of the others.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Final[Any] = object()


class Table(Mapping[K, V]):
    """One version of a mapping; all of them are for one thread.

    The versions share one dict, which says what one of them, the shown one, says. Each other knows
    its neighbour on the way to the shown one and in what it differs from that (H. G. Baker,
    "Shallow binding makes functional arrays fast", 1991). So it costs the same to fork, change
    and read the newest however much it holds; an old one that is iterated or counted is shown
    instead of it, for as many changes as lie between them. Items come in no particular order.
    """

    __slots__ = ("_differs", "_items", "_next", "_noted")

    def __init__(self) -> None:
        self._items: dict[K, V] = {}
        self._next: Table[K, V] | None = None
        # What this version says where the next one says something else.
        self._differs: dict[K, Any] = {}
        # Where changes of this version, once shown, are noted: what its one neighbour differs in.
        self._noted: dict[K, Any] | None = None

    def fork(self) -> Table[K, V]:
        """A new version that says the same; this one must not be changed any more."""
        self._show()
        new: Table[K, V] = Table.__new__(Table)
        new._items = self._items
        new._next = None
        new._differs = {}
        new._noted = self._differs
        self._noted = None
        self._next = new
        return new

    def put(self, key: K, value: V) -> None:
        """Add or replace an item; only for a version that was not forked."""
        self._show()
        if self._noted is not None and key not in self._noted:
            self._noted[key] = self._items.get(key, _ABSENT)
        self._items[key] = value

    def drop(self, key: K) -> V:
        """Take an item out; only for a version that was not forked.

        Raises:
            KeyError: There is no such item.
        """
        self._show()
        value = self._items.pop(key)
        if self._noted is not None:
            self._noted.setdefault(key, value)
        return value

    def get(self, key: K, default: Any = None) -> Any:
        """An item; reading one of an old version leaves the newest shown."""
        version = self
        while version._next is not None:
            if key in version._differs:
                found = version._differs[key]
                return default if found is _ABSENT else found
            version = version._next
        return version._items.get(key, default)

    def __getitem__(self, key: K) -> V:
        found: V = self.get(key, _ABSENT)
        if found is _ABSENT:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[K]:
        self._show()
        return iter(self._items)

    def __len__(self) -> int:
        self._show()
        return len(self._items)

    def items(self) -> ItemsView[K, V]:
        """Keys and items, to be read before any version is changed."""
        self._show()
        return self._items.items()

    def values(self) -> ValuesView[V]:
        """The items, to be read before any version is changed."""
        self._show()
        return self._items.values()

    def __repr__(self) -> str:
        return f"Table({dict(self.items())!r})"

    def _show(self) -> None:
        """Make the shared dict say what this version says."""
        if self._next is None:
            return
        way: list[Table[K, V]] = []
        version = self
        while version._next is not None:
            way.append(version)
            version = version._next
        for version in reversed(way):
            version._change_places()

    def _change_places(self) -> None:
        """Be shown instead of the next one, which is."""
        shown, items = self._next, self._items
        assert shown is not None
        for key, value in self._differs.items():
            shown._differs[key] = items.get(key, _ABSENT)
            if value is _ABSENT:
                items.pop(key, None)
            else:
                items[key] = value
        shown._next, shown._noted = self, None
        self._next, self._noted, self._differs = None, shown._differs, {}

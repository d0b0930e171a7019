"""Tables of which every version stays what it was."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from garcon.engine.core.versions import Table

KEYS = st.integers(0, 7)
PLACES = st.integers(0, 30)


class Versions(RuleBasedStateMachine):
    """Tables beside plain copies of dictionaries; any version may be read at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Table[int, int], dict[int, int]]] = [(Table(), {})]
        self.forked: set[int] = set()
        self.count = 0

    def changeable(self) -> list[int]:
        return [number for number in range(len(self.pairs)) if number not in self.forked]

    @rule(place=PLACES)
    def fork(self, place: int) -> None:
        """Any version, the oldest too, may get another successor."""
        number = place % len(self.pairs)
        table, plain = self.pairs[number]
        self.forked.add(number)
        self.pairs.append((table.fork(), plain.copy()))

    @precondition(lambda self: self.changeable())
    @rule(place=PLACES, key=KEYS)
    def put(self, place: int, key: int) -> None:
        """A version that nothing was made from."""
        here = self.changeable()
        table, plain = self.pairs[here[place % len(here)]]
        self.count += 1
        table.put(key, self.count)
        plain[key] = self.count

    @precondition(lambda self: self.changeable())
    @rule(place=PLACES, key=KEYS)
    def drop(self, place: int, key: int) -> None:
        """What is not there is refused."""
        here = self.changeable()
        table, plain = self.pairs[here[place % len(here)]]
        if key in plain:
            assert table.drop(key) == plain.pop(key)
        else:
            with pytest.raises(KeyError):
                table.drop(key)

    @rule(place=PLACES)
    def read_whole(self, place: int) -> None:
        """Iterating an old version shows it, and the others stay what they are."""
        table, plain = self.pairs[place % len(self.pairs)]
        assert dict(table.items()) == plain
        assert sorted(table) == sorted(plain)
        assert sorted(table.values()) == sorted(plain.values())
        assert (len(table), bool(table)) == (len(plain), bool(plain))

    @invariant()
    def every_version_says_what_it_said(self) -> None:
        """Item by item, which leaves the shown one where it is."""
        for table, plain in self.pairs:
            assert {key: table.get(key) for key in range(8)} == {
                key: plain.get(key) for key in range(8)
            }
            assert [key in table for key in range(8)] == [key in plain for key in range(8)]


class TestVersions(Versions.TestCase):
    """The machine as a test."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_one_may_ask_for_what_is_missing() -> None:
    """As of any mapping, whichever version is asked."""
    old: Table[str, int] = Table()
    old.put("there", 1)
    new = old.fork()
    new.drop("there")
    new.put("later", 2)
    assert (old["there"], old.get("later"), new.get("there", 5)) == (1, None, 5)
    with pytest.raises(KeyError):
        old["later"]
    with pytest.raises(KeyError):
        new["there"]
    assert repr(new) == "Table({'later': 2})"


class Witness:
    """Something that can be seen to be gone."""


def test_versions_that_nobody_holds_keep_nothing() -> None:
    """A run lives for days: neither its past versions nor its past items may stay with it."""
    table: Table[int, Witness] = Table()
    gone = []
    for number in range(50):
        table = table.fork()
        witness = Witness()
        gone.append(weakref.ref(witness))
        table.put(number, witness)
        table = table.fork()
        table.drop(number)
        del witness
    table = table.fork()
    gc.collect()
    assert [one for one in gone if one() is not None] == []

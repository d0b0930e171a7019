"""The one text of a JSON value, and the keys made of it."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon.canonical import KEY_LENGTH, NotJsonError, canonical_json, key_of, legacy_key_of

#: SHA-1 of the text 'country':'DE';'n':'1'; with its quotes.
LEGACY_DE_1 = "d63ea1810562b59dbf41ef4ec2c9bafb1ed4f2af"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)

CONTEXTS = st.dictionaries(
    st.text().filter(lambda key: not key.startswith("garcon.")), JSON, max_size=4
)


class Colour(str, Enum):
    """An enum of texts, as flows use them in contexts."""

    RED = "red"


def test_keys_are_sorted_and_no_space_is_written() -> None:
    """The order in which a dict was filled does not show."""
    assert canonical_json({"b": [1, {"z": 0, "a": None}], "a": True}) == (
        '{"a":true,"b":[1,{"a":null,"z":0}]}'
    )


@given(JSON)
def test_the_text_reads_back_as_the_same_value(value: Any) -> None:
    """Nothing is lost or converted on the way into the text."""
    assert json.loads(canonical_json(value)) == value


@given(CONTEXTS, CONTEXTS)
def test_two_dicts_share_a_key_only_when_they_share_the_text(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """The key stands for the content and for nothing else."""
    assert (key_of(one) == key_of(other)) == (canonical_json(one) == canonical_json(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"id": 1}, {"id": "1"}),
        ({"id": 1}, {"id": 1.0}),
        ({"id": 1}, {"id": True}),
        ({"id": None}, {"id": "None"}),
        ({"a": {"b": 1}}, {"a": '{"b":1}'}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({"a": "x", "b": "y"}, {"a": 'x","b":"y'}),
        ({"a": ["x"]}, {"a": "['x']"}),
    ],
)
def test_types_nesting_and_quotes_never_collide(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Each of these pairs had one id under the SHA-1 of joined texts."""
    assert key_of(one) != key_of(other)


def test_a_key_has_forty_hex_digits() -> None:
    """The length is part of the instance id's form."""
    key = key_of({"day": "2026-01-01"})

    assert len(key) == KEY_LENGTH == 40
    assert set(key) <= set("0123456789abcdef")


def test_a_key_is_stable_over_releases() -> None:
    """An id in a running history must mean the same instance after an upgrade."""
    assert key_of({"country": "DE", "n": 1}) == "ed603d42dbef8d3dbaab8f063ad25775710ac623"


def test_keys_of_garcon_itself_do_not_count() -> None:
    """A resumed run has the ids of the first one, though its input says what it resumes."""
    assert key_of({"day": 1, "garcon.resume": {"run_id": "r"}}) == key_of({"day": 1})
    assert key_of({"day": 1, "garconic": 2}) != key_of({"day": 1})


def test_the_old_key_is_kept_for_runs_that_began_under_it() -> None:
    """A run of 1.1.1 knows its instances by SHA-1 of joined texts, collisions included."""
    assert legacy_key_of({"n": 1, "country": "DE"}) == LEGACY_DE_1
    assert legacy_key_of({"n": "1", "country": "DE"}) == LEGACY_DE_1


def test_tuples_and_enums_count_as_what_they_hold() -> None:
    """Generators often yield tuples and enum members."""
    assert canonical_json({"pair": (1, 2), "colour": Colour.RED}) == (
        '{"colour":"red","pair":[1,2]}'
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"days": [0, 1, 2, {"when": date(2026, 1, 1)}]}, "days[3].when is a date"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": [float("inf")]}, "rate[0] is inf"),
        ({"map": {1: "one"}}, "map has the key 1 (int); keys must be text"),
        ({"data": b"x"}, "data is a bytes"),
        ({"text": "\ud800"}, "text holds a lone surrogate"),
        ({"\ud800": 1}, "the value holds a lone surrogate"),
        ({1, 2}, "the value is a set"),
    ],
)
def test_what_is_not_json_is_refused_by_its_path(value: Any, message: str) -> None:
    """The user has to find the value in a context of hundreds."""
    with pytest.raises(NotJsonError) as refused:
        canonical_json(value)

    assert str(refused.value).startswith(message)


def test_a_value_that_holds_itself_is_refused() -> None:
    """Endless values must not end in a RecursionError."""
    value: dict[str, Any] = {}
    value["self"] = value

    with pytest.raises(NotJsonError, match="levels deep"):
        canonical_json(value)

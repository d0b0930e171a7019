"""Keys as words of a command."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon.backfill.keys import format_keys, read_keys, read_setting
from garcon.errors import UsageError
from garcon.planning.selection import Selection, matches, read_selection


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("day=2026-01-05,country=FR", {"day": "2026-01-05", "country": "FR"}),
        ("city='Paris, Texas'", {"city": "Paris, Texas"}),
        ('city="Paris, \\"Texas\\""', {"city": 'Paris, "Texas"'}),
        (' a = b , c = "d=e,f" ', {"a": "b", "c": "d=e,f"}),
        ("a.b=1,c=", {"a.b": "1", "c": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=''", {"a": ""}),
        ("name=two words", {"name": "two words"}),
    ],
)
def test_keys_are_read(text, meant):
    """Bare, quoted, with blanks around."""
    assert meant == read_keys(text)


@pytest.mark.parametrize(
    "text", ["", "a", "=b", "a=b,", "a=b,,c=d", "a='b", "a='b'c", 'a="\\x"', "a=b,a=c", ","]
)
def test_what_are_no_keys_is_told(text):
    """With the form to write."""
    with pytest.raises(UsageError, match="--keys"):
        read_keys(text)


def test_an_error_names_the_option_that_was_typed():
    """`garcon try` calls it `--key`."""
    with pytest.raises(UsageError, match=r"^--key 'a'"):
        read_keys("a", "--key")


values = st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.integers())


@given(st.dictionaries(st.from_regex(r"[a-z][a-z._]{0,8}", fullmatch=True), values, min_size=1))
def test_an_instance_is_found_by_the_keys_that_are_written_for_it(context):
    """Whatever its values hold: commas, quotes, line ends, numbers."""
    written = format_keys(context)

    assert matches(read_keys(written), context)


def test_an_instance_has_to_have_every_key():
    """A text is not the number, a missing key is not an empty one."""
    context = {"day": "2026-01-05", "n": 5, "flag": True}

    assert matches({"day": "2026-01-05", "n": "5"}, context)
    assert matches({"flag": "true"}, context)
    assert not matches({"day": "2026-01-05", "n": "6"}, context)
    assert not matches({"country": ""}, context)
    assert not matches({"flag": "True"}, context)


def test_several_keys_add_up_and_no_word_is_all():
    """As `--keys` given twice, or not at all."""
    two = Selection(keys=((("a", "1"),), (("a", "2"),)))

    assert two.names("any", {"a": 2}, False)
    assert not two.names("any", {"a": 3}, False)
    assert Selection().names("any", {"a": 3}, False)
    assert not Selection()


def test_every_word_of_a_selection_has_to_hold():
    """Activity, keys, and whether it failed."""
    one = Selection(True, ("each", "other"), ((("a", "1"),),))

    assert one.names("each", {"a": "1"}, True)
    assert not one.names("each", {"a": "1"}, False)
    assert not one.names("end", {"a": "1"}, True)
    assert not one.names("each", {"a": "2"}, True)


def test_a_selection_is_read_back_from_an_input():
    """Through JSON; what says nothing is left out."""
    for one in (Selection(), Selection(True, ("each",), ((("a", "1"), ("b", "x")),))):
        assert one == read_selection(json.loads(json.dumps(one.plain())) or None)
    assert {} == Selection().plain()


@pytest.mark.parametrize(
    "told", [[], {"days": 1}, {"keys": {}}, {"keys": [{"a": 1}]}, {"activities": "a"}]
)
def test_what_is_no_selection_is_refused(told):
    """It would otherwise run more than was asked for."""
    with pytest.raises(ValueError, match=r"keys|activities"):
        read_selection(told)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("n=5", ("n", 5)),
        ('countries=["FR"]', ("countries", ["FR"])),
        ("output=rows.db", ("output", "rows.db")),
        ("code=007", ("code", "007")),
        ('n="5"', ("n", "5")),
        ("a=b=c", ("a", "b=c")),
        ("empty=", ("empty", "")),
        ("n=NaN", ("n", "NaN")),
    ],
)
def test_a_setting_is_json_or_else_text(text, meant):
    """A quoted number is a text."""
    assert meant == read_setting(text)


@pytest.mark.parametrize("text", ["n", "=5", "garcon.resume=1"])
def test_what_is_no_setting_is_told(text):
    """Also a key of garcon's own."""
    with pytest.raises(UsageError, match="--set"):
        read_setting(text)

"""Keys as words of a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon.backfill.keys import format_keys, matches, matches_any, read_keys, read_setting
from garcon.errors import UsageError


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


def test_several_selections_add_up_and_none_is_all():
    """As `--keys` given twice, or not at all."""
    assert matches_any([{"a": "1"}, {"a": "2"}], {"a": 2})
    assert not matches_any([{"a": "1"}, {"a": "2"}], {"a": 3})
    assert matches_any([], {"a": 3})


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

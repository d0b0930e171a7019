"""Every name of garcon 0.0.4's documentation is there, typed, documented and tested."""

from __future__ import annotations

import pytest

from tests import documented
from tests.documented import Name

NAMES = documented.load_names()


def full_name(name: Name) -> str:
    """Return what a failing test is called by."""
    return name.full


def test_all_names_are_listed() -> None:
    """The list was read from the documentation's index, which has so many."""
    assert len(NAMES) == 86
    assert {name.full.split(".")[1] for name in NAMES} == {
        *("activity", "decider", "event", "log", "runner", "task", "utils"),
    }


@pytest.mark.parametrize("name", NAMES, ids=full_name)
def test_a_documented_name_is_there_typed_and_documented(name: Name) -> None:
    """Where the documentation says, taking its parameters by their documented names."""
    assert name.thing is not None or name.kind == "attribute"
    assert documented.is_typed(name)
    assert documented.is_documented(name)
    if name.kind in ("class", "function", "method"):
        assert documented.missing_parameters(name) == []


@pytest.mark.parametrize("name", NAMES, ids=full_name)
def test_a_documented_name_is_used_by_a_test(name: Name) -> None:
    """Of its own module's test file, or of another one."""
    assert documented.tested_by(name)


def test_the_table_has_a_row_for_each_name_and_none_is_empty() -> None:
    """`python -m tests.documented` prints it."""
    rows = documented.table().splitlines()[2:]

    assert len(rows) == len(NAMES)
    assert not [row for row in rows if "NO" in row or "None" in row]


def test_the_names_are_read_from_the_texts_own_form() -> None:
    """Index lines, exceptions, modules, and signatures below their class."""
    text = """
class garcon.runner.**Async** (*args, **kwargs)
exception `garcon.runner.RunnerMissing`
execute (*activity*, *context=None*)
class `garcon.runner.Other` (*first*)
execute ()
- `garcon.runner`, [20](#)
Async (class in garcon.runner), 20
execute() (garcon.runner.Async method), 20
execute() (garcon.runner.Other method), 20
`list()` (in module `garcon.task`), 22
"""

    assert [name.line() for name in documented.read_names(text)] == [
        "module garcon.runner",
        "class garcon.runner.Async",
        "method garcon.runner.Async.execute activity context",
        "method garcon.runner.Other.execute",
        "exception garcon.runner.RunnerMissing",
        "function garcon.task.list",
    ]

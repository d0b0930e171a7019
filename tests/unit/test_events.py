"""The log's events: every name that is logged is in the list, and the list is in the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from docs import make
from garcon.pool.events import EVENTS
from tests.unit.source_tree import modules, tree

#: Functions that get an event's name as an argument, and its place among the arguments.
TELLERS = {"log_event": 2, "self.tell": 0, "self.tell_exit": 0}

#: Calls that pass on a name that they were given themselves.
PASSED_ON = {
    ("garcon.pool.supervisor", "action.event"),
    ("garcon.pool.moves", "event"),
}

NAME = re.compile(r"[a-z]+\.[a-z_]+")


def told() -> Iterator[tuple[str, int, ast.expr]]:
    """Yield module, line and name of every call that logs an event."""
    for module, path in modules().items():
        if module.startswith("garcon.engine") or module == "garcon.log":
            continue
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            place = TELLERS.get(ast.unparse(call.func))
            if place is not None and len(call.args) > place:
                yield module, call.lineno, call.args[place]


def names_of(expression: ast.expr) -> list[str] | None:
    """Return the names that an argument may have, None where it is passed on from elsewhere."""
    if isinstance(expression, ast.Constant):
        return [expression.value]
    if isinstance(expression, ast.IfExp):
        both = [names_of(expression.body), names_of(expression.orelse)]
        return [name for names in both for name in names or ()] if all(both) else None
    return None


def test_every_event_that_is_logged_is_in_the_list():
    """A name is a contract with whoever reads the log by machine."""
    wrong = []
    for module, line, expression in told():
        names = names_of(expression)
        if names is None:
            if (module, ast.unparse(expression)) not in PASSED_ON:
                wrong.append(f"{module}:{line} logs {ast.unparse(expression)}")
        else:
            wrong += [f"{module}:{line} logs {name!r}" for name in names if name not in EVENTS]

    assert [] == wrong


def test_every_event_of_the_list_is_logged_somewhere():
    """A name that nothing writes would be waited for in vain."""
    written = {
        node.value
        for module, path in modules().items()
        if module != "garcon.pool.events"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    text = {name for value in written for name in NAME.findall(value)}

    assert set() == set(EVENTS) - text


def test_a_name_says_the_thing_and_what_happened():
    """`thing.what_happened`, and a sentence for people."""
    assert [] == [name for name in EVENTS if not NAME.fullmatch(name)]
    assert [] == [name for name, one in EVENTS.items() if not one.meaning.endswith(".")]


@pytest.mark.parametrize("file", make.files())
def test_what_is_made_from_the_code_stands_in_the_docs(file):
    """`make docs` has been run since the code has changed."""
    assert make.made(file) == (make.HERE / file).read_text(encoding="utf-8")

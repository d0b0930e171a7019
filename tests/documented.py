"""The names of garcon 0.0.4's documentation: is each there, typed, documented and tested?

`tests/documented_names.txt` holds them, one a line: kind, full name, and the names of its
parameters. It is made from the documentation's text, index and signatures, by

    python -m tests.documented TEXT > tests/documented_names.txt

and without a text this prints the table of all names as Markdown.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
NAMES = TESTS / "documented_names.txt"

_IN_INDEX = re.compile(
    r"^(?P<name>\w+)(?:\(\))? \((?:(?P<kind>class) in (?P<of>[\w.]+)|in module (?P<module>[\w.]+)"
    r"|(?P<owner>[\w.]+) (?P<member>attribute|method))\), \d+$"
)
_EXCEPTION = re.compile(r"^exception (?P<full>garcon[\w.]+)")
_SIGNATURE = re.compile(
    r"^(?P<class>class )?(?:(?P<module>garcon\.\w+)\.)?(?P<name>\w+) ?\((?P<parameters>.*)\)$"
)


@dataclass(frozen=True)
class Name:
    """One documented name.

    Attributes:
        kind: module, class, exception, function, method or attribute.
        full: dotted name.
        parameters: names of its parameters, as far as the documentation gives them.
    """

    kind: str
    full: str
    parameters: tuple[str, ...] = ()

    @property
    def last(self) -> str:
        """The name itself."""
        return self.full.rpartition(".")[2]

    def line(self) -> str:
        """Return the line that stands for it."""
        return " ".join([self.kind, self.full, *self.parameters])

    @property
    def owner(self) -> Any:
        """The module or class that should have it."""
        parts = self.full.split(".")
        module = importlib.import_module(".".join(parts[:2]))
        return getattr(module, parts[2]) if len(parts) > 3 else module

    @property
    def thing(self) -> Any:
        """What is there, as the class holds it, or None."""
        if self.kind == "module":
            return importlib.import_module(self.full)
        return inspect.getattr_static(self.owner, self.last, None)


def load_names() -> list[Name]:
    """Return all documented names."""
    lines = NAMES.read_text(encoding="utf-8").splitlines()
    return [Name(kind, full, tuple(more)) for kind, full, *more in map(str.split, lines)]


def read_names(text: str) -> list[Name]:
    """Return the names in the documentation's text: its index, with the signatures of its body."""
    signatures = dict(_signatures(text))
    found = {name.full: name for name in _names(text)}
    return [
        Name(one.kind, one.full, signatures.get(one.full, ()))
        if one.kind in ("function", "method", "class")
        else one
        for one in sorted(found.values(), key=lambda one: one.full)
    ]


def _names(text: str) -> Iterator[Name]:
    for line in map(str.strip, text.replace("`", "").splitlines()):
        if found := re.match(r"^- (garcon\.\w+), ", line):
            yield Name("module", found[1])
        elif found := _EXCEPTION.match(line):
            yield Name("exception", found["full"])
        elif found := _IN_INDEX.match(line):
            owner = found["of"] or found["module"] or found["owner"]
            kind = found["kind"] or found["member"] or "function"
            yield Name(kind, f"{owner}.{found['name']}")


def _signatures(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the full names that the body gives signatures for, with the parameters' names."""
    owner = ""
    for line in text.replace("`", "").replace("*", "").splitlines():
        found = _SIGNATURE.match(line.strip())
        if not found or "." in found["parameters"].split("=")[0]:
            continue
        if found["module"]:
            full = f"{found['module']}.{found['name']}"
            owner = full if found["class"] else ""
        else:
            full = f"{owner}.{found['name']}"
        names = [part.split("=")[0].strip() for part in found["parameters"].split(",")]
        yield full, tuple(one for one in names if one not in ("", "args", "kwargs"))


def is_typed(name: Name) -> bool:
    """Tell whether every parameter and the return value of this name have a type."""
    thing = name.thing
    if isinstance(thing, property):
        return "return" in getattr(thing.fget, "__annotations__", {})
    if name.kind in ("module", "exception"):
        return True
    if name.kind == "attribute":
        return any(name.last in vars(one).get("__annotations__", {}) for one in name.owner.__mro__)
    function = thing.__init__ if inspect.isclass(thing) else thing
    if function is object.__init__:
        return True
    parameters = [one for key, one in inspect.signature(function).parameters.items()]
    annotated = all(one.annotation is not one.empty for one in parameters if one.name != "self")
    return (
        annotated and inspect.signature(function).return_annotation is not inspect.Signature.empty
    )


def is_documented(name: Name) -> bool:
    """Tell whether this name has words of its own, an attribute in those of its class."""
    thing = name.thing
    if name.kind == "attribute" and not isinstance(thing, property):
        return any(f"    {name.last}: " in (one.__doc__ or "") for one in name.owner.__mro__)
    return bool(vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__)


def missing_parameters(name: Name) -> list[str]:
    """Return the documented parameters that this name does not take by their names."""
    function = name.thing.__init__ if inspect.isclass(name.thing) else name.thing
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return []
    return [one for one in name.parameters if one not in parameters]


@cache
def _uses() -> dict[str, list[str]]:
    """Return, for each name that tests use, the tests that do, fewest names first."""
    uses: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for test in (one for one in module.body if isinstance(one, ast.FunctionDef)):
            if not test.name.startswith("test_"):
                continue
            names = {one.attr for one in ast.walk(test) if isinstance(one, ast.Attribute)}
            names |= {one.id for one in ast.walk(test) if isinstance(one, ast.Name)}
            for name in names:
                uses.setdefault(name, []).append((len(names), f"{path.stem}::{test.name}"))
    return {name: [test for _, test in sorted(found)] for name, found in uses.items()}


def tested_by(name: Name) -> str | None:
    """Return a test that uses this name: of its own module if there is one, else any."""
    module = name.full.split(".")[1]
    if name.kind == "module":
        return next(iter(path.stem for path in sorted(TESTS.rglob(f"test_{module}*.py"))), None)
    found = _uses().get(name.last, [])
    own = [one for one in found if one.startswith(f"test_{module}")]
    return next(iter(own or found), None)


def table() -> str:
    """Return the table of all documented names as Markdown."""
    rows = ["| name | kind | typed | documented | tested by |", "|---|---|---|---|---|"]
    for name in load_names():
        marks = ["yes" if check(name) else "NO" for check in (is_typed, is_documented)]
        rows.append(f"| `{name.full}` | {name.kind} | {' | '.join(marks)} | {tested_by(name)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        found = read_names(Path(sys.argv[1]).read_text(encoding="utf-8"))
        print("\n".join(one.line() for one in found))
    else:
        print(table())

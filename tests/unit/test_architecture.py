"""The rules of the house, held by the source itself: who may import whom, and which rooms are pure.

Each rule reads syntax trees, so it also covers what no test runs. A room that is named here and
missing fails: a rule about nothing would pass for ever.
"""

from __future__ import annotations

import ast
import re
import sys

import pytest

from tests.unit import source_tree
from tests.unit.source_tree import ROOT, calls, imports, modules, package_imports, raised, tree

#: Decide, and touch nothing: no clock, socket, file, process, random, uuid or logging.
PURE_ROOMS = (
    "garcon.attempt",
    "garcon.description",
    "garcon.engine.core",
    "garcon.history",
    "garcon.manifest",
    "garcon.outcome",
    "garcon.planner",
    "garcon.planning",
    "garcon.pool.lifecycle",
    "garcon.pool.sizing",
)

#: All of the standard library that a pure room, or what it imports, may use.
PURE_LIBRARY = {
    *("__future__", "abc", "base64", "bisect", "collections", "copy", "dataclasses", "datetime"),
    *("enum", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re"),
    *("string", "struct", "textwrap", "types", "typing", "typing_extensions", "zlib"),
}

#: Calls that read a clock or touch the world without an import of their own.
IMPURE_CALLS = re.compile(r"^(open|print|input|__import__|exec|eval)$|\.(now|utcnow|today)$")

#: Who may import whom, from the commands down: a module imports its own floor or lower ones.
FLOORS = (
    ("cli",),
    ("backfill", "pool", "engine"),
    ("decider", "activity"),
    ("runner",),
    ("task",),
    ("param", "utils", "log", "errors"),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

#: Who may speak to people and end the process. The engine is a program of its own, which never
#: imports garcon.cli; it prints its URL.
COMMANDS = ("garcon.cli", "garcon.engine.__main__", "garcon.engine.usage")

#: What is imported under another name than the package's, or is part of its interface.
BROUGHT_BY = {
    "botocore": "boto3",
    "concurrent_log_handler": "concurrent-log-handler",
    "multidict": "aiohttp",
    "yarl": "aiohttp",
}

#: The longest file of the project, lines.
LONGEST_FILE = 600


def room(name: str) -> list[str]:
    """Return the modules of a room: one module, or a package with all below it."""
    return [one for one in modules() if one == name or one.startswith(f"{name}.")]


def top(name: str) -> str:
    """Return the part of the package that a module belongs to: `pool` of `garcon.pool.worker`."""
    return [*name.split("."), ""][1]


def is_entry(name: str) -> bool:
    """Tell whether a module is run by `python -m`: it belongs to the commands, as cli.py does."""
    return name.endswith(".__main__")


def with_all_it_imports(names: list[str]) -> set[str]:
    """Return the modules and what they import of the package, at any depth."""
    graph, found, rest = package_imports(), set(), list(names)
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest.extend(graph[name])
    return found


@pytest.mark.parametrize("name", PURE_ROOMS)
def test_a_pure_room_is_there(name):
    """Every room that the purity rule names exists."""
    assert room(name), f"{name} is missing: the rule would hold nothing"


@pytest.mark.parametrize("name", PURE_ROOMS)
def test_a_pure_room_imports_only_what_is_pure(name):
    """No module of the room, or of what it imports, uses more than the pure library."""
    found = {
        f"{module} imports {other}"
        for module in with_all_it_imports(room(name))
        for other in imports(module)
        if other.split(".")[0] not in {*PURE_LIBRARY, "garcon"}
    }

    assert set() == found


@pytest.mark.parametrize("name", PURE_ROOMS)
def test_a_pure_room_reads_no_clock_and_opens_no_file(name):
    """What needs no import to reach the world is not called either."""
    found = {
        f"{module} calls {call}"
        for module in with_all_it_imports(room(name))
        for call in calls(tree(modules()[module]))
        if IMPURE_CALLS.search(call)
    }

    assert set() == found


def test_nothing_imports_a_floor_above_its_own():
    """Imports run from the commands down to the errors."""
    found = {
        f"{name} imports {other}"
        for name, others in package_imports().items()
        for other in others
        if not is_entry(name)
        and top(name) in FLOOR_OF
        and FLOOR_OF.get(top(other), len(FLOORS)) < FLOOR_OF[top(name)]
    }

    assert set() == found


def test_only_the_commands_import_the_commands():
    """`garcon.cli` is nobody's library."""
    found = {
        name
        for name, others in package_imports().items()
        if "garcon.cli" in others and not is_entry(name)
    }

    assert set() == found


def test_the_engine_imports_nothing_of_the_library():
    """The two meet over SWF's HTTP only, so the library runs unchanged on AWS."""
    found = {
        f"{name} imports {other}"
        for name in room("garcon.engine")
        for other in package_imports()[name]
        if top(other) not in ("engine", "") and not (is_entry(name) and other == "garcon.cli")
    }

    assert set() == found


def test_the_library_imports_nothing_of_the_engine_but_how_to_start_it():
    """Only the command that runs the engine knows more of it than `ensure`."""
    found = {
        f"{name} imports {other}"
        for name, others in package_imports().items()
        for other in others
        if top(other) == "engine"
        and top(name) not in ("engine", "cli")
        and other not in ("garcon.engine", "garcon.engine.ensure")
    }

    assert set() == found


def test_starting_the_engine_needs_the_standard_library_only():
    """`ensure` runs in every command: neither it nor what it imports may be slow to import."""
    allowed = {*sys.stdlib_module_names, "garcon"}
    found = {
        f"{module} imports {other}"
        for module in with_all_it_imports(["garcon.engine.ensure"])
        for other in imports(module)
        if other.split(".")[0] not in allowed
    }

    assert set() == found


def test_no_modules_import_each_other_in_a_circle():
    """Neither at the top nor inside functions, where a circle would only be hidden."""
    assert [] == source_tree.find_cycle(package_imports())


def test_a_circle_is_found():
    """The rule above sees a circle of three."""
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}

    assert ["a", "b", "c", "a"] == source_tree.find_cycle(graph)


def test_imports_for_types_only_do_not_count():
    """What stands under TYPE_CHECKING never runs."""
    code = "if TYPE_CHECKING:\n import a\nelse:\n import b\ndef f():\n from . import c, d\n"

    found = set(source_tree.imported_names(ast.parse(code), "p.q", {"p.q.c"}))

    assert {"b", "p.q.c", "p.q"} == found


def test_only_the_commands_print_or_exit():
    """Library code raises and logs; what to say and how to end is one module's matter."""
    loud = {"print", "exit", "quit", "sys.exit", "click.echo", "click.secho"}
    found = {
        f"{name}: {what}"
        for name, path in modules().items()
        if name not in COMMANDS
        for what in [*calls(tree(path)), *raised(tree(path))]
        if what in loud | {"SystemExit"}
    }

    assert set() == found


def test_nothing_raises_a_bare_exception():
    """Every error of garcon's own has a name that callers can catch."""
    found = {
        name
        for name, path in modules().items()
        if {"Exception", "BaseException"} & set(raised(tree(path)))
    }

    assert set() == found


def test_the_package_declares_what_it_imports():
    """Each foreign import stands in setup.cfg, or belongs to a package that does."""
    declared = _install_requires()
    foreign = {
        other.split(".")[0]
        for name in modules()
        for other in imports(name)
        if other.split(".")[0] not in {*sys.stdlib_module_names, "garcon"}
    }

    assert set() == {name for name in foreign if BROUGHT_BY.get(name, name) not in declared}


def _install_requires() -> set[str]:
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    block = re.search(r"^install_requires =\n((?: .*\n)+)", text, re.MULTILINE)
    assert block is not None
    return {line.split()[0] for line in block[1].splitlines()}


def python_files():
    """Return all Python files of the project."""
    folders = ("garcon", "flows", "tests", "benchmarks")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def says(path):
    """Return the docstring of a file."""
    return ast.get_docstring(tree(path))


def text_files():
    """Return all files that a reader of the project may open."""
    loose = [path for path in ROOT.iterdir() if path.is_file()]
    below = [
        path
        for folder in ("garcon", "flows", "tests", "benchmarks", "docs", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return [*loose, *below]


def test_no_file_is_longer_than_600_lines():
    """A longer file holds two rooms."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files()
    }

    assert {} == {name: length for name, length in lengths.items() if length > LONGEST_FILE}


def test_every_module_says_what_it_is():
    """The first line of each file that has any is its docstring."""
    assert [] == [path for path in python_files() if tree(path).body and not says(path)]


def test_no_file_knows_the_machine_it_was_written_on():
    """No path of a build machine and no address of a package registry."""
    told = re.compile(r"/wor[k]/|/tmp/tea[m]|/roo[t]/|/User[s]/|pypi[.]org")
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in text_files()
        if (match := told.search(path.read_bytes().decode("utf-8", "replace")))
    }

    assert set() == found

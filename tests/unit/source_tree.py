"""The project's own source as syntax trees, for the tests that hold its rules.

Nothing is imported: a rule must see a module that cannot be imported today.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Container, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / "garcon").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """Return the file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def nodes(top: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes that run; what only a type checker reads is left out."""
    yield top
    for child in ast.iter_child_nodes(top):
        if isinstance(top, ast.If) and child in top.body and _is_type_checking(top.test):
            continue
        yield from nodes(child)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def imports(name: str) -> frozenset[str]:
    """Return what module `name` imports, its functions' own imports among it, as dotted names."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return frozenset(imported_names(tree(path), package, modules()))


def imported_names(top: ast.AST, package: str, known: Container[str]) -> Iterator[str]:
    """Yield the dotted names that the tree of a module of `package` imports.

    Args:
        top: the tree.
        package: what relative imports start from.
        known: names of modules, to tell `from garcon import task` from a plain name.
    """
    for node in nodes(top):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


@cache
def package_imports() -> Mapping[str, frozenset[str]]:
    """Return for each module which modules of the package it imports."""
    return {name: imports(name) & modules().keys() for name in modules()}


def find_cycle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Return the names along one cycle, first and last the same; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if other != name and (cycle := visit(other, [*trail, name])):
                return cycle
        done.add(name)
        return []

    for name in sorted(graph):
        if cycle := visit(name, []):
            return cycle
    return []


def calls(top: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything that is called."""
    for node in nodes(top):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func)


def raised(top: ast.AST) -> Iterator[str]:
    """Yield the name of everything that is raised."""
    for node in nodes(top):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            yield ast.unparse(error)

"""A hook of MkDocs: no page is without a way to it.

Pages that `nav` of mkdocs.yml does not name are appended to its last part, under their own titles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def on_files(files: Any, *, config: Any) -> Any:
    """Append the pages that the navigation lacks; MkDocs calls this before it reads them."""
    named = set(paths_of(config["nav"]))
    for page in files.documentation_pages():
        if page.src_uri not in named:
            next(iter(config["nav"][-1].values())).append(page.src_uri)
    return files


def paths_of(nav: Iterable[Any]) -> Iterator[str]:
    """Yield the paths that a navigation names, at any depth."""
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(value, str):
            yield value
        else:
            yield from paths_of(value)

"""Writes the parts of the documentation that are made from the code: `make docs`.

A part stands between two marks, `<!-- made: NAME -->` and `<!-- end: NAME -->`; the rest of the
file is written by hand. A test fails while a part differs from what the code says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from garcon.pool import events

HERE = Path(__file__).resolve().parent

#: What makes each part, by file and name.
PARTS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("logging.md", "events"): events.as_table,
}


def with_part(text: str, name: str, part: str) -> str:
    """Return the file's text with this part between its marks.

    Raises:
        ValueError: it has no such marks.
    """
    marks = re.compile(rf"(<!-- made: {name} -->\n).*?(\n<!-- end: {name} -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"no marks for the part {name!r}")
    return marks.sub(lambda found: found[1] + part + found[2], text)


def made(file: str) -> str:
    """Return a file of this folder as it is to be."""
    text = (HERE / file).read_text(encoding="utf-8")
    for (other, name), make in PARTS.items():
        if other == file:
            text = with_part(text, name, make())
    return text


def main() -> None:
    """Write every file that has such parts."""
    for file in dict.fromkeys(file for file, _ in PARTS):
        (HERE / file).write_text(made(file), encoding="utf-8")


if __name__ == "__main__":
    main()

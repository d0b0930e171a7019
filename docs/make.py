"""Writes the parts of the documentation that are made from the code: `make docs`.

A part stands between two marks, `<!-- made: NAME -->` and `<!-- end: NAME -->`; the rest of the
file is written by hand. Pictures are made whole. A test fails while a part or a picture differs
from what the code says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs import pictures
from garcon.engine import catalogue
from garcon.pool import events, slots

HERE = Path(__file__).resolve().parent

#: What makes each part, by file and name.
PARTS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("engine.md", "operations"): catalogue.operations_table,
    ("engine.md", "decisions"): catalogue.decisions_table,
    ("logging.md", "events"): events.as_table,
}


def slot_states() -> str:
    """Return the picture of the pool's slots: every move that there is."""
    moves = {(state.value, move.value): then.value for (state, move), then in slots.NEXT.items()}
    return pictures.draw("The states of a slot", [one.value for one in slots.State], moves)


#: What makes each file that nothing in is written by hand.
PICTURES: Mapping[str, Callable[[], str]] = {"slots.svg": slot_states}


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
    if file in PICTURES:
        return PICTURES[file]()
    text = (HERE / file).read_text(encoding="utf-8")
    for (other, name), make in PARTS.items():
        if other == file:
            text = with_part(text, name, make())
    return text


def files() -> list[str]:
    """Return the names of all files that are made, or have a part that is."""
    return sorted({*PICTURES, *(file for file, _ in PARTS)})


def main() -> None:
    """Write them all."""
    for file in files():
        (HERE / file).write_text(made(file), encoding="utf-8")


if __name__ == "__main__":
    main()

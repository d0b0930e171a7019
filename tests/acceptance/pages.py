"""Code blocks of the documentation, and what each is there for.

A block's language and the HTML comment on the line above it say what to do with it:

    python, sh                 run it, in the order of the page, in one folder a page
    <!-- file: NAME -->        write it to that file
    <!-- background -->        start it, and leave it until the page ends
    <!-- fragment -->          only part of something: check its syntax
    <!-- aws -->               needs AWS: check its syntax
    <!-- prints -->            the last run block printed these lines, in order, or one that is left
                               running does; `...` is any text
    json                       it is JSON

Other languages, and blocks without one, are shown and not run. Law: whatever looks like a command
or like Python is in a block that says so, or a page fails.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.harness import ROOT, Command, Place, wait_until

DOCS = ROOT / "docs"
RUN = ("python", "sh")

_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>[a-z]*)[ ]*$")
_MARK = re.compile(r"^<!-- (?P<mark>file|background|fragment|aws|prints)(?:: (?P<name>\S+))? -->$")
_COMMAND = re.compile(
    r"^\s*(\$ |garcon |python3? -|make |pip |cd |export |import |from \w+ import )"
)


@dataclass(frozen=True)
class Block:
    """One code block of a page.

    Attributes:
        page: path of the page, from the project's folder.
        line: of its fence, from 1.
        language: what stands behind the fence.
        mark: what it is there for, empty where nothing is said.
        name: of the file, where the mark is `file`.
        text: what it holds.
    """

    page: str
    line: int
    language: str
    mark: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the README and all pages of docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    name = page.relative_to(ROOT).as_posix()
    return list(_blocks(name, page.read_text(encoding="utf-8").splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            number += 1
            continue
        end = lines.index(opened["fence"], number + 1)
        above = _MARK.match(lines[number - 1]) if number else None
        mark, name = (above["mark"], above["name"] or "") if above else ("", "")
        text = "\n".join(lines[number + 1 : end]) + "\n"
        yield Block(page, number + 1, opened["language"], mark, name, text)
        number = end + 1


def hides_code(block: Block) -> bool:
    """Tell whether a block that is not run holds what looks like a command or like Python.

    A synopsis, with its options in brackets, is no command.
    """
    if block.language in RUN or block.mark == "prints" or "[--" in block.text:
        return False
    return any(_COMMAND.match(line) for line in block.text.splitlines())


def check_syntax(block: Block) -> None:
    """Fail unless a block is what its language says."""
    if block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language == "sh":
        checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
        assert checked.returncode == 0, f"{block}: {checked.stderr}"
    elif block.language == "json":
        json.loads(block.text)


class Reader:
    """Somebody who does what a page says, in a folder of its own."""

    def __init__(self, place: Place) -> None:
        """Work in `place`, with `garcon` and `python` on the path."""
        self._place = place
        self._last: Command | None = None
        self._left: list[Command] = []
        self._bin = place.folder / ".bin"
        self._bin.mkdir()
        python = shlex.quote(sys.executable)
        self._tool("python", f'exec {python} "$@"')
        self._tool("garcon", f'exec {python} -c "from garcon.cli import main; main()" "$@"')

    def _tool(self, name: str, line: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        path.chmod(0o755)

    def follow(self, block: Block) -> None:
        """Do what one block is there for."""
        check_syntax(block)
        if block.mark == "file":
            path = self._place.folder / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.mark == "prints":
            self._expect(block)
        elif block.language in RUN and block.mark not in ("fragment", "aws"):
            self._last = self._start(block)
            if block.mark == "background":
                self._left.append(self._last)
                return
            code = self._last.wait()
            assert code == 0, f"{block} ended with {code}:\n{said(self._last)}"

    def _start(self, block: Block) -> Command:
        path = f"{self._bin}:/usr/local/bin:/usr/bin:/bin"
        script = self._bin / f"block-{block.line}"
        script.write_text(block.text, encoding="utf-8")
        # Scripts see the modules of the folder that they are started in, as on a prompt.
        here = f"{self._place.folder}:{ROOT}"
        if block.language == "python":
            return self._place.start(str(script), PATH=path, PYTHONPATH=here)
        run = f"import os; os.execvp('bash', ['bash', '-eo', 'pipefail', {str(script)!r}])"
        return self._place.start("-c", run, PATH=path, PYTHONPATH=here)

    def _expect(self, block: Block) -> None:
        assert self._last is not None, f"{block}: nothing was run before it"
        told = [self._last, *(one for one in self._left if one is not self._last)]

        def printed() -> bool:
            return any(has_lines(said(one), block.text) for one in told)

        if self._left:
            wait_until(printed, f"the lines of {block}")
        assert printed(), f"{block}: it said instead:\n{said(self._last)}"


def said(command: Command) -> str:
    """Return all that a command wrote."""
    return command.out() + command.err()


def has_lines(text: str, wanted: str) -> bool:
    """Tell whether the wanted lines are among those of a text, in this order."""
    left = iter([line.strip() for line in text.splitlines()])
    for line in filter(None, map(str.strip, wanted.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, line.split("..."))))
        if not any(pattern.fullmatch(one) for one in left):
            return False
    return True

"""Every command and every piece of Python in README and docs works as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.harness import ROOT, Place
from tests.acceptance.pages import RUN, Block, Reader, blocks_of, check_syntax, hides_code, pages

#: Pages whose blocks another test runs, in settings that they need.
RUN_ELSEWHERE = {"README.md": "test_readme.py"}


def name_of(page: Path) -> str:
    """Return a page's path from the project's folder."""
    return page.relative_to(ROOT).as_posix()


def runs(page: Path) -> bool:
    """Tell whether a page has a block to run here."""
    wanted = [one for one in blocks_of(page) if one.language in RUN and one.mark != "fragment"]
    return bool(wanted) and name_of(page) not in RUN_ELSEWHERE


@pytest.mark.parametrize("page", [page for page in pages() if runs(page)], ids=name_of)
def test_a_page_can_be_followed(page: Path, place: Place) -> None:
    """Block by block, in an empty folder, without AWS."""
    reader = Reader(place)

    for block in blocks_of(page):
        reader.follow(block)


@pytest.mark.parametrize(
    "page", [page for page in pages() if name_of(page) not in RUN_ELSEWHERE], ids=name_of
)
def test_no_block_hides_code(page: Path) -> None:
    """A block that says nothing of its language is not run, so it holds no command."""
    assert [] == [str(block) for block in blocks_of(page) if hides_code(block)]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_what_is_not_run_has_its_languages_syntax(page: Path) -> None:
    """Fragments, and what needs AWS."""
    for block in blocks_of(page):
        check_syntax(block)


@pytest.mark.parametrize(("page", "test"), RUN_ELSEWHERE.items())
def test_what_is_run_elsewhere_is_known_there(page: str, test: str) -> None:
    """The other test is there, and reads the page."""
    text = (Path(__file__).parent / test).read_text(encoding="utf-8")

    assert Path(page).name in text


def a_block(language: str, text: str, mark: str = "") -> Block:
    """Return a block of no page."""
    return Block("page.md", 1, language, mark, "", text)


def test_a_failing_block_fails_its_page(place: Place) -> None:
    """Else this would prove nothing."""
    reader = Reader(place)

    with pytest.raises(AssertionError, match=r"page.md:1 ended with 3"):
        reader.follow(a_block("sh", "exit 3\n"))
    with pytest.raises(SyntaxError):
        reader.follow(a_block("python", "def\n", "fragment"))
    with pytest.raises(AssertionError, match="syntax error"):
        reader.follow(a_block("sh", "if\n", "aws"))


def test_what_is_not_printed_fails_the_page(place: Place) -> None:
    """Lines come in their order; dots stand for anything."""
    reader = Reader(place)
    reader.follow(a_block("python", "print('one of three')\nprint('two')\n"))

    reader.follow(a_block("", "one ... three\ntwo\n", "prints"))
    for wrong in ("two\none ... three\n", "one of\n", "three\n"):
        with pytest.raises(AssertionError, match="it said instead"):
            reader.follow(a_block("", wrong, "prints"))


def test_code_in_a_block_without_a_language_is_seen() -> None:
    """Commands and imports, wherever they stand in it."""
    assert hides_code(a_block("", "first\n  garcon pool flows.metrics\n"))
    assert hides_code(a_block("text", "from garcon import task\n"))
    assert not hides_code(a_block("", "execution metrics COMPLETED\n"))
    assert not hides_code(a_block("sh", "garcon pool flows.metrics\n"))

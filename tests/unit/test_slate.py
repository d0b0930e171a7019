"""What a task says of itself, across a file that two processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from garcon.pool.slate import Slate


@pytest.fixture
def slate() -> Iterator[Slate]:
    """Return an empty slate."""
    one = Slate.make()
    yield one
    one.close()


def test_the_latest_words_replace_the_ones_before(slate: Slate) -> None:
    """Shorter ones too, and ones that no UTF-8 can carry."""
    slate.write(3, 0, 7, "a long story of what was done")
    slate.write(3, 0, 7, "é\ud800")

    assert "é?" == slate.read(3, 0, 7)


def test_words_belong_to_one_task_at_one_place(slate: Slate) -> None:
    """A worker's next task has said nothing yet; neither has a task beside it."""
    slate.write(3, 1, 7, "mine")

    assert [None, None, None, "mine"] == [
        slate.read(slot, place, task)
        for slot, place, task in ((3, 1, 8), (3, 0, 7), (2, 1, 7), (3, 1, 7))
    ]


def test_the_longest_words_fit_their_record(slate: Slate) -> None:
    """As many characters as SWF takes, each of four bytes; what is more is cut."""
    slate.write(1, 0, 1, "\U0001f37d" * 3000)
    slate.write(1, 1, 2, "next door")

    words = slate.read(1, 0, 1)
    assert words is not None
    assert (2048, "…") == (len(words), words[-1])
    assert "next door" == slate.read(1, 1, 2)


def test_words_that_are_not_whole_are_not_read(slate: Slate) -> None:
    """The task may be writing at that moment."""
    slate.write(0, 0, 7, "half way")
    os.pwrite(slate.descriptor, b"HALF", 16)

    assert slate.read(0, 0, 7) is None


def test_without_files_in_memory_a_temporary_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has none, and a sandbox may forbid them."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    one = Slate.make()

    one.write(900, 63, 7, "far out")

    assert "far out" == one.read(900, 63, 7)
    one.close()


def test_a_slate_that_was_given_up_says_nothing() -> None:
    """Its descriptor's number may be another file's by then."""
    one = Slate.make()
    one.write(0, 0, 7, "gone")
    one.close()

    assert one.read(0, 0, 7) is None
    one.write(0, 0, 7, "nobody hears it")

"""What children print, cut into lines of bounded length."""

from __future__ import annotations

import asyncio
import os

from garcon.pool.output import LINE_MAX, LineCutter, OutputRelay


def lines_of(*portions: bytes) -> list[str]:
    """Return the lines that these portions make."""
    lines: list[str] = []
    cutter = LineCutter(lines.append)
    for portion in portions:
        cutter.feed(portion)
    cutter.finish()
    return lines


def test_lines_are_put_together_from_portions() -> None:
    """A line may come in pieces, its end may be missing, and it may be empty."""
    assert ["one", "two", "", "three"] == lines_of(b"on", b"e\ntw", b"o\n\nthr", b"ee")


def test_a_long_line_is_passed_on_in_pieces_and_none_of_it_is_lost() -> None:
    """A task that prints a megabyte without an end costs 16 kB of memory, not a megabyte."""
    pieces = lines_of(b"x" * (3 * LINE_MAX), b"y\nz")

    assert "x" * 3 * LINE_MAX + "y" == "".join(pieces[:-1])
    assert max(map(len, pieces)) <= LINE_MAX
    assert "z" == pieces[-1]


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    """Whatever a program prints, the relay goes on."""
    assert ["\ufffd ok"] == lines_of(b"\xff ok\r\n")


def test_a_relay_reads_to_the_end_before_it_closes() -> None:
    """The last words of a dying child are the ones that matter."""

    async def run() -> list[str]:
        lines: list[str] = []
        relay, descriptor = await OutputRelay.open(lines.append)
        os.write(descriptor, b"first\nlast")
        os.close(descriptor)
        await relay.close(5.0)
        return lines

    assert ["first", "last"] == asyncio.run(run())


def test_a_relay_does_not_wait_for_a_stray_writer() -> None:
    """A daemon that a task has left behind may hold the pipe for years."""

    async def run() -> list[str]:
        lines: list[str] = []
        relay, descriptor = await OutputRelay.open(lines.append)
        await relay.close(0.0)
        os.close(descriptor)
        return lines

    assert [] == asyncio.run(run())

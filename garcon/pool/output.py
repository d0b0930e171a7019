"""What zygote and children print, line by line and bounded.

Their stdout and stderr are two pipes that the supervisor reads to the end, so that no child ever
waits for a reader. Law: a line never takes more than `LINE_MAX` of memory, whatever is printed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

#: Bytes of one line; what is longer is passed on in pieces.
LINE_MAX = 16 * 1024


class LineCutter:
    """Lines out of bytes that come in any portions."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        """Give each whole line to `on_line`, without its end."""
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._give(line)
        while len(rest) > LINE_MAX:
            self._give(rest[:LINE_MAX])
            rest = rest[LINE_MAX:]
        self._rest = rest

    def finish(self) -> None:
        """Give the last line, which had no end."""
        if self._rest:
            self._give(self._rest)
        self._rest = b""

    def _give(self, line: bytes) -> None:
        for start in range(0, len(line) or 1, LINE_MAX):
            piece = line[start : start + LINE_MAX]
            self._on_line(piece.decode("utf-8", "replace").rstrip("\r"))


class _Reading(asyncio.Protocol):
    def __init__(self, on_line: Callable[[str], None], ended: asyncio.Future[None]) -> None:
        self._cutter = LineCutter(on_line)
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        self._cutter.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # the pipe is over, whatever the reason
        self._cutter.finish()
        if not self._ended.done():
            self._ended.set_result(None)


class OutputRelay:
    """One pipe, read on the loop until all its writers are gone or it is closed."""

    def __init__(self, transport: asyncio.ReadTransport, ended: asyncio.Future[None]) -> None:
        """Use `open` instead."""
        self._transport = transport
        self._ended = ended

    @classmethod
    async def open(cls, on_line: Callable[[str], None]) -> tuple[OutputRelay, int]:
        """Return a relay, and the descriptor to write to, which the caller closes."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        reading, writing = os.pipe()
        pipe = os.fdopen(reading, "rb", buffering=0)
        try:
            transport, _ = await loop.connect_read_pipe(lambda: _Reading(on_line, ended), pipe)
        except BaseException:
            pipe.close()
            os.close(writing)
            raise
        return cls(transport, ended), writing

    async def close(self, deadline_s: float) -> None:
        """Read what is left, at most so long: a stray process may keep the pipe open."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), deadline_s)
        self._transport.close()

"""One connection of a client: bytes to requests, answers to bytes, one request at a time.

aiohttp's server makes its objects for every request, for features that a few operations over
POST have no use for: 100 us of CPU a request, here 35 (measured). What it never does: know what a
request means. Its one law: whatever bytes come in, each request gets one answer, in their order,
or the connection ends.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, NamedTuple

from garcon.engine.http.wire import MAX_BODY

#: A request's head may be so large, bytes.
MAX_HEAD: Final = 64 * 1024

#: A request that has begun has to be here within this time.
ARRIVAL_S: Final = 30.0

#: What may wait behind the request that is being worked on, bytes.
_MAX_AHEAD: Final = 2 * MAX_BODY

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Request(NamedTuple):
    """One request; header names are in lower case.

    Attributes:
        alive: Whether its sender can still be answered.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    alive: Callable[[], bool]


class Reply(NamedTuple):
    """What to answer: status, body, and the lines of the head that are its own."""

    status: int
    body: bytes
    head: str = ""


Handler = Callable[[Request], Awaitable[Reply]]


class Unreadable(Exception):
    """Bytes that are no request, with the status that says so."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Head(NamedTuple):
    """What stands before a body.

    Attributes:
        length: Bytes of the body; None for one that comes in chunks.
        keep: Whether the connection goes on after the answer.
        size: Bytes of the head.
    """

    method: str
    path: str
    headers: dict[str, str]
    length: int | None
    keep: bool
    size: int


def read_head(buffer: bytes | bytearray) -> Head | None:
    """The head at the start of a buffer; None while its end is not here.

    Raises:
        Unreadable: What is here is no head, or too long to be one.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0 or end > MAX_HEAD:
        if len(buffer) > MAX_HEAD:
            raise Unreadable(431)
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[0].isalpha() or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Unreadable(400)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\0" in line:
            raise Unreadable(400)
        name = name.lower()
        if name in headers and name in ("content-length", "transfer-encoding", "host"):
            raise Unreadable(400)  # two truths about where a request ends, or whom it is for
        headers[name] = value.strip(" \t")
    connection = headers.get("connection", "").lower()
    keep = connection != "close" if words[2] == "HTTP/1.1" else connection == "keep-alive"
    return Head(words[0], words[1], headers, _length(headers), keep, end + 4)


def _length(headers: Mapping[str, str]) -> int | None:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise Unreadable(400)
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()) or len(length) > 12:
        raise Unreadable(400)
    return int(length)


def read_chunks(buffer: bytes | bytearray, at: int) -> tuple[bytes, int] | None:
    """The body in chunks that begins at a place, and where it ends; None while that is not here.

    Raises:
        Unreadable: These are no chunks, or more than a body may have.
    """
    parts: list[bytes] = []
    total = 0
    while (end := buffer.find(b"\r\n", at)) >= 0:
        word = bytes(buffer[at:end]).partition(b";")[0].strip()
        if not word or len(word) > 8 or word.strip(b"0123456789abcdefABCDEF"):
            raise Unreadable(400)
        size = int(word, 16)
        total += size
        if total > MAX_BODY:
            raise Unreadable(413)
        if size == 0:
            return _after_trailer(buffer, end + 2, parts)
        at = end + 2
        if len(buffer) < at + size + 2:
            return None
        if buffer[at + size : at + size + 2] != b"\r\n":
            raise Unreadable(400)
        parts.append(bytes(buffer[at : at + size]))
        at += size + 2
    if len(buffer) - at > MAX_HEAD:
        raise Unreadable(400)
    return None


def _after_trailer(
    buffer: bytes | bytearray, at: int, parts: list[bytes]
) -> tuple[bytes, int] | None:
    """Step over the lines behind the last chunk."""
    while (end := buffer.find(b"\r\n", at)) >= 0:
        if end == at:
            return b"".join(parts), end + 2
        at = end + 2
    if len(buffer) - at > MAX_HEAD:
        raise Unreadable(431)
    return None


class Connections:
    """All connections of one server; called, it makes the protocol of a new one.

    Args:
        handle: Answers a request; cancelled when its connection is lost.
        refuse: The answer to bytes that are no request.
        keep_s: A connection that is idle so long is closed, seconds.
    """

    def __init__(self, handle: Handler, refuse: Callable[[int], Reply], *, keep_s: float) -> None:
        self.handle = handle
        self.refuse = refuse
        self.keep_s = keep_s
        self.is_closing = False
        self.open: set[Connection] = set()
        self._second = -1
        self._date = ""

    def __call__(self) -> Connection:
        """A new connection."""
        return Connection(self)

    def date(self) -> str:
        """The Date header's value, made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True)
        return self._date

    async def close(self, timeout_s: float) -> None:
        """Take no further request, let those under way end, close."""
        self.is_closing = True
        running = [one.job for one in self.open if one.job is not None]
        for one in list(self.open):
            if one.job is None:
                one.end()
        if running:
            await asyncio.wait(running, timeout=timeout_s)
        for one in list(self.open):
            one.end()


class Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        job: The request that is being answered, None between two.
    """

    def __init__(self, home: Connections) -> None:
        self.job: asyncio.Task[None] | None = None
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: Head | None = None
        self._is_paused = self._is_refused = False
        self._alarm: asyncio.TimerHandle | None = None
        self._since_s = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the line."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._home.open.add(self)
        line = transport.get_extra_info("socket")
        if line.family != getattr(socket, "AF_UNIX", None):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._alarm = self._loop.call_later(ARRIVAL_S, self._look)

    def connection_lost(self, _error: Exception | None) -> None:
        """Nobody is left to be answered."""
        self._transport = None
        self._home.open.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()
        if self.job is not None:
            self.job.cancel()

    def eof_received(self) -> bool:
        """Close: a sender that has gone half is not coming back for its answer."""
        return False

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, or of the next ones."""
        if self._is_refused:
            return
        if not self._buffer:
            self._since_s = self._loop.time()
        self._buffer += data
        if self.job is None:
            self._next()
        elif len(self._buffer) > _MAX_AHEAD and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def is_alive(self) -> bool:
        """Whether an answer can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def end(self) -> None:
        """Close, after what is written."""
        if self._transport is not None:
            self._transport.close()

    # -- one request after the other ----------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next request, if it is here whole."""
        try:
            request = self._read()
        except Unreadable as error:
            self._refuse(error.status)
            return
        if request is not None:
            self.job = self._loop.create_task(self._serve(request))

    def _refuse(self, status: int) -> None:
        """Say that these bytes are no request, and take note of nothing that follows.

        The rest is still read: a sender that is cut off in the middle of it never sees the answer.
        """
        self._is_refused = True
        self._buffer.clear()
        self._write(self._home.refuse(status), keep=False)

    def _read(self) -> Request | None:
        head = self._head
        if head is None:
            if not self._buffer or (head := read_head(self._buffer)) is None:
                return None
            self._head = head
            if head.length is not None and head.length > MAX_BODY:
                raise Unreadable(413)
            if head.headers.get("expect", "").lower() == "100-continue" and self._transport:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.length is None:
            found = read_chunks(self._buffer, head.size)
            if found is None:
                return None
            body, end = found
        else:
            end = head.size + head.length
            if len(self._buffer) < end:
                return None
            body = bytes(self._buffer[head.size : end])
        del self._buffer[:end]
        return Request(head.method, head.path, head.headers, body, self.is_alive)

    async def _serve(self, request: Request) -> None:
        head, self._head = self._head, None
        reply = await self._home.handle(request)
        self.job = None
        self._since_s = self._loop.time()
        self._write(reply, keep=head is not None and head.keep and not self._home.is_closing)

    def _write(self, reply: Reply, *, keep: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        status, body, own = reply
        transport.write(
            f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n{own}"
            f"Content-Length: {len(body)}\r\nDate: {self._home.date()}\r\n"
            f"{'' if keep else 'Connection: close' + chr(13) + chr(10)}\r\n".encode()
            + body
        )
        if not keep:
            transport.write_eof() if self._is_refused else transport.close()
            return
        if self._is_paused:
            self._is_paused = False
            transport.resume_reading()
        if self._buffer:
            # Not in this call: a long row of requests must not make a deep one of calls.
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.job is None and self.is_alive():
            self._next()

    def _look(self) -> None:
        """Close a connection on which nothing comes, or a request never ends."""
        idle_s = self._loop.time() - self._since_s
        is_stuck = self._buffer or self._is_refused
        bound_s = ARRIVAL_S if is_stuck else self._home.keep_s
        if self.job is None and idle_s >= bound_s and self._transport is not None:
            self._transport.abort() if is_stuck else self._transport.close()
            return
        self._alarm = self._loop.call_later(ARRIVAL_S, self._look)

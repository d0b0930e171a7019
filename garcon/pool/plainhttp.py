"""HTTP/1.1 to an address without TLS, name or proxy: the way to the engine on this machine.

aiohttp's client makes some thirty objects for a request, for features that such a way has no use
for; that was a quarter of the supervisor's CPU (measured: 165 us a call, here 55). All other ways
go over aiohttp. It repeats nothing and reads no body.

Law: a connection serves one request at a time, and another one only when the answer to the last
was whole, so that no answer can be taken for another's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit

#: An answer's head may be so large, and its body, bytes.
HEAD_MAX = 64 * 1024
BODY_MAX = 64 * 1024 * 1024


class Answer(NamedTuple):
    """What came back: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class NotConnected(Exception):
    """No connection was made, so nothing was sent."""

    def __init__(self, os_error: OSError) -> None:
        super().__init__(str(os_error))
        self.os_error = os_error


class PlainHttp:
    """Keeps connections to one address, and sends requests over them."""

    def __init__(
        self, host: str, port: int, *, connections: int, keep_alive_s: float, connect_s: float
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            host: an IP address.
            port: where it listens.
            connections: requests under way at most; more wait for one to end.
            keep_alive_s: a connection that was idle so long is not used again.
            connect_s: bound of opening one.
        """
        self._host, self._port = host, port
        self._keep_alive_s = keep_alive_s
        self._connect_s = connect_s
        self._places = asyncio.Semaphore(connections)
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._loop = asyncio.get_running_loop()

    @classmethod
    def fits(cls, url: str) -> tuple[str, int] | None:
        """Return the address behind a URL, None where this is not a way to it."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None or parts.username is not None:
            return None
        try:
            ipaddress.ip_address(parts.hostname)
        except ValueError:
            return None  # a name: somebody has to look it up
        return parts.hostname, parts.port or 80

    async def send(self, request: bytes, timeout_s: float) -> Answer:
        """Send one request and return its answer.

        Args:
            request: head and body.
            timeout_s: bound of all of it.
        Raises:
            NotConnected: nothing was sent.
            asyncio.TimeoutError: no answer within the bound, or no connection within its own.
            ConnectionError: the line was cut, or what came is no HTTP.
        """
        until_s = self._loop.time() + timeout_s
        if self._places.locked():
            await asyncio.wait_for(self._places.acquire(), timeout_s)
        else:
            await self._places.acquire()
        try:
            connection = self._kept() or await self._opened(until_s)
            try:
                return await connection.exchange(request, until_s)
            finally:
                self._put_back(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        """Cut every connection; whatever is under way ends as cut."""
        for connection in list(self._open):
            connection.abort()

    def _kept(self) -> _Connection | None:
        """Return the connection that was used last, if it is good still."""
        oldest_s = self._loop.time() - self._keep_alive_s
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since_s >= oldest_s and connection.is_quiet():
                return connection
            connection.abort()
        return None

    def _put_back(self, connection: _Connection) -> None:
        if not connection.is_clean:
            connection.abort()
            return
        now_s = connection.idle_since_s = self._loop.time()
        self._idle.append(connection)
        # Used last goes first, so the others age: they are let go one by one.
        if self._idle[0].idle_since_s < now_s - self._keep_alive_s:
            self._idle.popleft().abort()

    async def _opened(self, until_s: float) -> _Connection:
        left_s = min(self._connect_s, until_s - self._loop.time())
        opening = self._loop.create_connection(
            lambda: _Connection(self._open), self._host, self._port
        )
        try:
            _, connection = await asyncio.wait_for(opening, left_s)
        except asyncio.TimeoutError:
            raise  # an OSError of its own kind since Python 3.11
        except OSError as error:
            raise NotConnected(error) from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        is_clean: whether nothing of an exchange is left in it.
        idle_since_s: when its last exchange ended, loop time.
    """

    def __init__(self, register: set[_Connection]) -> None:
        self.is_clean = True
        self.idle_since_s = 0.0
        self._register = register
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._answer: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body_at = 0  # where the body begins in the buffer; 0 before the head was read
        self._length: int | None = None
        self._is_chunked = self._is_endless = self._keep = False

    async def exchange(self, request: bytes, until_s: float) -> Answer:
        """Send a request and wait for its answer."""
        if self._transport is None or self._transport.is_closing():
            self.is_clean = False
            raise ConnectionResetError("the connection was closed")
        self.is_clean = False
        self._answer = self._loop.create_future()
        alarm = self._loop.call_at(until_s, self._fail, asyncio.TimeoutError())
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            alarm.cancel()
            self._answer = None

    def is_quiet(self) -> bool:
        """Whether a request may be sent: nothing is here to be read, not even the line's end.

        Asked of the kernel: of an end that came this moment the loop does not know yet, and a
        request that is sent into it may or may not have arrived.
        """
        return self.is_clean and self._transport is not None and not self._poll.poll(0)

    def abort(self) -> None:
        """Cut it."""
        self.is_clean = False
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio says --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the line."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._register.add(self)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        """End what is under way; an answer without a length ends so by right."""
        self._transport = None
        self._register.discard(self)
        if self._body_at and self._is_endless and error is None:
            self._finish(bytes(self._buffer[self._body_at :]), keep=False)
        else:
            self._fail(error or ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        self._buffer += data
        try:
            if not self._body_at and not self._read_head():
                return
            self._read_body()
        except (ValueError, IndexError):
            self._fail(ConnectionError("what came is no HTTP"))

    # -- an answer ----------------------------------------------------------------------------

    def _read_head(self) -> bool:
        """Read status and headers, once they are here; interim answers are passed over."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_MAX:
            if len(self._buffer) > HEAD_MAX:
                raise ValueError("a head without end")
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        version, status = first.split(" ", 2)[:2]
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        self._status = int(status)
        if 100 <= self._status < 200:
            del self._buffer[: end + 4]
            return self._read_head()
        headers = self._headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self._keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        self._is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._length = 0 if self._status == 204 else None if length is None else int(length)
        self._is_endless = self._length is None and not self._is_chunked
        self._body_at = end + 4
        return True

    def _read_body(self) -> None:
        if len(self._buffer) > BODY_MAX + HEAD_MAX:
            raise ValueError("too large")
        if self._is_chunked:
            body = _joined(self._buffer, self._body_at)
            if body is not None:
                self._finish(body, keep=False)  # whatever follows the last chunk goes with the line
        elif self._length is not None and len(self._buffer) >= self._body_at + self._length:
            end = self._body_at + self._length
            self._finish(bytes(self._buffer[self._body_at : end]), self._keep, end)

    def _finish(self, body: bytes, keep: bool, end: int = -1) -> None:
        answer, is_whole = self._answer, end == len(self._buffer)
        self._buffer.clear()
        self._body_at = 0
        if answer is not None and not answer.done():
            self.is_clean = keep and is_whole
            answer.set_result(Answer(self._status, self._headers, body))

    def _fail(self, error: Exception) -> None:
        self.is_clean = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _joined(buffer: bytearray, at: int) -> bytes | None:
    """Return the body that comes in chunks from `at`, None where its end is not here yet.

    Raises:
        ValueError: these are no chunks.
    """
    parts: list[bytes] = []
    while (end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        at = end + 2
        if len(buffer) < at + size + 2:
            return None
        parts.append(bytes(buffer[at : at + size]))
        at += size + 2
    return None

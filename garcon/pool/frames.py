"""Frames: how the supervisor, the zygote and the children talk over their socketpairs.

A frame is two big-endian u32 words (bytes that follow the first word; bytes of the head), a JSON
head that holds at least `kind`, and a body of bytes that nobody on the way looks into. Three ends
speak it: `Channel` (blocking, children), `FrameStream` (asyncio, supervisor) and the bare `Parser`
(whatever has bytes). What a frame means is the business of the rooms that send it.
Law: a peer that is stopped, torn or hostile costs a `FrameError` within a deadline, never a hang
of the loop and never more memory than `FRAME_MAX`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
import termios
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from garcon.errors import GarconError

#: Bytes of a whole frame, its first word left out. The largest honest one is a page of history
#: (1,000 events of up to 32 kB each would not fit a response of SWF's either way).
FRAME_MAX = 16 * 1024 * 1024

#: How long the supervisor waits for a child to take what was sent, seconds.
SEND_TIMEOUT_S = 10.0

_WORDS = struct.Struct(">II")
_READ_BYTES = 256 * 1024
_UNTAKEN_MAX = 64 * 1024  # bytes; asyncio's own high-water mark, above which drain() waits


class FrameError(GarconError):
    """The peer broke off inside a frame, sent what is none, or does not take what is sent."""


@dataclass(frozen=True)
class Frame:
    """One message.

    Attributes:
        kind: its name, such as `run` or `done`.
        head: the JSON head, `kind` included.
        body: payload as sent.
    """

    kind: str
    head: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""


def encode(kind: str, body: bytes = b"", /, **head: Any) -> bytes:
    """Return the bytes of one frame.

    Raises:
        FrameError: it would be larger than `FRAME_MAX`.
    """
    text = json.dumps({"kind": kind, **head}, ensure_ascii=False, separators=(",", ":")).encode()
    total = 4 + len(text) + len(body)
    if total > FRAME_MAX:
        raise FrameError(f"a frame {kind!r} of {total} bytes is over the bound of {FRAME_MAX}")
    return b"".join((_WORDS.pack(total, len(text)), text, body))


#: What a child says when it can take work; made once, before the fork.
READY = encode("ready")


def decode(head_bytes: bytes, body: bytes) -> Frame:
    """Return the frame of these two parts.

    Raises:
        FrameError: the head is no JSON object with a `kind`.
    """
    try:
        head = json.loads(head_bytes)
        kind = head["kind"]
    except (ValueError, TypeError, KeyError) as error:
        raise FrameError(f"a frame's head is not readable: {head_bytes[:80]!r}") from error
    return Frame(str(kind), head, body)


def measure(words: bytes) -> tuple[int, int]:
    """Return the lengths of head and body that a frame's first eight bytes announce.

    Raises:
        FrameError: they are impossible or over the bound.
    """
    total, head_length = _WORDS.unpack(words)
    body_length = total - 4 - head_length
    if total > FRAME_MAX or body_length < 0:
        raise FrameError(f"a frame announces {total} bytes, {head_length} of them its head")
    return head_length, body_length


class Parser:
    """Frames out of bytes that come in any portions."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_between_frames(self) -> bool:
        """Whether everything fed so far has been taken as whole frames."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        self._buffer += data

    def take(self) -> Frame | None:
        """Return the next whole frame, None where more bytes are needed.

        Raises:
            FrameError: the bytes are no frame.
        """
        if len(self._buffer) < _WORDS.size:
            return None
        head_length, body_length = measure(bytes(self._buffer[: _WORDS.size]))
        start, end = _WORDS.size + head_length, _WORDS.size + head_length + body_length
        if len(self._buffer) < end:
            return None
        frame = decode(bytes(self._buffer[_WORDS.size : start]), bytes(self._buffer[start:end]))
        del self._buffer[:end]
        return frame


class Channel:
    """A child's end of its socketpair: blocking, without threads of its own.

    Several threads may send; one at a time may receive.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._parser = Parser()
        self._send_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._ended = False

    def send(self, kind: str, body: bytes = b"", /, **head: Any) -> None:
        """Send one frame whole.

        Raises:
            FrameError: it is too large, or the peer is gone.
        """
        self.send_encoded(encode(kind, body, **head))

    def send_encoded(self, data: bytes) -> None:
        """Send one frame that `encode` made.

        Raises:
            FrameError: the peer is gone.
        """
        try:
            with self._send_lock:
                self._socket.sendall(data)
        except OSError as error:
            raise FrameError(f"the peer is gone: {error}") from error

    def receive(self) -> Frame | None:
        """Wait for the next frame; None when the peer has closed between frames.

        Raises:
            FrameError: the peer broke off inside a frame, or sent what is none.
        """
        with self._receive_lock:
            while True:
                frame = self._parser.take()
                if frame is not None or not self._fill():
                    return frame

    def receive_now(self) -> Frame | None:
        """Return a frame that is here already, None where there is none; never waits.

        `ended` tells an end of the stream from a mere nothing.
        """
        with self._receive_lock:
            while True:
                frame = self._parser.take()
                if frame is not None or self._ended:
                    return frame
                if not self._fill(socket.MSG_DONTWAIT):
                    return None

    @property
    def ended(self) -> bool:
        """Whether the peer is known to have closed its end."""
        return self._ended

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; the peer sees the end."""
        self._socket.close()

    def _fill(self, flags: int = 0) -> bool:
        """Read once; False at the end of the stream, and where nothing is there and none waits."""
        try:
            data = self._socket.recv(_READ_BYTES, flags)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        if data:
            self._parser.feed(data)
            return True
        self._ended = True
        if not self._parser.is_between_frames:
            raise FrameError("the peer broke off inside a frame")
        return False


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame of `reader`, None when the peer has closed between frames.

    Raises:
        FrameError: the peer broke off inside a frame, or sent what is none.
    """
    words = await _read_exactly(reader, _WORDS.size)
    if not words:
        return None
    head_length, body_length = measure(words)
    data = await _read_exactly(reader, head_length + body_length)
    if not data:
        raise FrameError("the peer broke off inside a frame")
    return decode(data[:head_length], data[head_length:])


async def _read_exactly(reader: asyncio.StreamReader, count: int) -> bytes:
    """Return `count` bytes, or none where the stream ends before the first of them."""
    try:
        return await reader.readexactly(count)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("the peer broke off inside a frame") from error
        return b""
    except ConnectionError:
        return b""


class _Inbox(asyncio.StreamReader):
    """Makes frames of the bytes that come, in the turn of the loop in which they come.

    Attributes:
        frames: what nobody has taken.
        error: why there are no more.
        tap: asked first about each frame; whether it was its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames: deque[Frame] = deque()
        self.error: Exception | None = None
        self.tap: Callable[[Frame], bool] | None = None
        self._parser = Parser()

    @property
    def is_torn(self) -> bool:
        """Whether what came ends inside a frame."""
        return not self._parser.is_between_frames

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Take what has come; a byte is passed on where somebody has to be woken for it."""
        if self.error is not None:
            return
        self._parser.feed(bytes(data))  # they are bytes; asyncio's stubs know less
        try:
            while (frame := self._parser.take()) is not None:
                # Behind one that waits it waits as well: the order is the peer's.
                if self.frames or self.tap is None or not self.tap(frame):
                    self.frames.append(frame)
        except Exception as error:  # raised again by whoever receives
            self.error = error
        if self.frames or self.error is not None:
            super().feed_data(data)


class FrameStream:
    """The supervisor's end of a child's socketpair."""

    def __init__(
        self,
        inbox: _Inbox,
        writer: asyncio.StreamWriter,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._inbox = inbox
        self._writer = writer
        self.send_timeout_s = send_timeout_s
        self._drain_lock = asyncio.Lock()
        self._ended = asyncio.Event()

    @classmethod
    async def open(cls, sock: socket.socket, send_timeout_s: float = SEND_TIMEOUT_S) -> FrameStream:
        """Return a stream over a connected socket, which it owns from then on."""
        sock.setblocking(False)
        loop, inbox = asyncio.get_running_loop(), _Inbox()
        protocol = asyncio.StreamReaderProtocol(inbox)
        transport, _ = await loop.create_unix_connection(lambda: protocol, sock=sock)
        return cls(inbox, asyncio.StreamWriter(transport, protocol, inbox, loop), send_timeout_s)

    def tap(self, take: Callable[[Frame], bool]) -> None:
        """Have `take` see each frame in the turn in which it comes, before it can be received.

        Args:
            take: returns whether the frame was its own; what it raises `receive` raises.
        """
        self._inbox.tap = take

    def write(self, kind: str, body: bytes = b"", /, **head: Any) -> bool:
        """Send one frame without waiting; return whether the peer has too much untaken.

        Then `wait_taken` is due before anything more is sent.

        Raises:
            FrameError: the frame is too large, or the peer is gone.
        """
        data = encode(kind, body, **head)
        transport = self._writer.transport
        waiting = transport.get_write_buffer_size()
        if waiting + len(data) > FRAME_MAX:
            raise FrameError(f"the peer leaves {waiting} bytes untaken")
        if transport.is_closing():
            raise FrameError("the peer is gone")
        self._writer.write(data)
        # What the kernel took at once needs no waiting: the usual case, kept free of a timer.
        return transport.get_write_buffer_size() > _UNTAKEN_MAX

    async def send(self, kind: str, body: bytes = b"", /, **head: Any) -> None:
        """Send one frame; waits, within the deadline, while the peer does not take it.

        Raises:
            FrameError: the frame is too large, the peer is gone, or it took nothing for
                `send_timeout_s` seconds; the stream is of no use afterwards.
        """
        if self.write(kind, body, **head):
            await self.wait_taken()

    async def wait_taken(self) -> None:
        """Wait until the peer has taken enough of what was sent.

        Raises:
            FrameError: it is gone, or took nothing for `send_timeout_s` seconds.
        """
        try:
            await asyncio.wait_for(self._drain(), self.send_timeout_s)
        except asyncio.TimeoutError as error:
            raise FrameError(f"the peer took nothing for {self.send_timeout_s} s") from error
        except ConnectionError as error:
            raise FrameError(f"the peer is gone: {error}") from error

    async def _drain(self) -> None:
        # One at a time: Python 3.10 fails an assertion when two wait for the same writer.
        async with self._drain_lock:
            await self._writer.drain()

    async def receive(self) -> Frame | None:
        """Return the next frame, None when the peer has closed between frames.

        Raises:
            FrameError: the peer broke off inside a frame, or sent what is none.
        """
        inbox = self._inbox
        while not inbox.frames:
            try:
                # What it returns was made frames of when it came, and is only a sign.
                is_open = inbox.error is None and await inbox.read(_READ_BYTES)
            except ConnectionError:
                is_open = b""
            if not is_open and not inbox.frames:
                self._ended.set()
                if inbox.error is not None:
                    raise inbox.error
                if inbox.is_torn:
                    raise FrameError("the peer broke off inside a frame")
                return None
        return inbox.frames.popleft()

    async def wait_ended(self, deadline_s: float) -> bool:
        """Wait until all that the peer sent was received, or the stream closed; False if late."""
        if not self._ended.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), deadline_s)
        return self._ended.is_set()

    def has_untaken(self) -> bool:
        """Whether the peer has not read all that was sent; False where the system cannot tell."""
        transport = self._writer.transport
        if transport.is_closing():
            return False
        count = bytearray(struct.calcsize("i"))
        try:
            fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, count)
        except OSError:
            return False
        return any(count) or transport.get_write_buffer_size() > 0

    def close(self) -> None:
        """Close at once; what the peer has not taken is dropped."""
        self._ended.set()
        self._writer.transport.abort()

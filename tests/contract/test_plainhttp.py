"""The short way to an engine's address, against servers that answer in every form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from garcon.pool.plainhttp import NotConnected, PlainHttp

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers each request with the next of these byte strings; None cuts the line.

    Attributes:
        connections: how many it was asked to take.
    """

    def __init__(self, *answers: bytes | None, parts: int = 10_000) -> None:
        self.connections = 0
        self._answers = list(answers)
        self._parts = parts

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                answer = self._answers.pop(0)
                if answer is None:
                    break
                for at in range(0, len(answer), self._parts):
                    writer.write(answer[at : at + self._parts])
                    await writer.drain()
                    await asyncio.sleep(0)
                if b"Content-Length" not in answer and b"chunked" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def way(port: int, connections: int = 4, keep_alive_s: float = 15.0) -> PlainHttp:
    """Return a way to a port of this machine."""
    return PlainHttp(
        "127.0.0.1", port, connections=connections, keep_alive_s=keep_alive_s, connect_s=10
    )


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine with a bound that only a hang can meet."""
    asyncio.run(asyncio.wait_for(scenario(), 60))


def plain(body: bytes, *headers: str) -> bytes:
    """Return a good answer with this body."""
    lines = "".join(f"{one}\r\n" for one in headers)
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("parts", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (plain(b"hello world"), 200, b"hello world"),
        (plain(b""), 200, b""),
        (CHUNKED, 200, b"hello world"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello world", 200, b"hello world"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"hello"), 200, b"hello"),
        (b"HTTP/1.0 400 Bad\r\ncontent-length: 2\r\nX-A:  b \r\n\r\nno", 400, b"no"),
    ],
)
def test_every_form_of_an_answer_is_read_in_any_portions(
    answer: bytes, status: int, body: bytes, parts: int
) -> None:
    """With a length, in chunks, up to the end of the line, behind an interim one."""

    async def scenario() -> None:
        async with Server(answer, parts=parts) as server:
            found = await way(server.port).send(REQUEST, 20)
            assert (found.status, found.body) == (status, body)

    run(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_a_cut_line(answer: bytes | None) -> None:
    """An answer that breaks off is never taken for a shorter one, and the line not used again."""

    async def scenario() -> None:
        if answer is not None and b"99" in answer:
            cutting = Server(answer.replace(b"Content-Length", b"content-length"))  # it hangs up
        else:
            cutting = Server(answer)
        async with cutting as server:
            line = way(server.port)
            with pytest.raises(ConnectionError):
                await line.send(REQUEST, 20)
            server._answers.append(plain(b"after"))
            assert (await line.send(REQUEST, 20)).body == b"after"
            assert server.connections == 2

    run(scenario)


def test_connection_serves_one_call_after_the_other() -> None:
    """Calls one after the other share a connection; one that was told to close is not shared."""

    async def scenario() -> None:
        answers = [plain(b"1"), plain(b"2", "Connection: close"), plain(b"3")]
        async with Server(*answers) as server:
            line = way(server.port)
            assert [(await line.send(REQUEST, 20)).body for _ in answers] == [b"1", b"2", b"3"]
            assert server.connections == 2

    run(scenario)


def test_connection_that_rested_too_long_is_let_go() -> None:
    """What was idle for the keep-alive time is not used again."""

    async def scenario() -> None:
        async with Server(plain(b"1"), plain(b"2")) as server:
            line = way(server.port, keep_alive_s=-1)
            for _ in range(2):
                await line.send(REQUEST, 20)
            assert server.connections == 2

    run(scenario)


def test_silence_and_cancellation_end_the_connection_with_the_call() -> None:
    """A late answer finds nobody: it can be taken for no other call's."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"

    async def scenario() -> None:
        async with Server(half, plain(b"own")) as server:
            line = way(server.port, connections=1)
            with pytest.raises(asyncio.TimeoutError):
                await line.send(REQUEST, 0.05)
            assert (await line.send(REQUEST, 20)).body == b"own"

    run(scenario)


def test_closed_port_is_told_from_a_cut_line() -> None:
    """Nothing was sent, and the system's own error says why."""

    async def scenario() -> None:
        async with Server() as server:
            port = server.port
        with pytest.raises(NotConnected) as caught:
            await way(port).send(REQUEST, 20)
        assert isinstance(caught.value.os_error, ConnectionRefusedError)

    run(scenario)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("http://[::1]:8000/x", ("::1", 8000)),
        ("http://10.0.0.1", ("10.0.0.1", 80)),
        ("https://127.0.0.1:8000", None),
        ("http://localhost:8000", None),
        ("http://user:word@127.0.0.1", None),
    ],
)
def test_way_is_for_plain_addresses_alone(url: str, address: tuple[str, int] | None) -> None:
    """TLS and names are others' to see to."""
    assert PlainHttp.fits(url) == address

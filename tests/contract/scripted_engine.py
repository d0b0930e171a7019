"""A server that does what a test tells it to, and remembers each request as it came."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from garcon.pool.listener import close_listener


@dataclass(frozen=True)
class Request:
    """One request: its first line, its headers as they were written, its body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """What follows the last dot of the target."""
        return self.headers["X-Amz-Target"].rsplit(".", 1)[-1]

    @property
    def invocation_id(self) -> str:
        """The id that repeats of one call share."""
        return self.headers["amz-sdk-invocation-id"]


@dataclass(frozen=True)
class Reply:
    """What to answer with."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fault(cls, code: str, message: str = "", status: int = 400) -> Reply:
        """Return the answer that stands for a fault of SWF."""
        kind = f"com.amazonaws.swf.base.model#{code}"
        return cls(json.dumps({"__type": kind, "message": message}).encode(), status)


#: A script answers a request; None cuts the line instead.
Script = Callable[[Request], Awaitable["Reply | None"]]


async def agree(request: Request) -> Reply:
    """Answer everything with an empty object."""
    return Reply()


class ScriptedEngine:
    """async with ScriptedEngine(script) as engine: engine.url, engine.requests"""

    def __init__(
        self,
        script: Script = agree,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._port, self._tls = port, tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ScriptedEngine:
        self._server = await asyncio.start_server(
            self._admit, "127.0.0.1", self._port, ssl=self._tls
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server.sockets else self._port

    @property
    def url(self) -> str:
        """Where it listens, as a URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Die: the listener and every connection end at once."""
        self._port = self.port
        await close_listener(self._server)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        # A task that is cancelled before its first turn would leave its connection open.
        task.add_done_callback(lambda _: self._let_go(task, writer))

    def _let_go(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            writer.transport.abort()
        elif error := task.exception():
            raise error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = dict(one.split(": ", 1) for one in rest)
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        request = Request(line, headers, body)
        self.requests.append(request)
        reply = await self.script(request)
        if reply is None:
            writer.transport.abort()
            return False
        fields = {"Content-Length": str(len(reply.body)), **self.headers, **reply.headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {reply.status} X\r\n{text}\r\n".encode() + reply.body)
        await writer.drain()
        return True

"""The engine behind a socket: one aiohttp low-level server on one asyncio loop.

What it never does: decide what a request means. Its one law: every request gets exactly one answer,
and that answer carries the engine's nonce.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from aiohttp.web_server import Server
from multidict import CIMultiDict, istr

from garcon.engine.core import faults
from garcon.engine.core.buckets import Rate
from garcon.engine.http import wire
from garcon.engine.http.guard import Credentials, Guard
from garcon.engine.http.shapes import load_checks
from garcon.engine.service.clock import Clock, SystemClock, VirtualClock
from garcon.engine.service.kernel import Kernel
from garcon.engine.service.lambdas import Lambdas
from garcon.engine.service.operations import OPERATIONS
from garcon.engine.service.skipping import Traffic, skip
from garcon.engine.service.tasks import Call
from garcon.engine.service.throttle import Throttle
from garcon.engine.service.world import World
from garcon.engine.store.database import Database

logger = logging.getLogger("garcon.engine")


class _NoContents(logging.Filter):
    """Keeps what is no HTTP out of the log: aiohttp would show the bytes, a secret among them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass but a client's malformed request."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_http_logger = logging.getLogger("garcon.engine.http")
_http_logger.addFilter(_NoContents())

_TARGET: Final = istr("X-Amz-Target")
_INVOCATION: Final = istr("amz-sdk-invocation-id")
_REQUEST_ID: Final = istr("x-amzn-RequestId")
_KEEPALIVE_S: Final = 300.0
_BACKLOG: Final = 2048
_BODY_S: Final = 30.0
_MAX_BODY: Final = 1 << 20
_HEAD_S: Final = 30.0
# For requests under way when the engine stops.
_END_S: Final = 2.0
# From accepting a client to knowing of it the loop takes two turns; one more to be safe.
_ACCEPT_TURNS: Final = 3
# A pool with work on many connections comes by the same one twice now and then.
_IN_A_ROW: Final = 4
# For clients that send their body only when they are asked to.
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Settings:
    """What a server needs to know.

    Attributes:
        db: The file, or ``:memory:``.
        host: Where to listen.
        port: Where to listen; 0 takes a free port.
        preferred_port: A port to try first when ``port`` is 0.
        full_sync: Whether answers survive a power cut.
        poll_hold_s: How long an empty poll waits, seconds.
        credentials: The key pair that requests must be signed with; None asks for none.
        rates: What clients are held to; empty for no bounds.
        functions: Lambda functions by name, as ``package.module:function``.
    """

    db: str
    host: str = "127.0.0.1"
    port: int = 0
    preferred_port: int | None = None
    full_sync: bool = False
    poll_hold_s: float = 60.0
    credentials: Credentials | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)


class EngineServer:
    """One engine on one file; made and used on a running loop.

    Args:
        settings: What to serve and where.
        clock: The engine's time; the machine's by default.
        nonce: What responses carry; fixed before anything is served.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, nonce: str | None = None
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.url = ""
        self.traffic = Traffic()
        self.last_request_s = time.monotonic()
        self._checks = load_checks()
        self._guard = Guard(settings.host, settings.credentials)
        self._database = Database(settings.db, full_sync=settings.full_sync)
        self.throttle = Throttle(settings.rates, self.clock)
        self.world = World(
            self._database, allow=self.throttle.allow, has_lambda=bool(settings.functions)
        )
        self.kernel = Kernel(self.world, self.clock, poll_hold_s=settings.poll_hold_s)
        self._lambdas = Lambdas(settings.functions, self.kernel.end_lambda)
        self.kernel.call = self._lambdas.call
        self._headers = CIMultiDict({"Content-Type": wire.CONTENT_TYPE})
        if nonce is not None:
            self._headers["X-Garcon-Nonce"] = nonce
        self._old_headers = self._headers.copy()
        self._old_headers["Content-Type"] = wire.OLD_CONTENT_TYPE
        self._request_head = _request_head()
        self._requests = 0
        self._own = {wire.RELEASE_POLLS: self._release_polls, wire.SKIP: self._skip}
        self._web: Server | None = None
        self._listener: asyncio.Server | None = None
        # Connections without a request so far, and those that had none at the last look either.
        self._silent: set[RequestHandler] = set()
        self._long_silent: set[RequestHandler] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._asked_last: RequestHandler | None = None
        self._in_a_row = 0

    async def start(self) -> str:
        """Restore what is open, listen, and return the URL."""
        self.world.load()
        if isinstance(self.clock, VirtualClock):
            # It begins anew with each engine, but a history's time never goes back.
            self.clock.move_to(self.world.newest_ms())
        self._end_lost_lambdas()
        self._web = Server(
            self._handle,
            access_log=None,
            logger=_http_logger,
            keepalive_timeout=_KEEPALIVE_S,
            handler_cancellation=True,
            # A megabyte can be packed from a thousand, and SWF takes nothing packed.
            auto_decompress=False,
        )
        self._listener = await self._listen(self._connection)
        self._end_silent()
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self.kernel.look()
        return self.url

    def _end_lost_lambdas(self) -> None:
        """Fail the calls whose processes died with the engine before this one."""
        attributes = {"reason": "EngineRestarted", "details": "The call did not end before that"}
        for state in self.world.states.values():
            for scheduled_id in state.lambdas:
                self.kernel.end_lambda(state.key, scheduled_id, "LambdaFunctionFailed", attributes)

    async def _listen(self, server: Any) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        settings = self.settings
        if settings.port == 0 and settings.preferred_port:
            with contextlib.suppress(OSError):
                return await loop.create_server(
                    server, settings.host, settings.preferred_port, backlog=_BACKLOG
                )
        return await loop.create_server(server, settings.host, settings.port, backlog=_BACKLOG)

    def _connection(self) -> RequestHandler:
        """A new connection's protocol."""
        assert self._web is not None
        protocol = self._web()
        self._silent.add(protocol)
        return protocol

    def _end_silent(self) -> None:
        """Close what dribbles its first head, or has connected and says nothing at all."""
        if self._web is None:
            return
        self._silent.intersection_update(self._web.connections)
        for protocol in self._silent & self._long_silent:
            protocol.force_close()
        self._long_silent = self._silent.copy()
        self._sweep = asyncio.get_running_loop().call_later(_HEAD_S, self._end_silent)

    def idle_s(self) -> float:
        """Seconds since the last request ended; 0 while one waits."""
        return 0.0 if self.traffic.running else time.monotonic() - self.last_request_s

    async def stop(self) -> None:
        """Answer the waiting polls, finish what is begun, close the file."""
        if self._listener is not None:
            await _close(self._listener)
        if self._sweep is not None:
            self._sweep.cancel()
        await self._lambdas.stop()
        self.kernel.stop()
        if self._web is not None:
            transports = [client.transport for client in self._web.connections]
            self._web.pre_shutdown()
            await self._web.shutdown(timeout=_END_S)
            await asyncio.sleep(0)
            # A closed one stays open for as long as its client takes nothing of its answer.
            for transport in filter(None, transports):
                transport.abort()
            await asyncio.sleep(0)
        await self.kernel.finish()
        self._database.close()

    # -- requests -----------------------------------------------------------------------------

    async def _handle(self, request: BaseRequest) -> Response:
        traffic = self.traffic
        self._silent.discard(request.protocol)
        self._note_who_asks(request.protocol)
        target = request.headers.get(_TARGET, "")
        own = target == wire.SKIP
        headers = self._old_headers if wire.is_old(target) else self._headers
        if not own:
            traffic.arrived += 1
            traffic.running += 1
        try:
            answer = await self._answer(request, target)
            return self._respond(200, wire.encode_answer(answer), headers)
        except faults.Fault as fault:
            return self._respond(fault.status, wire.encode_fault(fault), headers)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            logger.exception("a request could not be answered")
            return self._respond(500, wire.encode_fault(faults.internal()), headers)
        finally:
            if not own:
                traffic.running -= 1
            self.last_request_s = time.monotonic()

    def _note_who_asks(self, client: RequestHandler) -> None:
        """Several in a row from one connection: nobody is there who could share its turn."""
        self._in_a_row = self._in_a_row + 1 if client is self._asked_last else 1
        self._asked_last = client
        self.kernel.alone = self._in_a_row >= _IN_A_ROW

    async def _answer(self, request: BaseRequest, target: str) -> Any:
        headers = request.headers
        self._guard.check_head(headers)
        body = await _read(request)
        if request.method != "POST":
            raise faults.unknown_operation(f"{request.method} {request.path}")
        self._guard.check_signature(request.method, headers, body)
        own = self._own.get(target)
        if own is not None:
            return await own(wire.parse_body(body))
        name = wire.operation_name(target)
        check = self._checks.get(name)
        if check is None:
            raise faults.unknown_operation(name)
        given = check(wire.parse_body(body))
        self.throttle.check(name, given)
        call = Call(_invocation(headers), _alive(request))
        return await OPERATIONS[name](self.kernel, given, call)

    async def _release_polls(self, body: Any) -> dict[str, int]:
        identity = body.get("identity") if isinstance(body, dict) else None
        if not isinstance(identity, str):
            raise faults.serialization("ReleasePolls needs an identity")
        return {"released": self.kernel.release_polls(identity)}

    async def _skip(self, body: Any) -> None:
        seconds = body.get("seconds") if isinstance(body, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise faults.serialization("Skip needs seconds")
        if not 0 <= seconds <= 1e10:
            raise faults.serialization("Skip needs seconds")
        if not isinstance(self.clock, VirtualClock):
            raise faults.validation("This engine runs on the machine's clock")
        at_once = body.get("now") is True
        await skip(self.kernel, self.clock, self.traffic, seconds, at_once=at_once)

    def _respond(self, status: int, body: bytes, headers: CIMultiDict[str]) -> Response:
        self._requests += 1
        response = Response(status=status, body=body, headers=headers)
        response.headers[_REQUEST_ID] = f"{self._request_head}{self._requests:012x}"
        return response


def _request_head() -> str:
    """What the ids of this engine's answers begin with; a number makes a UUID of it."""
    digits = secrets.token_hex(9)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:]}-"


async def _close(listener: asyncio.Server) -> None:
    """Accept nobody else, then close.

    asyncio drops whom it has accepted but not yet told of when the listener closes, without closing
    the connection: the server must know of all before that.
    """
    loop = asyncio.get_running_loop()
    for listening in listener.sockets:
        loop.remove_reader(listening)
    for _ in range(_ACCEPT_TURNS):
        await asyncio.sleep(0)
    listener.close()


async def _read(request: BaseRequest) -> bytes:
    """The body; a client that dribbles it is cut off.

    Raises:
        Fault: SerializationException over 1 MB.
    """
    content = request.content
    if content.is_eof():
        # It came with its head, as nearly all do: nothing to wait for.
        body: bytes = content.read_nowait()
        if len(body) > _MAX_BODY:
            raise _too_large()
        return body
    if (request.content_length or 0) > _MAX_BODY:
        # Known before it comes: nobody is asked for it, nor waited for.
        raise _too_large()
    transport = request.transport
    cut: asyncio.TimerHandle | None = None
    if transport is not None:
        cut = asyncio.get_running_loop().call_later(_BODY_S, transport.abort)
        if request.headers.get("Expect", "").lower() == "100-continue":
            transport.write(_GO_ON)
    try:
        return await request.read()
    except HTTPRequestEntityTooLarge:
        raise _too_large() from None
    finally:
        if cut is not None:
            cut.cancel()


def _invocation(headers: Mapping[str, str]) -> str | None:
    """The client's id of the call; one that could not be written down is none."""
    given = headers.get(_INVOCATION)
    return given if given is None or given.isascii() else None


def _too_large() -> faults.Fault:
    return faults.serialization("Request body is larger than 1 MB")


def _alive(request: BaseRequest) -> Callable[[], bool]:
    transport = request.transport

    def alive() -> bool:
        return transport is not None and not transport.is_closing()

    return alive

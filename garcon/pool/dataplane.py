"""The per-task calls of SWF: polls, answers, heartbeats, history pages, counts.

Over aiohttp, because boto3 on threads costs five times as much a call; signed, addressed and
proved as boto3 would do it. Bodies go out and come back as bytes: nothing here parses a result.
Rare calls (registration, starts, lists) are plain boto3 and belong elsewhere.

Law: nothing waits on the loop. Credentials, names, certificates and the start of a local engine
are the helper thread's; a loss of the line is told once, its return once, however many calls meet
it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import uuid
from collections.abc import Generator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from types import TracebackType
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import backoff
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from multidict import istr
from yarl import URL

from garcon.client import Engine, boto_session, credentials_for, swf_client
from garcon.engine.ensure import NONCE_HEADER
from garcon.errors import EngineError, EngineUnreachable, ServiceError
from garcon.log import log_event
from garcon.pool.credentials import CredentialKeeper
from garcon.pool.faults import connect_error, fault_of
from garcon.pool.line import HelperResolver, LineWatch, OnConnection, Route
from garcon.pool.revival import Revival
from garcon.pool.signing import PlaneSigner

logger = logging.getLogger("garcon.pool")

Body: TypeAlias = "bytes | Mapping[str, Any]"

SERVICE_TARGET = "SimpleWorkflowService"
RELEASE_POLLS = "GarconEngine.ReleasePolls"

#: SWF holds a poll for 60 s and asks clients to wait for more than 70.
POLL_S = 75.0
CALL_S = 10.0
CONNECT_S = 10.0

#: Shorter than the 20 s after which AWS's front closes an idle connection under a request.
KEEP_ALIVE_S = 15.0

#: Pauses between repeats: full jitter over a bound that doubles from the first to the last.
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0

#: The attempt at which an engine that goes on failing is told: its disk may be full.
TOLD_AT = 4

#: Names whose case is folded once rather than at each call.
_INVOCATION, _ATTEMPT = istr("amz-sdk-invocation-id"), istr("amz-sdk-request")

_ID_HEAD = str(uuid.uuid4())[:24]
_ID_TAIL = count(secrets.randbits(48))

#: What AWS says to credentials that were good once.
EXPIRED = frozenset({"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException"})


class PollRecord(Protocol):
    """Who remembers polls under way, for the pool after this one."""

    def poll_begun(self, invocation_id: str, operation: str, body: bytes) -> None:
        """Note a poll before it is sent."""

    def poll_ended(self, invocation_id: str) -> None:
        """Note that its answer was taken in."""


class _Request(aiohttp.ClientRequest):
    """A request with no headers but those it is given: what botocore would not send stays out."""

    DEFAULT_HEADERS = {}  # noqa: RUF012 - never changed, and as aiohttp declares it


class _NotSent(EngineUnreachable):
    """The engine has certainly not seen the request."""


@dataclass(frozen=True)
class _Way:
    """The endpoint in force, and what was learned on opening it."""

    route: Route
    user_agent: str

    @property
    def url(self) -> URL:
        """Where requests are sent to; with a path, which a proxy wants to see."""
        url = self.route.url
        return URL(url if urlsplit(url).path else f"{url}/")


class DataPlane:
    """Calls of SWF on the supervisor's loop.

    async with DataPlane(engine, connections=80, on_connection=tell) as plane:
        task = await plane.poll("PollForActivityTask", body)
    """

    def __init__(
        self,
        engine: Engine,
        *,
        connections: int = 100,
        on_connection: OnConnection | None = None,
        polls: PollRecord | None = None,
        helper: Executor | None = None,
    ) -> None:
        """Prepare; nothing is opened before `async with`.

        Args:
            engine: whom to talk to.
            connections: requests under way at most, polls among them; more wait for a free one.
            on_connection: told of the loss of the line and of its return, on the loop.
            polls: remembers polls under way.
            helper: thread for what may block; without one the plane has its own.
        """
        self._engine = engine
        self._connections = connections
        self._watch = LineWatch(on_connection or _tell_nobody)
        self._polls = polls
        self._own_helper = helper is None
        self._helper = helper or ThreadPoolExecutor(1, thread_name_prefix="garcon-helper")
        self._revival = Revival(engine, self._helper) if engine.kind == "local" else None

    # -- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> DataPlane:
        """Open the line; a local engine is started where none ran.

        Raises:
            EngineError: no engine, no region or no credentials.
        """
        try:
            self._way = await self._in_helper(self._find_way)
            source = await self._in_helper(credentials_for, self._engine)
            self._keeper = CredentialKeeper(source, self._helper, self._sign_with)
            self._sign_with(await self._keeper.start())
        except (BotoCoreError, ClientError) as error:
            self._end_helper()
            raise EngineError(f"engine: AWS credentials: {error}") from error
        except BaseException:
            self._end_helper()
            raise
        self._url = self._way.url
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                keepalive_timeout=KEEP_ALIVE_S,
                resolver=HelperResolver(self._helper),
                ssl=self._way.route.tls or True,
            ),
            request_class=_Request,
            headers={"Accept-Encoding": "identity", "User-Agent": self._way.user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the line; whatever is under way ends as unreachable."""
        await self._keeper.close()
        if self._revival is not None:
            await self._revival.close()
        await self._http.close()
        self._end_helper()

    # -- calls --------------------------------------------------------------------------------

    async def call(
        self,
        operation: str,
        body: Body,
        *,
        timeout_s: float,
        invocation_id: str | None = None,
    ) -> bytes:
        """Make one call and return the body of its answer.

        Nothing is repeated but a call that cannot have arrived, after a local engine was started
        again, and one refused for credentials that had just expired.

        Args:
            operation: SWF's name of the operation.
            body: its input, as JSON or to be made JSON.
            timeout_s: bound of one attempt, seconds.
            invocation_id: the same for repeats of the same call.
        Raises:
            ServiceError: the engine answered with a fault.
            EngineUnreachable: no answer came.
        """
        target = f"{SERVICE_TARGET}.{operation}"
        return await self._call(target, _encoded(body), timeout_s, invocation_id or _new_id(), 1)

    async def answer(
        self,
        operation: str,
        body: Body,
        *,
        deadline_s: float,
        timeout_s: float = CALL_S,
        invocation_id: str | None = None,
    ) -> bytes:
        """Make a call until it gets through; what is answered with must not be lost.

        Throttles, faults of the engine and cut lines are repeated. A task that is unknown at a
        repeated answer was answered by an earlier attempt whose reply was lost: it counts as done.

        Args:
            operation: SWF's name of the operation.
            body: its input, as JSON or to be made JSON.
            deadline_s: loop time after which no further attempt begins; there is always a first.
            timeout_s: bound of one attempt, seconds.
            invocation_id: the same for repeats of the same call.
        Returns:
            Body of the answer, empty when an earlier attempt is taken to have succeeded.
        Raises:
            ServiceError: a fault that repeating does not mend, or the last one at the deadline.
            EngineUnreachable: no answer came until the deadline.
        """
        target, data = f"{SERVICE_TARGET}.{operation}", _encoded(body)
        call_id = invocation_id or _new_id()
        pauses, attempt = _pauses(), 1
        while True:
            try:
                return await self._call(target, data, timeout_s, call_id, attempt)
            except ServiceError as error:
                if error.is_unknown_resource and attempt > 1:
                    return b""
                if not error.is_passing:
                    raise
                if attempt == TOLD_AT and not error.is_throttle:
                    log_event(logger, logging.WARNING, "answer.again", call=operation, why=error)
                await _pause_before(deadline_s, next(pauses), error)
            except EngineUnreachable as error:
                await _pause_before(deadline_s, next(pauses), error)
            attempt += 1

    async def poll(
        self,
        operation: str,
        body: Body,
        *,
        invocation_id: str | None = None,
        timeout_s: float = POLL_S,
    ) -> bytes:
        """Poll once, over as many cuts of the line as it takes.

        After a cut the same poll is asked again under the same id: garcon's engine then gives the
        same task again, if it had given one. A poll that is cancelled stays recorded as under way.

        Args:
            operation: `PollForActivityTask` or `PollForDecisionTask`.
            body: its input, as JSON or to be made JSON.
            invocation_id: id of an earlier pool's poll, to ask that one again.
            timeout_s: bound of one attempt, seconds; longer than SWF holds a poll.
        Raises:
            ServiceError: the engine answered with a fault; throttles are the caller's to rest on.
        """
        target, data = f"{SERVICE_TARGET}.{operation}", _encoded(body)
        call_id = invocation_id or _new_id()
        if self._polls is not None:
            self._polls.poll_begun(call_id, operation, data)
        try:
            answer = await self._poll(target, data, timeout_s, call_id)
        except ServiceError:
            self._poll_ended(call_id)
            raise
        self._poll_ended(call_id)
        return answer

    async def release_polls(self, identity: str, *, timeout_s: float = CALL_S) -> bool:
        """Ask the engine to answer this identity's waiting polls now.

        Returns:
            Whether it will; False for an engine that does not know the call, such as AWS, or that
            did not answer.
        """
        body = _encoded({"identity": identity})
        try:
            await self._call(RELEASE_POLLS, body, timeout_s, _new_id(), 1)
        except (ServiceError, EngineUnreachable):
            return False
        return True

    # -- one call -----------------------------------------------------------------------------

    async def _poll(self, target: str, data: bytes, timeout_s: float, call_id: str) -> bytes:
        pauses, attempt = _pauses(), 1
        while True:
            try:
                return await self._call(target, data, timeout_s, call_id, attempt)
            except EngineUnreachable:
                await asyncio.sleep(next(pauses))
            attempt += 1

    def _poll_ended(self, call_id: str) -> None:
        # Only in the loop's next turn: by then the caller has taken the task into its own record.
        # A death between the two leaves a task that is recorded twice rather than not at all.
        if self._polls is not None:
            asyncio.get_running_loop().call_soon(self._polls.poll_ended, call_id)

    async def _call(
        self, target: str, data: bytes, timeout_s: float, call_id: str, attempt: int
    ) -> bytes:
        way = self._way
        try:
            return await self._send(target, data, timeout_s, call_id, attempt)
        except _NotSent:
            if self._revival is None:
                raise
            if self._way is way:  # else another call has found the engine meanwhile
                self._go_to(await self._revival.url())
        except ServiceError as error:
            if error.code not in EXPIRED:
                raise
            await self._keeper.renew()
        return await self._send(target, data, timeout_s, call_id, attempt)

    async def _send(
        self, target: str, data: bytes, timeout_s: float, call_id: str, attempt: int
    ) -> bytes:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        headers = self._signer.headers(target, data)
        headers[_INVOCATION] = call_id
        headers[_ATTEMPT] = f"attempt={attempt}"
        try:
            async with self._http.request(
                "POST",
                self._url,
                data=data,
                headers=headers,
                proxy=self._way.route.proxy,
                allow_redirects=False,
                timeout=_bounds(timeout_s),
            ) as response:
                answer = await response.read()
        except asyncio.TimeoutError:
            raise self._cut(began_s, f"no answer within {timeout_s:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            # Its os_error is missing in some of aiohttp's versions.
            raise self._cut(began_s, str(error.certificate_error), _NotSent) from error
        except aiohttp.ClientConnectorError as error:
            raise self._cut(began_s, connect_error(error.os_error), _NotSent) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._cut(began_s, str(error) or type(error).__name__) from error
        if self._revival and not self._revival.knows(response.headers.get(NONCE_HEADER)):
            raise self._cut(began_s, "another program answers at its port", _NotSent)
        self._watch.held(loop.time(), self._way.route.url)
        if response.status == 200:
            return answer
        raise fault_of(response.status, response.headers, answer)

    def _cut(
        self, began_s: float, why: str, kind: type[EngineUnreachable] = EngineUnreachable
    ) -> EngineUnreachable:
        text = f"{self._way.route.url}: {why}"
        self._watch.failed(began_s, asyncio.get_running_loop().time(), text)
        return kind(f"engine unreachable: {text}")

    # -- the way ------------------------------------------------------------------------------

    def _find_way(self) -> _Way:
        """Find the endpoint as boto3 does; blocks, so it runs in the helper thread."""
        client = swf_client(self._engine)
        agent: str = client.meta.config.user_agent  # type: ignore[attr-defined]  # stubs lack it
        return _Way(self._route_to(client.meta.endpoint_url), agent)

    def _route_to(self, url: str) -> Route:
        return Route.to(url, boto_session(), direct=self._engine.kind == "local")

    def _sign_with(self, credentials: ReadOnlyCredentials) -> None:
        self._credentials = credentials
        self._signer = PlaneSigner(credentials, self._engine.region, self._way.route.url)

    def _go_to(self, url: str) -> None:
        """Send what follows to `url`, where the local engine answers now."""
        if url != self._way.route.url:
            self._way = _Way(self._route_to(url), self._way.user_agent)
            self._url = self._way.url
            self._sign_with(self._credentials)

    async def _in_helper(self, do: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._helper, do, *args)

    def _end_helper(self) -> None:
        if self._own_helper:
            self._helper.shutdown(wait=False)


def _tell_nobody(_lost: bool, _text: str) -> None:
    """Stand in for a caller who does not listen."""


def _encoded(body: Body) -> bytes:
    """Return the body as botocore would write it."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _new_id() -> str:
    """Return an id that no other call has: a UUID as random as any, drawn once and counted on."""
    return f"{_ID_HEAD}{next(_ID_TAIL) & 0xFFFFFFFFFFFF:012x}"


@lru_cache(maxsize=16)
def _bounds(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)


def _pauses() -> Generator[float, None, None]:
    """Yield pauses between repeats, seconds, without end."""
    bounds = backoff.expo(base=2, factor=PAUSE_FIRST_S, max_value=PAUSE_MAX_S)
    next(bounds)  # the library's generators begin with a None to be sent to
    for bound in bounds:
        yield backoff.full_jitter(bound)


async def _pause_before(deadline_s: float, pause_s: float, error: EngineError) -> None:
    """Wait before a repeat, at most up to the deadline; past it raise `error`."""
    left_s = deadline_s - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise error
    await asyncio.sleep(min(pause_s, left_s))

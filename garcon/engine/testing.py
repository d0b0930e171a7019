"""The engine for tests: in this process or beside it, on real or on virtual time.

What it never does: import the engine before it is used (pytest loads this module as a plugin). Its
one law: when a test's block ends, the engine's thread, socket and file are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from garcon.engine.http.server import EngineServer, Settings
    from garcon.engine.lease import Lease
    from garcon.engine.service.clock import Clock

T = TypeVar("T")

_START_S = 30.0
_SKIP_S = 600.0


class Engine:
    """A running engine of this process.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: EngineServer | None = None
        self._lease: Lease | None = None
        self.url = ""

    @property
    def server(self) -> EngineServer:
        """The server itself, for tests of the engine; touch it only in ``call``."""
        if self._server is None:
            raise RuntimeError("the engine has not been started")
        return self._server

    def start(self) -> None:
        """Serve; returns once the engine answers.

        Raises:
            LeaseTaken: Another engine serves the file.
        """
        self._thread.start()
        self.url = self.call(self._serve)

    async def _serve(self) -> str:
        from garcon.engine.http.server import EngineServer
        from garcon.engine.lease import Lease

        db = self._settings.db
        if db != ":memory:":
            Path(db).absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lease = Lease.acquire(db)
        self._server = EngineServer(self._settings, clock=self._clock)
        return await self._server.start()

    def stop(self) -> None:
        """Leave; waiting polls get their empty answer."""
        server = self._server
        try:
            if server is not None:
                self.call(server.stop)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_S)
            self._loop.close()
            if self._lease is not None:
                self._lease.release()

    def skip(self, seconds: float, *, now: bool = False) -> None:
        """Let virtual time pass.

        Each deadline on the way falls due at its own instant, and the clients settle before time
        goes on.

        Args:
            seconds: How far.
            now: Jump; everything on the way falls due at the end.
        """
        from garcon.engine.service.clock import VirtualClock
        from garcon.engine.service.skipping import skip

        server, clock = self._server, self._clock
        if server is None or not isinstance(clock, VirtualClock):
            raise RuntimeError("only a started engine with a virtual clock can skip")
        self.call(
            lambda: skip(server.kernel, clock, server.traffic, seconds, at_once=now),
            timeout_s=_SKIP_S,
        )

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float = _START_S) -> T:
        """Run a coroutine function on the engine's loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout_s)


@contextlib.contextmanager
def engine_in_process(
    *,
    db: str = ":memory:",
    clock: Clock | Literal["system", "virtual"] = "system",
    poll_hold_s: float = 60.0,
    settings: Settings | None = None,
) -> Iterator[Engine]:
    """An engine in a thread of this process for the length of a block.

    Args:
        db: Its file; by default nothing is kept.
        clock: ``system``, ``virtual`` (stands still until moved) or a clock of your own.
        poll_hold_s: Real seconds that an empty poll waits.
        settings: All settings, in place of ``db`` and ``poll_hold_s``.

    Raises:
        LeaseTaken: Another engine serves the file.
    """
    from garcon.engine.http.server import Settings

    engine = Engine(settings or Settings(db=db, poll_hold_s=poll_hold_s), _clock(clock))
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


class EngineBeside:
    """A running engine in a process of its own.

    Attributes:
        url: Where it listens.
        process: The process, for tests that kill it.
    """

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def skip(self, seconds: float, *, now: bool = False) -> None:
        """Let virtual time pass, as ``Engine.skip`` does.

        Raises:
            RuntimeError: The engine has no virtual clock.
        """
        from http.client import HTTPConnection

        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=_SKIP_S)
        body = json.dumps({"seconds": seconds, "now": now})
        connection.request("POST", "/", body, {"X-Amz-Target": "GarconEngine.Skip"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        if response.status != 200:
            raise RuntimeError(text)


@contextlib.contextmanager
def engine_beside(
    *,
    db: str = ":memory:",
    clock: Literal["system", "virtual"] = "system",
    options: Sequence[str] = (),
) -> Iterator[EngineBeside]:
    """An engine in a process of its own for the length of a block.

    Args:
        db: Its file; by default nothing is kept.
        clock: ``system``, or ``virtual``, which stands still until it is moved.
        options: Further options of ``python -m garcon.engine``.

    Raises:
        RuntimeError: The engine did not start.
    """
    command = [sys.executable, "-m", "garcon.engine", "--db", db, "--clock", clock, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the engine ended with {process.wait()}")
        yield EngineBeside(url, process)
    finally:
        process.terminate()
        process.communicate()


def _clock(wanted: Clock | str) -> Clock:
    from garcon.engine.service.clock import SystemClock, VirtualClock

    if wanted == "system":
        return SystemClock()
    if wanted == "virtual":
        return VirtualClock()
    assert not isinstance(wanted, str), f"no such clock: {wanted}"
    return wanted

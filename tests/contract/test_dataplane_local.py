"""The data plane and a local engine that dies, comes back, or is somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from garcon import client as client_module
from garcon.client import Engine
from garcon.engine.lease import Lease
from garcon.errors import EngineError, EngineUnreachable
from garcon.pool import revival as module
from garcon.pool.dataplane import DataPlane
from tests.contract.scripted_engine import ScriptedEngine


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine with a bound that only a hang can meet."""
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.fixture(scope="module")
def process() -> client_module._Process:
    """One boto3 session for the module: making one costs more than most of these tests."""
    return client_module._Process()


class Local:
    """A local engine's outside: its file, its lease, and how often it was started."""

    def __init__(self, folder: Path) -> None:
        self.engine = Engine("local", path=folder / "engine.db")
        self.starts = 0
        self.lease: Lease | None = None
        self.url = ""
        self.error: Exception | None = None

    def publish(self, url: str) -> str:
        """Be the engine that listens at `url`; return its nonce."""
        assert self.engine.path is not None
        if self.lease is not None:
            self.lease.release()
        self.lease, self.url = Lease.acquire(self.engine.path), url
        return self.lease.publish(url)

    def ensure(self, engine: Engine) -> str:
        """Stand in for `garcon.client.ensure`."""
        assert engine == self.engine
        self.starts += 1
        if self.error is not None:
            raise self.error
        return self.url


@pytest.fixture
def local(
    tmp_path: Path, process: client_module._Process, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Local]:
    """A local engine whose starts are counted and not made."""
    monkeypatch.setattr(client_module, "_PROCESS", process)
    local = Local(tmp_path)
    for place in (module, client_module):
        monkeypatch.setattr(place, "ensure", local.ensure)
    yield local
    if local.lease is not None:
        local.lease.release()


def test_dead_local_engine_is_started_once_for_all_who_miss_it(local: Local) -> None:
    """Calls meet a closed port: one start, and all go on at the URL that it gives."""
    told: list[bool] = []

    async def scenario() -> None:
        first, second = ScriptedEngine(), ScriptedEngine()
        async with first, second:
            first.headers["X-Garcon-Nonce"] = local.publish(first.url)
            async with DataPlane(
                local.engine, on_connection=lambda lost, text: told.append(lost)
            ) as plane:
                await plane.call("X", {}, timeout_s=10)
                local.starts = 0
                await first.stop()
                second.headers["X-Garcon-Nonce"] = local.publish(second.url)
                await asyncio.gather(*(plane.call("X", {}, timeout_s=10) for _ in range(12)))

            assert len(second.requests) == 12
            assert second.requests[0].headers["Host"] == f"127.0.0.1:{second.port}"

    run(scenario)
    assert local.starts == 1
    assert told == [True, False]


def test_foreign_program_on_the_local_engines_port_is_not_believed(local: Local) -> None:
    """An answer without the nonce, or with one that nobody published, is no answer."""

    async def scenario() -> None:
        own, foreign = ScriptedEngine(), ScriptedEngine()
        async with own, foreign:
            nonce = local.publish(foreign.url)
            async with DataPlane(local.engine) as plane:
                local.url = own.url
                own.headers["X-Garcon-Nonce"] = nonce
                assert await plane.call("X", {}, timeout_s=10) == b"{}"
                assert (len(foreign.requests), len(own.requests)) == (1, 1)

                local.url = foreign.url
                own.headers["X-Garcon-Nonce"] = "of nobody"
                with pytest.raises(EngineUnreachable, match="another program"):
                    await plane.call("X", {}, timeout_s=10)

    run(scenario)


def test_engine_that_was_started_anew_at_its_port_is_believed(local: Local) -> None:
    """A new nonce that the address file confirms is the engine's own."""

    async def scenario() -> None:
        async with ScriptedEngine() as engine:
            engine.headers["X-Garcon-Nonce"] = local.publish(engine.url)
            async with DataPlane(local.engine) as plane:
                await plane.call("X", {}, timeout_s=10)
                local.starts = 0
                engine.headers["X-Garcon-Nonce"] = local.publish(engine.url)
                await plane.call("X", {}, timeout_s=10)

    run(scenario)
    assert local.starts == 0


def test_local_engine_that_cannot_start_is_not_tried_at_every_call(
    local: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is logged and given to the callers; the next start is not tried at once."""
    monkeypatch.setattr(module, "START_AGAIN_S", 600.0)

    async def scenario() -> None:
        async with ScriptedEngine() as engine:
            engine.headers["X-Garcon-Nonce"] = local.publish(engine.url)
            async with DataPlane(local.engine) as plane:
                await engine.stop()
                local.starts, local.error = 0, EngineError("engine: no space left")
                for _ in range(5):
                    with pytest.raises(EngineUnreachable, match="no space left"):
                        await plane.call("X", {}, timeout_s=10)

    run(scenario)
    assert local.starts == 1
    assert caplog.text.count("event=engine.not_started") == 1


def test_no_proxy_stands_between_a_command_and_its_local_engine(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy for the world is not asked for 127.0.0.1."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    async def scenario() -> None:
        async with ScriptedEngine() as engine:
            engine.headers["X-Garcon-Nonce"] = local.publish(engine.url)
            async with DataPlane(local.engine) as plane:
                assert await plane.call("X", {}, timeout_s=10) == b"{}"
            client = client_module.swf_client(local.engine)
            await asyncio.to_thread(client.list_domains, registrationStatus="REGISTERED")

    run(scenario)

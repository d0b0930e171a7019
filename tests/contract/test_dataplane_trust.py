"""Whom the data plane is and whom it believes: credentials, proxies, certificates, names."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from garcon import client as client_module
from garcon.client import Engine
from garcon.errors import EngineError, EngineUnreachable, ServiceError
from garcon.pool import credentials as keeping
from garcon.pool import dataplane as module
from garcon.pool.dataplane import DataPlane
from tests.contract.scripted_engine import Reply, Request, ScriptedEngine


@pytest.fixture(scope="module")
def process() -> client_module._Process:
    """One boto3 session for the module: making one costs more than most of these tests."""
    return client_module._Process()


@pytest.fixture(autouse=True)
def _bare_process(process: client_module._Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies, no bundles, no session from another test."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client_module, "_PROCESS", process)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine with a bound that only a hang can meet."""
    asyncio.run(asyncio.wait_for(scenario(), 60))


def key_of(request: Request) -> str:
    """Return the access key that signed a request."""
    return request.headers["Authorization"].split("Credential=")[1].split("/")[0]


# -- credentials --------------------------------------------------------------------------------


class Issuer(Credentials):
    """Credentials that change; notes the threads from which it is asked."""

    def __init__(self) -> None:
        super().__init__("KEY-1", "SECRET")
        self.error: Exception | None = None
        self.threads: set[str] = set()
        self.asked = 0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        self.threads.add(threading.current_thread().name)
        self.asked += 1
        if self.error is not None:
            raise self.error
        return super().get_frozen_credentials()


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """What the data plane takes its credentials from."""
    issuer = Issuer()
    monkeypatch.setattr(module, "credentials_for", lambda engine: issuer)
    return issuer


def test_credentials_are_renewed_ahead_of_time_and_off_the_loop(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones sign the calls that follow, and the loop's thread has never asked for any."""
    monkeypatch.setattr(keeping.CredentialKeeper.__init__, "__kwdefaults__", {"look_s": 0.001})

    async def scenario() -> None:
        async with ScriptedEngine() as engine, DataPlane(Engine("url", url=engine.url)) as plane:
            await plane.call("X", {}, timeout_s=10)
            issuer.access_key = "KEY-2"
            asked = issuer.asked
            while issuer.asked < asked + 2:
                await asyncio.sleep(0)
            await plane.call("X", {}, timeout_s=10)

        assert [key_of(one) for one in engine.requests] == ["KEY-1", "KEY-2"]

    run(scenario)
    assert all(name.startswith("garcon-helper") for name in issuer.threads)


def test_refused_credentials_are_renewed_once_for_all_and_the_calls_repeated(
    issuer: Issuer,
) -> None:
    """Ten calls meet an expired token: one look at the issuer, and each call goes through."""

    async def expire(request: Request) -> Reply:
        if key_of(request) == "KEY-1":
            issuer.access_key = "KEY-2"
            return Reply.fault("ExpiredTokenException")
        return Reply()

    async def scenario() -> None:
        async with (
            ScriptedEngine(expire) as engine,
            DataPlane(Engine("url", url=engine.url)) as plane,
        ):
            await asyncio.gather(*(plane.call("X", {}, timeout_s=10) for _ in range(10)))
        assert key_of(engine.requests[-1]) == "KEY-2"

    run(scenario)
    assert issuer.asked < 10


def test_credentials_that_stay_refused_are_the_callers_error(issuer: Issuer) -> None:
    """When the issuer has nothing new either, the fault is raised after one repeat."""

    async def refuse(request: Request) -> Reply:
        return Reply.fault("ExpiredTokenException", "too old")

    async def scenario() -> None:
        async with (
            ScriptedEngine(refuse) as engine,
            DataPlane(Engine("url", url=engine.url)) as plane,
        ):
            with pytest.raises(ServiceError, match="too old"):
                await plane.call("X", {}, timeout_s=10)
        assert len(engine.requests) == 2

    run(scenario)


def test_issuer_that_fails_leaves_the_old_credentials_in_force(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They may be good for minutes yet; the failure is logged without any of their values."""
    monkeypatch.setattr(keeping.CredentialKeeper.__init__, "__kwdefaults__", {"look_s": 0.001})

    async def scenario() -> None:
        async with ScriptedEngine() as engine, DataPlane(Engine("url", url=engine.url)) as plane:
            issuer.error = CredentialRetrievalError(provider="role", error_msg="out of reach")
            asked = issuer.asked
            while issuer.asked < asked + 2:
                await asyncio.sleep(0)
            await plane.call("X", {}, timeout_s=10)
        assert key_of(engine.requests[0]) == "KEY-1"

    run(scenario)
    assert "event=credentials.not_renewed" in caplog.text
    assert "SECRET" not in caplog.text


def test_issuer_that_fails_at_the_start_ends_the_command(issuer: Issuer) -> None:
    """Without any credentials nothing is opened: exit code 4."""
    issuer.error = CredentialRetrievalError(provider="role", error_msg="out of reach")

    async def scenario() -> None:
        with pytest.raises(EngineError, match="out of reach"):
            async with DataPlane(Engine("url", url="http://127.0.0.1:9")):
                pytest.fail("opened")

    run(scenario)


# -- the way ------------------------------------------------------------------------------------


def test_proxy_of_the_environment_is_used_as_boto3_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole URL goes to the proxy, with its own credentials; the engine is not asked."""

    async def scenario() -> None:
        async with ScriptedEngine() as proxy:
            monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
            async with DataPlane(Engine("url", url="http://swf.example.test")) as plane:
                assert await plane.call("X", {}, timeout_s=10) == b"{}"
            (request,) = proxy.requests
            assert request.line == "POST http://swf.example.test/ HTTP/1.1"
            assert request.headers["Host"] == "swf.example.test"
            assert request.headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"

    run(scenario)


def test_hosts_that_need_no_proxy_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """`no_proxy` is obeyed."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    async def scenario() -> None:
        async with ScriptedEngine() as engine, DataPlane(Engine("url", url=engine.url)) as plane:
            assert await plane.call("X", {}, timeout_s=10) == b"{}"

    run(scenario)


def test_names_are_looked_up_in_the_helper_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread but the pool's own comes up for DNS, and an unknown name is unreachable."""
    threads: set[str] = set()
    others = threading.enumerate()

    async def scenario() -> None:
        async with ScriptedEngine() as engine:
            url = f"http://localhost:{engine.port}"
            async with DataPlane(Engine("url", url=url)) as plane:
                await plane.call("X", {}, timeout_s=10)
                threads.update(one.name for one in threading.enumerate() if one not in others)
            async with DataPlane(Engine("url", url="http://nobody.invalid")) as plane:
                with pytest.raises(EngineUnreachable, match=r"nobody\.invalid"):
                    await plane.call("X", {}, timeout_s=30)

    run(scenario)
    assert {one.rsplit("_", 1)[0] for one in threads} == {"garcon-helper"}


# -- certificates -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test engine")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "engine.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def tls_engine(certificate: Path) -> ScriptedEngine:
    """Return an engine that proves itself with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return ScriptedEngine(tls=context)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_bundle_of_the_environment_is_believed(
    certificate: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What boto3 takes its authorities from, the data plane does too."""
    monkeypatch.setenv(variable, str(certificate))

    async def scenario() -> None:
        async with (
            tls_engine(certificate) as engine,
            DataPlane(Engine("url", url=engine.url)) as plane,
        ):
            assert await plane.call("X", {}, timeout_s=10) == b"{}"

    run(scenario)


def test_engine_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    """Without its authority an https engine gets no request, and the error says why."""

    async def scenario() -> None:
        engine = tls_engine(certificate)
        async with engine, DataPlane(Engine("url", url=engine.url)) as plane:
            with pytest.raises(EngineUnreachable, match="certificate"):
                await plane.call("X", {}, timeout_s=10)
            assert engine.requests == []

    run(scenario)


def test_bundle_that_is_missing_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path in the environment is told at the start, not at each call."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/bundle.pem")

    async def scenario() -> None:
        with pytest.raises(EngineError, match=r"/no/such/bundle\.pem"):
            async with DataPlane(Engine("url", url="https://127.0.0.1:9")):
                pytest.fail("opened")

    run(scenario)

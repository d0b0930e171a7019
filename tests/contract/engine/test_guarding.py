"""Who gets in: names, origins, signatures, slow and large senders."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError

from garcon.engine.http import guard
from garcon.engine.http.guard import Credentials
from garcon.engine.http.server import Settings
from garcon.engine.store.database import Database
from garcon.engine.store.place import NetworkFileSystem, SecondName, refuse_network
from garcon.engine.testing import Engine, engine_in_process

BODY = b'{"registrationStatus":"REGISTERED"}'


def status(engine: Engine, **headers: str) -> int:
    """Return the status of a plain ListDomains with further headers."""
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=30)
    target = "SimpleWorkflowService.ListDomains"
    connection.request("POST", "/", BODY, {"X-Amz-Target": target, **headers})
    found = connection.getresponse().status
    connection.close()
    return found


def caller(engine: Engine, access_key: str, secret_key: str) -> Any:
    """Return a boto3 client with a key pair of its own."""
    session = boto3.session.Session(access_key, secret_key, region_name="eu-west-1")
    return session.client("swf", endpoint_url=engine.url)


@pytest.fixture
def guarded() -> Any:
    """An engine that asks for signatures."""
    settings = Settings(db=":memory:", credentials=Credentials("AKID", "sesame"))
    with engine_in_process(settings=settings) as engine:
        yield engine


def test_a_right_signature_gets_in(guarded: Engine) -> None:
    """botocore's own, whatever the region."""
    api = caller(guarded, "AKID", "sesame")
    api.register_domain(name="größer & so", workflowExecutionRetentionPeriodInDays="1")
    shown = api.list_domains(registrationStatus="REGISTERED")["domainInfos"]
    assert [one["name"] for one in shown] == ["größer & so"]


@pytest.mark.parametrize(
    ("access_key", "secret_key", "code"),
    [
        ("AKID", "guess", "InvalidSignatureException"),
        ("OTHER", "sesame", "UnrecognizedClientException"),
    ],
)
def test_a_wrong_key_or_secret_does_not(
    guarded: Engine, access_key: str, secret_key: str, code: str
) -> None:
    """Each with its own code, and nothing is done."""
    with pytest.raises(ClientError) as caught:
        caller(guarded, access_key, secret_key).register_domain(
            name="d", workflowExecutionRetentionPeriodInDays="1"
        )
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    api = caller(guarded, "AKID", "sesame")
    assert api.list_domains(registrationStatus="REGISTERED")["domainInfos"] == []


def test_an_unsigned_request_does_not(guarded: Engine) -> None:
    """Nor one with half a header."""
    assert status(guarded) == 403
    assert status(guarded, Authorization="AWS4-HMAC-SHA256 Credential=AKID/x") == 403


@pytest.mark.parametrize(
    ("access_key", "region", "target"),
    [("AK\xff", "us", "ListDomains"), ("AKID", "\xff", "ListDomains"), ("AKID", "us", "\xff")],
)
def test_a_signature_that_is_no_unicode_does_not(
    guarded: Engine, access_key: str, region: str, target: str
) -> None:
    """It is as wrong as any other, and no accident of the engine."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{access_key}/{moment[:8]}/{region}/swf/aws4_request"
    signed = f"Credential={scope}, SignedHeaders=host;x-amz-date;x-amz-target"
    authorization = f"AWS4-HMAC-SHA256 {signed}, Signature={'0' * 64}"
    given = {"Authorization": authorization, "X-Amz-Date": moment, "X-Amz-Target": f"S.{target}"}
    assert status(guarded, **given) == 403


def test_an_old_signature_does_not(guarded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes of skew, both ways."""
    api = caller(guarded, "AKID", "sesame")
    now_s = time.time()
    for skew_s, fine in ((290, True), (-290, True), (310, False), (-310, False)):
        monkeypatch.setattr(guard.time, "time", lambda skew_s=skew_s: now_s + skew_s)
        if fine:
            api.list_domains(registrationStatus="REGISTERED")
            continue
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            api.list_domains(registrationStatus="REGISTERED")


def tamper_body(request: Any, **_: Any) -> None:
    """Ask for the deprecated ones instead."""
    request.body = request.body.replace(b"REGISTERED", b"DEPRECATED")


def tamper_target(request: Any, **_: Any) -> None:
    """Ask for something else."""
    request.headers["X-Amz-Target"] = "SimpleWorkflowService.DeprecateDomain"


@pytest.mark.parametrize("tamper", [tamper_body, tamper_target])
def test_a_changed_body_or_target_breaks_the_signature(guarded: Engine, tamper: Any) -> None:
    """What was signed is what counts."""
    api = caller(guarded, "AKID", "sesame")
    api.meta.events.register("before-send.swf.ListDomains", tamper)
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        api.list_domains(registrationStatus="REGISTERED")


def test_a_signature_that_leaves_the_target_open_is_none(guarded: Engine) -> None:
    """Whoever got hold of it could ask for anything else with it."""
    api = caller(guarded, "AKID", "sesame")

    def hide(request: Any, **_: Any) -> None:
        del request.headers["X-Amz-Target"]

    api.meta.events.register("before-sign.swf.ListDomains", hide)
    api.meta.events.register("before-send.swf.ListDomains", tamper_target)
    with pytest.raises(ClientError, match="IncompleteSignatureException"):
        api.list_domains(registrationStatus="REGISTERED")


def test_a_foreign_name_or_a_web_page_is_turned_away(engine: Engine) -> None:
    """Names that lead to loopback by rebinding, and every Origin."""
    assert status(engine) == 200
    assert status(engine, Host="localhost:80") == 200
    assert status(engine, Host="evil.example") == 403
    assert status(engine, Origin="http://evil.example") == 403


def test_another_host_needs_a_key_and_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command refuses to open itself to others without them."""
    environment = {name: value for name, value in os.environ.items() if "SECRET" not in name}
    command = [sys.executable, "-m", "garcon.engine", "--db", ":memory:", "--host", "0.0.0.0"]
    for more, wanted in (([], "--access-key"), (["--access-key", "A"], "GARCON_ENGINE_SECRET_KEY")):
        done = subprocess.run(
            [*command, *more],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert wanted in done.stderr


def test_no_engine_is_open_to_others_without_credentials() -> None:
    """Not the one of a test either."""
    settings = Settings(db=":memory:", host="0.0.0.0")
    with pytest.raises(ValueError, match="needs credentials"), engine_in_process(settings=settings):
        pass


def test_credentials_do_not_show_their_secret() -> None:
    """Not even by mistake in a log line."""
    assert "sesame" not in repr(Settings(db="x", credentials=Credentials("AKID", "sesame")))


def test_a_network_file_system_is_refused(tmp_path: Any) -> None:
    """By the list of mounts; the nearest mount decides."""
    mounts = tmp_path / "mounts"
    mounts.write_text("disk / ext4 rw 0 0\nhost:/x /net nfs4 rw 0 0\ntmp /net/local tmpfs rw 0 0\n")
    refuse_network("/var/engine.db", str(mounts))
    refuse_network("/net/local/engine.db", str(mounts))
    refuse_network("/network/engine.db", str(mounts))
    with pytest.raises(NetworkFileSystem, match=r"nfs4 \(/net\)"):
        refuse_network("/net/deep/engine.db", str(mounts))
    refuse_network("/net/engine.db", str(tmp_path / "no list of mounts"))


def test_a_file_with_a_second_name_is_refused_in_one_line(tmp_path: Any) -> None:
    """A hard link leads to other locks and another log: two engines would spoil the file."""
    path, link = tmp_path / "engine.db", tmp_path / "elsewhere" / "other.db"
    link.parent.mkdir()
    with engine_in_process(db=str(path)):
        os.link(path, link)
        command = [sys.executable, "-m", "garcon.engine", "--db", str(link)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert "2 names (hard links)" in line
    with pytest.raises(SecondName):
        Database(str(path))
    link.unlink()
    Database(str(path)).close()


def test_a_file_that_is_mounted_by_itself_is_refused(tmp_path: Any) -> None:
    """As a container may have it: its locks and its log would lie in another folder."""
    mounts = tmp_path / "mounts"
    mounts.write_text("disk / ext4 rw 0 0\ndisk /data/engine.db ext4 rw 0 0\n")
    with pytest.raises(SecondName, match="mount its folder"):
        refuse_network("/data/engine.db", str(mounts))
    refuse_network("/data/other.db", str(mounts))

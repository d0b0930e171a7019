"""What an engine writes down about its clients: files for their owner only, and no secret."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import boto3.session
import pytest
from botocore.exceptions import ClientError

from garcon.engine.__main__ import SECRET
from garcon.engine.address import EngineFiles, read_address
from garcon.engine.ensure import ensure_engine
from garcon.engine.lease import Lease
from tests.contract.engine.swf import RUN, Swf, client, decide

SESAME = "sesame-open-0123456789"


def speak(url: str, said: bytes) -> bytes:
    """Say something to an engine and return how its answer begins."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(said)
        return line.recv(4096)


def signed(url: str, secret: str) -> Swf:
    """Return a client that signs with a secret."""
    session = boto3.session.Session("AKID", secret, region_name="eu-west-1")
    return Swf(None, session.client("swf", endpoint_url=url))  # type: ignore[arg-type]


def test_no_secret_is_in_the_log_or_with_a_function_and_all_files_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes in: right, wrong and broken signatures, and what is no HTTP at all."""
    monkeypatch.setenv(SECRET, SESAME)
    db = tmp_path / "engine.db"
    options = ["--access-key", "AKID", "--lambda", "env=os:getenv"]
    url = ensure_engine(db, idle_exit_s=60, extra_args=options)
    try:
        swf = signed(url, SESAME)
        swf.api.register_domain(name="dom", workflowExecutionRetentionPeriodInDays="1")
        swf.api.register_workflow_type(domain="dom", name="flow", version="1")
        run_id = swf.start(lambdaRole="arn:aws:iam::1:role/r")
        called = {"id": "l", "name": "env", "input": f'"{SECRET}"'}
        swf.step(decide("ScheduleLambdaFunction", **called))
        assert swf.decision()["taskToken"]
        assert swf.last("w", run_id, "LambdaFunctionCompleted")["result"] == "null"
        with pytest.raises(ClientError):
            signed(url, SESAME + "!").start()
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        secret = SESAME.encode()
        for said in (
            head + b"X-Amz-Security-Token: " + secret * 1000 + b"\r\n\r\n",
            head + b"Authorization: " + secret + b"\r\nContent-Length: 1\r\n\r\n{",
            b"POST /" + secret + b" NONSENSE\r\n\r\n",
            b"\x16\x03\x01" + secret + b"\r\n\r\n",
        ):
            assert b" 200 " not in speak(url, said)
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
        ends = {path.name.removeprefix("engine.db") for path in tmp_path.iterdir()}
        assert {"", "-wal", "-shm", ".lock", ".address", ".log", ".starting"} <= ends
    finally:
        address = read_address(EngineFiles.of(db).address)
        assert address is not None
        os.kill(address.pid, signal.SIGKILL)
    Lease.acquire(db, wait_s=20).release()
    log = EngineFiles.of(db).log.read_text()
    assert SESAME not in log
    assert "Traceback" not in log


def test_a_call_without_a_signature_changes_nothing_on_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listening on all addresses; also the calls beside SWF's own are refused."""
    monkeypatch.setenv(SECRET, SESAME)
    db = tmp_path / "engine.db"
    options = ["--access-key", "AKID", "--host", "0.0.0.0"]
    url = ensure_engine(db, idle_exit_s=60, extra_args=options)
    try:
        local = url.replace("0.0.0.0", "127.0.0.1")
        for target in ("a.RegisterDomain", "GarconEngine.ReleasePolls", "GarconEngine.Skip"):
            body = b'{"identity":"i","seconds":1}'
            answer = speak(
                local,
                b"POST / HTTP/1.1\r\nHost: elsewhere\r\nX-Amz-Target: %s\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (target.encode(), len(body), body),
            )
            assert answer.startswith(b"HTTP/1.1 403 ")
        code, _ = Swf(None, client(local)).refusal(  # type: ignore[arg-type]
            "start_workflow_execution", domain="dom", workflowId="w", **RUN
        )
        assert code == "UnrecognizedClientException"
        listed = signed(local, SESAME).api.list_domains(registrationStatus="REGISTERED")
        assert listed["domainInfos"] == []
    finally:
        address = read_address(EngineFiles.of(db).address)
        assert address is not None
        os.kill(address.pid, signal.SIGKILL)
    Lease.acquire(db, wait_s=20).release()

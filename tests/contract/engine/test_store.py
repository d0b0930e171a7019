"""The file itself: small again after much has gone, whole after a break half-way."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sqlite3
from pathlib import Path

import pytest

from garcon.engine.core import transitions
from garcon.engine.core.model import Execution
from garcon.engine.core.starts import make_profile
from garcon.engine.http import server
from garcon.engine.store.database import Database, Writes
from garcon.engine.testing import Engine, engine_in_process

SETTINGS = {
    "executionStartToCloseTimeout": "1000",
    "taskList": {"name": "decide"},
    "taskStartToCloseTimeout": "30",
    "childPolicy": "TERMINATE",
}


def keep_run(database: Database, key: int, events: int) -> Execution:
    """Keep a closed run with large events in a file."""
    profile = make_profile("dom", f"w{key}", f"run{key}", "flow", "1", SETTINGS)
    step = transitions.start(key, profile._replace(start_ms=1), None, 1)
    closed = transitions.terminate(step.state, 2, "OPERATOR_INITIATED")
    writes = Writes.new()
    writes.started.append(closed.state)
    writes.closed.append(key)
    writes.events.extend((key, number, "x" * 3000) for number in range(1, events + 1))
    database.commit(writes)
    return closed.state


def test_space_of_what_is_gone_goes_back_in_slices(tmp_path: Path) -> None:
    """Doomed at once, trimmed and vacuumed bit by bit, over a restart too."""
    path = tmp_path / "engine.db"
    database = Database(str(path))
    for key in range(1, 6):
        keep_run(database, key, 1500)
    database.checkpoint()
    full = path.stat().st_size
    database.doom([1, 2, 3, 4])
    assert database.execution(1) is None
    assert database.execution(5) is not None
    assert database.trim(500)
    database.close()
    database = Database(str(path))
    while database.trim(500):
        pass
    while database.vacuum(256):
        pass
    database.close()
    assert path.stat().st_size < full / 2
    with contextlib.closing(Database(str(path))) as again:
        assert again.next_key() == 6


def test_a_batch_that_breaks_half_way_leaves_nothing_of_itself(tmp_path: Path) -> None:
    """A second event of one id breaks it; the first of the batch is not there either."""
    database = Database(str(tmp_path / "engine.db"))
    keep_run(database, 1, 3)
    writes = Writes.new()
    writes.events.extend([(1, 4, "new"), (1, 3, "taken")])
    with pytest.raises(sqlite3.IntegrityError):
        database.commit(writes)
    assert len(database.events(1, 1, 100, 100, False)) == 3
    database.close()


def test_a_long_log_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a checkpoint, when it has outgrown its bound."""
    monkeypatch.setattr("garcon.engine.store.database._RESTART_BYTES", 100_000)
    path = tmp_path / "engine.db"
    database = Database(str(path))
    keep_run(database, 1, 500)
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 100_000
    database.checkpoint()
    database.restart_log()
    assert log.stat().st_size == 0
    assert len(database.events(1, 1, 1000, 1000, False)) == 500
    database.close()


def test_a_client_that_dribbles_its_body_is_cut_off(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends; nobody waits for the rest."""
    monkeypatch.setattr(server, "_BODY_S", 0.05)
    host, port = engine.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: a.ListDomains\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b""


@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\nHost: local"])
def test_a_client_that_never_ends_its_first_head_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """It holds a connection for no request; one that has brought a request stays."""
    monkeypatch.setattr(server, "_HEAD_S", 0.05)
    with engine_in_process() as running:
        host, port = running.url.removeprefix("http://").split(":")
        good = http.client.HTTPConnection(host, int(port), timeout=20)
        target = {"X-Amz-Target": "a.ListDomains"}
        good.request("POST", "/", '{"registrationStatus": "REGISTERED"}', target)
        good.getresponse().read()
        line = good.sock
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.sendall(said)
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(100) == b""
        good.request("POST", "/", '{"registrationStatus": "REGISTERED"}', target)
        assert good.getresponse().status == 200
        assert good.sock is line
        good.close()


def test_a_new_folder_is_made_for_a_new_file(tmp_path: Path) -> None:
    """And the file belongs to its owner only."""
    path = tmp_path / "deep" / "engine.db"
    Database(str(path)).close()
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("full_sync", "level"), [(False, 1), (True, 2)])
def test_full_sync_is_what_the_file_is_opened_with(
    tmp_path: Path, full_sync: bool, level: int
) -> None:
    """NORMAL flushes with a checkpoint, FULL with each commit."""
    settings = server.Settings(db=str(tmp_path / "engine.db"), full_sync=full_sync)
    with engine_in_process(settings=settings) as engine:

        async def look() -> int:
            ((found,),) = engine.server.world.database.select("PRAGMA synchronous", [])
            return int(found)

        assert engine.call(look) == level

"""Starting and sharing one engine a file, with real processes, locks and ports."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from garcon.engine import ensure
from garcon.engine.address import (
    Address,
    EngineFiles,
    answers,
    read_address,
    take_lock,
    write_address,
)
from garcon.engine.ensure import EngineStartError, ensure_engine
from garcon.engine.lease import Lease, LeaseTaken

STANDIN = Path(__file__).with_name("standin_engine.py")
ROOT = Path(ensure.__file__).resolve().parents[2]

#: A starter as another process: the stand-in in place of the engine, arguments after the file.
STARTER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from garcon.engine import ensure
ensure._ENGINE = [{str(STANDIN)!r}]
print(ensure.ensure_engine(Path(sys.argv[1]), extra_args=sys.argv[2:]), flush=True)
"""


def eventually(seen: Callable[[], object], what: str, within_s: float = 20.0) -> None:
    """Return once `seen()` is true; fail with `what` when it stays false."""
    until_s = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < until_s, f"never seen: {what}"
        time.sleep(0.005)


def story(db: Path) -> list[str]:
    """Return what stand-ins of this file have done so far."""
    path = Path(f"{db}.story")
    return path.read_text().splitlines() if path.exists() else []


def engine_at(db: Path) -> Address:
    """Return the address that the file's engine has published."""
    address = read_address(EngineFiles.of(db).address)
    assert address is not None
    return address


def kill(pid: int) -> None:
    """Kill an engine and wait until its lock has fallen."""
    os.kill(pid, signal.SIGKILL)


def is_unlocked(path: Path) -> bool:
    """Return whether nobody holds this lock."""
    lock = take_lock(path, 0.0)
    if lock is not None:
        os.close(lock)
    return lock is not None


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database file that stand-ins serve; whoever serves it at the end is killed."""
    monkeypatch.setattr(ensure, "_ENGINE", [str(STANDIN)])
    path = tmp_path / "engine.db"
    yield path
    for line in story(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[-1]), signal.SIGKILL)


def starter(db: Path, *extra: str) -> subprocess.Popen[str]:
    """Start an engine from a process of its own, whose stdout is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(db), *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_first_command_starts_an_engine_and_the_next_shares_it(db: Path) -> None:
    """One engine serves all who name the file."""
    first = ensure_engine(db)
    second = ensure_engine(db)

    assert first == second
    assert len(story(db)) == 1
    assert answers(engine_at(db), 2.0)


def test_two_names_of_one_file_lead_to_one_engine(db: Path, tmp_path: Path) -> None:
    """A symbolic link to the file is the file."""
    url = ensure_engine(db)
    db.touch()
    link = tmp_path / "other.db"
    link.symlink_to(db)

    assert ensure_engine(link) == url
    assert len(story(db)) == 1


def test_many_starters_at_once_share_one_engine(db: Path) -> None:
    """Starters racing for a file that nobody serves end up at the same engine."""
    starters = [starter(db) for _ in range(5)]
    told = [one.communicate(timeout=60) for one in starters]

    assert all(one.returncode == 0 for one in starters), told
    assert len({out for out, _ in told}) == 1
    assert len(story(db)) == 1


def test_starter_with_piped_stdout_closes_its_pipe_though_the_engine_lives(db: Path) -> None:
    """Whoever reads the starter's stdout to its end is not kept by the engine."""
    out, _ = starter(db).communicate(timeout=30)

    assert out.strip() == engine_at(db).url
    assert answers(engine_at(db), 2.0)


def test_engine_runs_in_a_session_of_its_own_with_private_files(db: Path) -> None:
    """Ctrl-C at the starter's terminal does not reach it, and only its owner reads its files."""
    ensure_engine(db)
    files = EngineFiles.of(db)

    assert os.getsid(engine_at(db).pid) == engine_at(db).pid
    for path in (files.lock, files.starting, files.address, files.log):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_killed_engine_is_replaced_on_its_own_port(db: Path) -> None:
    """Clients of the killed engine find the next one where the last one was."""
    first = ensure_engine(db)
    before = engine_at(db)
    kill(before.pid)
    eventually(lambda: is_unlocked(EngineFiles.of(db).lock), "the dead engine's lock falls")

    assert ensure_engine(db) == first
    assert engine_at(db).pid != before.pid
    assert engine_at(db).nonce != before.nonce


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"url": "http://127.0.0.1:1", "pid": 1, "nonce": "n"}', '{"url": 3}'],
)
def test_stale_or_torn_address_file_is_no_obstacle(db: Path, text: str) -> None:
    """An address that nobody backs is passed over and replaced."""
    EngineFiles.of(db).address.write_text(text)

    url = ensure_engine(db)

    assert url == engine_at(db).url
    assert answers(engine_at(db), 2.0)


@pytest.mark.parametrize("manner", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_foreign_process_on_the_old_port_is_recognised(db: Path, manner: bytes) -> None:
    """Whatever sits on the dead engine's port, silent or HTTP, is not taken for the engine."""
    ensure_engine(db)
    before = engine_at(db)
    kill(before.pid)
    eventually(lambda: is_unlocked(EngineFiles.of(db).lock), "the dead engine's lock falls")
    assert before.port is not None
    with _foreign(before.port, manner):
        url = ensure_engine(db)

        assert url != before.url
        assert answers(engine_at(db), 2.0)


@contextlib.contextmanager
def _foreign(port: int, manner: bytes) -> Iterator[None]:
    """Have something else listen on `port` and answer each connection with `manner`."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(manner)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join()


def test_idle_engine_stays_while_somebody_is_starting(db: Path) -> None:
    """An engine that wants to leave finds the starting lock taken and stays."""
    url = ensure_engine(db)
    held = take_lock(EngineFiles.of(db).starting, 1.0)
    assert held is not None

    urllib.request.urlopen(f"{url}/leave").close()
    eventually(lambda: len(story(db)) == 2, "the engine decides")
    os.close(held)

    assert story(db)[1].startswith("stays")
    assert ensure_engine(db) == url


def test_command_that_meets_a_leaving_engine_gets_the_next_one(db: Path, tmp_path: Path) -> None:
    """A client that comes while the engine leaves waits for its end and starts another."""
    gate = tmp_path / "gate"
    url = ensure_engine(db, extra_args=["--leave-gate", str(gate)])
    before = engine_at(db)
    urllib.request.urlopen(f"{url}/leave").close()
    eventually(lambda: len(story(db)) == 2, "the engine is leaving")

    late = starter(db)
    assert late.poll() is None
    gate.touch()
    out, err = late.communicate(timeout=30)

    assert late.returncode == 0, err
    assert out.strip() == engine_at(db).url
    assert engine_at(db).pid != before.pid
    assert answers(engine_at(db), 2.0)


def test_engine_whose_starter_was_killed_is_used_and_not_doubled(db: Path, tmp_path: Path) -> None:
    """A starter dies while its engine boots: the next waits for that engine."""
    gate = tmp_path / "gate"
    files = EngineFiles.of(db)
    first = starter(db, "--gate", str(gate))
    eventually(lambda: files.lock.exists() and not is_unlocked(files.lock), "the engine boots")
    first.kill()
    first.communicate(timeout=30)

    second = starter(db)
    eventually(lambda: not is_unlocked(files.starting), "the second starter waits")
    gate.touch()
    out, err = second.communicate(timeout=30)

    assert second.returncode == 0, err
    assert out.strip() == engine_at(db).url
    assert len(story(db)) == 1


def test_engine_that_cannot_start_is_reported_with_the_end_of_its_log(db: Path) -> None:
    """The error holds what the engine said, and how it ended."""
    with pytest.raises(EngineStartError, match=r"exit code 4(?s:.*)no space left, my friend"):
        ensure_engine(db, extra_args=["--fail", "no space left, my friend"])


def test_error_holds_only_what_this_start_has_written(db: Path) -> None:
    """Lines of earlier engines in the shared log are not blamed on this one."""
    EngineFiles.of(db).log.write_text("an old sorrow\n")

    with pytest.raises(EngineStartError) as caught:
        ensure_engine(db, extra_args=["--fail", "a new one"])

    assert "a new one" in str(caught.value)
    assert "an old sorrow" not in str(caught.value)


def test_engine_that_holds_the_file_but_is_mute_is_never_doubled(db: Path) -> None:
    """A hanging engine keeps its file: the starter says so instead of starting a second."""
    with pytest.raises(EngineStartError, match="does not answer yet") as first:
        ensure_engine(db, timeout_s=1.0, extra_args=["--mute"])
    pid = int(str(first.value).split("(pid ")[1].split(")")[0])
    try:
        eventually(lambda: not is_unlocked(EngineFiles.of(db).lock), "the mute engine has the file")
        with pytest.raises(EngineStartError, match=r"holds .* but does not answer"):
            ensure_engine(db, timeout_s=0.3)
        assert story(db) == []
    finally:
        kill(pid)


def test_what_an_engine_said_in_one_line_stays_one_line(db: Path) -> None:
    """A command's error is one line, whoever found it."""
    with pytest.raises(EngineStartError) as caught:
        ensure_engine(db, extra_args=["--fail", "garcon: no database"])

    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"while starting for {db}: no database")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    """Before anything is written beside it."""
    with pytest.raises(EngineStartError, match="is a folder; name a file in it"):
        ensure_engine(tmp_path)

    assert not EngineFiles.of(tmp_path).starting.exists()


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Have no rights of root meanwhile, which may look everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_in_a_folder_of_somebody_else_is_one_line(tmp_path: Path) -> None:
    """No permission to look is told as such, and is no accident."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o000)
    refused = pytest.raises(EngineStartError, match=r"cannot write beside .*: Permission denied")

    with nobody(), refused:
        ensure_engine(folder / "engine.db")


def test_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    """A file where the folder should be: one line with the path, no traceback of OSError."""
    (tmp_path / "file").touch()

    with pytest.raises(EngineStartError, match=r"cannot write beside .*/file/engine\.db"):
        ensure_engine(tmp_path / "file" / "engine.db")


def test_second_lease_on_a_file_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    """Two engines never serve one file; the message says where the first one is."""
    lease = Lease.acquire(tmp_path / "engine.db")
    lease.publish("http://127.0.0.1:4711")

    with pytest.raises(LeaseTaken, match=rf"pid {os.getpid()} at http://127\.0\.0\.1:4711"):
        Lease.acquire(tmp_path / "engine.db")
    lease.release()
    again = Lease.acquire(tmp_path / "engine.db")

    assert again.last_port() == 4711
    assert again.nonce != lease.nonce
    again.release()


def test_lock_on_a_file_that_was_removed_meanwhile_counts_for_nothing(tmp_path: Path) -> None:
    """After the lock file is deleted, the next holder locks the new one, not a ghost."""
    path = tmp_path / "engine.db.lock"
    ghost = take_lock(path, 0.0)
    assert ghost is not None
    path.unlink()

    fresh = take_lock(path, 0.0)

    assert fresh is not None
    assert path.stat().st_ino == os.fstat(fresh).st_ino
    os.close(ghost)
    os.close(fresh)


def test_address_that_cannot_be_written_leaves_the_old_one_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: no half file, no draft left behind, and the error says which file it was."""
    path = tmp_path / "engine.db.address"
    old = Address("http://127.0.0.1:1", 1, "old")
    write_address(path, old)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*engine\.db\.address'"):
            write_address(path, Address("http://127.0.0.1:2", 2, "new"))

    assert read_address(path) == old
    assert list(tmp_path.iterdir()) == [path]

"""Have an engine serve a file: use the one that does, or start one.

This is the client's side, and the one module of the engine that the rest of garcon imports; so it
imports only the standard library and `address`. It never opens the database and never signals a
process, whatever an address file says about pids.

Races and what settles each:

- two starters: only the holder of `<db>.starting` starts; the other finds the engine running.
- a starter killed half way: its lock falls, its engine goes on; the next starter sees `<db>.lock`
  held and waits for that engine's address instead of starting a second.
- an engine leaving while somebody connects: it takes `<db>.starting` first; whoever comes later
  finds `<db>.lock` free and starts a new one.
- a stale address, a killed engine, a foreign process on its port: no answer with the nonce.

Law: an engine is started only under the starting lock, and only while the file's lock is free.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from garcon.engine.address import NONCE_HEADER, EngineFiles, answers, read_address, take_lock

__all__ = ["NONCE_HEADER", "EngineStartError", "ensure_engine", "published_nonce"]

#: What Python is asked to run; the tests of starting put a stand-in here.
_ENGINE = ["-m", "garcon.engine"]

#: Bound of one question to a running engine, seconds; a starter asks again until its own timeout.
_ANSWER_S = 2.0
_PAUSE_S = 0.01

#: How much of the log's end an error carries.
_TAIL_LINES = 15
_TAIL_BYTES = 4096

#: A log that has grown past this is put aside when the next engine starts.
_LOG_BYTES = 5_000_000


class EngineStartError(RuntimeError):
    """No engine answers for the file and none could be started; the text says why."""


def ensure_engine(
    db_path: Path,
    *,
    timeout_s: float = 15.0,
    idle_exit_s: int = 600,
    extra_args: Sequence[str] = (),
) -> str:
    """Return the URL of the engine that serves `db_path`, started where there was none.

    Args:
        db_path: the database; its folder is made where it is missing.
        timeout_s: how long a start may take, seconds.
        idle_exit_s: after how many idle seconds an engine started here leaves.
        extra_args: further arguments for an engine started here.
    Returns:
        `http://host:port`.
    Raises:
        EngineStartError: with the end of the engine's log where there is one.
    """
    files = EngineFiles.of(db_path)
    url = _answering_url(files, _ANSWER_S)
    if url is not None:
        return url
    if os.path.isdir(files.db):  # False, and no error, where nothing may be looked at
        raise EngineStartError(f"engine: {files.db} is a folder; name a file in it")
    until_s = time.monotonic() + timeout_s
    try:
        files.db.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        starting = take_lock(files.starting, timeout_s)
    except OSError as error:
        raise EngineStartError(
            f"engine: cannot write beside {files.db}: {error.strerror}"
        ) from error
    if starting is None:
        raise EngineStartError(
            f"engine: another process has been starting one for {files.db} for {timeout_s:g} s"
            f" and holds {files.starting.name}; see {files.log}"
        )
    try:
        return _Start(files, until_s, _command(files.db, idle_exit_s, extra_args)).url()
    except OSError as error:
        raise EngineStartError(f"engine: cannot start for {files.db}: {error.strerror}") from error
    finally:
        os.close(starting)


def published_nonce(db_path: Path) -> str | None:
    """Return the nonce that the file's engine has published, None where none is legible.

    A client that meets another nonce in a response asks here whether the engine was started anew
    or another program sits on its port.
    """
    address = read_address(EngineFiles.of(db_path).address)
    return address.nonce if address else None


def _answering_url(files: EngineFiles, timeout_s: float) -> str | None:
    address = read_address(files.address)
    return address.url if address and answers(address, timeout_s) else None


def _command(db: Path, idle_exit_s: int, extra_args: Sequence[str]) -> list[str]:
    # Port 0: the engine itself takes its last port again where that is still free.
    options = ["--db", str(db), "--port", "0", "--idle-exit", str(idle_exit_s), *extra_args]
    return [sys.executable, *_ENGINE, *options]


class _Start:
    """One start, under the starting lock."""

    def __init__(self, files: EngineFiles, until_s: float, command: list[str]) -> None:
        self._files = files
        self._until_s = until_s
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    def url(self) -> str:
        """Return the URL once an engine answers, ours or one that was quicker."""
        while True:
            left_s = self._until_s - time.monotonic()
            url = _answering_url(self._files, max(0.1, min(_ANSWER_S, left_s)))
            if url is not None:
                return url
            if left_s <= 0:
                raise EngineStartError(self._overdue())
            self._advance()
            time.sleep(_PAUSE_S)

    def _advance(self) -> None:
        """Start an engine if the file is free; complain if the one started here has died."""
        if self._child is not None and self._child.poll() is None:
            return
        free = take_lock(self._files.lock, 0.0)
        if free is None:
            return  # an engine has the file and may still be booting
        os.close(free)
        if self._child is not None:
            code = self._child.returncode
            raise EngineStartError(
                f"engine: ended with {_ending(code)} while starting for {self._files.db}"
                + self._tail()
            )
        self._child = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        log = _open_log(self._files.log)
        try:
            self._log_from = os.fstat(log).st_size
            # Its own session: a Ctrl-C at the starter's terminal is not meant for it. No pipe of
            # ours may reach it, or whoever reads our stdout would wait for the engine's end.
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._files.db.parent,
                env=_environment(),
                close_fds=True,
                start_new_session=True,
            )
        finally:
            os.close(log)
        # A starter that lives long must not keep a dead engine as a zombie.
        threading.Thread(target=child.wait, name="garcon-engine-reaper", daemon=True).start()
        return child

    def _overdue(self) -> str:
        if self._child is None:
            address = read_address(self._files.address)
            who = f"pid {address.pid}" if address else "a process"
            return (
                f"engine: {who} holds {self._files.db} but does not answer; see {self._files.log}"
            )
        return (
            f"engine: started for {self._files.db} (pid {self._child.pid}) but it does not answer"
            f" yet; see {self._files.log}{self._tail()}"
        )

    def _tail(self) -> str:
        """Return what this start wrote to the log, its last lines, ready to be appended."""
        try:
            with self._files.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_from, end - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        lines = text.strip().splitlines()[-_TAIL_LINES:]
        if len(lines) == 1:  # the engine's own word on what is wrong
            return f": {lines[0].removeprefix('garcon: ')}"
        return "; its log ends:\n" + "\n".join(lines) if lines else ""


def _open_log(path: Path) -> int:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _environment() -> dict[str, str]:
    """Return the engine's environment, in which garcon is importable as it is here.

    The engine works in the database's folder, so a checkout that is importable only because it is
    the working folder has to be named. An installed package is found anyway, and naming
    site-packages would put it before the standard library.
    """
    environment = dict(os.environ)
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        paths = [str(root), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"

"""The socket at which a pool tells what it does, and how it is asked.

One Unix socket a supervisor, beside its journal in the runtime folder of its user, mode 0600. Who
connects sends lines and gets one line of JSON for each `{"ask": "status"}`. It listens before it
takes its name, so a socket that refuses belongs to a supervisor that was killed.
Law: who speaks nonsense, reads nothing or says nothing is hung up on; the loop waits for nobody.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from garcon.errors import GarconError
from garcon.log import log_event
from garcon.pool.jobs import Jobs
from garcon.pool.journal import journal_folder
from garcon.pool.listener import close_listener

logger = logging.getLogger("garcon.pool")

SUFFIX = ".sock"

#: What a client sends for one answer.
QUESTION = b'{"ask": "status"}\n'

#: Clients at a time; further ones are hung up on.
CLIENTS_MAX = 8

#: Bytes of one question.
QUESTION_MAX = 4096

#: How long a client may say nothing, and take to read one answer, seconds.
SILENT_S = 60.0
SLOW_S = 5.0

#: A path that is longer than this does not fit a socket's address (108 bytes; 104 on macOS).
_ADDRESS_MAX = 100

#: How long a pool is given for its answer, seconds.
ASK_S = 3.0


class StatusServer:
    """The supervisor's end."""

    def __init__(
        self, document: Callable[[], Awaitable[dict[str, Any]]], folder: Path | None = None
    ) -> None:
        """Tell what `document` returns; the socket stands in `folder`, or in the runtime folder."""
        self._document = document
        self._folder = folder
        self._path: Path | None = None
        self._server: asyncio.Server | None = None
        self._jobs = Jobs()

    async def start(self) -> None:
        """Take questions; where that is not possible the log says so, and the pool goes on."""
        try:
            await self._listen(self._folder or journal_folder())
        except (OSError, GarconError) as error:
            log_event(logger, logging.WARNING, "status.unserved", why=error)

    async def close(self) -> None:
        """Hang up and remove the socket."""
        if self._server is not None:
            await close_listener(self._server)
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        await self._jobs.cancel()

    async def _listen(self, folder: Path) -> None:
        for stale in (path for path in folder.glob(f"*{SUFFIX}") if is_stale(path)):
            stale.unlink(missing_ok=True)
        path = folder / f"{os.getpid()}-{time.time_ns():x}{SUFFIX}"
        draft = path.with_suffix(".new")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _address(draft) as address:
                sock.bind(address)
            draft.chmod(0o600)
            sock.listen(CLIENTS_MAX)
            draft.rename(path)
        except BaseException:
            sock.close()
            draft.unlink(missing_ok=True)
            raise
        self._path = path
        self._server = await asyncio.start_unix_server(self._admit, sock=sock, limit=QUESTION_MAX)

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._jobs) >= CLIENTS_MAX:
            writer.transport.abort()
            return
        serving = self._jobs.spawn(self._serve(reader, writer))
        # Not by the coroutine itself: one that is cancelled before its first turn does nothing.
        serving.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Everything is to be taken when `drain` returns: what is left waits for nobody.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            while line := await asyncio.wait_for(reader.readline(), SILENT_S):
                answer, goes_on = await self._answer(line)
                writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), SLOW_S)
                if not goes_on:
                    return
        except (asyncio.TimeoutError, OSError, ValueError):
            # Silent, slow, gone, or a line without end (ValueError).
            return

    async def _answer(self, line: bytes) -> tuple[dict[str, Any], bool]:
        if not _is_question(line):
            return {"error": f"ask with {QUESTION.decode().strip()}"}, False
        try:
            return await self._document(), True
        except Exception as error:
            # Whoever looks at a pool must not bring it down by looking.
            log_event(logger, logging.ERROR, "status.failed", exc_info=error)
            return {"error": f"{type(error).__name__}: {error}"}, False


def _is_question(line: bytes) -> bool:
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("ask") == "status"


def is_stale(path: Path) -> bool:
    """Return whether nobody listens at this socket any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            with _address(path) as address:
                sock.connect(address)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def ask_all(folder: Path | None = None, within_s: float = ASK_S) -> list[dict[str, Any]]:
    """Return what each running pool of this user tells of itself, by process id.

    One that does not answer is told as `{"pid": ..., "error": ...}`. Sockets of dead pools are
    removed.

    Args:
        folder: where the sockets are; the runtime folder if None.
        within_s: what each pool is given for its answer, seconds.
    Raises:
        GarconError: the runtime folder cannot be used.
    """
    folder = folder or journal_folder()
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=_pid_of)
    answers = (_ask(path, within_s) for path in paths)
    return [answer for answer in answers if answer is not None]


def _ask(path: Path, within_s: float) -> dict[str, Any] | None:
    try:
        return _told(path, within_s)
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = "it does not answer" if isinstance(error, TimeoutError) else str(error)
        return {"pid": _pid_of(path), "error": why}


def _told(path: Path, within_s: float) -> dict[str, Any]:
    """Ask one pool.

    Raises:
        OSError: nobody is there, or it does not answer in time.
        ValueError: what it says is no JSON object.
    """
    until_s = time.monotonic() + within_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(within_s)
        with _address(path) as address:
            sock.connect(address)
        sock.sendall(QUESTION)
        data = b""
        while not data.endswith(b"\n"):
            sock.settimeout(max(0.001, until_s - time.monotonic()))
            part = sock.recv(1 << 16)
            if not part:
                raise ConnectionResetError("it hung up")
            data += part
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("its answer is no JSON object")
    return document


def _pid_of(path: Path) -> int:
    pid = path.name.partition("-")[0]
    return int(pid) if pid.isdigit() else 0


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give an address for the socket at `path`, however long the path is."""
    if len(os.fsencode(path)) <= _ADDRESS_MAX:
        yield str(path)
        return
    # Linux lets a folder be named by its descriptor; elsewhere the bind says that it is too long.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

"""The small files beside an engine's database: locks, the address and who answers at it.

Both sides use this module: `lease` (the engine that serves a file) and `ensure` (a client that
wants it served). It starts nothing and never touches the database itself. Only the standard
library is imported, and little of it, because every command pays for this import.

Law: a lock is an flock, so it dies with its holder; an address is a claim, believed only after the
process behind it has echoed the claim's nonce.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

#: Every response of an engine that serves a file carries its nonce under this name.
NONCE_HEADER = "X-Garcon-Nonce"

#: Pause between two looks at a lock that another process holds.
LOCK_PAUSE_S = 0.01

#: More than any engine's response head; whoever sends more is not ours.
_HEAD_BYTES = 16_384

_URL = re.compile(r"http://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^/:\[\]]+)):(?P<port>\d+)/?")


@dataclass(frozen=True)
class EngineFiles:
    """Where an engine keeps what belongs to its database.

    Attributes:
        db: the database, absolute and free of symbolic links, so that two names of one file
            lead to the same locks.
        lock: held by the engine that serves the file, for its life.
        starting: held by whoever starts an engine, and by an engine that leaves.
        address: where the last engine listened, who it was and its nonce.
        log: what engines started on demand write to stdout and stderr.
    """

    db: Path
    lock: Path
    starting: Path
    address: Path
    log: Path

    @classmethod
    def of(cls, db_path: Path | str) -> EngineFiles:
        """Return the files that belong to the database at `db_path`."""
        db = Path(os.path.realpath(db_path))
        lock, starting, address, log = (
            db.with_name(db.name + end) for end in (".lock", ".starting", ".address", ".log")
        )
        return cls(db, lock, starting, address, log)


@dataclass(frozen=True)
class Address:
    """What an engine says of itself in its address file.

    Attributes:
        url: `http://host:port`.
        pid: process id of the engine; for messages only, never signalled.
        nonce: what every one of its responses carries in `NONCE_HEADER`.
    """

    url: str
    pid: int
    nonce: str

    @property
    def port(self) -> int | None:
        """TCP port within `url`, None where it has no legible one."""
        found = _URL.fullmatch(self.url)
        return int(found["port"]) if found else None


def read_address(path: Path) -> Address | None:
    """Return what the address file says, None where it is missing or illegible."""
    try:
        data = json.loads(path.read_bytes())
        return Address(str(data["url"]), int(data["pid"]), str(data["nonce"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_address(path: Path, address: Address) -> None:
    """Replace the address file at once, so that no reader ever sees half of it.

    Raises:
        OSError: It cannot be written; the one before stays.
    """
    text = json.dumps({"url": address.url, "pid": address.pid, "nonce": address.nonce})
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, text.encode())
    except OSError as error:
        draft.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)
    draft.replace(path)


def answers(address: Address, timeout_s: float) -> bool:
    """Return whether the process at this address is the engine that wrote it.

    Asks over a plain socket for any response at all: importing an HTTP client costs more than
    the question. A foreign server, a silent one and a closed port all mean no.

    Args:
        address: the claim to be proved.
        timeout_s: bound of the whole exchange, seconds.
    """
    found = _URL.fullmatch(address.url)
    if found is None:
        return False
    host = found["v6"] or found["host"]
    until_s = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, int(found["port"])), timeout_s) as peer:
            name = f"[{host}]" if found["v6"] else host
            ask = f"GET / HTTP/1.1\r\nHost: {name}:{found['port']}\r\nConnection: close\r\n\r\n"
            peer.sendall(ask.encode())
            head = _read_head(peer, until_s)
    except (OSError, OverflowError):
        return False
    wanted = f"{NONCE_HEADER}: {address.nonce}".lower().encode()
    return any(line.strip().lower() == wanted for line in head.split(b"\r\n"))


def _read_head(peer: socket.socket, until_s: float) -> bytes:
    """Return what `peer` sends up to its first empty line, or what came before it gave up."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            break
        peer.settimeout(left_s)
        got = peer.recv(4096)
        if not got:
            break
        head += got
    return head.partition(b"\r\n\r\n")[0]


def take_lock(path: Path, wait_s: float) -> int | None:
    """Take the lock at `path`; the caller owns the descriptor and gives back by closing it.

    Args:
        path: the lock file, made with mode 0600 where it is missing.
        wait_s: how long to try, seconds; 0 tries once.
    Returns:
        The descriptor that holds the lock, None when it stayed with another process.
    """
    until_s = time.monotonic() + wait_s
    while True:
        file = _try_lock(path)
        if file is not None:
            return file
        if time.monotonic() >= until_s:
            return None
        time.sleep(LOCK_PAUSE_S)


def _try_lock(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        # Held by another, or somebody removed the file between opening and locking it: what we
        # hold then guards nothing.
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None

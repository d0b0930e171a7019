"""The engine's hold on its database file.

One engine serves one file: it takes the lease before it opens the database and keeps it until it
exits, however it exits. The lease never looks at requests and never decides when to leave.

How the engine uses it:

    lease = Lease.acquire(db_path, wait_s=2.0)       # LeaseTaken: another engine serves the file
    server = listen(lease.last_port() or 0)          # falls back to a free port when it is taken
    header_value = lease.publish(url)                # from now on clients find it
    ...
    with lease.starting() as alone:                  # idle exit: nobody may be looking for us
        if alone and still_idle():
            close the listener; close the database; lease.release(); leave

Law: the address is published only by the holder of the lock, after it listens.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from garcon.engine.address import Address, EngineFiles, read_address, take_lock, write_address


class LeaseTaken(RuntimeError):
    """Another engine serves the file; the text says which."""


class Lease:
    """The right to serve one database file.

    Attributes:
        files: the database and what lies beside it.
        nonce: what this engine's responses carry, fixed from the start so that a server can set
            it up before it listens.
    """

    def __init__(self, files: EngineFiles, lock: int) -> None:
        self.files = files
        self.nonce = secrets.token_hex(16)
        self._lock: int | None = lock

    @classmethod
    def acquire(cls, db_path: Path | str, wait_s: float = 0.0) -> Lease:
        """Take the lease of a database file, whose folder has to exist.

        Args:
            db_path: the database.
            wait_s: how long an earlier engine may take to leave, seconds.
        Raises:
            LeaseTaken: another process kept it.
            OSError: the lock file cannot be made.
        """
        files = EngineFiles.of(db_path)
        lock = take_lock(files.lock, wait_s)
        if lock is None:
            raise LeaseTaken(f"{files.db} is served by another engine{_whereabouts(files)}")
        return cls(files, lock)

    def last_port(self) -> int | None:
        """Return the port of the engine before, None where there is none to keep."""
        address = read_address(self.files.address)
        return address.port if address else None

    def publish(self, url: str) -> str:
        """Tell clients where this engine listens; return the nonce its responses have to carry."""
        write_address(self.files.address, Address(url, os.getpid(), self.nonce))
        return self.nonce

    @contextmanager
    def starting(self, wait_s: float = 0.0) -> Iterator[bool]:
        """Hold the starting lock meanwhile; yields False, without waiting, if a starter has it.

        A starter that holds it may be about to use this engine, so an engine that gets False
        stays.
        """
        lock = take_lock(self.files.starting, wait_s)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)

    def release(self) -> None:
        """Give the file free; the address stays behind, because it holds the port to keep."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _whereabouts(files: EngineFiles) -> str:
    address = read_address(files.address)
    return f" (pid {address.pid} at {address.url})" if address else ""

"""Looking at and tidying an engine's file from outside.

What it never does: write to a file that an engine serves. Its one law: what is open stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from garcon.engine.lease import Lease
from garcon.engine.store import schema
from garcon.engine.store.database import Database

_DAY_MS = 86_400_000
_EVENTS = 20_000
_MOST_DAYS = 1_000_000


class Stats(NamedTuple):
    """What a file holds; sizes in bytes, ``oldest_close_ms`` in epoch milliseconds."""

    version: int
    domains: int
    types: int
    open_executions: int
    closed_executions: int
    events: int
    open_items: int
    oldest_close_ms: int | None
    file_bytes: int
    free_bytes: int
    log_bytes: int


def stats(path: Path) -> Stats:
    """Count what a file holds; an engine may serve it meanwhile.

    Raises:
        FileNotFoundError: There is no such file.
        SchemaError: It is another program's or a newer garcon's, or empty.
        sqlite3.Error: It is no database.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:

        def number(statement: str) -> int:
            row = connection.execute(statement).fetchone()
            return int(row[0] or 0)

        version = schema.check(connection)
        if not version:
            raise schema.SchemaError("no engine has written to the file")
        page = number("PRAGMA page_size")
        return Stats(
            version=version,
            domains=number("SELECT count(*) FROM domains"),
            types=number("SELECT count(*) FROM types"),
            open_executions=number("SELECT count(*) FROM executions WHERE close_ms IS NULL"),
            closed_executions=number("SELECT count(*) FROM executions WHERE close_ms IS NOT NULL"),
            events=number("SELECT count(*) FROM events"),
            open_items=number("SELECT count(*) FROM items"),
            oldest_close_ms=number("SELECT min(close_ms) FROM executions") or None,
            file_bytes=number("PRAGMA page_count") * page,
            free_bytes=number("PRAGMA freelist_count") * page,
            log_bytes=_size(f"{path}-wal"),
        )


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def prune(path: Path, days: float) -> int:
    """Remove executions that closed over ``days`` ago and give the space back; how many.

    Raises:
        FileNotFoundError: There is no such file.
        LeaseTaken: An engine serves it.
        sqlite3.Error: Nothing, or only a part, was removed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    before_ms = time.time_ns() // 1_000_000 - round(min(days, _MOST_DAYS) * _DAY_MS)
    lease = Lease.acquire(path)
    try:
        with contextlib.closing(Database(str(path))) as database:
            removed = sum(_prune_domain(database, d.name, before_ms) for d in database.domains())
            while database.trim(_EVENTS):
                pass
            database.compact()
            return removed
    finally:
        lease.release()


def _prune_domain(database: Database, domain: str, before_ms: int) -> int:
    removed = 0
    while keys := database.expired(domain, before_ms, 1000):
        database.doom(keys)
        removed += len(keys)
    return removed

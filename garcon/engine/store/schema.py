"""The tables of the engine's file and the way from each older version of them to the next.

What it never does: read or write rows. Its one law: a version that was ever released can be opened;
``MIGRATIONS[n]`` turns version n into n + 1 inside one transaction.
"""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x67415243  # "gARC": tells our files from other SQLite files

# Visibility: each filter with each time order has an index of its own for open and for closed
# executions, so a page costs the same however many there are of the other kind.
_FILTERS: Final = ((), ("workflow_id",), ("name",), ("name", "version"))


def _index(table: str, names: tuple[str, ...], time: str, is_open: bool) -> str:
    kind = "open" if is_open else "closed"
    title = "_".join((table, kind, *names, time))
    columns = ", ".join(("domain", *names, time, "key"))
    null = "IS NULL" if is_open else "IS NOT NULL"
    return f"CREATE INDEX {title} ON {table} ({columns}) WHERE close_ms {null}"


_VISIBILITY: Final = (
    *(_index("executions", names, "start_ms", True) for names in _FILTERS),
    *(
        _index("executions", names, time, False)
        for names in (*_FILTERS, ("status",))
        for time in ("start_ms", "close_ms")
    ),
    _index("tags", ("tag",), "start_ms", True),
    _index("tags", ("tag",), "start_ms", False),
    _index("tags", ("tag",), "close_ms", False),
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE domains (
            name TEXT PRIMARY KEY, status TEXT NOT NULL, description TEXT,
            retention TEXT NOT NULL, tags TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE types (
            kind TEXT NOT NULL, domain TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
            status TEXT NOT NULL, description TEXT, created_ms INTEGER NOT NULL,
            deprecated_ms INTEGER, defaults TEXT NOT NULL,
            PRIMARY KEY (kind, domain, name, version)) WITHOUT ROWID""",
        """CREATE TABLE executions (
            key INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL,
            workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL,
            version TEXT NOT NULL, start_ms INTEGER NOT NULL, close_ms INTEGER,
            status TEXT NOT NULL, profile TEXT NOT NULL, state TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX executions_run ON executions (domain, run_id)",
        """CREATE TABLE tags (
            domain TEXT NOT NULL, tag TEXT NOT NULL, start_ms INTEGER NOT NULL,
            close_ms INTEGER, key INTEGER NOT NULL, PRIMARY KEY (key, tag)) WITHOUT ROWID""",
        *_VISIBILITY,
        """CREATE TABLE events (
            run INTEGER NOT NULL, id INTEGER NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (run, id)) WITHOUT ROWID""",
        """CREATE TABLE items (
            run INTEGER NOT NULL, kind TEXT NOT NULL, item, body TEXT NOT NULL,
            PRIMARY KEY (run, kind, item)) WITHOUT ROWID""",
    ),
    # Executions that are gone for everybody but whose events have not been trimmed yet.
    ("CREATE TABLE doomed (key INTEGER PRIMARY KEY)",),
)

VERSION: Final = len(MIGRATIONS)


class SchemaError(Exception):
    """Raised when a file is no engine file or was written by a newer garcon."""


def check(connection: sqlite3.Connection) -> int:
    """Look at whose the file is, without changing it; its version, 0 of an empty one.

    Raises:
        SchemaError: The file belongs to something else or to a newer engine.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and owner != APPLICATION_ID:
        raise SchemaError("the file is a database of another program")
    if version > VERSION:
        raise SchemaError(f"the file has version {version}, this garcon knows {VERSION}")
    return int(version)


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the file to the present version.

    Raises:
        SchemaError: The file belongs to something else or to a newer engine.
    """
    for number in range(check(connection), VERSION):
        _migrate(connection, number)


def _migrate(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in MIGRATIONS[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise

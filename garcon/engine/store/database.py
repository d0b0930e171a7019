"""The engine's file: appended histories, present states, registrations.

What it never does: decide, or leave a transaction open between two calls. Its one law: ``commit``
keeps a whole batch or nothing of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from garcon.engine.core.jsontext import encode
from garcon.engine.core.model import (
    Domain,
    Execution,
    Kind,
    TypeRecord,
    catch_up,
    restore,
    restore_item,
)
from garcon.engine.store import schema
from garcon.engine.store.place import refuse_network, refuse_second_name

_CHECKPOINT_BYTES: Final = 64 << 20
_RESTART_BYTES: Final = 256 << 20
_SPARE_PAGES: Final = 1_000
_BUSY_MS: Final = 5_000
_PAGE_CHARACTERS: Final = 4 << 20
_FRESH_CHARACTERS: Final = 4 << 20
_SCHEDULED: Final = '"eventType":"ActivityTaskScheduled"'
# Of an event's text: its type stands in it.
_HEAD: Final = 120


class Writes(NamedTuple):
    """The rows of one batch."""

    events: list[tuple[int, int, str]]
    started: list[Execution]
    changed: list[Execution]
    items: dict[tuple[int, Kind, Any], Any]
    closed: list[int]
    domains: list[Domain]
    types: list[tuple[str, str, TypeRecord]]
    deleted_types: list[tuple[str, str, str, str]]

    @classmethod
    def new(cls) -> Writes:
        """An empty batch."""
        return cls([], [], [], {}, [], [], [], [])

    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not any(self)


class Database:
    """One open engine file; used by one thread only, but for ``checkpoint``.

    Args:
        path: The file, or ``:memory:``.
        full_sync: Whether a commit also survives a power cut.
    """

    def __init__(self, path: str, *, full_sync: bool = False) -> None:
        self.path = path
        self._connection = _connect(path)
        try:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
            schema.prepare(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._unchecked = 0
        self._fresh = _Fresh()

    def close(self) -> None:
        """Close the file; the last connection folds the log into it."""
        self._connection.close()

    # -- writing ------------------------------------------------------------------------------

    def commit(self, writes: Writes) -> None:
        """Keep a batch whole.

        Raises:
            sqlite3.Error: Nothing of it was kept.
        """
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write(connection, writes)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._unchecked += self._fresh.add(writes.events) + 8192

    def _write(self, connection: sqlite3.Connection, writes: Writes) -> None:
        many = connection.executemany
        if writes.events:
            many("INSERT INTO events VALUES (?, ?, ?)", writes.events)
        if writes.started:
            _insert_executions(connection, writes.started)
        if writes.changed:
            rows = [(encode(state.scalars()), state.key) for state in writes.changed]
            many("UPDATE executions SET state = ? WHERE key = ?", rows)
        if writes.items:
            _write_items(connection, writes.items)
        if writes.closed:
            _write_closed(connection, writes)
        if writes.domains or writes.types or writes.deleted_types:
            _write_registry(connection, writes)

    # -- reading ------------------------------------------------------------------------------

    def next_key(self) -> int:
        """The number for the next execution; numbers are never used twice."""
        row = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'executions'"
        ).fetchone()
        return int(row[0]) + 1 if row else 1

    def domains(self) -> list[Domain]:
        """All domains."""
        rows = self._connection.execute(
            "SELECT name, status, description, retention, tags FROM domains"
        )
        return [
            make_domain(name, status, description, retention, json.loads(tags))
            for name, status, description, retention, tags in rows
        ]

    def types(self) -> list[tuple[str, str, TypeRecord]]:
        """All types with their kind and domain."""
        rows = self._connection.execute(
            "SELECT kind, domain, name, version, status, description, created_ms, deprecated_ms,"
            " defaults FROM types"
        )
        return [(row[0], row[1], TypeRecord._make((*row[2:8], json.loads(row[8])))) for row in rows]

    def open_executions(self) -> list[Execution]:
        """Every open execution with what is open in it."""
        rows = self._connection.execute(
            "SELECT key, profile, state FROM executions WHERE close_ms IS NULL"
        )
        states = {
            key: restore(key, json.loads(profile), json.loads(state))
            for key, profile, state in rows
        }
        for run, kind, body in self._connection.execute("SELECT run, kind, body FROM items"):
            restore_item(states[run], kind, json.loads(body))
        for state in states.values():
            self._catch_up(state)
        return list(states.values())

    def _catch_up(self, state: Execution) -> None:
        rows = self._connection.execute(
            "SELECT id, body FROM events WHERE run = ? AND id > ? ORDER BY id",
            (state.key, state.last_id),
        )
        catch_up(state, rows)

    def execution(self, key: int) -> Execution | None:
        """One execution, open or closed; None once it is forgotten."""
        row = self._connection.execute(
            "SELECT profile, state FROM executions WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        state = restore(key, json.loads(row[0]), json.loads(row[1]))
        items = self._connection.execute("SELECT kind, body FROM items WHERE run = ?", (key,))
        for kind, body in items:
            restore_item(state, kind, json.loads(body))
        self._catch_up(state)
        return state

    def find_run(self, domain: str, run_id: str) -> int | None:
        """The number of a run."""
        row = self._connection.execute(
            "SELECT key FROM executions WHERE domain = ? AND run_id = ?", (domain, run_id)
        ).fetchone()
        return int(row[0]) if row else None

    def event(self, key: int, event_id: int) -> str:
        """The text of one event."""
        fresh = self._fresh.take(key, event_id)
        if fresh is not None:
            return fresh
        row = self._connection.execute(
            "SELECT body FROM events WHERE run = ? AND id = ?", (key, event_id)
        ).fetchone()
        return str(row[0])

    def events(self, key: int, first: int, last: int, limit: int, reverse: bool) -> list[str]:
        """Texts of the events from ``first`` to ``last`` (both included), ``limit`` at most.

        Fewer when they are large: a page is there to be held in memory, here and by the client.
        """
        order = "DESC" if reverse else "ASC"
        rows = self._connection.execute(
            f"SELECT body FROM events WHERE run = ? AND id BETWEEN ? AND ? ORDER BY id {order}"
            " LIMIT ?",
            (key, first, last, limit),
        )
        page: list[str] = []
        room = _PAGE_CHARACTERS
        for (text,) in rows:
            page.append(text)
            room -= len(text)
            if room <= 0:
                break
        return page

    def select(self, statement: str, values: list[Any]) -> Iterator[tuple[Any, ...]]:
        """Rows of a visibility query (see ``visibility``)."""
        return iter(self._connection.execute(statement, values))

    # -- keeping the file small ---------------------------------------------------------------

    def expired(self, domain: str, before_ms: int, limit: int) -> list[int]:
        """Executions of a domain that closed at or before an instant, oldest first."""
        rows = self._connection.execute(
            "SELECT key FROM executions WHERE domain = ? AND close_ms IS NOT NULL"
            " AND close_ms <= ? ORDER BY close_ms, key LIMIT ?",
            (domain, before_ms, limit),
        )
        return [row[0] for row in rows]

    def doom(self, keys: list[int]) -> None:
        """Make closed executions vanish; their events are left to ``trim``."""
        connection = self._connection
        rows = [(key,) for key in keys]
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT INTO doomed VALUES (?)", rows)
            connection.executemany("DELETE FROM tags WHERE key = ?", rows)
            connection.executemany("DELETE FROM executions WHERE key = ?", rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def trim(self, limit: int) -> bool:
        """Delete up to ``limit`` events of vanished executions; whether there was anything."""
        connection = self._connection
        row = connection.execute("SELECT key FROM doomed LIMIT 1").fetchone()
        if row is None:
            return False
        gone = connection.execute(
            "DELETE FROM events WHERE run = ? AND id IN"
            " (SELECT id FROM events WHERE run = ? LIMIT ?)",
            (row[0], row[0], limit),
        ).rowcount
        if gone < limit:
            connection.execute("DELETE FROM doomed WHERE key = ?", row)
        return True

    def vacuum(self, pages: int) -> bool:
        """Give some free pages back once many are free; whether there was anything."""
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (total,) = self._connection.execute("PRAGMA page_count").fetchone()
        if free < max(_SPARE_PAGES, total // 5):
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        return True

    def wants_checkpoint(self) -> bool:
        """Whether enough was written since the last checkpoint; never for ``:memory:``."""
        return self.path != ":memory:" and self._unchecked > _CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """Fold the log into the file on a connection of its own; safe in another thread."""
        self._unchecked = 0
        with contextlib.closing(_connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def restart_log(self) -> None:
        """Begin the log anew when it has grown large; short right behind a checkpoint."""
        connection = self._connection
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            if os.path.getsize(self.path + "-wal") > _RESTART_BYTES:
                # Somebody who reads the file from outside must not hold up the engine.
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def compact(self) -> None:
        """Rewrite the file without its free space; for files nobody else has open."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class _Fresh:
    """Texts of activities scheduled lately: each is asked for when a poller gets the task."""

    def __init__(self) -> None:
        self._texts: dict[tuple[int, int], str] = {}
        self._room = _FRESH_CHARACTERS

    def add(self, events: list[tuple[int, int, str]]) -> int:
        """Keep those of a committed batch, the oldest give way; how long all its texts are."""
        characters = 0
        for key, event_id, text in events:
            characters += len(text)
            if text.find(_SCHEDULED, 0, _HEAD) > 0:
                self._texts[key, event_id] = text
                self._room -= len(text)
        while self._room < 0:
            self._room += len(self._texts.pop(next(iter(self._texts))))
        return characters

    def take(self, key: int, event_id: int) -> str | None:
        """The text of an event, if it is still here; it is given out once."""
        text = self._texts.pop((key, event_id), None)
        if text is not None:
            self._room += len(text)
        return text


def _connect(path: str) -> sqlite3.Connection:
    if path != ":memory:":
        refuse_network(path)
        refuse_second_name(path)
    if path != ":memory:" and not os.path.exists(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        # First of all: the journal's mode is written into the file, whosever it is.
        schema.check(connection)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = -16384")
    except BaseException:
        # A file that is none of SQLite's says so at the first that reads it.
        connection.close()
        raise
    return connection


def make_domain(
    name: str, status: str, description: str | None, retention: str, tags: dict[str, str]
) -> Domain:
    """A domain; the retention text counts days, NONE and 0 keep nothing."""
    days = 0 if retention == "NONE" else int(retention)
    return Domain(name, status, description, days or None, retention, tags)


def _insert_executions(connection: sqlite3.Connection, started: list[Execution]) -> None:
    rows: list[tuple[Any, ...]] = []
    tags: list[tuple[Any, ...]] = []
    for state in started:
        p = state.profile
        profile, scalars = encode(p), encode(state.scalars())
        rows.append(
            (
                *(state.key, p.domain, p.workflow_id, p.run_id, p.name, p.version, p.start_ms),
                *(state.close_ms or None, state.status, profile, scalars),
            )
        )
        tags.extend((p.domain, tag, p.start_ms, state.key) for tag in set(p.tags))
    connection.executemany("INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.executemany(
        "INSERT INTO tags (domain, tag, start_ms, key) VALUES (?, ?, ?, ?)", tags
    )


def _write_items(connection: sqlite3.Connection, items: dict[tuple[int, Kind, Any], Any]) -> None:
    put = [(*key, encode(item)) for key, item in items.items() if item is not None]
    gone = [key for key, item in items.items() if item is None]
    if put:
        connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", put)
    if gone:
        connection.executemany("DELETE FROM items WHERE run = ? AND kind = ? AND item = ?", gone)


def _write_closed(connection: sqlite3.Connection, writes: Writes) -> None:
    closed = set(writes.closed)
    states = [state for state in writes.changed + writes.started if state.key in closed]
    connection.executemany(
        "UPDATE executions SET status = ?, close_ms = ? WHERE key = ?",
        [(state.status, state.close_ms, state.key) for state in states],
    )
    connection.executemany("DELETE FROM items WHERE run = ?", [(key,) for key in closed])
    connection.executemany(
        "UPDATE tags SET close_ms = ? WHERE key = ?",
        [(state.close_ms, state.key) for state in states if state.profile.tags],
    )


def _write_registry(connection: sqlite3.Connection, writes: Writes) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO domains VALUES (?, ?, ?, ?, ?)",
        [
            (d.name, d.status, d.description, d.retention_text, encode(d.tags))
            for d in writes.domains
        ],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO types VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (kind, domain, *record[:6], encode(record.defaults))
            for kind, domain, record in writes.types
        ],
    )
    connection.executemany(
        "DELETE FROM types WHERE kind = ? AND domain = ? AND name = ? AND version = ?",
        writes.deleted_types,
    )

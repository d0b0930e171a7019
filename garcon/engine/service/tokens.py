"""Task tokens and page tokens: what a client carries for the engine.

What it never does: keep a table of them. Its one law: a token says where to look and names the run,
so that it outlives a restart and never fits another file's task.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any, Final, NamedTuple

from garcon.engine.core import faults
from garcon.engine.core.jsontext import encode
from garcon.engine.core.tables import PAGE_TOKEN_LIFE_MS
from garcon.engine.service.lists import TaskKind

# The service's own tokens begin with these bytes ("AAAAKgAAAAE" in base64).
_MAGIC: Final = b"\x00\x00\x00\x2a\x00\x00\x00\x01"
_LAYOUT: Final = struct.Struct(">8s1sQIII")
_LETTERS: Final[dict[TaskKind, bytes]] = {"activity": b"a", "decision": b"d"}


class TaskToken(NamedTuple):
    """What a task token says."""

    key: int
    scheduled_id: int
    started_id: int
    run_check: int


def run_check(run_id: str) -> int:
    """The part of a token that ties it to its run."""
    return zlib.crc32(run_id.encode())


def task_token(kind: TaskKind, key: int, scheduled_id: int, started_id: int, run_id: str) -> str:
    """The token of a started task."""
    packed = _LAYOUT.pack(_MAGIC, _LETTERS[kind], key, scheduled_id, started_id, run_check(run_id))
    return base64.b64encode(packed).decode()


def read_task_token(kind: TaskKind, token: str) -> TaskToken:
    """The parts of a token.

    Raises:
        Fault: ValidationException "Invalid token" for what this engine never gave out.
    """
    try:
        magic, letter, key, scheduled_id, started_id, check = _LAYOUT.unpack(
            base64.b64decode(token, validate=True)
        )
    except (struct.error, ValueError):
        raise faults.validation("Invalid token") from None
    if magic != _MAGIC or letter != _LETTERS[kind] or key >> 63:
        raise faults.validation("Invalid token")
    return TaskToken(key, scheduled_id, started_id, check)


def page_token(scope: list[Any], position: list[Any], now_ms: int) -> str:
    """A token for the next page of the listing that ``scope`` describes."""
    # As UTF-8, so that the longest names still fit into a token's 2,048 characters.
    text = encode([_check(scope, now_ms, position), now_ms, position])
    return base64.urlsafe_b64encode(_MAGIC + text.encode()).decode()


def read_page_token(token: str, scope: list[Any], now_ms: int, form: tuple[type, ...]) -> list[Any]:
    """The position a page token stands for.

    Args:
        token: What the client sent.
        scope: The listing that is being read.
        now_ms: The time, epoch milliseconds.
        form: The types of the position's parts; what a client has made up may have others.

    Raises:
        Fault: ValidationException when it belongs to another listing or is over a day old.
    """
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        check, issued_ms, position = json.loads(raw[len(_MAGIC) :])
        known = raw[: len(_MAGIC)] == _MAGIC and check == _check(scope, issued_ms, position)
        known = known and type(position) is list
    except (ValueError, TypeError, RecursionError):
        raise faults.validation("Invalid token") from None
    if not known or not _has_form([issued_ms, *position], (int, *form)):
        raise faults.validation("Invalid token")
    if now_ms - issued_ms > PAGE_TOKEN_LIFE_MS:
        raise faults.validation("Specified token has exceeded its maximum lifetime")
    listed: list[Any] = position
    return listed


def _has_form(parts: list[Any], form: tuple[type, ...]) -> bool:
    """Whether the parts have these types, and their numbers room in a row of the store."""
    if [type(part) for part in parts] != list(form):
        return False
    return all(0 <= part < 1 << 63 for part in parts if type(part) is int)


def _check(scope: list[Any], issued_ms: Any, position: Any) -> int:
    return zlib.crc32(json.dumps([scope, issued_ms, position], sort_keys=True).encode())

"""How an attempt ended otherwise than well, as it is written into the history.

SWF keeps one reason (256 characters) and one details text (32,768) for a failed activity. garcon
puts a small JSON into the details, so that the decider can tell a task that raised from a worker
that was killed, and draw on the right budget. Pure. Law: a text that garcon has not written (an
external activity's) is a plain failure, and kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

REASON_MAX = 256  # characters; SWF's limit for a failure's reason
DETAILS_MAX = 32_768  # characters; SWF's limit for details, inputs and results
TRACEBACK_MAX = 8_000  # characters; the tail is what tells


class Kind(str, Enum):
    """Why an attempt ended."""

    FAILED = "failed"  #: the task raised, or returned what cannot be a result
    OUT_OF_MEMORY = "out_of_memory"  #: killed at garcon's own memory bound
    LOST = "lost"  #: its worker or host died
    HANDED_BACK = "handed_back"  #: it never ran: the pool gave it back


@dataclass(frozen=True)
class Failure:
    """One failed attempt as the history tells it.

    Attributes:
        kind: which budget it draws on.
        reason: one line, at most 256 characters.
        errors: names of the error's class and its bases, the class itself first.
        traceback: tail of the traceback, empty where none was.
        facts: worker, pid, signal, CPU seconds, peak memory; whatever was known.
    """

    kind: Kind
    reason: str
    errors: tuple[str, ...] = ()
    traceback: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def cut(text: str, limit: int) -> str:
    """Return `text` within `limit` characters, an ellipsis showing where it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def encode_failure(failure: Failure) -> tuple[str, str]:
    """Return SWF's `reason` and `details` for `failure`, both within SWF's lengths."""
    return cut(failure.reason, REASON_MAX), _details(failure, TRACEBACK_MAX)


def _details(failure: Failure, traceback_max: int) -> str:
    document: dict[str, Any] = {"garcon": 1, "kind": failure.kind.value}
    if failure.errors:
        document["errors"] = list(failure.errors)
    if failure.traceback:
        document["traceback"] = failure.traceback[-traceback_max:]
    document.update(failure.facts)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
    if len(text) <= DETAILS_MAX:
        return text
    return _details(Failure(failure.kind, failure.reason, failure.errors[:20]), 0)


def decode_failure(reason: str | None, details: str | None) -> Failure:
    """Return what the history's `reason` and `details` say.

    Anything that garcon did not write (an external worker's text) is a plain failure.
    """
    document = _own_document(details)
    if document is None:
        return Failure(Kind.FAILED, reason or "")
    try:
        kind = Kind(document.pop("kind", Kind.FAILED.value))
    except ValueError:
        kind = Kind.FAILED
    errors = document.pop("errors", ())
    traceback = document.pop("traceback", "")
    document.pop("garcon")
    return Failure(kind, reason or "", _names(errors), str(traceback), document)


def _own_document(details: str | None) -> dict[str, Any] | None:
    if not details or not details.startswith('{"garcon":'):
        return None
    try:
        document = json.loads(details)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _names(errors: Any) -> tuple[str, ...]:
    if isinstance(errors, Sequence) and not isinstance(errors, str):
        return tuple(str(name) for name in errors)
    return ()

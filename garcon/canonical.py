"""One text for one JSON value: what instance ids, manifests and default workflow ids are made of.

Keys are sorted, types stay visible (`1`, `1.0`, `true` and `"1"` all differ), and nothing is
converted silently. What is not JSON is refused with the path to it. Pure. Law: two values have the
same text exactly when they are the same JSON value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha1, sha256
from typing import Any

from garcon.errors import GarconError

#: Characters of a key: SHA-256 cut to the length that garcon's ids have always had.
KEY_LENGTH = 40

#: Keys of garcon's own in a context; they never make two instances or inputs different.
OWN_PREFIX = "garcon."

#: Levels of nesting before a value counts as endless (it may contain itself).
DEPTH_MAX = 100


class NotJsonError(GarconError, ValueError):
    """A value has no JSON text.

    Attributes:
        path: where it is, such as `days[3].when`; empty when it is the value itself.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the value'} {problem}")
        self.path = path


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, characters unescaped.

    Tuples count as lists. Texts and numbers of subclasses (enums of `str` or `int`) count as what
    they extend.

    Raises:
        NotJsonError: for NaN and infinities, keys that are no text, lone surrogates, and every
            type that JSON lacks; the message names the path.
    """
    _check(value, "", 0)
    return json.dumps(
        value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )


def key_of(data: Mapping[str, Any]) -> str:
    """Return 40 hex digits that stand for the content of `data`, whatever its keys' order.

    Keys that begin with `garcon.` do not count: they are garcon's notes, not the user's content.

    Raises:
        NotJsonError: like `canonical_json`.
    """
    text = canonical_json(without_own(data))
    return sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def without_own(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` without the keys that are garcon's own."""
    return {
        key: value
        for key, value in data.items()
        if not (isinstance(key, str) and key.startswith(OWN_PREFIX))
    }


def legacy_key_of(data: Mapping[str, Any]) -> str:
    """Return the key that garcon 1.1.1 made of `data`, for runs that began under it.

    Its parts are joined as bare text, so `1` and `"1"` share a key: nothing new may use it.
    """
    parts = "".join(f"'{key}':'{value}';" for key, value in sorted(data.items()))
    return sha1(parts.encode(), usedforsecurity=False).hexdigest()


def _check(value: Any, path: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise NotJsonError(path[:80], f"is nested more than {DEPTH_MAX} levels deep")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float):
        # NaN is unequal to itself, and an infinity has no JSON text.
        if value != value or value in (float("inf"), float("-inf")):
            raise NotJsonError(path, f"is {value}, which JSON does not have")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_key(key, path)
            _check(inner, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            _check(inner, f"{path}[{position}]", depth + 1)
    elif value is not None and not isinstance(value, int):
        raise NotJsonError(path, f"is a {type(value).__name__}, which JSON does not have")


def _check_key(key: Any, path: str) -> None:
    # json.dumps would write the key 1 as "1", and so let two different dicts share one text.
    if not isinstance(key, str):
        raise NotJsonError(path, f"has the key {key!r} ({type(key).__name__}); keys must be text")
    _check_text(key, path)


def _check_text(text: str, path: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotJsonError(path, "holds a lone surrogate, which is no character") from None

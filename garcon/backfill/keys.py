"""Keys of instances and of inputs, as words of a command: `day=2026-01-05,country=FR`.

Values may be quoted, so that a comma, a blank or an equals sign can be part of one. Pure. Law: what
`format_keys` writes, `read_keys` reads back as the same selection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from garcon.canonical import OWN_PREFIX
from garcon.errors import UsageError

#: One pair: a key, and a value in double quotes (JSON), in single quotes (as it is), or bare.
_PAIR = re.compile(
    r"""\s*([^=,'"\s]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^,'"]*?)\s*(,|$)""", re.DOTALL
)

#: What needs no quotes.
_PLAIN = re.compile(r"[^\s,'\"=]+")


def read_keys(text: str, option: str = "--keys") -> dict[str, str]:
    """Return the texts that `--keys` asks for, by key.

    Args:
        text: the option's value.
        option: what the option is called, for errors.
    Raises:
        UsageError: it is not `key=value` with commas between, or names a key twice.
    """
    found: dict[str, str] = {}
    place = 0
    while place < len(text) or not found:
        pair = _PAIR.match(text, place)
        if pair is None or (pair[3] == "," and pair.end() == len(text)):
            raise UsageError(
                f"{option} {text!r}: write key=value with commas between, and quote a value that "
                "holds one: day=2026-01-05,city='Paris, Texas'"
            )
        key, value, place = pair[1], _unquoted(pair[2], f"{option} {text!r}"), pair.end()
        if key in found:
            raise UsageError(f"{option} {text!r} names {key!r} twice; give {option} twice instead")
        found[key] = value
    return found


def _unquoted(word: str, source: str) -> str:
    if word.startswith("'"):
        return word[1:-1]
    if word.startswith('"'):
        try:
            return str(json.loads(word, strict=False))
        except ValueError:
            raise UsageError(f"{source}: {word} is no quoted text") from None
    return word


def format_keys(context: Mapping[str, Any]) -> str:
    """Return the selection of one instance as `--keys` reads it."""
    return ",".join(f"{key}={_word(value)}" for key, value in context.items())


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def read_setting(text: str) -> tuple[str, Any]:
    """Return key and value that `--set` adds to an input: JSON where it is some, else text.

    Raises:
        UsageError: no key, or one of garcon's own.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text!r}: write key=value; the value is JSON, or else text")
    if key.startswith(OWN_PREFIX):
        raise UsageError(f"--set {text!r}: keys that begin with {OWN_PREFIX!r} are garcon's own")
    try:
        return key, json.loads(value, parse_constant=_refuse_constant)
    except ValueError:
        return key, value


def _refuse_constant(word: str) -> Any:
    raise ValueError(word)

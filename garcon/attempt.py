"""How often an instance was tried, told to who runs it.

Only the execution's history knows it, and an activity task brings nothing of its own but id and
input. So a repeated attempt's input begins with a key of garcon's, which is taken off before a task
sees it. Pure. Law: the key never costs an attempt: an input that has no room for it goes without.
"""

from __future__ import annotations

import re

from garcon.outcome import DETAILS_MAX

#: The key, which stands first in its input.
ATTEMPT_KEY = "garcon.attempt"

_MARK = re.compile(rb'\{"garcon\.attempt":([0-9]{1,9})(?:,|(?=\}))')


def with_attempt(text: str, attempt: int) -> str:
    """Return the input `text`, a JSON object, of the `attempt`th attempt; the first has no mark."""
    if attempt <= 1:
        return text
    comma = "" if text == "{}" else ","
    marked = f'{{"{ATTEMPT_KEY}":{attempt}{comma}{text[1:]}'
    return marked if len(marked) <= DETAILS_MAX else text


def split_attempt(data: bytes) -> tuple[int, bytes]:
    """Return which attempt an input is for, and the input without its mark."""
    found = _MARK.match(data)
    return (int(found[1]), b"{" + data[found.end() :]) if found else (1, data)

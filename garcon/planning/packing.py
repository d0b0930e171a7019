"""Long texts into SWF's short ones: compressed where that helps, cut into parts, proven whole.

Used for what travels in markers, inputs and results. Pure. Law: what comes out is what went in, or
nothing.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from hashlib import sha256

#: Characters up to which a text stays readable in the history instead of compressed.
PLAIN_MAX = 30_000

#: Bytes of a body whose parts all have to travel in one response.
BODY_MAX = 800_000

#: Bound against a compressed text that would fill the memory, bytes.
UNPACKED_MAX = 50_000_000


def pack(body: str) -> tuple[str, str]:
    """Return the form (`json` or `zlib`) and the text of `body` in that form."""
    if len(body) <= PLAIN_MAX:
        return "json", body
    # base64 has no character that JSON escapes: on the wire it is as long as it looks.
    return "zlib", b64encode(zlib.compress(body.encode(), 6)).decode()


def unpack(form: str, text: str, digest: str) -> str | None:
    """Return the body that `pack` made `text` of, None where it is not the one of this digest."""
    body = text if form == "json" else _inflated(text)
    return body if body is not None and digest_of(body) == digest else None


def _inflated(text: str) -> str | None:
    inflater = zlib.decompressobj()
    try:
        return inflater.decompress(b64decode(text), UNPACKED_MAX).decode()
    except (ValueError, zlib.error):
        return None


def split(text: str, room: int) -> list[str]:
    """Return `text` in pieces of at most `room` characters, at least one piece."""
    return [text[start : start + room] for start in range(0, len(text), room)] or [""]


def digest_of(body: str) -> str:
    """Return the 16 hex digits that prove a body whole."""
    return sha256(body.encode()).hexdigest()[:16]

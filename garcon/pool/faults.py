"""What an answer other than 200, or none at all, means in words.

Beside SWF's own faults there are pages of proxies and load balancers, and refused signatures of
which only the clock is wrong. Sends nothing. Law: whatever came, one `ServiceError` comes of it.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from garcon.errors import ServiceError

#: What AWS says to a signature whose time is far from its own, and how far that is, seconds.
SKEWED = frozenset({"InvalidSignatureException", "RequestExpired", "SignatureDoesNotMatch"})
SKEW_S = 240.0


def fault_of(status: int, headers: Mapping[str, str], answer: bytes) -> ServiceError:
    """Return the error that an answer other than 200 stands for.

    Args:
        status: HTTP status.
        headers: of the response; names in any case.
        answer: its body, SWF's JSON or whatever stands in its place.
    """
    try:
        fault = json.loads(answer)
        code = str(fault.get("__type") or headers.get("x-amzn-errortype") or "")
        message = str(fault.get("message") or fault.get("Message") or "")
    except (ValueError, AttributeError):
        # Not SWF's: a proxy's page or a load balancer's.
        code, message = "", answer[:200].decode(errors="replace")
    code = code.rsplit("#", 1)[-1].split(":", 1)[0] or f"HTTP{status}"
    if code in SKEWED:
        message += _skew(headers.get("Date"))
    return ServiceError(code, message, status)


def _skew(date: str | None) -> str:
    """Return a remark where this machine's clock is what the engine objects to."""
    try:
        theirs_s = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return ""
    ahead_s = time.time() - theirs_s
    if abs(ahead_s) < SKEW_S:
        return ""
    side = "ahead of" if ahead_s > 0 else "behind"
    return f" (this machine's clock is {abs(ahead_s):.0f} s {side} the engine's)"


def connect_error(error: OSError) -> str:
    """Return the system's word for a connection that was not made: `Connection refused`."""
    # asyncio puts a sentence of its own with the address in the place of that word. Failed
    # look-ups have numbers of their own below zero, TLS counts from one: their texts are good.
    if isinstance(error, ssl.SSLError) or not error.errno or error.errno < 0:
        return str(error)
    return os.strerror(error.errno)

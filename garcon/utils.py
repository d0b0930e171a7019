"""The three helpers that garcon's documentation names, and nothing else.

They stay here because users import them: the key of a dictionary, and the two callbacks that
`backoff` gets when a poll is throttled. Law: they never call the network, and nothing is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from garcon.canonical import key_of
from garcon.errors import ServiceError


def create_dictionary_key(dictionary: dict[str, Any]) -> str:
    """Return a key of 40 hex digits that stands for the content of `dictionary`.

    Equal contents have equal keys whatever their order; `1` and `"1"`, nested values and values
    holding quotes never share one. Keys beginning with `garcon.` do not count.

    Raises:
        TypeError: it is no dict.
        ValueError: it is empty, or holds what JSON lacks (`canonical.NotJsonError`, by path).
    """
    if not isinstance(dictionary, dict):
        raise TypeError(f"a key is made of a dict, not of a {type(dictionary).__name__}")
    if not dictionary:
        raise ValueError("an empty dict has no key; an activity without generators ends in -1")
    return key_of(dictionary)


def non_throttle_error(swf_response_error: Exception) -> bool:
    """Return whether this error is anything but SWF asking for fewer calls.

    A throttle is worth waiting for, everything else is not. LimitExceededFault counts as one:
    a poll gets it when too many pollers wait on the list already.

    Args:
        swf_response_error: a botocore `ClientError`, as boto3 raises it, or a `ServiceError`.
    """
    if isinstance(swf_response_error, ServiceError):
        return not swf_response_error.is_throttle
    if not isinstance(swf_response_error, ClientError):
        return True
    code = swf_response_error.response.get("Error", {}).get("Code", "")
    return code not in ServiceError.THROTTLES


def throttle_backoff_handler(details: Mapping[str, Any]) -> None:
    """Log that a throttled call waits and is tried again.

    Args:
        details: what `backoff` hands to `on_backoff`: `args` (the object whose method was called
            comes first and has a `logger`), `tries` so far, `wait` in seconds.
    """
    actor = details["args"][0]
    actor.logger.info(
        "SWF throttles: try %s failed, next one in %.1f s", details["tries"], details["wait"]
    )

"""What the engine said, as far as the supervisor has to understand it.

An answer is a JSON object, a refusal is about the call or about the caller. Pure. Law: an answer
that is none of SWF's (a proxy's page with a good status) is an `EngineError`, never an accident.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from garcon.errors import EngineError, ServiceError

#: Refusals of the caller rather than of what it sent: keys, rights, clock. They say nothing of a
#: result or a decision, and may be mended while the pool runs.
ABOUT_THE_CALLER = frozenset({
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OperationNotPermittedFault",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
})  # fmt: skip


def read_answer(data: bytes) -> dict[str, Any]:
    """Return the JSON object that an answer's body is; an empty body is an empty one.

    Raises:
        EngineError: it is anything else.
    """
    try:
        document = json.loads(data or b"{}")
    except ValueError as error:
        raise EngineError(f"the engine's answer is no JSON: {data[:80]!r}") from error
    if not isinstance(document, dict):
        raise EngineError(f"the engine's answer is no JSON object: {data[:80]!r}")
    return document


def is_about_content(error: ServiceError) -> bool:
    """Whether a refusal says that what was sent is wrong, so that repeating it is useless."""
    passing = error.is_passing or error.is_unknown_resource
    return not passing and error.code not in ABOUT_THE_CALLER


def decision_timeout_s(head: Mapping[str, Any]) -> float | None:
    """Return how long the engine waits for the decision that a poll's answer asks for.

    Whoever started the execution chose it. None where this page does not tell, or there is no
    bound.
    """
    for event in reversed(head.get("events") or ()):
        if event["eventType"] == "DecisionTaskScheduled":
            text = event["decisionTaskScheduledEventAttributes"].get("startToCloseTimeout", "NONE")
            return None if text == "NONE" else float(text)
    return None

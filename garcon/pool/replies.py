"""Answers to decision tasks that the supervisor words itself. Pure: texts in, bytes out."""

from __future__ import annotations

import json

from garcon.history import AGAIN_TIMER
from garcon.outcome import DETAILS_MAX, REASON_MAX, cut


def with_token(token: str, body: bytes) -> bytes:
    """Return the decider's JSON object `body` with the task's token as its first member."""
    rest = body[1:]
    comma = b"" if rest == b"}" else b","
    return b'{"taskToken":' + json.dumps(token).encode() + comma + rest


def ask_again(token: str) -> bytes:
    """Return an answer that decides nothing and has the engine ask again at once."""
    timer = {
        "decisionType": "StartTimer",
        "startTimerDecisionAttributes": {"timerId": AGAIN_TIMER, "startToFireTimeout": "0"},
    }
    return json.dumps({"taskToken": token, "decisions": [timer]}).encode()


def fail_execution(token: str, text: str) -> bytes:
    """Return an answer that fails the execution with `text`."""
    attributes = {"reason": cut(text, REASON_MAX), "details": cut(text, DETAILS_MAX)}
    decision = {
        "decisionType": "FailWorkflowExecution",
        "failWorkflowExecutionDecisionAttributes": attributes,
    }
    return json.dumps({"taskToken": token, "decisions": [decision]}).encode()

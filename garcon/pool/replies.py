"""Answers to decision tasks that the supervisor words itself. Pure: texts in, bytes out."""

from __future__ import annotations

import json

from garcon.history import AGAIN_TIMER, ANEW_TIMER
from garcon.outcome import DETAILS_MAX, REASON_MAX, cut


def with_token(token: str, body: bytes) -> bytes:
    """Return the decider's JSON object `body` with the task's token as its first member."""
    rest = body[1:]
    comma = b"" if rest == b"}" else b","
    return b'{"taskToken":' + json.dumps(token).encode() + comma + rest


def ask_again(token: str, *, blames_run: bool) -> bytes:
    """Return an answer that decides nothing and has the engine ask again at once.

    Args:
        token: the decision task's.
        blames_run: whether it may be the run's own fault; such a run is not asked for ever.
    """
    timer_id = AGAIN_TIMER if blames_run else ANEW_TIMER
    timer = {
        "decisionType": "StartTimer",
        "startTimerDecisionAttributes": {"timerId": timer_id, "startToFireTimeout": "0"},
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

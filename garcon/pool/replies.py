"""Answers to decision tasks that the supervisor words itself. Pure: texts in, bytes out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from garcon.history import AGAIN_TIMER, ANEW_TIMER
from garcon.outcome import DETAILS_MAX, REASON_MAX, cut

#: What the reasons begin with by which the pool itself fails an execution; the first is counted.
_UNMADE = "decisions in a row could not be made: "
_REFUSED = "the engine refused the decisions: "

_OWN_REASONS = re.compile(rf"\d+ {_UNMADE}|{_REFUSED}")


def unmade_text(times: int, why: object) -> str:
    """Return the reason of an execution of which no decision can be made."""
    return f"{times} {_UNMADE}{why}"


def refused_text(why: object) -> str:
    """Return the reason of an execution whose decisions the engine does not take."""
    return f"{_REFUSED}{why}"


def is_own_reason(reason: str) -> bool:
    """Whether an execution failed by the pool's word, and not by its decider's."""
    return _OWN_REASONS.match(reason) is not None


def with_members(body: bytes, members: Mapping[str, Any]) -> bytes:
    """Return the decider's JSON object `body`, unread, with `members` (its token, say) before."""
    rest = body[1:]
    comma = b"" if rest == b"}" else b","
    return json.dumps(members).encode()[:-1] + comma + rest


def ask_again(members: Mapping[str, Any], *, blames_run: bool) -> bytes:
    """Return an answer that decides nothing and has the engine ask again at once.

    Args:
        members: what it says beside: the decision task's token at least.
        blames_run: whether it may be the run's own fault; such a run is not asked for ever.
    """
    timer_id = AGAIN_TIMER if blames_run else ANEW_TIMER
    timer = {
        "decisionType": "StartTimer",
        "startTimerDecisionAttributes": {"timerId": timer_id, "startToFireTimeout": "0"},
    }
    return json.dumps({**members, "decisions": [timer]}).encode()


def fail_execution(token: str, text: str) -> bytes:
    """Return an answer that fails the execution with `text`."""
    attributes = {"reason": cut(text, REASON_MAX), "details": cut(text, DETAILS_MAX)}
    decision = {
        "decisionType": "FailWorkflowExecution",
        "failWorkflowExecutionDecisionAttributes": attributes,
    }
    return json.dumps({"taskToken": token, "decisions": [decision]}).encode()

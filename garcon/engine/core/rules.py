"""SWF's rules on values that its service model does not carry.

What it never does: know where a value stands in a request. Its one law: each rule answers with the
sentence of the broken constraint, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from garcon.engine.core.tables import MAX_LAMBDA_S, MAX_RUN_S

Rule = Callable[[str], str | None]

_FORBIDDEN: Final = re.compile("[:/|\u0000-\u001f\u007f-\u009f]")
_TAG: Final = re.compile(r"[\w\s.:/=+@-]*")
_DIGITS: Final = re.compile("[0-9]{1,8}")
_INTEGER: Final = re.compile("-?[0-9]{1,10}")
_MAX_RETENTION_DAYS: Final = 90


def name(value: str) -> str | None:
    """Names and ids: no separators, no control characters, not the literal ``arn``."""
    if _FORBIDDEN.search(value) or value == "arn":
        return (
            "Member must not contain ':', '/', '|' or control characters"
            " and must not be the literal string arn"
        )
    return None


def trimmed_name(value: str) -> str | None:
    """Domains and task lists: a name without blanks at its ends."""
    if value != value.strip():
        return "Member must not start or end with whitespace"
    return name(value)


def seconds(value: str) -> str | None:
    """A duration that must be a number."""
    return None if _DIGITS.fullmatch(value) else "Member must be a whole number of seconds"


def seconds_or_none(value: str) -> str | None:
    """A duration that may be NONE."""
    if value == "NONE" or _DIGITS.fullmatch(value):
        return None
    return "Member must be a whole number of seconds or NONE"


def run_seconds(value: str) -> str | None:
    """The time of a whole run: positive, a year at most, never NONE."""
    if not _DIGITS.fullmatch(value) or not 0 < int(value) <= MAX_RUN_S:
        return f"Member must be a whole number of seconds between 1 and {MAX_RUN_S}"
    return None


def lambda_seconds(value: str) -> str | None:
    """The time of a function."""
    if not _DIGITS.fullmatch(value) or not 0 < int(value) <= MAX_LAMBDA_S:
        return f"Member must be a whole number of seconds between 1 and {MAX_LAMBDA_S}"
    return None


def retention_days(value: str) -> str | None:
    """A domain's retention."""
    if value == "NONE" or (_DIGITS.fullmatch(value) and int(value) <= _MAX_RETENTION_DAYS):
        return None
    return f"Member must be a number of days between 0 and {_MAX_RETENTION_DAYS} or NONE"


def priority(value: str) -> str | None:
    """A task priority: a signed 32-bit number."""
    if _INTEGER.fullmatch(value) and -(2**31) <= int(value) < 2**31:
        return None
    return f"Member must be an integer between {-(2**31)} and {2**31 - 1}"


def tag_text(value: str) -> str | None:
    """Keys and values of a domain's tags: letters, digits, blanks and a few signs."""
    if _TAG.fullmatch(value):
        return None
    return "Member must satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*"


# Rules by shape of the service model, and by (structure, member) where a shape is used both ways.
SHAPE_RULES: Final[dict[str, Rule]] = {
    "DomainName": trimmed_name,
    "Name": name,
    "Version": name,
    "WorkflowId": name,
    "ActivityId": name,
    "TimerId": name,
    "FunctionId": name,
    "TaskPriority": priority,
    "DurationInDays": retention_days,
    "DurationInSeconds": seconds,
    "DurationInSecondsOptional": seconds_or_none,
    "ResourceTagKey": tag_text,
    "ResourceTagValue": tag_text,
}

MEMBER_RULES: Final[dict[tuple[str, str], Rule]] = {
    ("TaskList", "name"): trimmed_name,
    ("StartWorkflowExecutionInput", "executionStartToCloseTimeout"): run_seconds,
    ("StartChildWorkflowExecutionDecisionAttributes", "executionStartToCloseTimeout"): run_seconds,
    (
        "ContinueAsNewWorkflowExecutionDecisionAttributes",
        "executionStartToCloseTimeout",
    ): run_seconds,
    ("RegisterWorkflowTypeInput", "defaultExecutionStartToCloseTimeout"): run_seconds,
    ("ScheduleLambdaFunctionDecisionAttributes", "startToCloseTimeout"): lambda_seconds,
}

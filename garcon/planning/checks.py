"""Decisions checked before they are sent: a refused response would loop until the run times out.

SWF refuses a whole response for one name that is too long or holds a forbidden character, and says
so to the decider's process, not to the execution. So lengths and characters are checked here, and
the execution fails with a text that names the field. Pure. Law: nothing is cut or changed to fit;
it passes as it is, or is refused.

Sources: botocore's model of SWF (2012-01-25) for lengths and characters; a timeout has at most 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from garcon.errors import DecisionError

TEXT_MAX = 32_768  # characters: input, result, details, control
NAME_MAX = 256  # characters: ids, names, task lists, reasons
VERSION_MAX = 64

#: SWF forbids these in every name and id, and the name `arn`.
_FORBIDDEN = re.compile(r"[:/|\x00-\x1f\x7f-\x9f]")
_SECONDS = re.compile(r"\d{1,8}")

_NAMES = frozenset(
    {"activityId", "timerId", "markerName", "signalName", "workflowId", "name", "taskList"}
)
_TEXTS = frozenset({"input", "result", "details", "control"})
_TIMEOUT_ENDING = ("Timeout",)


def check_decisions(decisions: Iterable[Mapping[str, Any]]) -> None:
    """Accept decisions that SWF will take.

    Raises:
        DecisionError: one of them would be refused; the text names the field, the value and the
            bound.
    """
    for decision in decisions:
        kind = decision["decisionType"]
        member = f"{kind[0].lower()}{kind[1:]}DecisionAttributes"
        _check_attributes(kind, decision.get(member, {}))


def _check_attributes(kind: str, attributes: Mapping[str, Any]) -> None:
    for field, value in attributes.items():
        if isinstance(value, Mapping):
            _check_attributes(f"{kind}.{field}", value)
        elif isinstance(value, str):
            _check_text(f"{kind}.{field}", field, value)


def _check_text(place: str, field: str, value: str) -> None:
    if field in _TEXTS:
        _check_length(place, value, 0, TEXT_MAX)
    elif field in _NAMES:
        _check_length(place, value, 1, NAME_MAX)
        _check_characters(place, value)
    elif field == "version":
        _check_length(place, value, 1, VERSION_MAX)
    elif field == "reason":
        _check_length(place, value, 0, NAME_MAX)
    elif field.endswith(_TIMEOUT_ENDING):
        _check_timeout(place, value)


def _check_length(place: str, value: str, least: int, most: int) -> None:
    if least <= len(value) <= most:
        return
    raise DecisionError(
        f"{place} has {len(value):,} characters, SWF takes {least:,} to {most:,}: {value[:60]!r}"
    )


def _check_characters(place: str, value: str) -> None:
    found = _FORBIDDEN.search(value)
    if found:
        raise DecisionError(
            f"{place} holds {found.group()!r}, which SWF forbids in names and ids: {value[:100]!r}"
        )
    if value == "arn" or value != value.strip():
        raise DecisionError(
            f"{place} is {value!r}; SWF takes neither 'arn' nor blanks at the ends of a name"
        )


def _check_timeout(place: str, value: str) -> None:
    if value != "NONE" and not _SECONDS.fullmatch(value):
        raise DecisionError(f"{place} is {value!r}; a timeout is whole seconds, 8 digits at most")

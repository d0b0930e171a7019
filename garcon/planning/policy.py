"""What an activity wants when things fail, and how fast it may go.

Reads the keywords of `create(...)` for it: delays between attempts, errors that no attempt mends,
when failures stop the execution, and the pace over all hosts. The planner acts on them. Pure. Law:
a word that cannot be meant so is refused at the line that wrote it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from garcon.description import RETRY_BACKOFF, RETRY_DELAY_S, RETRY_MAX_DELAY_S
from garcon.errors import FlowError

#: The keywords of an activity that are read here.
POLICY_KEYWORDS = (
    *("retry_delay", "retry_backoff", "retry_max_delay", "no_retry"),
    *("fail_fast", "max_failures", "max_open", "rate"),
)

_RATE = re.compile(r"(?P<count>\d+(\.\d+)?) */ *(?P<unit>s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_SHARE = re.compile(r"(?P<percent>\d+(\.\d+)?)%")


@dataclass(frozen=True)
class Policy:
    """How an activity is retried, stopped and slowed; `ActivityDescription` says what each means.

    Attributes:
        retry_delay_s: seconds from a failure until the next attempt.
        retry_backoff: by how much the delay grows with each failure.
        retry_max_delay_s: the longest delay, seconds.
        no_retry: names of error classes that get no further attempt.
        fail_fast: whether one failed instance stops the execution.
        max_failures: failed instances above which the execution stops, or a share such as `5%`.
        max_open: instances that may be scheduled or running at once in an execution.
        rate_per_s: instances that may be scheduled a second in an execution.
    """

    retry_delay_s: float = RETRY_DELAY_S
    retry_backoff: float = RETRY_BACKOFF
    retry_max_delay_s: float = RETRY_MAX_DELAY_S
    no_retry: tuple[str, ...] = ()
    fail_fast: bool = False
    max_failures: int | str | None = None
    max_open: int | None = None
    rate_per_s: float | None = None

    def fields(self) -> dict[str, Any]:
        """Return them by name, as an `ActivityDescription` takes them."""
        return asdict(self)


def read_policy(where: str, options: Mapping[str, Any]) -> Policy:
    """Read the keywords of one activity; what is missing or None keeps its default.

    Args:
        where: what the activity is called in messages.
        options: `retry_delay`, `retry_max_delay` (seconds), `retry_backoff` (a factor from 1 up),
            `no_retry` (error classes or their names), `fail_fast`, `max_failures` (a number or
            `'5%'`), `max_open`, `rate` (`'10/s'`, `'600/min'`, `'1000/h'`, or a number a second).

    Raises:
        FlowError: one of them cannot be meant so.
    """
    given = {name: options[name] for name in POLICY_KEYWORDS if options.get(name) is not None}
    read = {
        "retry_delay_s": ("retry_delay", _number(0)),
        "retry_backoff": ("retry_backoff", _number(1)),
        "retry_max_delay_s": ("retry_max_delay", _number(0)),
        "no_retry": ("no_retry", _error_names),
        "fail_fast": ("fail_fast", _flag),
        "max_failures": ("max_failures", _failures),
        "max_open": ("max_open", _count),
        "rate_per_s": ("rate", _rate),
    }
    values: dict[str, Any] = {}
    for field, (keyword, reader) in read.items():
        if keyword in given:
            try:
                values[field] = reader(given[keyword])
            except ValueError as error:
                raise FlowError(f"{where}: {keyword}={given[keyword]!r:.60} {error}") from None
    return Policy(**values)


def _number(least: float) -> Any:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            raise ValueError(f"is no number from {least:g} up")
        if not math.isfinite(value):
            raise ValueError("is endless")
        return float(value)

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither True nor False")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("is no number from 1 up")
    return value


def _failures(value: Any) -> int | str:
    if isinstance(value, str):
        found = _SHARE.fullmatch(value)
        if not found or float(found["percent"]) > 100:
            raise ValueError("is no share; write it like '5%'")
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("is no number from 0 up, and no share like '5%'")
    return value


def _rate(value: Any) -> float:
    if isinstance(value, str):
        found = _RATE.fullmatch(value)
        if not found or float(found["count"]) <= 0:
            raise ValueError("is no rate; write it like '10/s', '600/min' or '1000/h'")
        return float(found["count"]) / _SECONDS[found["unit"]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("is no rate; write it like '10/s', '600/min' or '1000/h'")
    return float(value)


def _error_names(value: Any) -> tuple[str, ...]:
    one_by_one = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    return tuple(_error_name(one) for one in one_by_one)


def _error_name(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, BaseException):
        return value.__name__
    if isinstance(value, str) and value.isidentifier():
        return value
    raise ValueError(f"holds {value!r:.40}, which is no error class and no name of one")

"""The rates an engine holds its clients to, when it is asked to.

What it never does: delay anything; an empty bucket means a refusal. Its one law: buckets that are
full again are forgotten, so their number follows the traffic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from garcon.engine.core import faults
from garcon.engine.core.buckets import (
    AWS_RATES,
    EXECUTION_RATES,
    PER_TASK_LIST,
    Level,
    Rate,
    refilled,
    take,
)
from garcon.engine.service.clock import Clock

_MANY: Final = 10_000

# Decisions that can fail by their rate though AWS publishes none for them.
_UNPUBLISHED: Final = frozenset({"ContinueAsNewWorkflowExecution", "ScheduleLambdaFunction"})


class Throttle:
    """Token buckets by account, by task list and by execution.

    Args:
        rates: The account's rates by operation and by decision type; what is missing is free.
        clock: The engine's time.
        per_execution: Whether the rates of single executions hold as well.
    """

    def __init__(
        self, rates: Mapping[str, Rate], clock: Clock, *, per_execution: bool = True
    ) -> None:
        self._rates = rates
        self._execution_rates = EXECUTION_RATES if per_execution and rates else {}
        self._clock = clock
        self._levels: dict[tuple[str, str], Level] = {}

    def allow(self, name: str, task_list: str | None = None) -> bool:
        """Take a token for an operation or a decision; False when a bucket is empty.

        Args:
            name: The operation or decision.
            task_list: The list, with its domain, that a task would go to.
        """
        rate = self._rates.get(name)
        if rate is not None and not self._take(rate, (name, "")):
            return False
        rate = self._rates.get(PER_TASK_LIST) if task_list is not None else None
        return rate is None or self._take(rate, (PER_TASK_LIST, task_list or ""))

    def check(self, operation: str, given: Mapping[str, Any]) -> None:
        """Take the tokens of a call.

        Raises:
            Fault: ThrottlingException when a bucket is empty.
        """
        if not self._rates:
            return
        if not self.allow(operation):
            raise faults.throttled()
        rate = self._execution_rates.get(operation)
        if rate is not None and not self._take(rate, (operation, _execution(given))):
            raise faults.throttled()

    def _take(self, rate: Rate, bucket: tuple[str, str]) -> bool:
        now_ms = self._clock.now_ms()
        self._levels[bucket], taken = take(rate, self._levels.get(bucket), now_ms)
        if len(self._levels) > _MANY:
            self._forget_full(now_ms)
        return taken

    def _forget_full(self, now_ms: int) -> None:
        rates = {**self._rates, **self._execution_rates}
        self._levels = {
            bucket: level
            for bucket, level in self._levels.items()
            if not bucket[1]
            or refilled(rates[bucket[0]], level, now_ms).tokens < rates[bucket[0]].size
        }


def _execution(given: Mapping[str, Any]) -> str:
    """What tells the execution of a call: its ids, or the head of a token, which names the run."""
    if "taskToken" in given:
        return str(given["taskToken"])[:24]
    execution = given.get("execution") or given
    return f"{given['domain']}/{execution['workflowId']}"


def load_rates(wanted: str) -> dict[str, Rate]:
    """The rates behind ``--throttle``: none, aws, or a JSON file of raised ones.

    The file maps operations and decision types to ``[bucket, refill per second]``; what it leaves
    out keeps AWS's default, null lifts a rate.

    Raises:
        ValueError: There is no such file, or it is not like that.
    """
    if wanted == "none":
        return {}
    if wanted == "aws":
        return dict(AWS_RATES)
    try:
        raised = json.loads(Path(wanted).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"--throttle {wanted}: say none, aws, or a file that can be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{wanted}: this is no JSON: {error}") from error
    if not isinstance(raised, dict):
        raise ValueError(f"{wanted}: expected a JSON object of name: [bucket, refill]")
    rates: dict[str, Rate] = dict(AWS_RATES)
    for name, value in raised.items():
        if name not in AWS_RATES and name not in _UNPUBLISHED:
            raise ValueError(f"{wanted}: {name!r} is no operation or decision with a rate")
        if value is None:
            rates.pop(name, None)
        else:
            rates[name] = _rate(wanted, name, value)
    return rates


def _rate(wanted: str, name: str, value: Any) -> Rate:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 2 or not all(type(n) in (int, float) and n > 0 for n in numbers):
        raise ValueError(f"{wanted}: {name} needs [bucket, refill per second], both above 0")
    if numbers[0] < 1:
        raise ValueError(f"{wanted}: {name} has a bucket below 1, which would let nothing through")
    return Rate(*numbers)

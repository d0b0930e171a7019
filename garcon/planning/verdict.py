"""What follows from an attempt that ended badly: another one, when, or none; and in which words.

The budgets, by how the attempt ended: a failure or a timeout of the work draws on `retry`; a lost
worker or heartbeat on `lost_retry`; an attempt that never ran draws on nothing. Pure. Law: the same
instance gets the same verdict from every decider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import floor

from garcon.description import ActivityDescription
from garcon.outcome import Failure, Kind, cut
from garcon.planning.fanout import FanOut, Instance, Phase

#: Attempts that never ran before the next one is put off, and how long at most, seconds. A pool
#: that hands everything back would otherwise fill the history in a minute.
UNRUN_FREE = 3
UNRUN_DELAY_MAX_S = 60.0

#: Instances that the text of a failed execution names one by one.
NAMED_MAX = 200


@dataclass
class Judged:
    """The badly ended instances of one fan-out.

    Attributes:
        due: indexes to schedule again now, in the order in which they ended.
        later: when each of the others is due, epoch seconds, by index.
        final: those that get no further attempt.
    """

    due: list[int] = field(default_factory=list)
    later: dict[int, float] = field(default_factory=dict)
    final: list[Instance] = field(default_factory=list)


def judge(fan_out: FanOut, activity: ActivityDescription, now_s: float) -> Judged:
    """Return what follows for each instance of `fan_out` whose last attempt ended badly."""
    judged = Judged()
    for index, instance in fan_out.ended.items():
        if is_final(instance, activity):
            judged.final.append(instance)
            continue
        due_s = instance.ended_s + delay_s(instance, activity)
        if due_s <= now_s:
            judged.due.append(index)
        else:
            judged.later[index] = due_s
    # Results of shards may be learned in another order than that of their ends.
    judged.final.sort(key=lambda one: (one.ended_event_id, one.index))
    return judged


def is_final(instance: Instance, activity: ActivityDescription) -> bool:
    """Whether the instance has used up what its kind of ending draws on."""
    return (
        instance.final
        or instance.phase is Phase.CANCELED
        or instance.failures > activity.retry
        or instance.losses > activity.lost_retry
        or is_hopeless(instance.failure, activity.no_retry)
    )


def is_hopeless(failure: Failure | None, no_retry: Sequence[str]) -> bool:
    """Whether the error, or a base class of it, is one that another attempt does not mend."""
    return failure is not None and not set(no_retry).isdisjoint(failure.errors)


def delay_s(instance: Instance, activity: ActivityDescription) -> float:
    """Return how long to wait from the end of the attempt until the next one, seconds.

    A failure waits as the activity says. A lost worker is no reason to wait. What never ran goes
    again at once, but not for ever: after some times it waits as well.
    """
    kind = instance.failure.kind if instance.failure else Kind.FAILED
    if kind is Kind.HANDED_BACK:
        free = instance.unrun <= UNRUN_FREE
        return 0.0 if free else min(UNRUN_DELAY_MAX_S, 2.0 ** min(16, instance.unrun - UNRUN_FREE))
    if kind is Kind.LOST or activity.retry_delay_s <= 0:
        return 0.0
    # The exponent is bounded so that the power cannot overflow.
    growth = activity.retry_backoff ** min(64, max(0, instance.failures - 1))
    delay = min(activity.retry_max_delay_s, activity.retry_delay_s * growth)
    return delay * jitter(instance.activity_id, instance.attempts)


def jitter(activity_id: str, attempt: int) -> float:
    """Return a factor from 0.75 to 1.25, the same for the same attempt of the same instance.

    It spreads attempts that failed together, and a cold decider computes the same moment.
    """
    digest = sha256(f"{activity_id}#{attempt}".encode()).digest()
    return 0.75 + 0.5 * int.from_bytes(digest[:4], "big") / 2**32


def failures_allowed(activity: ActivityDescription, count: int) -> int | None:
    """Return how many instances may fail before the execution stops; None for any number.

    Args:
        activity: what it declares.
        count: instances of the whole manifest, to which a share refers.
    """
    if activity.fail_fast:
        return 0
    limit = activity.max_failures
    if isinstance(limit, str):
        return floor(count * float(limit.rstrip("%")) / 100)
    return limit


@dataclass(frozen=True)
class Failed:
    """Instances of one fan-out that have failed for good."""

    fan_out: FanOut
    activity: ActivityDescription
    instances: Sequence[Instance]


def failure_text(failures: Sequence[Failed]) -> tuple[str, str]:
    """Return one line and the details of an execution that fails because instances did.

    Args:
        failures: at least one, none of them empty.
    """
    counts = " and ".join(_count_text(failed) for failed in failures)
    first = min((_first(failed) for failed in failures), key=lambda one: one[1].ended_event_id)
    failed, instance = first
    line = f"{counts} failed; first {_instance_text(failed, instance)}"
    if len(failures) == 1 and failed.fan_out.manifest.count == 1:
        line = _instance_text(failed, instance)
    return line, "\n".join(_lines(failures, instance))


def _count_text(failed: Failed) -> str:
    manifest = failed.fan_out.manifest
    noun = "instance" if manifest.count == 1 else "instances"
    return f"{len(failed.instances):,} of {manifest.count:,} {noun} of {manifest.activity}"


def _first(failed: Failed) -> tuple[Failed, Instance]:
    return failed, min(failed.instances, key=lambda one: one.ended_event_id)


def _instance_text(failed: Failed, instance: Instance) -> str:
    reason = instance.failure.reason if instance.failure else "canceled"
    if instance.losses > failed.activity.lost_retry:
        reason = f"it kills its workers ({instance.losses} lost); last: {reason}"
    told = failed.fan_out.manifest.describe(instance.index)
    tries = "1 attempt" if instance.attempts == 1 else f"{instance.attempts} attempts"
    return f"{cut(told, 150)} after {tries}: {reason}"


def _lines(failures: Sequence[Failed], first: Instance) -> list[str]:
    named = [(failed, one) for failed in failures for one in failed.instances]
    lines = [f"failed for good ({len(named):,}):"]
    if first.failure is not None and first.failure.traceback:
        lines = [first.failure.traceback.rstrip(), "", *lines]
    lines += [
        f"{one.activity_id}: {_instance_text(failed, one)}" for failed, one in named[:NAMED_MAX]
    ]
    if len(named) > NAMED_MAX:
        lines.append(f"and {len(named) - NAMED_MAX:,} more")
    return lines

"""What is wrong, or could go wrong, with a flow and its place; each with its mend. Pure.

Law: a finding says what was seen, with its figure, and what to do; nothing is found without a fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from garcon.backfill.forecast import Forecast
from garcon.backfill.sampled import ListSeen, Sample
from garcon.description import FlowDescription
from garcon.outcome import DETAILS_MAX
from garcon.progress import format_duration

#: A share of a bound from which it is told of.
NEAR = 0.5

#: How long a task may wait with nobody taking any before it counts as forgotten, seconds.
FORGOTTEN_S = 60.0

#: Days for which closed executions should be kept, so that they can be resumed and reported.
RETENTION_DAYS = 7

#: Seconds that a pool may take to leave: its drain, and up to half a minute for the last answers.
LEAVE_S = 120


class Level(str, Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: how bad it is.
        about: what was looked at, in a word or two.
        text: what was seen.
        mend: what to do about it; empty where nothing is.
    """

    level: Level
    about: str
    text: str
    mend: str = ""


def domain_finding(name: str, told: Mapping[str, Any] | None) -> Finding:
    """Judge a domain: DescribeDomain's answer, None where there is none."""
    about = f"domain {name}"
    if told is None:
        mend = "start a pool, which registers it"
        return Finding(Level.WARN, about, "not registered yet", mend)
    if told["domainInfo"]["status"] != "REGISTERED":
        mend = "undeprecate it: aws swf undeprecate-domain, or use another one"
        return Finding(Level.ERROR, about, "deprecated: nothing can be started", mend)
    period = told["configuration"]["workflowExecutionRetentionPeriodInDays"]
    if not period.isdecimal() or int(period) == 0:
        text = f"keeps closed executions for {period} days: nothing can be resumed or reported"
        return Finding(Level.ERROR, about, text, "register another domain with 90 days")
    if int(period) < RETENTION_DAYS:
        text = f"keeps closed executions for {period} days only"
        mend = "what failed cannot be resumed later; register another domain with 90 days"
        return Finding(Level.WARN, about, text, mend)
    return Finding(Level.OK, about, f"registered, keeps closed executions for {period} days")


def type_finding(about: str, status: str | None) -> Finding:
    """Judge a workflow or activity type: its status, None where it is not there."""
    if status is None:
        return Finding(Level.WARN, about, "not registered yet", "start a pool, which registers it")
    if status != "REGISTERED":
        mend = "raise the flow's version, or undeprecate the type"
        return Finding(Level.ERROR, about, "deprecated: SWF refuses each use of it", mend)
    return Finding(Level.OK, about, "registered")


def list_finding(name: str, pending: int, seen: ListSeen | None, now_s: float) -> Finding:
    """Judge a task list: what the engine counts, and what the histories tell of it."""
    about = f"list {name}"
    if seen is not None and seen.waiting:
        waits_s = now_s - seen.oldest_s
        idle_s = now_s - max(seen.taken_s, seen.oldest_s)
        if waits_s > FORGOTTEN_S and idle_s > FORGOTTEN_S:
            text = f"{max(pending, seen.waiting):,} tasks wait, the oldest for "
            text += f"{format_duration(waits_s)}, and nobody takes any"
            mend = "start a pool of this flow; on other hosts look whether theirs is alive"
            return Finding(Level.ERROR, about, text, mend)
    if pending:
        return Finding(Level.OK, about, f"{pending:,} tasks wait and are being taken")
    return Finding(Level.OK, about, "empty")


def duration_findings(flow: FlowDescription, sample: Sample) -> Iterator[Finding]:
    """Judge the activities' timeouts by how long their attempts took."""
    for activity in flow.activities:
        found = sample.durations_s.get(activity.type_name)
        if not found:
            continue
        longest, bound = max(found), activity.start_to_close_s
        about = f"timeout of {activity.name}"
        text = f"{longest:,.1f} s at most of {bound:,} s, in {len(found):,} attempts seen"
        if longest > NEAR * bound:
            mend = f"raise it: task.decorate(timeout={max(2 * bound, round(4 * longest))})"
            yield Finding(Level.WARN, about, text, mend)
        else:
            yield Finding(Level.OK, about, text)


def input_findings(flow: FlowDescription, sample: Sample) -> Iterator[Finding]:
    """Judge the longest inputs that activities were given."""
    for activity in flow.activities:
        length = sample.inputs.get(activity.type_name)
        if length is None:
            continue
        about = f"input of {activity.name}"
        text = f"{length:,} characters at most, SWF takes {DETAILS_MAX:,}"
        if length > NEAR * DETAILS_MAX:
            mend = "use task.decorate with fill, so that only what the tasks read is sent"
            yield Finding(Level.WARN, about, text, mend)
        else:
            yield Finding(Level.OK, about, text)


def forecast_finding(flow: FlowDescription, found: Forecast) -> Finding:
    """Judge a forecast by what an execution may take."""
    about = "forecast"
    text = f"{found.instances:,} instances, {found.shards:,} shards, {found.events:,} events, "
    text += f"{format_duration(found.seconds)} at the engine's rate"
    if found.seconds > NEAR * flow.execution_timeout_s:
        mend = "divide the range (--each month), or raise the flow's execution timeout"
        bound = format_duration(flow.execution_timeout_s)
        return Finding(Level.ERROR, about, f"{text}; an execution may take {bound}", mend)
    return Finding(Level.OK, about, text)


def container_finding(environ: Mapping[str, str], marks: tuple[str, ...]) -> Finding:
    """Judge where this runs: a container is killed some time after it was asked to stop.

    Args:
        environ: the environment.
        marks: files that only containers have, of those that are here.
    """
    about = "container"
    bound = None
    if "ECS_CONTAINER_METADATA_URI_V4" in environ or "ECS_CONTAINER_METADATA_URI" in environ:
        bound = ("ECS kills 30 s after it asked to stop", "set stopTimeout to 120")
    elif "KUBERNETES_SERVICE_HOST" in environ:
        bound = (
            "Kubernetes kills 30 s after it asked to stop",
            f"set terminationGracePeriodSeconds to {LEAVE_S}",
        )
    elif marks:
        bound = ("Docker kills 10 s after it asked to stop", f"docker run --stop-timeout {LEAVE_S}")
    if bound is None:
        return Finding(Level.OK, about, "none")
    text = f"{bound[0]}, unless told otherwise; a pool may take {LEAVE_S} s to leave"
    return Finding(Level.WARN, about, text, bound[1])


def finding_lines(findings: list[Finding]) -> Iterator[str]:
    """Yield the findings for people."""
    width = max((len(one.about) for one in findings), default=0)
    for one in findings:
        yield f"{one.level.value:5}  {one.about:{width}}  {one.text}"
        if one.mend:
            yield f"{'':5}  {'':{width}}  mend: {one.mend}"
    errors = sum(one.level is Level.ERROR for one in findings)
    warnings = sum(one.level is Level.WARN for one in findings)
    yield f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

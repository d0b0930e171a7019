"""`garcon doctor FLOW`: looks at everything a backfill depends on, and says how to mend it.

Looks only; it registers nothing, starts nothing but a local engine, and runs no task. Law: what
cannot be looked at is a finding too, never the end of the examination.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

from garcon import client
from garcon.backfill.asking import ask, execution_of
from garcon.backfill.finding import Finder
from garcon.backfill.findings import (
    Finding,
    Level,
    container_finding,
    domain_finding,
    duration_findings,
    finding_lines,
    forecast_finding,
    input_findings,
    list_finding,
    type_finding,
)
from garcon.backfill.forecast import forecast
from garcon.backfill.place import Place, find_place
from garcon.backfill.plan import plan_fresh
from garcon.backfill.ranges import Seen
from garcon.backfill.sampled import Sample
from garcon.backfill.status import write
from garcon.backfill.words import Words, read_words
from garcon.description import FlowDescription
from garcon.errors import EngineError, GarconError, ServiceError

WRONG = 1

#: Executions, and shards, of which a piece of history is read; and how much of each: events.
SAMPLED_MAX = 5
EVENTS_MAX = 1_000

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def run_doctor(told: Mapping[str, Any], out: TextIO) -> int:
    """Examine a flow and its place; return the exit code."""
    words = read_words(told)
    place = find_place(words.flow, words.engine)
    findings = list(examine(place, words))
    if told["as_json"]:
        write(out, [json.dumps(asdict(one), ensure_ascii=False) for one in findings])
    else:
        write(out, list(finding_lines(findings)))
    errors = [one for one in findings if one.level is Level.ERROR]
    if any(one.about == "engine" for one in errors):
        return EngineError.exit_code
    return WRONG if errors else 0


def examine(place: Place, words: Words) -> Iterator[Finding]:
    """Yield what is found."""
    flow = place.description
    count = len(flow.activities)
    yield Finding(Level.OK, "flow", f"{flow.name} {flow.version}, {count} activities")
    engine = _engine_finding(place)
    yield engine
    if engine.level is not Level.ERROR:
        yield from _told(lambda: _on_engine(place))
    yield from _told(lambda: _of_range(place, words))
    marks = tuple(mark for mark in CONTAINER_MARKS if Path(mark).exists())
    yield container_finding(os.environ, marks)


def _told(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what `look` finds; what stops it is a finding."""
    try:
        yield from look()
    except GarconError as error:
        yield Finding(Level.ERROR, "examination", f"cannot go on: {error}", "mend that first")


def _engine_finding(place: Place) -> Finding:
    """Judge whether the engine can be reached with the credentials that there are."""
    engine = place.engine
    told = engine.describe(place.description.domain)
    words = {"registrationStatus": "REGISTERED", "maximumPageSize": 1}
    try:
        credentials = client.credentials_for(engine)
        ask(place.connect, "list_domains", **words)
    except ServiceError as error:
        mend = "check the credentials, the machine's clock and the IAM policy (see the README)"
        return Finding(Level.ERROR, "engine", f"{told}: {error}", mend)
    except EngineError as error:
        mend = "check the name, the network and that it runs; the text says what was tried"
        return Finding(Level.ERROR, "engine", f"{told}: {error}", mend)
    method = getattr(credentials, "method", None)
    found = f", credentials from {method}" if method and engine.kind == "aws" else ""
    return Finding(Level.OK, "engine", f"{told}{found}")


def _on_engine(place: Place) -> Iterator[Finding]:
    flow = place.description
    domain = _known(place, "describe_domain", name=flow.domain)
    yield domain_finding(flow.domain, domain)
    if domain is None:
        return
    yield from _types(place)
    shards = Finder(place.connect, replace(flow, name=flow.shard_type))
    seen = [one for finder in (place.finder, shards) for one in finder.all()[:SAMPLED_MAX]]
    sample = _sample(place, seen)
    now_s = time.time()
    for name, kind in _lists(flow):
        words = {"domain": flow.domain, "taskList": {"name": name}}
        pending = _known(place, f"count_pending_{kind}_tasks", **words)
        yield list_finding(name, pending["count"] if pending else 0, sample.lists.get(name), now_s)
    yield from duration_findings(flow, sample)
    yield from input_findings(flow, sample)


def _lists(flow: FlowDescription) -> dict[tuple[str, str], None]:
    """Return the flow's task lists, each once, and whether decisions or activities wait there."""
    lists = [(flow.task_list, "decision")]
    if any(one.shard_size is not None for one in flow.activities):
        lists.append((flow.shard_list, "decision"))
    lists += [(one.task_list, "activity") for one in flow.activities]
    return dict.fromkeys(lists)


def _types(place: Place) -> Iterator[Finding]:
    flow = place.description
    types = [("workflow", name, flow.version) for name in (flow.name, flow.shard_type)]
    types += [("activity", one.type_name, one.version) for one in flow.activities]
    for kind, name, version in types:
        words = {"domain": flow.domain, f"{kind}Type": {"name": name, "version": version}}
        told = _known(place, f"describe_{kind}_type", **words)
        yield type_finding(f"type {name} {version}", told["typeInfo"]["status"] if told else None)


def _known(place: Place, operation: str, **words: Any) -> Any:
    """Return the engine's answer, None where it does not know the thing."""
    try:
        return ask(place.connect, operation, **words)
    except ServiceError as error:
        if error.is_unknown_resource:
            return None
        raise


def _sample(place: Place, seen: list[Seen]) -> Sample:
    """Return what the ends of the newest executions' histories tell."""
    sample = Sample()
    for one in seen:
        answer = _known(
            place,
            "get_workflow_execution_history",
            domain=place.description.domain,
            execution=execution_of(one.run),
            maximumPageSize=EVENTS_MAX,
            reverseOrder=True,
        )
        if answer is not None:
            sample.add(reversed(answer["events"]), is_open=one.status is None)
    return sample


def _of_range(place: Place, words: Words) -> Iterator[Finding]:
    """Yield what can be foreseen of the days that were named."""
    if words.days is None and not words.input:
        return
    for one in words.ranges(place.description.name, []):
        found = plan_fresh(place, one)
        for each in found:
            if each.foreseen and each.foreseen.is_error:
                mend = "correct the generator or the input"
                yield Finding(Level.ERROR, f"generators of {each.name}", each.problem, mend)
        to_run = {each.name: len(each.to_run) for each in found}
        frozen = {each.name: each.total for each in found}
        kind = place.engine.kind
        yield forecast_finding(
            place.description, forecast(place.description, to_run, frozen, kind, is_new=True)
        )

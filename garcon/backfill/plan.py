"""`plan`: what `run` would do now, range by range and instance by instance, without doing it.

It reads histories, runs generators and starts nothing but a local engine. Law: it takes the same
steps as `run` to the point where something would be started.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from garcon.backfill.cells import Grid, Mark, Told, moved_to
from garcon.backfill.forecast import Forecast, forecast
from garcon.backfill.foresee import Foreseen, foresee
from garcon.backfill.histories import read_told
from garcon.backfill.keys import format_keys
from garcon.backfill.place import Place, find_place
from garcon.backfill.ranges import Range
from garcon.backfill.status import tell, write
from garcon.backfill.steps import Act, Step, next_step
from garcon.backfill.words import Words, read_words
from garcon.flow import activities_by_name
from garcon.planner import in_order
from garcon.planning.selection import Selection
from garcon.progress import format_duration

#: Marks of instances that run when an execution is resumed, and when it is joined.
TO_RESUME = (Mark.FAILED, Mark.MISSING)
TO_JOIN = (Mark.RUNNING, Mark.WAITING, Mark.MISSING)

OWN_DECIDER = "the flow's own decider says when it runs"

#: A generator raises: `run` would fail, so `plan` does not end well either.
WOULD_FAIL = 1


@dataclass(frozen=True)
class PlannedActivity:
    """What is known of one activity and what of it would run.

    Attributes:
        name: of the activity.
        counts: instances by mark; empty where they are not known.
        to_run: what the generators gave each instance that would run.
        foreseen: how its instances were foreseen; None where they are in a history.
    """

    name: str
    counts: Mapping[str, int] = field(default_factory=dict)
    to_run: Sequence[Mapping[str, Any]] = ()
    foreseen: Foreseen | None = None

    @property
    def total(self) -> int:
        """All of its instances, 0 where they are not known."""
        return sum(self.counts.values())

    @property
    def problem(self) -> str:
        """Why its instances are not known, else empty."""
        return self.foreseen.problem if self.foreseen else ""


@dataclass(frozen=True)
class PlannedRange:
    """What would be done about one range."""

    of: Range
    step: Step
    activities: Sequence[PlannedActivity]
    forecast: Forecast


def run_plan(told: Mapping[str, Any], out: TextIO, err: TextIO) -> int:
    """Show what `run` with the same words would do; return the exit code."""
    words = read_words(told)
    place = find_place(words.flow, words.engine)
    seen = place.finder.all() if words.catch_up else []
    ranges = words.ranges(place.description.name, seen)
    planned = [plan_range(place, words, one) for one in ranges]
    if told["as_json"]:
        engine = place.engine.describe(place.description.domain)
        document = {"flow": words.flow, "engine": engine, "ranges": [*map(plain, planned)]}
        write(out, [json.dumps(document, ensure_ascii=False, indent=1)])
    else:
        tell(err, [place.engine.describe(place.description.domain)])
        write(out, plan_lines(planned))
    return max((code_of(one) for one in planned), default=0)


def code_of(planned: PlannedRange) -> int:
    """Return what `plan` ends with for one range."""
    error = planned.step.error
    if error is not None:
        return int(getattr(error, "exit_code", 1))
    is_bad = any(one.foreseen and one.foreseen.is_error for one in planned.activities)
    return WOULD_FAIL if is_bad else 0


def plan_range(place: Place, words: Words, one: Range) -> PlannedRange:
    """Return what would be done about a range."""
    flow = place.description
    step = next_step(one, place.finder.of(one), words.wish)
    activities: list[PlannedActivity] = []
    if step.act in (Act.START, Act.WAIT):
        activities = plan_fresh(place, one)
    elif step.of is not None and step.act in (Act.RESUME, Act.JOIN):
        told = read_told(place.connect, flow.domain, step.of.run, flow, follow=True)
        is_joined = step.act is Act.JOIN
        found = _from_joined(place, told) if is_joined else _from_earlier(place, words, told)
        activities = list(found)
    return PlannedRange(
        one,
        step,
        activities,
        forecast(
            flow,
            {each.name: len(each.to_run) for each in activities},
            {each.name: each.total for each in activities},
            place.engine.kind,
            is_new=step.act is not Act.JOIN,
        ),
    )


def plan_fresh(place: Place, one: Range) -> list[PlannedActivity]:
    """Return what a new execution would run."""
    return list(_from_nothing(place, one))


def _from_nothing(place: Place, one: Range) -> Iterator[PlannedActivity]:
    if place.description.custom_decider:
        for described in place.description.activities:
            yield PlannedActivity(described.name, foreseen=Foreseen(None, problem=OWN_DECIDER))
        return
    info = {"execution.domain": place.description.domain}
    context = {**one.input, **info, "execution.workflow_id": one.workflow_id}
    known = activities_by_name(place.flow)
    for described in in_order(place.description):
        found = foresee(known[described.name], context, is_waiting=bool(described.requires))
        yield _planned(described.name, found, (Mark.MISSING,))


def _planned(
    name: str, found: Foreseen, marks: Sequence[Mark], words: Words | None = None
) -> PlannedActivity:
    return (
        PlannedActivity(name, foreseen=found)
        if found.manifest is None
        else _of_grid(name, Grid(found.manifest), marks, words, found)
    )


def _of_grid(
    name: str,
    grid: Grid,
    marks: Sequence[Mark],
    words: Words | None = None,
    found: Foreseen | None = None,
) -> PlannedActivity:
    indexes = grid.indexes(*marks)
    if words is not None:
        indexes = (at for at in indexes if _is_selected(words.selection, grid, at))
    to_run = [grid.context(at) for at in indexes]
    return PlannedActivity(name, grid.counts(), to_run, found)


def _from_joined(place: Place, told: Told) -> Iterator[PlannedActivity]:
    """Yield what an open execution has left."""
    for grid in told.grids.values():
        yield _of_grid(grid.activity, grid, TO_JOIN)
    if place.description.custom_decider:
        return
    known = activities_by_name(place.flow)
    frozen = {grid.manifest.activity for grid in told.grids.values()}
    complete = {grid.manifest.activity for grid in told.grids.values() if grid.is_complete}
    for described in in_order(place.description):
        if described.name not in frozen:
            is_waiting = not complete.issuperset(described.requires)
            found = foresee(known[described.name], told.context, is_waiting)
            yield _planned(described.name, found, TO_JOIN)


def _from_earlier(place: Place, words: Words, told: Told) -> Iterator[PlannedActivity]:
    """Yield what an execution that resumes this one would run: its generators run anew."""
    if place.description.custom_decider:
        for grid in told.grids.values():
            yield _of_grid(grid.activity, grid, TO_RESUME, words)
        return
    known = activities_by_name(place.flow)
    complete: set[str] = set()
    coming: set[str] = set()  # those that this execution would complete
    for described in in_order(place.description):
        is_waiting = not complete.issuperset(described.requires)
        found = foresee(known[described.name], told.context, is_waiting)
        earlier = told.grids.get((described.name, ""))
        planned = _planned(described.name, found, TO_RESUME, words)
        if found.manifest is not None and earlier is not None:
            grid = moved_to(found.manifest, earlier)
            complete |= {described.name} if grid.is_complete else set()
            planned = _of_grid(described.name, grid, TO_RESUME, words, found)
        if not coming.issuperset(described.requires):
            # Something that it requires is left out, so it would not even begin.
            planned = replace(planned, to_run=())
        elif len(planned.to_run) == planned.total - planned.counts.get(Mark.DONE.value, 0):
            coming.add(described.name)
        yield planned


def _is_selected(selection: Selection, grid: Grid, index: int) -> bool:
    has_failed = grid.mark(index) is Mark.FAILED
    return selection.names(grid.manifest.activity, grid.context(index), has_failed)


def plan_lines(planned: Sequence[PlannedRange]) -> list[str]:
    """Return the plan for people."""
    lines = []
    for one in planned:
        lines.append(f"{one.of}: {_headline(one)}")
        lines += [f"  {_activity_line(each)}" for each in one.activities]
        if one.activities:
            lines.append(f"  {_forecast_line(one)}")
    if not planned:
        lines.append("nothing to do")
    if len(planned) > 1:
        total = sum(one.forecast.instances for one in planned)
        seconds = sum(one.forecast.seconds for one in planned)
        lines.append(
            f"{len(planned):,} ranges, {total:,} instances, about {format_duration(seconds)}"
        )
    return lines


def _headline(one: PlannedRange) -> str:
    words = {
        Act.START: "would be started",
        Act.RESUME: "would be resumed",
        Act.JOIN: "would be joined",
        Act.WAIT: "would wait, then be started",
        Act.DONE: "is done",
        Act.SKIP: "would be skipped",
        Act.FAIL: "would be refused",
        Act.REFUSE: "would be refused",
    }[one.step.act]
    return f"{words} ({one.step.text})" if one.step.text else words


def _activity_line(one: PlannedActivity) -> str:
    if not one.counts:
        return f"{one.name}: unknown; {one.problem}"
    told = [f"{count:,} {mark}" for mark, count in one.counts.items() if count]
    noun = "instance" if one.total == 1 else "instances"
    line = f"{one.name}: {one.total:,} {noun}, {', '.join(told)}; would run {len(one.to_run):,}"
    ends = _ends(one.to_run)
    line += f": {ends}" if ends else ""
    if one.foreseen and one.foreseen.assumes:
        line += f" (if no result sets {', '.join(one.foreseen.assumes)})"
    return line


def _ends(contexts: Sequence[Mapping[str, Any]]) -> str:
    named = [format_keys(context) for context in (*contexts[:1], *contexts[1:][-1:])]
    return " .. ".join(filter(None, named))


def _forecast_line(one: PlannedRange) -> str:
    found = one.forecast
    executions = 0 if one.step.act is Act.JOIN else 1
    return (
        f"forecast: {executions} execution{'s' * (executions != 1)} and {found.shards} shards to "
        f"start, about {found.events:,} events, {format_duration(found.seconds)} at the engine's "
        "rate"
    )


def plain(one: PlannedRange) -> dict[str, Any]:
    """Return a range as `plan --json` tells it."""
    found = one.forecast
    return {
        "range": str(one.of),
        "start": str(one.of.days.first) if one.of.days else None,
        "end": str(one.of.days.last) if one.of.days else None,
        "workflow_id": one.of.workflow_id,
        "input": dict(one.of.input),
        "act": one.step.act.value,
        "of": one.step.of.run.run_id if one.step.of else None,
        "text": one.step.text,
        "activities": [_plain_activity(each) for each in one.activities],
        "forecast": {
            "instances": found.instances,
            "executions": int(one.step.act in (Act.START, Act.RESUME, Act.WAIT)),
            "shards": found.shards,
            "events": found.events,
            "seconds": round(found.seconds, 1),
        },
    }


def _plain_activity(one: PlannedActivity) -> dict[str, Any]:
    keys = [format_keys(context) for context in one.to_run]
    return {
        "activity": one.name,
        "unknown": one.problem or None,
        "assumes": list(one.foreseen.assumes) if one.foreseen else [],
        "instances": one.total if one.counts else None,
        **{mark.value: one.counts.get(mark.value) for mark in Mark},
        "run": len(keys) if one.counts else None,
        "first": keys[0] if keys else None,
        "last": keys[-1] if keys else None,
        "keys": keys,
    }

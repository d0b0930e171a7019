"""`garcon try`: one instance in this process, where a debugger can follow it.

No worker, no heartbeat that anybody hears, no retry. Law: nothing is told to the engine; what an
execution knows is only read, for the context that the instance would see.
"""

from __future__ import annotations

import json
import pdb
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from garcon.backfill.cells import Told
from garcon.backfill.histories import read_told
from garcon.backfill.keys import format_keys
from garcon.backfill.place import Place, find_place
from garcon.backfill.status import newest_of, tell, write
from garcon.backfill.words import Words, read_words
from garcon.deciding.usercode import fresh, run_generators
from garcon.errors import UsageError
from garcon.execution import ActivityExecution, one_line, run_instance
from garcon.flow import activities_by_name
from garcon.instance import ActivityInstance
from garcon.manifest import Manifest
from garcon.planning.selection import Selection

if TYPE_CHECKING:
    from garcon.activity import Activity

RAISED = 1

#: Instances that a refusal names.
NAMED_MAX = 5


class _Alone(ActivityExecution):
    """An attempt that nobody waits for."""

    def heartbeat(self, details: str | None = None) -> None:
        """Go on: there is nobody to tell."""


def run_try(told: Mapping[str, Any], out: TextIO, err: TextIO) -> int:
    """Run one instance and print its result; return the exit code: 1 where it raised."""
    words = read_words({**told, "keys_option": "--key"})
    place = find_place(words.flow, words.engine)
    known = activities_by_name(place.flow)
    activity = known.get(told["activity"])
    if activity is None:
        raise UsageError(
            f"flow {words.flow!r} has no activity {told['activity']!r} (known: {', '.join(known)})"
        )
    context = _context(place, words, err)
    manifest = _manifest(activity, context)
    index = choose(manifest, words.selection)
    instance = ActivityInstance(activity, fresh(manifest.local_context(index)), context)
    data = instance.create_execution_input()
    tell(err, [f"{manifest.describe(index)} with {json.dumps(data, ensure_ascii=False)}"])
    return _run(activity, _Alone(None, instance.id, None, data), told["debug"], out, err)


def _run(
    activity: Activity, execution: ActivityExecution, debug: bool, out: TextIO, err: TextIO
) -> int:
    try:
        write(out, [run_instance(activity, execution)])
    except (Exception, SystemExit) as error:
        if debug:
            pdb.post_mortem(error.__traceback__)
        tell(err, ["".join(traceback.format_exception(error)).rstrip()])
        tell(err, [f"garcon: {activity.short_name} raised {one_line(error)}"])
        return RAISED
    return 0


def _context(place: Place, words: Words, err: TextIO) -> dict[str, Any]:
    """Return what the instance would see: the input, and results of an execution of this range."""
    (one, *more) = words.ranges(place.description.name, [])
    if more:
        raise UsageError("one instance is of one range; leave --each out")
    found = newest_of(place, one)
    if found is None:
        tell(err, [f"{one} was never started: the context is the input alone"])
        info = {"domain": place.description.domain, "workflow_id": one.workflow_id, "run_id": "try"}
        return {**one.input, **{f"execution.{name}": value for name, value in info.items()}}
    tell(err, [f"context of {found.run.workflow_id} (run {found.run.run_id})"])
    told: Told = read_told(place.connect, place.description.domain, found.run, place.description)
    return dict(told.context)


def _manifest(activity: Activity, context: Mapping[str, Any]) -> Manifest:
    lists = run_generators(activity.short_name, activity, context)
    return Manifest(activity.short_name, activity.name, lists, 0)


def choose(manifest: Manifest, selection: Selection) -> int:
    """Return the one instance that `selection` names.

    Raises:
        UsageError: it names none, or several.
    """
    found = [
        index
        for index in range(manifest.count)
        if selection.names(manifest.activity, manifest.local_context(index), False)
    ]
    if len(found) == 1:
        return found[0]
    some = found or range(manifest.count)
    named = [format_keys(manifest.local_context(index)) for index in some[:NAMED_MAX]]
    what = f"{len(found):,} instances" if found else "no instance"
    raise UsageError(
        f"--key names {what} of {manifest.activity} ({manifest.count:,} in all); say which one, "
        f"such as --key {' or --key '.join(named)}"
        if named
        else f"{manifest.activity} has no instances with this input"
    )

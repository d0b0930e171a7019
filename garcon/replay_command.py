"""`garcon replay FLOW h.json ...`: what the flow's present code would have decided, and where not.

Law: it reads files and runs the flow's generators; it asks no engine and sends nothing.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, TextIO

import click

from garcon.deciding.flowdecider import FlowDecider
from garcon.deciding.kept import RunUnknown
from garcon.errors import GarconError
from garcon.flow import check_flow, describe, load_flow
from garcon.pool.command import enter_folder
from garcon.replay import Replayed, among, read_document, replay

DIFFERS = 1

#: What a line of the report calls a decision.
_SHORT = {
    "ScheduleActivityTask": "schedule",
    "RecordMarker": "marker",
    "StartTimer": "timer",
    "CancelTimer": "timer canceled",
    "RequestCancelActivityTask": "cancel",
    "StartChildWorkflowExecution": "shard",
    "RequestCancelExternalWorkflowExecution": "shard canceled",
    "SignalExternalWorkflowExecution": "signal",
    "CompleteWorkflowExecution": "complete",
    "FailWorkflowExecution": "fail",
    "CancelWorkflowExecution": "canceled",
}


class ReplayError(GarconError):
    """A history cannot be replayed to its end."""


_EPILOG = """\b
Examples:
  garcon history metrics-09b49414bb664b87 > history.json
  garcon replay flows.metrics history.json
"""


@click.command(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("flow")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each decision.")
@click.option(
    "--chdir", type=click.Path(exists=True, file_okay=False), metavar="DIR",
    help="Working folder, where the flow is looked for first.",
)  # fmt: skip
def replay_command(flow: str, files: tuple[str, ...], as_json: bool, chdir: str | None) -> int:
    """Decide stored histories of FLOW again, with its present code.

    FILE is what `garcon history` wrote; the histories of an execution's shards may be named beside
    it. Exit code 0: whatever was decided would be decided again, in the same order, with equal ids,
    inputs and timeouts; 1: something would differ, and the line says what.
    """
    stored = [read_document(path) for path in files]
    enter_folder(chdir)
    found = load_flow(flow)
    check_flow(found)
    decider = FlowDecider(found, describe(found))
    differ = sum(_replay_one(decider, one, stored, as_json, sys.stdout) for one in stored)
    return DIFFERS if differ else 0


def _replay_one(
    decider: FlowDecider,
    document: Mapping[str, Any],
    stored: Sequence[Mapping[str, Any]],
    as_json: bool,
    out: TextIO,
) -> int:
    """Replay one history, told line by line; return how many decisions would differ."""
    execution = document["execution"]
    names = (document["domain"], execution["workflowId"], execution["runId"])
    differ = count = 0
    try:
        for one in replay(decider, document["events"], names, among(stored)):
            count += 1
            differ += one.mismatch is not None
            line = json.dumps(_facts(names[1], one)) if as_json else _line(one)
            out.write(f"{line}\n")
    except RunUnknown as error:
        raise ReplayError(f"{error} among the files; name its history as well") from error
    if not as_json:
        out.write(f"{names[1]}: {count} decisions, {differ or 'none'} would differ\n")
    return differ


def _line(one: Replayed) -> str:
    """Return what was decided and what would be, in one line."""
    told = f"decision {one.started_event_id}: {_counted(each.kind for each in one.decided)}"
    notes = "".join(f" ({note})" for note in one.notes)
    if one.mismatch is not None:
        return f"{told}; DIFFERS: {one.mismatch}{notes}"
    if not one.planned and one.notes:
        return f"{told};{notes}"
    more = [each["decisionType"] for each in one.planned[len(one.decided) :]]
    return f"{told}; the same now{', then ' + _counted(more) if more else ''}{notes}"


def _counted(kinds: Iterable[str]) -> str:
    runs = [(_SHORT.get(kind, kind), len(list(same))) for kind, same in groupby(kinds)]
    return (
        ", ".join(f"{count} x {name}" if count > 1 else name for name, count in runs) or "nothing"
    )


def _facts(workflow_id: str, one: Replayed) -> dict[str, Any]:
    return {
        "event": "decision",
        "workflow_id": workflow_id,
        "started_event_id": one.started_event_id,
        "decided": Counter(each.kind for each in one.decided),
        "planned": Counter(each["decisionType"] for each in one.planned),
        "difference": one.mismatch,
        "notes": one.notes,
    }

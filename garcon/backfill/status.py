"""`status`, `list` and `cancel`: what there is of a flow's ranges, and an end to what is open.

They look, and `cancel` asks. Law: `status` ends with 0 only where everything that was asked about
has completed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

from garcon.backfill.asking import ask
from garcon.backfill.place import Place, find_place
from garcon.backfill.ranges import COMPLETED, Range, Seen, own_runs
from garcon.backfill.show import plain_counts
from garcon.backfill.words import Words, read_words
from garcon.errors import GarconError, ServiceError, UsageError
from garcon.pool.execution import Executions
from garcon.progress import Counts, format_duration, progress_line

ALL_COMPLETED = 0
NOT_COMPLETED = 1
STILL_OPEN = 6

#: Between two looks of `status --watch`, seconds.
WATCH_S = 2.0


class OutputLost(GarconError):
    """What a command found out could not be written to stdout."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the output cannot be written: {error.strerror}")


@dataclass(frozen=True)
class Standing:
    """A range and its newest execution.

    Attributes:
        title: the range in words.
        newest: its newest execution; None where it was never started.
        counts: progress of each activity, as its decider last told.
    """

    title: str
    newest: Seen | None
    counts: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """What it is, in one word: SWF's close status, OPEN or NEVER_STARTED."""
        if self.newest is None:
            return "NEVER_STARTED"
        return self.newest.status or "OPEN"


def run_status(told: Mapping[str, Any], out: TextIO) -> int:
    """Show how the ranges stand; return the exit code."""
    words = read_words(told)
    place = find_place(words.flow, words.engine)
    shown: list[str] = []
    while True:
        found = _standings(place, words)
        code = code_of(found)
        lines = standing_lines(found)
        if told["as_json"]:
            lines = [json.dumps(plain_standing(one), ensure_ascii=False) for one in found]
        if lines != shown:
            write(out, lines)
            shown = lines
        if not told["watch"] or code != STILL_OPEN:
            return code
        time.sleep(WATCH_S)


def _standings(place: Place, words: Words) -> list[Standing]:
    executions = Executions(place.connect, place.description)
    found: list[tuple[str, Seen | None]]
    if words.days is None and not words.input:
        seen = place.finder.all()
        chosen = [one for one in seen if one.status is None] or seen[:1]
        found = [(title_of(one), one) for one in chosen]
    else:
        ranges = words.ranges(place.description.name, [])
        found = [(str(one), newest_of(place, one)) for one in ranges]
    return [
        Standing(title, one, executions.look(one.run).counts if one else {}) for title, one in found
    ]


def newest_of(place: Place, one: Range) -> Seen | None:
    """Return the newest execution of a range, None where it was never started."""
    return next(iter(own_runs(one, place.finder.of(one))), None)


def title_of(one: Seen) -> str:
    """Return the range of an execution in words."""
    return str(one.days) if one.days else one.run.workflow_id


def code_of(found: Sequence[Standing]) -> int:
    """Return the exit code that tells how the ranges stand: the worst of them."""
    words = {one.word for one in found}
    if words - {COMPLETED, "OPEN"} or not found:
        return NOT_COMPLETED
    return STILL_OPEN if "OPEN" in words else ALL_COMPLETED


def standing_lines(found: Sequence[Standing]) -> list[str]:
    """Return how the ranges stand, for people."""
    lines = []
    for one in found:
        when = ""
        if one.newest is not None:
            at = one.newest.closed or one.newest.started
            when = f" {'since' if one.word == 'OPEN' else 'on'} {at:%Y-%m-%d %H:%M}"
        lines.append(f"{one.title}  {one.word}{when}")
        for name, counts in one.counts.items():
            lines.append(f"  {progress_line(name, counts, 0.0, None)}")
    return lines or ["nothing was ever started"]


def plain_standing(one: Standing) -> dict[str, Any]:
    """Return a range as `status --json` tells it: range, status, ids, activities."""
    return {
        "range": one.title,
        "status": one.word,
        "workflow_id": one.newest.run.workflow_id if one.newest else None,
        "run_id": one.newest.run.run_id if one.newest else None,
        "activities": plain_counts(one.counts),
    }


def run_list(told: Mapping[str, Any], out: TextIO) -> int:
    """List the executions that the engine knows of the flow; return the exit code."""
    words = read_words(told)
    place = find_place(words.flow, words.engine)
    seen = place.finder.all()
    if words.days is not None:
        seen = [one for one in seen if one.days and one.days.overlaps(words.days)]
    seen = seen[: told["limit"]]
    if told["as_json"]:
        write(out, [json.dumps(plain_seen(one), ensure_ascii=False) for one in seen])
    else:
        write(out, list_lines(seen) if seen else ["no execution found"])
    return 0


def plain_seen(one: Seen) -> dict[str, Any]:
    """Return an execution as `list --json` tells it."""
    return {
        "start": str(one.days.first) if one.days else None,
        "end": str(one.days.last) if one.days else None,
        "status": one.status or "OPEN",
        "started": one.started.isoformat(),
        "closed": one.closed.isoformat() if one.closed else None,
        "workflow_id": one.run.workflow_id,
        "run_id": one.run.run_id,
    }


def list_lines(seen: Sequence[Seen]) -> list[str]:
    """Return the executions as a table."""
    rows = [("range", "status", "started", "took", "workflow id", "run id")]
    for one in seen:
        took = format_duration((one.closed - one.started).total_seconds()) if one.closed else ""
        started = f"{one.started:%Y-%m-%d %H:%M:%S}"
        days = str(one.days) if one.days else "-"
        rows.append(
            (days, one.status or "OPEN", started, took, one.run.workflow_id, one.run.run_id)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def run_cancel(told: Mapping[str, Any], out: TextIO) -> int:
    """Ask the open executions of the ranges to stop; return the exit code."""
    words = read_words(told)
    if not told["every"] and words.days is None and not words.input:
        raise UsageError("cancel what? name --days or --input, or say --all")
    place = find_place(words.flow, words.engine)
    found = _open_ones(place, words, told["every"])
    for title, one in found:
        _end(place, one, told["terminate"])
        how = "terminated" if told["terminate"] else "asked to cancel"
        write(out, [f"{title}: {how} {one.run.workflow_id} (run {one.run.run_id})"])
    if not found:
        write(out, ["nothing is open"])
    elif not told["terminate"]:
        write(out, ["what runs has 60 s to end; a pool has to serve the flow for that"])
    return 0


def _open_ones(place: Place, words: Words, every: bool) -> list[tuple[str, Seen]]:
    if every:
        return [(title_of(one), one) for one in place.finder.all() if one.status is None]
    ranges = words.ranges(place.description.name, [])
    newest = [(str(one), newest_of(place, one)) for one in ranges]
    return [(title, one) for title, one in newest if one is not None and one.status is None]


def _end(place: Place, one: Seen, terminate: bool) -> None:
    words = {"domain": place.description.domain, "workflowId": one.run.workflow_id}
    operation = "request_cancel_workflow_execution"
    if terminate:
        operation = "terminate_workflow_execution"
        words |= {"reason": "garcon backfill cancel --terminate", "childPolicy": "TERMINATE"}
    try:
        ask(place.connect, operation, runId=one.run.run_id, **words)
    except ServiceError as error:
        if not error.is_unknown_resource:  # else it closed meanwhile
            raise


def write(out: TextIO, lines: Sequence[str]) -> None:
    """Write the lines of a result; a reader that went away is no error.

    Raises:
        OutputLost: they cannot be kept, for example because the disk is full.
    """
    try:
        out.write("".join(f"{line}\n" for line in lines))
        out.flush()
    except (BrokenPipeError, ValueError):
        return
    except OSError as error:
        raise OutputLost(error) from error


def tell(err: TextIO, lines: Sequence[str]) -> None:
    """Write lines for people to stderr; the work does not depend on them."""
    with suppress(OSError, ValueError):
        err.write("".join(f"{line}\n" for line in lines))
        err.flush()

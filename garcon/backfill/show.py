"""What a person or a cron mail sees of a backfill: how it goes on, and how it ended.

Law: with `--quiet` a command that did what it should says nothing at all, and one that did not says
everything, once.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from garcon.backfill.ranges import COMPLETED, Range
from garcon.backfill.rows import Detail
from garcon.backfill.steps import Act, Step
from garcon.pool.display import Display
from garcon.pool.execution import Run
from garcon.progress import Counts, format_duration, retries_told

#: Between two plain progress lines of an activity, seconds.
PLAIN_EVERY_S = 30.0

#: Lines that `--quiet` keeps for the case that it has to speak.
KEPT_LINES = 1_000

#: Failed instances that a summary names, and failed ranges.
NAMED_MAX = 20

#: Groups of equal errors that a summary tells.
GROUPS_MAX = 10


@dataclass(frozen=True)
class FailedInstance:
    """An instance that failed for good: its activity, its keys as `--keys` reads them, why."""

    activity: str
    keys: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """How it ended with one range.

    Attributes:
        of: the range.
        step: what was done about it.
        code: what the command's exit code would be for it alone.
        status: SWF's close status where this command saw it close.
        run: the execution that it saw close.
        reason: why it closed.
        counts: instances of each activity at the end.
        seconds: how long this command watched it.
        failed: instances that failed for good.
        resume: the line that goes on with it; empty where nothing is to be done.
    """

    of: Range
    step: Step
    code: int = 0
    status: str | None = None
    run: Run | None = None
    reason: str = ""
    counts: Mapping[str, Counts] = field(default_factory=dict)
    seconds: float = 0.0
    failed: Sequence[FailedInstance] = ()
    resume: str = ""


class Show(Display):
    """Plain lines: for cron, files and pipes.

    Attributes:
        wants_detail: whether `detail` is to be told what the histories say meanwhile.
        workers: tells how many workers are busy, and how many there are; None where that is
            nobody's to know here.
    """

    wants_detail = False
    workers: Callable[[], tuple[int, int]] | None = None

    def __init__(self, out: TextIO, err: TextIO, every_s: float = PLAIN_EVERY_S) -> None:
        """Write the summary to `out` and all else to `err`, progress at most each `every_s`."""
        super().__init__(out, err, every_s)
        self._counts: dict[str, Mapping[str, Counts]] = {}
        self._open: set[str] = set()

    def began(self, one: Range, step: Step, run: Run | None) -> None:
        """Tell what is done about a range; `run` is the execution that was started or joined."""
        told = {
            Act.START: "started",
            Act.RESUME: "resumed as",
            Act.JOIN: "joined",
        }.get(step.act)
        if step.text and (told or step.act is Act.WAIT):
            self.note(step.text)
        if told and run is not None:
            self.note(f"{one}: {told} execution {run.workflow_id} (run {run.run_id})")

    def range_progress(self, one: Range, counts: Mapping[str, Counts], now_s: float) -> None:
        """Show how far a range is, seen at `now_s` (monotonic seconds)."""
        self._open.add(str(one))
        self._counts[str(one)] = counts
        self.progress(added_up(self._counts.values()), now_s)

    def detail(self, one: Range, detail: Detail) -> None:
        """Show what the histories of a range say meanwhile."""

    def ended(self, outcome: Outcome) -> None:
        """Take note of a range that is over."""
        self._open.discard(str(outcome.of))

    def summed_up(self, outcomes: Sequence[Outcome], code: int) -> None:
        """Tell how everything ended."""
        del code
        for line in summary_lines(outcomes):
            self._write(self._out, line)


class QuietShow(Show):
    """Nothing, unless it goes wrong."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        """Keep what would be written until the end is known."""
        super().__init__(out, err)
        self._kept: deque[tuple[TextIO, str]] = deque(maxlen=KEPT_LINES)
        self._is_good = False

    def summed_up(self, outcomes: Sequence[Outcome], code: int) -> None:
        """Note how it ended; what is kept comes out when the command closes."""
        self._is_good = code == 0
        super().summed_up(outcomes, code)

    def close(self) -> None:
        """Say everything, or nothing."""
        kept = [] if self._is_good else list(self._kept)
        self._kept.clear()
        for stream, line in kept:
            super()._write(stream, line)

    def _write(self, stream: TextIO, line: str) -> None:
        self._kept.append((stream, line))


class JsonShow(Show):
    """One JSON object a line on stdout; what tasks print goes to stderr."""

    def output(self, stream: str, line: str) -> None:
        """Keep stdout for JSON."""
        del stream
        self._write(self._err, line)

    def began(self, one: Range, step: Step, run: Run | None) -> None:
        """Write `{"event": "began", range, act, workflow_id, run_id, text}`."""
        self._json("began", range=str(one), act=step.act.value, text=step.text, **_ids(run))

    def range_progress(self, one: Range, counts: Mapping[str, Counts], now_s: float) -> None:
        """Write `{"event": "progress", range, activities: {name: counts}}` when it changed."""
        del now_s
        if counts and self._counts.get(str(one)) != counts:
            self._counts[str(one)] = dict(counts)
            self._json("progress", range=str(one), activities=plain_counts(counts))

    def ended(self, outcome: Outcome) -> None:
        """Write `{"event": "ended", range, act, status, code, reason, failed, resume, ...}`."""
        super().ended(outcome)
        self._json(
            "ended",
            range=str(outcome.of),
            act=outcome.step.act.value,
            status=outcome.status,
            code=outcome.code,
            reason=outcome.reason,
            seconds=round(outcome.seconds, 3),
            activities=plain_counts(outcome.counts),
            failed=[asdict(one) for one in outcome.failed],
            resume=outcome.resume,
            **_ids(outcome.run),
        )

    def summed_up(self, outcomes: Sequence[Outcome], code: int) -> None:
        """Write `{"event": "summary", code, ranges: {act: number}}`."""
        acts: dict[str, int] = {}
        for one in outcomes:
            acts[one.step.act.value] = acts.get(one.step.act.value, 0) + 1
        self._json("summary", code=code, ranges=acts)

    def _json(self, event: str, **fields: Any) -> None:
        self._write(self._out, json.dumps({"event": event, **fields}, ensure_ascii=False))


def _ids(run: Run | None) -> dict[str, str | None]:
    if run is None:
        return {"workflow_id": None, "run_id": None}
    return {"workflow_id": run.workflow_id, "run_id": run.run_id}


def plain_counts(counts: Mapping[str, Counts]) -> dict[str, dict[str, int]]:
    """Return counts as JSON has them."""
    return {name: {**asdict(one), "left": one.left} for name, one in counts.items()}


def added_up(several: Any) -> dict[str, Counts]:
    """Return the counts of several ranges as one."""
    total: dict[str, Counts] = {}
    for counts in several:
        for name, one in counts.items():
            known = asdict(total.get(name, Counts()))
            total[name] = Counts(**{key: known[key] + value for key, value in asdict(one).items()})
    return total


def summary_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the summary: what is wrong in full, what is right in few words."""
    if not outcomes:
        return ["nothing to do"]
    lines = [line for one in outcomes if not one.code for line in _good_lines(one)]
    for one in [one for one in outcomes if one.code][:NAMED_MAX]:
        lines += _bad_lines(one)
    bad = sum(1 for one in outcomes if one.code)
    if bad > NAMED_MAX:
        lines.append(f"and {bad - NAMED_MAX} more ranges that did not complete")
    if len(outcomes) > 1:
        lines.append(f"{len(outcomes) - bad} of {len(outcomes)} ranges are good, {bad} are not")
    return lines


def _good_lines(one: Outcome) -> list[str]:
    if one.status is None:
        return [one.step.text]
    took = format_duration(one.seconds)
    line = f"{one.of} {one.status} after {took}"
    if one.status != COMPLETED:
        line = f"{one.of}: all that was asked for completed after {took}; {one.reason}"
    return [line, *_count_lines(one)]


def _count_lines(one: Outcome) -> list[str]:
    lines = []
    for name, counts in one.counts.items():
        told = f"  {name}: {counts.done:,} of {counts.total:,} done, {counts.failed:,} failed"
        told += f", {counts.left:,} left" if counts.left else ""
        lines.append(told + retries_told(counts))
    return lines


def _bad_lines(one: Outcome) -> list[str]:
    if one.status is None:
        return [one.step.text]
    lines = [f"{one.of} {one.status} after {format_duration(one.seconds)}"]
    lines += [f"  reason: {one.reason}"] if one.reason else []
    lines += _count_lines(one)
    groups = error_groups(one.failed)
    if groups:
        lines.append("  failures:")
        lines += [f"    {count:,} x {reason}" for reason, count in groups[:GROUPS_MAX]]
        if len(groups) > GROUPS_MAX:
            lines.append(f"    and {len(groups) - GROUPS_MAX} other errors")
    if one.failed:
        shown = min(NAMED_MAX, len(one.failed))
        lines.append(f"  failed (first {shown} of {len(one.failed):,}):")
        lines += [f"    {each.activity} {each.keys}" for each in one.failed[:NAMED_MAX]]
    if one.resume:
        lines.append(f"  go on with it: {one.resume}")
    return lines


def error_groups(failed: Sequence[FailedInstance]) -> list[tuple[str, int]]:
    """Return the reasons with how many instances each failed, the most frequent first."""
    counts: dict[str, int] = {}
    for one in failed:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    return sorted(counts.items(), key=lambda each: -each[1])

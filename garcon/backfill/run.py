"""`run` and `resume`: every range brought to its end, by a pool of this command's or by others.

`Backfill` is the mission; it starts and watches executions and never runs an instance itself. Law:
what it says of a range comes from the engine, and its exit code is that of the worst range.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from garcon.backfill.cells import failed_of
from garcon.backfill.days import DayRange
from garcon.backfill.finding import Finder
from garcon.backfill.histories import read_seen, read_told
from garcon.backfill.ranges import COMPLETED, Range, Seen
from garcon.backfill.reporting import show_of, write_page
from garcon.backfill.rows import digest
from garcon.backfill.show import FailedInstance, Outcome, Show
from garcon.backfill.steps import Act, Step, next_step
from garcon.backfill.tail import Tail
from garcon.backfill.words import Words, told_keys
from garcon.description import FlowDescription
from garcon.errors import GarconError, UsageError
from garcon.log import log_event
from garcon.planning.resuming import LEFT_OUT
from garcon.planning.selection import Selection
from garcon.pool.execution import Executions, Run
from garcon.pool.mission import Desk
from garcon.pool.watch import Watch, patiently

logger = logging.getLogger("garcon.pool")

CLOSED_OTHERWISE = 1

#: Between two looks into the histories, first and later, seconds; and the share of the time that
#: they may take.
FIRST_DETAIL_S = 0.5
DETAIL_S = 3.0
DETAIL_SHARE = 0.05

#: For how long an engine that is away is asked again, seconds.
PATIENCE_S = 60.0


class Backfill:
    """The mission of a backfill."""

    def __init__(
        self,
        words: Words,
        show: Show,
        *,
        priority: int | None = None,
    ) -> None:
        """Do what `words` say.

        Args:
            words: the command's words.
            show: shows how it goes.
            priority: SWF's task priority of what is started.
        """
        self._words = words
        self._show = show
        self._priority = priority
        self._watches: dict[str, Watch] = {}

    def hurry(self, run_id: str) -> None:
        """Look at once: this run has probably just closed."""
        watch = self._watches.get(run_id)
        if watch is not None:
            watch.hurry(run_id)

    async def run(self, desk: Desk) -> int:
        """Bring every range to its end and return the exit code of the worst.

        Raises:
            GarconError: the engine refuses, or the only range cannot be worked on.
        """
        self._show.workers = desk.workers
        check_activities(desk.flow, self._words.selection)
        finder = Finder(desk.connect, desk.flow)
        seen = await _asked(desk, finder.all) if self._words.catch_up else []
        ranges = self._words.ranges(desk.flow.name, seen)
        gate = asyncio.Semaphore(self._words.open_max)
        jobs = [asyncio.ensure_future(self._one(desk, finder, one, gate)) for one in ranges]
        try:
            outcomes = [await job for job in jobs]
        finally:
            for job in jobs:
                job.cancel()
        code = max((one.code for one in outcomes), default=0)
        error = outcomes[0].step.error if len(outcomes) == 1 else None
        if error is not None:
            raise error
        if self._words.report is not None:
            code = max(code, await self._report(desk, outcomes, self._words.report))
        self._show.summed_up(outcomes, code)
        return code

    async def _report(self, desk: Desk, outcomes: Sequence[Outcome], path: Path) -> int:
        """Write the page about everything; return the exit code that this alone would mean."""
        try:
            await desk.control(_write_report, desk, self._words.flow, outcomes, path)
        except GarconError as error:
            self._show.note(f"garcon: {error}")
            return CLOSED_OTHERWISE
        self._show.note(f"report: {path}")
        return 0

    async def _one(
        self, desk: Desk, finder: Finder, one: Range, gate: asyncio.Semaphore
    ) -> Outcome:
        async with gate:
            outcome = await self._bring_to_end(desk, finder, one)
        self._show.ended(outcome)
        return outcome

    async def _bring_to_end(self, desk: Desk, finder: Finder, one: Range) -> Outcome:
        # Lists may show for a while as open what has closed: nothing is waited for twice.
        waited: set[str] = set()
        while True:
            found: list[Seen] = await _asked(desk, finder.of, one)
            seen = [each for each in found if each.run.run_id not in waited]
            step = next_step(one, seen, self._words.wish)
            if step.act is not Act.WAIT:
                break
            assert step.of is not None
            self._show.began(one, step, step.of.run)
            await self._watch(desk, one, step.of.run)
            waited.add(step.of.run.run_id)
        run = await self._begin(desk, one, step)
        self._show.began(one, step, run)
        if run is None:
            return Outcome(one, step, _code_of(step))
        return await self._follow(desk, one, step, run)

    async def _begin(self, desk: Desk, one: Range, step: Step) -> Run | None:
        """Start or find the execution to follow; None where there is none."""
        if step.act is Act.JOIN:
            assert step.of is not None
            return step.of.run
        if step.act not in (Act.START, Act.RESUME):
            return None
        data = dict(one.input)
        if step.act is Act.RESUME:
            assert step.of is not None
            data["garcon.resume"] = self._resume_of(step.of)
        started = await _asked(
            desk, desk.executions.start_or_join, one.workflow_id, data, self._priority
        )
        run: Run = started.run
        return run

    def _resume_of(self, found: Seen) -> dict[str, Any]:
        told = {"workflow_id": found.run.workflow_id, "run_id": found.run.run_id}
        only = self._words.selection.plain()
        return {**told, "only": only} if only else told

    async def _watch(self, desk: Desk, one: Range, run: Run) -> Any:
        watch = self._watches[run.run_id] = Watch(desk, run)
        looking = asyncio.ensure_future(self._look_deeper(desk, one, run))
        try:
            return await watch.wait_closed(
                lambda counts, now_s: self._show.range_progress(one, counts, now_s)
            )
        finally:
            looking.cancel()
            self._watches.pop(run.run_id, None)

    async def _look_deeper(self, desk: Desk, one: Range, run: Run) -> None:
        """Read along in the histories for who watches a terminal, at a small part of the time."""
        if not self._show.wants_detail:
            return
        loop = asyncio.get_running_loop()
        tail = Tail(desk.connect, desk.flow, run)
        pause_s = FIRST_DETAIL_S
        while True:
            began_s = loop.time()
            try:
                # In a thread of its own: neither the reading nor the counting is quick.
                self._show.detail(one, await asyncio.to_thread(lambda: digest(tail.look())))
            except GarconError as error:
                log_event(logger, logging.INFO, "look.failed", why=error)
            took_s = loop.time() - began_s
            await asyncio.sleep(max(pause_s, took_s / DETAIL_SHARE))
            pause_s = min(DETAIL_S, 2 * pause_s)

    async def _follow(self, desk: Desk, one: Range, step: Step, run: Run) -> Outcome:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        look = await self._watch(desk, one, run)
        executions: Executions = desk.executions
        ending = await _asked(desk, executions.ending, run)
        status = look.close_status or ""
        outcome = Outcome(
            one,
            step,
            0 if status == COMPLETED else CLOSED_OTHERWISE,
            status=status,
            run=run,
            reason=ending.reason,
            counts=look.counts,
            seconds=loop.time() - began_s,
        )
        if outcome.code == 0:
            return outcome
        if status == "FAILED" and ending.reason.startswith(LEFT_OUT):
            # It ran all that it was asked to run.
            return replace(outcome, code=0)
        failed = await _asked(desk, _read_failed, desk, run)
        resume = self._words.command_for("run", one, desk.engine)
        return replace(outcome, failed=failed, resume=resume)


def check_activities(flow: FlowDescription, selection: Selection) -> None:
    """Refuse a selection of activities that the flow does not have.

    Raises:
        UsageError: there is no such activity.
    """
    known = [one.name for one in flow.activities]
    for name in selection.activities:
        if name not in known:
            raise UsageError(
                f"--activity: flow {flow.name} has no activity {name!r} (known: {', '.join(known)})"
            )


async def _asked(desk: Desk, call: Callable[..., Any], *args: Any) -> Any:
    return await patiently(desk.control, call, *args, patience_s=PATIENCE_S)


def _code_of(step: Step) -> int:
    """Return what a command about this range alone would end with."""
    error = step.error
    return 0 if error is None else int(getattr(error, "exit_code", 1))


def _read_failed(desk: Desk, run: Run) -> list[FailedInstance]:
    told = read_told(desk.connect, desk.flow.domain, run, desk.flow)
    return [
        FailedInstance(grid.activity, told_keys(grid.context(index)), cell.reason)
        for grid, index, cell in failed_of(told.grids.values())
        if cell.attempts  # else it failed earlier, and was left out of this resume
    ]


def _write_report(desk: Desk, flow_name: str, outcomes: Sequence[Outcome], path: Path) -> None:
    domain = desk.flow.domain
    shown = []
    for one in outcomes:
        run = one.run or (one.step.of.run if one.step.of else None)
        if run is not None:
            seen = read_seen(desk.connect, domain, run)
            shown.append(show_of(desk.connect, domain, seen, desk.flow))
    write_page(path, f"{flow_name} {one_line(outcomes)}", shown)


def one_line(outcomes: Sequence[Outcome]) -> str:
    """Return the ranges in words: the only one, or from the first day to the last."""
    days = [one.of.days for one in outcomes if one.of.days is not None]
    if len(outcomes) == 1 or not days:
        return ", ".join(str(one.of) for one in outcomes[:1])
    return str(DayRange(min(one.first for one in days), max(one.last for one in days)))

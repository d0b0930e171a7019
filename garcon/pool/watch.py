"""The execution that a command was asked to run: started or joined, shown, and how it ended.

`Watch` follows one run until it closes; `SingleRun` is the mission of `garcon pool --input`. They
only look; the pool beside them does the work, and so may other pools. Law: what is said of an
ending comes from the engine, never from what this pool happened to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from garcon.errors import EngineError, ServiceError
from garcon.log import log_event
from garcon.pool.display import Report
from garcon.pool.execution import Look, Run, default_workflow_id
from garcon.pool.mission import Control, Desk
from garcon.progress import Counts

logger = logging.getLogger("garcon.pool")

#: Between two looks, seconds: the engine's budget for them is small, a person's patience too.
LOOK_S = 2.0
FIRST_LOOKS_S = 0.5

#: A passing fault of the engine is looked past this long before the watch gives up.
PATIENCE_S = 300.0

COMPLETED = 0
CLOSED_OTHERWISE = 1


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the input, the id and the priority of the execution.

    Attributes:
        input: its input.
        workflow_id: its id; None for the one that follows from flow and input.
        priority: SWF's task priority; None for SWF's default.
    """

    input: Mapping[str, Any]
    workflow_id: str | None = None
    priority: int | None = None


class SingleRun:
    """The mission of one execution."""

    def __init__(self, wanted: Wanted) -> None:
        """Run what is `wanted`."""
        self._wanted = wanted
        self._watch: Watch | None = None

    def hurry(self, run_id: str) -> None:
        """Look at once: the run has probably just closed."""
        if self._watch is not None:
            self._watch.hurry(run_id)

    async def run(self, desk: Desk) -> int:
        """Start or join the execution, show it until it closes, and return the exit code.

        Raises:
            OpenWithAnotherInput: the id is taken.
            EngineError: the engine refuses, or stays away too long.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        executions, wanted = desk.executions, self._wanted
        workflow_id = wanted.workflow_id or default_workflow_id(desk.flow.name, wanted.input)
        started = await patiently(
            desk.control, executions.start_or_join, workflow_id, wanted.input, wanted.priority
        )
        self._watch = Watch(desk, started.run)
        desk.display.started(started)
        look = await self._watch.wait_closed(desk.display.progress)
        ending = await patiently(desk.control, executions.ending, started.run)
        status = look.close_status or ""
        desk.display.closed(Report(started.run, status, look.counts, ending, loop.time() - began_s))
        return COMPLETED if status == "COMPLETED" else CLOSED_OTHERWISE


async def patiently(
    control: Control, call: Callable[..., Any], *args: Any, patience_s: float | None = None
) -> Any:
    """Return what a blocking `call` gives; an engine that is away for a moment is asked again.

    Args:
        control: runs the call off the loop.
        call: what is to be called.
        args: what with.
        patience_s: for how long an engine that is away is asked, seconds; None: `PATIENCE_S`.
    Raises:
        EngineError: it refuses, or stays away longer than that.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + (PATIENCE_S if patience_s is None else patience_s)
    while True:
        try:
            return await control(call, *args)
        except EngineError as error:
            if not _is_passing(error) or loop.time() > until_s:
                raise
            log_event(logger, logging.INFO, "look.failed", why=error)
        await asyncio.sleep(LOOK_S)


class Watch:
    """One run, looked at until it closes."""

    def __init__(self, desk: Desk, run: Run) -> None:
        """Look at `run`."""
        self._desk = desk
        self._run = run
        self._hurry = asyncio.Event()

    def hurry(self, run_id: str) -> None:
        """Look at once, if this is the run: it has probably just closed."""
        if self._run.run_id == run_id:
            self._hurry.set()

    async def wait_closed(self, on_progress: Callable[[Mapping[str, Counts], float], None]) -> Look:
        """Return the last look at the run once it has closed.

        Args:
            on_progress: told the counts, and when they were seen (the loop's time, seconds).
        Raises:
            EngineError: the engine refuses, or stays away too long.
        """
        loop = asyncio.get_running_loop()
        began_s = seen_s = loop.time()
        executions = self._desk.executions
        counts: Mapping[str, Counts] = {}
        while True:
            try:
                look: Look = await self._desk.control(executions.look, self._run)
            except EngineError as error:
                if not _is_passing(error) or loop.time() - seen_s > PATIENCE_S:
                    raise
                log_event(logger, logging.INFO, "look.failed", why=error)
            else:
                seen_s = loop.time()
                # The last decision may tell less than an earlier one: keep what is known.
                counts = look.counts or counts
                on_progress(counts, seen_s)
                if look.close_status is not None:
                    self._desk.seen_closed(self._run.run_id)
                    return Look(look.close_status, counts)
            early = loop.time() - began_s < 2 * LOOK_S
            await self._pause(FIRST_LOOKS_S if early else LOOK_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except asyncio.TimeoutError:
            return
        self._hurry.clear()


def _is_passing(error: EngineError) -> bool:
    """Tell whether the same call may succeed later; an engine that cannot be started may yet be."""
    return not isinstance(error, ServiceError) or error.is_passing

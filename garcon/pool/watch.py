"""The execution that a command was asked to run: started or joined, shown, and how it ended.

The watch only looks; the pool beside it does the work, and so may other pools. Law: what it says
of an ending comes from the engine, never from what this pool happened to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError

from garcon.errors import EngineError, ServiceError
from garcon.log import log_event
from garcon.pool.display import Display, Report
from garcon.pool.execution import Executions, Look, Run
from garcon.progress import Counts

logger = logging.getLogger("garcon.pool")

#: Between two looks, seconds: the engine's budget for them is small, a person's patience too.
LOOK_S = 2.0
FIRST_LOOKS_S = 0.5

#: A passing fault of the engine is looked past this long before the watch gives up.
PATIENCE_S = 300.0

COMPLETED = 0
CLOSED_OTHERWISE = 1

#: Runs a blocking call on the supervisor's helper thread.
Control = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the id, the input and the priority of the execution."""

    workflow_id: str
    input: Mapping[str, Any]
    priority: int | None = None


class Watch:
    """One execution from the command's side."""

    def __init__(self, executions: Executions, control: Control, display: Display) -> None:
        """Use `control` for blocking calls and show what is seen on `display`."""
        self._executions = executions
        self._control = control
        self._display = display
        self._hurry = asyncio.Event()
        self._run: Run | None = None

    def hurry(self, run_id: str) -> None:
        """Look at once: the run has probably just closed."""
        if self._run is not None and self._run.run_id == run_id:
            self._hurry.set()

    async def run(self, wanted: Wanted) -> int:
        """Start or join the execution, show it until it closes, and return the exit code.

        Raises:
            OpenWithAnotherInput: the id is taken.
            EngineError: the engine refuses, or stays away too long.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        started = await self._control(
            self._executions.start_or_join, wanted.workflow_id, wanted.input, wanted.priority
        )
        self._run = started.run
        self._display.started(started)
        look = await self._wait_closed(started.run)
        ending = await self._control(self._executions.ending, started.run)
        status = look.close_status or ""
        self._display.closed(
            Report(started.run, status, look.counts, ending, loop.time() - began_s)
        )
        return COMPLETED if status == "COMPLETED" else CLOSED_OTHERWISE

    async def _wait_closed(self, run: Run) -> Look:
        loop = asyncio.get_running_loop()
        began_s = seen_s = loop.time()
        counts: Mapping[str, Counts] = {}
        while True:
            try:
                look: Look = await self._control(self._executions.look, run)
            except (EngineError, BotoCoreError) as error:
                if _is_final(error) or loop.time() - seen_s > PATIENCE_S:
                    raise _as_engine_error(error) from error
                log_event(logger, logging.INFO, "look.failed", why=error)
            else:
                seen_s = loop.time()
                # The last decision may tell less than an earlier one: keep what is known.
                counts = look.counts or counts
                self._display.progress(counts, seen_s)
                if look.close_status is not None:
                    return Look(look.close_status, counts)
            early = loop.time() - began_s < 2 * LOOK_S
            await self._pause(FIRST_LOOKS_S if early else LOOK_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except asyncio.TimeoutError:
            return
        self._hurry.clear()


def _is_final(error: Exception) -> bool:
    return isinstance(error, ServiceError) and not error.is_passing


def _as_engine_error(error: Exception) -> EngineError:
    return error if isinstance(error, EngineError) else EngineError(str(error))

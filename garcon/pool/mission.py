"""What a pool may be asked to do beside serving: a mission, run to its end, then the pool leaves.

`garcon pool --input` has the mission of one execution, `garcon backfill run` that of many. Law: a
mission only starts executions and looks at them; the work is the pool's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from garcon.client import Engine
from garcon.description import FlowDescription
from garcon.pool.display import Display
from garcon.pool.execution import Executions

#: Runs a blocking call on a helper thread.
Control = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Desk:
    """What a mission works with.

    Attributes:
        flow: names and numbers of the flow.
        engine: whom the pool talks to.
        connect: returns a boto3 client of that engine; it may block.
        control: runs what blocks.
        display: shows what is seen.
        workers: how many workers have a task, and how many there are; None where there is no pool.
        seen_closed: told the run id of an execution that was seen closed.
    """

    flow: FlowDescription
    engine: Engine
    connect: Callable[[], Any]
    control: Control
    display: Display
    workers: Callable[[], tuple[int, int]] | None = None
    seen_closed: Callable[[str], None] = lambda _: None

    @property
    def executions(self) -> Executions:
        """The flow's executions on this engine."""
        return Executions(self.connect, self.flow)


class Mission(Protocol):
    """Something to do with a flow's executions."""

    async def run(self, desk: Desk) -> int:
        """Do it and return the command's exit code.

        Raises:
            GarconError: it could not be done.
        """

    def hurry(self, run_id: str) -> None:
        """Look at once: this run has probably just closed."""

"""How many tasks wait at the engine for this pool's flow, as far as it says.

The engine is asked only while somebody looks, list after list, at most once in a while: AWS allows
a whole account six such questions a second. Law: a look waits for the answers a moment only; what
is not known yet is told as such.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from garcon.description import FlowDescription
from garcon.errors import EngineError
from garcon.pool.answers import read_answer
from garcon.pool.dataplane import DataPlane
from garcon.pool.jobs import Jobs

#: A count is good for so long, seconds.
GOOD_S = 10.0

#: Between two questions, seconds.
APART_S = 0.25

#: How long a look waits for counts, seconds.
PATIENCE_S = 1.0

CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Count:
    """How many tasks wait on one list.

    Attributes:
        tasks: their number, an estimate on AWS.
        truncated: whether there are more than that.
    """

    tasks: int
    truncated: bool


class Backlog:
    """Counts of the lists of one flow."""

    def __init__(self, plane: DataPlane, flow: FlowDescription) -> None:
        """Ask by `plane` for the lists of `flow`."""
        self._plane = plane
        self._domain = flow.domain
        own = dict.fromkeys(one.task_list for one in flow.activities if not one.external)
        self._lists = dict.fromkeys(own, "CountPendingActivityTasks")
        self._lists[flow.task_list] = "CountPendingDecisionTasks"
        self._counts: dict[str, Count] = {}
        self._asked_s: dict[str, float] = {}
        self._jobs = Jobs()
        self._asking: asyncio.Task[Any] | None = None

    async def look(self, patience_s: float = PATIENCE_S) -> dict[str, Count | None]:
        """Return the count of each list, None where it is not known; asks for old ones anew."""
        if self._asking is None and self._old():
            self._asking = self._jobs.spawn(self._ask_all())
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=patience_s)
        return {name: self._counts.get(name) for name in self._lists}

    async def close(self) -> None:
        """Ask nothing more."""
        await self._jobs.cancel()

    def _old(self) -> list[str]:
        good_s = asyncio.get_running_loop().time() - GOOD_S
        return [name for name in self._lists if self._is_old(name, good_s)]

    def _is_old(self, name: str, good_s: float) -> bool:
        # A refusal is as good as a count: who is throttled is not to ask at every look.
        return self._asked_s.get(name, float("-inf")) < good_s

    async def _ask_all(self) -> None:
        try:
            for turn, name in enumerate(self._old()):
                if turn:
                    await asyncio.sleep(APART_S)
                await self._ask(name)
        finally:
            self._asking = None

    async def _ask(self, name: str) -> None:
        body = {"domain": self._domain, "taskList": {"name": name}}
        try:
            data = await self._plane.call(self._lists[name], body, timeout_s=CALL_TIMEOUT_S)
            answer = read_answer(data)
        except EngineError:
            answer = {}
        self._asked_s[name] = asyncio.get_running_loop().time()
        if "count" in answer:
            self._counts[name] = Count(int(answer["count"]), bool(answer.get("truncated")))
        else:
            # Throttled or cut off: an old count would be taken for the present one.
            self._counts.pop(name, None)

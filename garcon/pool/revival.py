"""A local engine as its pool sees it: is it the one that answers, and can it be had again.

Garcon starts local engines itself, so a pool that finds its engine gone starts it anew, in the
helper thread and once for all calls that miss it. Law: an engine is known by its nonce alone, never
by its port; a program that took the dead engine's port is nobody.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from garcon.client import Engine, ensure
from garcon.engine.ensure import published_nonce
from garcon.errors import EngineError, EngineUnreachable
from garcon.log import log_event

logger = logging.getLogger("garcon.pool")

#: After a start has failed, the next is tried no sooner, seconds.
START_AGAIN_S = 2.0


class Revival:
    """Brings the engine back and recognises it; for engines of kind `local` only."""

    def __init__(self, engine: Engine, helper: Executor) -> None:
        self._engine = engine
        self._helper = helper
        self._nonce: str | None = None
        self._starting: asyncio.Task[str] | None = None
        self._failed: tuple[float, str] | None = None

    def knows(self, nonce: str | None) -> bool:
        """Return whether a response with this nonce is the engine's own.

        A new nonce alone is no stranger: the engine was started again, and its file says so.
        """
        if nonce is None or self._engine.path is None:
            return False
        if nonce != self._nonce and nonce == published_nonce(self._engine.path):
            self._nonce = nonce
        return nonce == self._nonce

    async def url(self) -> str:
        """Return where the engine answers, started again if need be; callers share one start.

        Raises:
            EngineUnreachable: it cannot be started now.
        """
        if self._starting is None:
            self._starting = asyncio.create_task(self._bring_back(), name="garcon-revival")
            self._starting.add_done_callback(self._started)
        return await asyncio.shield(self._starting)

    async def close(self) -> None:
        """Wait for no start any more."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    def _started(self, task: asyncio.Task[str]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # looked at, since every caller may have gone meanwhile

    async def _bring_back(self) -> str:
        loop = asyncio.get_running_loop()
        if self._failed is not None and loop.time() < self._failed[0] + START_AGAIN_S:
            raise EngineUnreachable(self._failed[1])
        try:
            url = await loop.run_in_executor(self._helper, ensure, self._engine)
        except EngineError as error:
            self._failed = (loop.time(), str(error))
            log_event(logger, logging.ERROR, "engine.not_started", why=error)
            raise EngineUnreachable(str(error)) from error
        return url or ""

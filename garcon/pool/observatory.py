"""Everything through which a pool is seen from outside, started and ended in one place.

Law: nothing here can hold the pool up or bring it down; a pool that cannot be looked at works on.
Only a command that asks for what it cannot have (a port that is taken) is refused at the start.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from garcon.log import log_event
from garcon.pool.config import PoolConfig
from garcon.pool.jobs import Jobs
from garcon.pool.notify import Notifier
from garcon.pool.service import Service
from garcon.pool.slots import Pool
from garcon.pool.status import PoolStatus
from garcon.pool.status_socket import StatusServer
from garcon.pool.vitals import Vital, Vitals

if TYPE_CHECKING:
    from garcon.pool.metrics import PoolMetrics

logger = logging.getLogger("garcon.pool")

#: A dispatcher that has not gone round for so long, seconds, does not work.
STUCK_S = 10.0


class Observatory:
    """The windows of one pool."""

    def __init__(self, config: PoolConfig, service: Service, pool: Callable[[], Pool]) -> None:
        """Show what `service` and `pool` do."""
        self._config = config
        self._service = service
        self.vitals = Vitals(lambda: self.status.pids(), service.helper)
        self.status = PoolStatus(config, service, pool, self.vitals)
        self._notifier = Notifier.from_environment(os.environ)
        self._server = StatusServer(self.status.document)
        self._metrics: PoolMetrics | None = None
        self._jobs = Jobs()

    async def open(self) -> None:
        """Begin to look and to answer.

        Raises:
            UsageError: the command asks for metrics at a place where nobody can listen.
        """
        if self._config.metrics is not None:
            # Imported here: a tenth of a second, and aiohttp's server, for those who want it.
            from garcon.pool.metrics import PoolMetrics

            self._metrics = PoolMetrics(self.status.document)
            self._service.on_end = self._metrics.observe
            await self._metrics.start(*self._config.metrics)
        await self._server.start()
        self._jobs.spawn(self.vitals.run())
        if self._notifier.beat_every_s is not None:
            self._jobs.spawn(self._beat(self._notifier.beat_every_s))

    def tell_ready(self, workers: int) -> None:
        """Tell the service manager that the pool works, and the log where its figures are."""
        if self._metrics is not None:
            log_event(logger, logging.INFO, "metrics.served", url=self._metrics.url)
        self._notifier.ready(f"{workers} workers up")
        self.vitals.on_look.append(self._tell_progress)

    def tell_stopping(self) -> None:
        """Tell the service manager that the pool ends by itself."""
        if self._tell_progress in self.vitals.on_look:
            self.vitals.on_look.remove(self._tell_progress)
        self._notifier.stopping()

    async def close(self) -> None:
        """Be seen no more."""
        await self._server.close()
        if self._metrics is not None:
            await self._metrics.close()
        await self._jobs.cancel()
        await self.status.close()
        self._notifier.close()

    async def _beat(self, every_s: float) -> None:
        while True:
            if self._gets_on():
                self._notifier.beat()
            await asyncio.sleep(every_s)

    def _gets_on(self) -> bool:
        """Whether the work goes round, as far as there is any yet."""
        work = self._service.work
        if work is None:
            return True
        return asyncio.get_running_loop().time() - work.dispatcher.ticked_s < STUCK_S

    def _tell_progress(self, _: Mapping[int, Vital], now_s: float) -> None:
        self._notifier.status(self.status.one_line(now_s))

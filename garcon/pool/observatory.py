"""Everything through which a pool is seen from outside, started and ended in one place.

Law: nothing here can hold the pool up or bring it down; a pool that cannot be looked at works on.
"""

from __future__ import annotations

from collections.abc import Callable

from garcon.pool.config import PoolConfig
from garcon.pool.jobs import Jobs
from garcon.pool.service import Service
from garcon.pool.slots import Pool
from garcon.pool.status import PoolStatus
from garcon.pool.status_socket import StatusServer
from garcon.pool.vitals import Vitals


class Observatory:
    """The windows of one pool."""

    def __init__(self, config: PoolConfig, service: Service, pool: Callable[[], Pool]) -> None:
        """Show what `service` and `pool` do; on the pool's loop."""
        self.vitals = Vitals(lambda: self.status.pids(), service.helper)
        self.status = PoolStatus(config, service, pool, self.vitals)
        self._server = StatusServer(self.status.document)
        self._jobs = Jobs()

    async def open(self) -> None:
        """Begin to look and to answer."""
        self._jobs.spawn(self.vitals.run())
        await self._server.start()

    async def close(self) -> None:
        """Be seen no more."""
        await self._server.close()
        await self._jobs.cancel()
        await self.status.close()

"""Credentials for the per-task calls, kept fresh without the loop ever waiting for them.

botocore's refreshable credentials reach over the network from inside whatever call finds them
old. Here the helper thread asks for them ahead of time and the loop signs with the frozen values
it was last given. Law: no value of a credential leaves this module but to the signer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from garcon.log import log_event

logger = logging.getLogger("garcon.pool")

#: How often the helper looks. botocore renews from 15 minutes before the end, so an issuer may be
#: out of reach for that long before a signature fails.
LOOK_S = 60.0


class CredentialKeeper:
    """Holds frozen credentials, and renews them in the helper thread."""

    def __init__(
        self,
        source: Credentials,
        helper: Executor,
        on_change: Callable[[ReadOnlyCredentials], None],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        """Keep what `source` gives.

        Args:
            source: botocore's credentials.
            helper: runs what may wait for a network.
            on_change: called on the loop with new credentials.
            look_s: seconds between two looks.
        """
        self._source = source
        self._helper = helper
        self._on_change = on_change
        self._look_s = look_s
        self._frozen: ReadOnlyCredentials | None = None
        self._looking: asyncio.Task[None] | None = None
        self._turns: asyncio.Task[None] | None = None

    async def start(self) -> ReadOnlyCredentials:
        """Return the first credentials, and look after them from now on.

        Raises:
            BotoCoreError: they cannot be had; ClientError, where their issuer refuses.
        """
        self._frozen = await self._ask()
        if type(self._source) is not Credentials:  # the plain ones never change
            self._turns = asyncio.create_task(self._take_turns(), name="garcon-credentials")
        return self._frozen

    async def renew(self) -> None:
        """Look now, because the engine has refused the present ones; callers share one look."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="garcon-credentials-look")
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    async def close(self) -> None:
        """Stop looking after them."""
        tasks = [task for task in (self._turns, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _looked(self, _task: asyncio.Task[None]) -> None:
        self._looking = None

    async def _take_turns(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            await self.renew()

    async def _look(self) -> None:
        try:
            frozen = await self._ask()
        except (BotoCoreError, ClientError, OSError, RuntimeError) as error:
            # RuntimeError: botocore's word for an issuer that gave expired ones. The old ones may
            # still be good for minutes, and calls tell when they are not.
            log_event(logger, logging.WARNING, "credentials.not_renewed", why=error)
            return
        if frozen != self._frozen:
            self._frozen = frozen
            self._on_change(frozen)

    async def _ask(self) -> ReadOnlyCredentials:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._helper, self._source.get_frozen_credentials)

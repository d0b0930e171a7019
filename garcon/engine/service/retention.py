"""Closed executions leave when their domain's retention is over, a little at a time.

What it never does: hold up a turn for long: an execution becomes invisible in one short commit, its
events are trimmed behind that in slices, and free pages go back to the disk in slices too.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from garcon.engine.service.clock import Clock
from garcon.engine.service.world import World

logger = logging.getLogger("garcon.engine")

_PAUSE_MS: Final = 600_000
_SOON_MS: Final = 50
_DAY_MS: Final = 86_400_000
_EXECUTIONS: Final = 100
_EVENTS: Final = 2_000
_PAGES: Final = 256


class Retention:
    """Looks from time to time for what has to go.

    Args:
        world: What is kept.
        clock: The engine's time.
    """

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self.next_ms = clock.now_ms()

    def hurry(self) -> None:
        """Look in this turn: something closed that is not to be kept."""
        self.next_ms = self._clock.now_ms()

    def step(self, now_ms: int) -> None:
        """Do one slice of work if it is time."""
        if now_ms < self.next_ms:
            return
        try:
            busy = self._slice(now_ms)
            # Time that is moved by hand may never come to the next slice.
            while busy and self._clock.delay_s(now_ms + _SOON_MS) is None:
                busy = self._slice(now_ms)
        except sqlite3.Error as error:
            logger.warning("closed executions could not be removed: %s", error)
            busy = False
        self.next_ms = now_ms + (_SOON_MS if busy else _PAUSE_MS)

    def _slice(self, now_ms: int) -> bool:
        """One slice; whether there may be more to do."""
        database = self._world.database
        for domain in self._world.registry.domains.values():
            before_ms = now_ms - (domain.retention_days or 0) * _DAY_MS
            keys = database.expired(domain.name, before_ms, _EXECUTIONS)
            if keys:
                database.doom(keys)
                return True
        return database.trim(_EVENTS) or database.vacuum(_PAGES)

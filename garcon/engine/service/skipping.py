"""Virtual time made to pass, so that a test need not wait.

What it never does: run on the machine's clock. Its one law: between two due instants the clients
get the time to finish what the first one set off: whoever waited in a poll and got a task is
expected back in a poll before time goes on.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from garcon.engine.service.clock import VirtualClock
from garcon.engine.service.kernel import Kernel

# A moment without requests, once every poller is back; and how long one may stay away, in real
# seconds since the last request, before it is no longer expected.
_QUIET_S: Final = 0.02
_PATIENCE_S: Final = 2.0


class Traffic:
    """How many requests came in and how many are being worked on, long polls included."""

    def __init__(self) -> None:
        self.arrived = 0
        self.running = 0


async def skip(
    kernel: Kernel, clock: VirtualClock, traffic: Traffic, seconds: float, *, at_once: bool
) -> None:
    """Let virtual seconds pass.

    Args:
        kernel: Where deadlines fall due.
        clock: What is moved.
        traffic: Tells when clients have settled.
        seconds: How far to go.
        at_once: Jump there; otherwise each due instant on the way is visited, and the clients may
            react to it before time goes on.
    """
    target_ms = clock.now_ms() + round(seconds * 1000)
    clients = _Clients(kernel, traffic)
    await clients.settle()
    while not at_once:
        next_ms = kernel.world.deadlines.next_ms()
        if next_ms is None or next_ms > target_ms:
            break
        clock.move_to(next_ms)
        kernel.run_due(clock.now_ms())
        await clients.settle()
    clock.move_to(target_ms)
    while kernel.run_due(clock.now_ms()):
        await asyncio.sleep(0)
    await clients.settle()


class _Clients:
    """Knows how many pollers there are, by the most that were seen waiting at once."""

    def __init__(self, kernel: Kernel, traffic: Traffic) -> None:
        self._kernel = kernel
        self._traffic = traffic
        self._pollers = self._waiting()

    def _waiting(self) -> int:
        return len(self._kernel.world.lists.all_polls())

    async def settle(self) -> None:
        """Return once all pollers wait again and nothing else is asked."""
        self._kernel.look()
        last_s = time.monotonic()
        while True:
            arrived = self._traffic.arrived
            await asyncio.sleep(_QUIET_S)
            waiting = self._waiting()
            self._pollers = max(self._pollers, waiting)
            now_s = time.monotonic()
            if self._traffic.arrived != arrived or self._traffic.running > waiting:
                last_s = now_s
            elif waiting == self._pollers or now_s - last_s > _PATIENCE_S:
                self._pollers = waiting
                return

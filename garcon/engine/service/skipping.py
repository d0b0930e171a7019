"""Virtual time made to pass, so that a test need not wait.

What it never does: run on the machine's clock. Its one law: between two due instants the clients
get the time to finish what the first one set off.
"""

from __future__ import annotations

import asyncio
from typing import Final

from garcon.engine.service.clock import VirtualClock
from garcon.engine.service.kernel import Kernel

_QUIET_S: Final = 0.02


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
    await _settle(kernel, traffic)
    while not at_once:
        next_ms = kernel.world.deadlines.next_ms()
        if next_ms is None or next_ms > target_ms:
            break
        clock.move_to(next_ms)
        kernel.run_due()
        await _settle(kernel, traffic)
    clock.move_to(target_ms)
    while kernel.run_due():
        await asyncio.sleep(0)
    await _settle(kernel, traffic)


async def _settle(kernel: Kernel, traffic: Traffic) -> None:
    """Return once only waiting polls are left and no request came for a moment."""
    kernel.look()
    while True:
        arrived = traffic.arrived
        await asyncio.sleep(_QUIET_S)
        waiting = len(kernel.world.lists.all_polls())
        if traffic.arrived == arrived and traffic.running <= waiting:
            return

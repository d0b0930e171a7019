"""Runs a command of garcon's and notes how long every turn of its event loop took.

    python -m benchmarks._lagging FILE pool FLOW ...

A turn is one callback: while it runs, no heartbeat is sent and no answer taken in. FILE gets a JSON
object: the number of turns, and the longest ones with what ran; SIGUSR2 forgets those so far. Not a
benchmark by itself.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import signal
import sys
import time
from asyncio import events
from pathlib import Path

KEPT = 5


class Turns:
    """The longest turns of a loop so far."""

    def __init__(self) -> None:
        self._longest: list[tuple[float, str]] = []
        self.count = 0

    def note(self, seconds: float, handle: asyncio.Handle) -> None:
        """Note one turn."""
        self.count += 1
        if len(self._longest) < KEPT or seconds > self._longest[0][0]:
            heapq.heappush(self._longest, (seconds, repr(handle)[:300]))
            while len(self._longest) > KEPT:
                heapq.heappop(self._longest)

    def clear(self) -> None:
        """Forget them: what comes is another question."""
        self._longest.clear()
        self.count = 0

    def as_json(self) -> str:
        """Return them, the longest first."""
        longest = sorted(self._longest, reverse=True)
        return json.dumps({"turns": self.count, "longest": longest})


def watch(turns: Turns) -> None:
    """Have every callback of every loop of this process measured."""
    run = events.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        began_s = time.perf_counter()
        run(handle)
        turns.note(time.perf_counter() - began_s, handle)

    events.Handle._run = measured  # type: ignore[method-assign]  # the only place to stand


def main() -> None:
    """Run the command, and write what was seen when it ends."""
    from garcon.cli import main as garcon

    path, turns = Path(sys.argv[1]), Turns()
    watch(turns)
    signal.signal(signal.SIGUSR2, lambda *_: turns.clear())
    try:
        garcon(args=sys.argv[2:], prog_name="garcon")
    finally:
        path.write_text(turns.as_json(), encoding="utf-8")


if __name__ == "__main__":
    main()

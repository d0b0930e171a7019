"""Coroutines that run beside the one that started them, none of them forgotten.

asyncio keeps only weak references to its tasks and says nothing of an error that nobody awaits.
Law: a job is kept until it ends, and an error that it did not handle reaches the loop's exception
handler, where the supervisor ends the pool with its text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Jobs:
    """A set of running coroutines."""

    def __init__(self) -> None:
        """Start with none."""
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Return how many run."""
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` on the present loop, and return its task."""
        job = asyncio.get_running_loop().create_task(work)
        self._running.add(job)
        job.add_done_callback(self._ended)
        return job

    async def wait_any(self, timeout_s: float) -> None:
        """Wait until one of the jobs ends, at most `timeout_s` seconds."""
        if self._running:
            await asyncio.wait(
                self._running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        else:
            await asyncio.sleep(timeout_s)

    async def wait_all(self, timeout_s: float) -> None:
        """Wait until all that run now have ended, at most `timeout_s` seconds."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=timeout_s)

    async def cancel(self, timeout_s: float = 5.0) -> None:
        """Cancel every job and wait for their ends, at most `timeout_s` seconds."""
        running = set(self._running)
        for job in running:
            job.cancel()
        if running:
            await asyncio.wait(running, timeout=timeout_s)

    def _ended(self, job: asyncio.Task[Any]) -> None:
        self._running.discard(job)
        error = None if job.cancelled() else job.exception()
        if error is not None:
            job.get_loop().call_exception_handler(
                {"message": "a coroutine of the pool failed", "exception": error, "task": job}
            )

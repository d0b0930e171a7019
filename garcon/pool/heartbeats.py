"""Heartbeats of activity tasks: sent for every task in hand, whatever its worker does.

They say that the task lives and how far it is, and bring back whether it is to end. Law: a beat
that is not delivered is no reason to do anything; the next one makes up for it, three fit into the
time in which the engine wants to hear of a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from garcon.errors import EngineError, ServiceError
from garcon.pool.answers import read_answer
from garcon.pool.dataplane import DataPlane
from garcon.pool.jobs import Jobs
from garcon.pool.tasks import BEATS_A_TIMEOUT, ActivityTask

#: A heartbeat that meets a throttle or a cut line is repeated at the next turn; seconds of one try.
BEAT_TIMEOUT_S = 10.0


class Heartbeats:
    """The beating for one pool's tasks."""

    def __init__(
        self,
        plane: DataPlane,
        jobs: Jobs,
        *,
        on_cancel: Callable[[ActivityTask], Awaitable[None]],
        on_vanished: Callable[[ActivityTask], Awaitable[None]],
    ) -> None:
        """Beat over `plane`.

        Args:
            plane: the calls.
            jobs: runs the beats.
            on_cancel: told of a task that the engine wants canceled.
            on_vanished: told of a task that the engine knows no more.
        """
        self._plane = plane
        self._jobs = jobs
        self._on_cancel = on_cancel
        self._on_vanished = on_vanished

    def send_due(self, tasks: Mapping[int, ActivityTask], now_s: float) -> None:
        """Beat for those of `tasks` whose time has come by `now_s` (loop time)."""
        for task in list(tasks.values()):
            if task.next_beat_s <= now_s and not task.vanished:
                task.next_beat_s = now_s + task.heartbeat_s / BEATS_A_TIMEOUT
                self._jobs.spawn(self.beat(task))

    def next_s(self, tasks: Mapping[int, ActivityTask], latest_s: float) -> float:
        """Return when the next beat is due, loop time; `latest_s` at the latest."""
        due = (task.next_beat_s for task in tasks.values() if not task.vanished)
        return min(latest_s, min(due, default=latest_s))

    def set_timing(self, task: ActivityTask, head: Mapping[str, Any]) -> None:
        """Go by the times that a task's worker has found for its input."""
        task.heartbeat_s = float(head.get("heartbeat_s", task.heartbeat_s))
        task.start_to_close_s = float(head.get("start_to_close_s", task.start_to_close_s))
        beat_s = asyncio.get_running_loop().time() + task.heartbeat_s / BEATS_A_TIMEOUT
        task.next_beat_s = min(task.next_beat_s, beat_s)

    async def beat(self, task: ActivityTask) -> None:
        """Tell the engine that this task lives, and act on what it answers."""
        body = {"taskToken": task.token}
        details = task.hear()
        if details is not None:
            body["details"] = details
        try:
            answer = await self._plane.call(
                "RecordActivityTaskHeartbeat", body, timeout_s=BEAT_TIMEOUT_S
            )
            cancel_requested = read_answer(answer).get("cancelRequested")
        except ServiceError as error:
            # An answer may have overtaken the beat: then it is known no more, and all is well.
            if error.is_unknown_resource and not task.is_ending:
                await self._on_vanished(task)
            return
        except EngineError:
            return
        if cancel_requested and not task.is_ending:
            await self._on_cancel(task)

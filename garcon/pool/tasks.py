"""An activity task in this pool's hands: what the engine said of it, and where it stands.

Plain values, changed by dispatcher, crew, heartbeats and bounds, each its own. Law: a task is
answered once; from `is_ending` on nothing more is asked or told about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from garcon.attempt import split_attempt
from garcon.description import HEARTBEAT_S, START_TO_CLOSE_S, ActivityDescription
from garcon.errors import EngineError
from garcon.pool.slate import HEARING_PLACE, Slate

#: Heartbeats of a task come so often within the time in which the engine wants to hear of it.
BEATS_A_TIMEOUT = 3


@dataclass
class ActivityTask:
    """One task that the engine counts as started by this pool.

    Attributes:
        number: its name between supervisor and worker.
        token: SWF's task token.
        activity: what the flow says of it.
        taken_at_s: when it came, loop time.
        next_beat_s: when the engine is to hear of it next, loop time.
        slot: the worker that runs it, None while it waits for one.
        pid: that worker's process.
        place: which of the worker's places it has; 0 where it has the worker for itself.
        begun_at_s: when that worker got it, loop time.
        vanished: the engine knows it no more: nothing is to be answered.
        heartbeat_s: seconds within which the engine wants to hear of it.
        start_to_close_s: seconds that it may take.
        cancel_by_s: when a task that was told to end is ended, loop time.
        grace_s: how long that is after it was told.
        slate: where it writes how far it is, None where nothing of it can be known.
        attempt: how often its instance was scheduled, this time included.
        details: what it had said of itself when it was last asked.
        is_ending: its answer is under way.
    """

    number: int
    token: str
    activity: ActivityDescription
    activity_id: str
    workflow_id: str
    run_id: str
    input: bytes
    taken_at_s: float
    next_beat_s: float
    slot: int | None = None
    pid: int | None = None
    place: int = 0
    begun_at_s: float | None = None
    vanished: bool = False
    heartbeat_s: float = HEARTBEAT_S
    start_to_close_s: float = START_TO_CLOSE_S
    cancel_by_s: float | None = None
    grace_s: float = 0.0
    slate: Slate | None = None
    attempt: int = 1
    details: str | None = None
    is_ending: bool = False

    def hear(self) -> str | None:
        """Return what the task has said of itself by now, None where it said nothing."""
        if self.slate is not None and self.slot is not None:
            # While it is writing, what it said before counts.
            self.details = self.slate.read(self.slot, self.place, self.number) or self.details
        return self.details

    def can_hear(self) -> bool:
        """Whether it heartbeats by itself, so that a cancel can reach it; True if unknown."""
        if self.slate is None or self.slot is None or self.activity.threads > 1:
            return True
        return self.slate.read(self.slot, HEARING_PLACE, self.number) is not None

    @property
    def fields(self) -> dict[str, Any]:
        """Return what a log line says of this task: `pid` is its worker's, once it has one."""
        return {**self.names, "pid": self.pid}

    @property
    def names(self) -> dict[str, Any]:
        """Return which task it is."""
        return {
            "activity": self.activity.name,
            "id": self.activity_id,
            "workflow": self.workflow_id,
            "run": self.run_id,
            "attempt": self.attempt,
        }


def type_of(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and version of the activity type of a poll's answer.

    Raises:
        EngineError: it lacks them.
    """
    try:
        return answer["activityType"]["name"], answer["activityType"]["version"]
    except (KeyError, TypeError) as error:
        raise EngineError(f"a task of the engine's lacks {error}") from error


def read_task(
    answer: Mapping[str, Any], activity: ActivityDescription, number: int, now_s: float
) -> ActivityTask:
    """Return the task that a poll's answer holds.

    Args:
        answer: what the engine said.
        activity: what the flow says of its type.
        number: its name in this pool.
        now_s: loop time.
    Raises:
        EngineError: it lacks what a task has.
    """
    try:
        execution = answer["workflowExecution"]
        text = str(answer.get("input", "")).encode("utf-8", "surrogatepass")
        attempt, own_input = split_attempt(text)
        return ActivityTask(
            number=number,
            token=str(answer["taskToken"]),
            activity=activity,
            activity_id=str(answer["activityId"]),
            workflow_id=str(execution["workflowId"]),
            run_id=str(execution["runId"]),
            input=own_input,
            taken_at_s=now_s,
            next_beat_s=now_s + activity.heartbeat_s / BEATS_A_TIMEOUT,
            heartbeat_s=float(activity.heartbeat_s),
            start_to_close_s=float(activity.start_to_close_s),
            attempt=attempt,
        )
    except (KeyError, TypeError) as error:
        raise EngineError(f"a task of the engine's lacks {error}") from error

"""A boto3 SWF client that answers from a list and notes what it was asked."""

# ruff: noqa: ARG002, N803 - the arguments are called as SWF calls them, used or not

from __future__ import annotations

import threading
from typing import Any

from botocore.exceptions import ClientError


def fault(code: str) -> ClientError:
    """Return a fault as boto3 raises it."""
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "Operation")


class FakeSwf:
    """The calls that one activity makes.

    Attributes:
        polled: keywords of each poll.
        answered: name and keywords of each answer.
        beats: details of each heartbeat, None where it had none.
        beaten: set when a heartbeat comes.
    """

    def __init__(self, *tasks: Any) -> None:
        """Give `tasks`, one a poll; an exception is raised. Then nothing."""
        self._tasks = list(tasks)
        self.polled: list[dict[str, Any]] = []
        self.answered: list[tuple[str, dict[str, Any]]] = []
        self.beats: list[str | None] = []
        self.beaten = threading.Event()
        self.heartbeat_answer: Any = {"cancelRequested": False}
        self.refuses: Exception | None = None

    def poll_for_activity_task(self, **told: Any) -> dict[str, Any]:
        """Give the next task."""
        self.polled.append(told)
        task = self._tasks.pop(0) if self._tasks else {}
        if isinstance(task, Exception):
            raise task
        found: dict[str, Any] = task
        return found

    def record_activity_task_heartbeat(self, taskToken: str, details: str | None = None) -> Any:
        """Note it."""
        self.beats.append(details)
        self.beaten.set()
        if isinstance(self.heartbeat_answer, Exception):
            raise self.heartbeat_answer
        return self.heartbeat_answer

    def respond_activity_task_completed(self, **told: Any) -> None:
        """Note it."""
        self._answer("completed", told)

    def respond_activity_task_failed(self, **told: Any) -> None:
        """Note it."""
        self._answer("failed", told)

    def _answer(self, name: str, told: dict[str, Any]) -> None:
        self.answered.append((name, told))
        if self.refuses:
            raise self.refuses


def a_task(text: str = '{"key": 1}') -> dict[str, Any]:
    """Return what a poll brings."""
    return {"activityId": "flow_step-1", "taskToken": "token", "input": text}

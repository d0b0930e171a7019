"""What a piece of a history tells of how a flow runs: durations, inputs, and who waits for whom.

Pure. Law: a piece may begin anywhere; what began before it is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from garcon.history import epoch_s


@dataclass
class ListSeen:
    """One task list as the histories tell of it, in epoch seconds.

    Attributes:
        waiting: tasks that were scheduled and not taken.
        oldest_s: when the oldest of them was scheduled; 0 without any.
        taken_s: when a task of this list was taken last; 0 if none was.
    """

    waiting: int = 0
    oldest_s: float = 0.0
    taken_s: float = 0.0

    def wait(self, since_s: float) -> None:
        """Note a task that waits since `since_s`."""
        self.waiting += 1
        self.oldest_s = min(self.oldest_s or since_s, since_s)


@dataclass
class Sample:
    """What pieces of histories tell.

    Attributes:
        durations_s: how long completed attempts took, by activity type.
        inputs: longest input in characters, by activity type.
        lists: task lists of activities and decisions, by name; those of decisions end in the
            workflow type's own list.
    """

    durations_s: dict[str, list[float]] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    lists: dict[str, ListSeen] = field(default_factory=dict)

    def add(self, events: Iterable[Mapping[str, Any]], is_open: bool) -> None:
        """Take a piece of one history, its events ascending."""
        waiting: dict[int, tuple[str, float]] = {}
        types: dict[int, str] = {}
        began: dict[int, tuple[int, float]] = {}
        for event in events:
            kind, at_s = event["eventType"], epoch_s(event["eventTimestamp"])
            found = event.get(f"{kind[0].lower()}{kind[1:]}EventAttributes", {})
            if kind == "ActivityTaskScheduled":
                self._scheduled(event["eventId"], found, types)
                waiting[event["eventId"]] = (found["taskList"]["name"], at_s)
            elif kind == "DecisionTaskScheduled":
                waiting[event["eventId"]] = (found["taskList"]["name"], at_s)
            elif kind in ("ActivityTaskStarted", "DecisionTaskStarted"):
                self._taken(waiting.pop(found["scheduledEventId"], None), at_s)
                began[event["eventId"]] = (found["scheduledEventId"], at_s)
            elif kind == "ActivityTaskCompleted" and found["startedEventId"] in began:
                scheduled, began_s = began[found["startedEventId"]]
                if scheduled in types:
                    self.durations_s.setdefault(types[scheduled], []).append(at_s - began_s)
            elif "scheduledEventId" in found:
                waiting.pop(found["scheduledEventId"], None)
        for name, since_s in waiting.values() if is_open else ():
            self.lists.setdefault(name, ListSeen()).wait(since_s)

    def _scheduled(self, event_id: int, found: Mapping[str, Any], types: dict[int, str]) -> None:
        name = types[event_id] = found["activityType"]["name"]
        length = len(found.get("input") or "")
        self.inputs[name] = max(length, self.inputs.get(name, 0))

    def _taken(self, known: tuple[str, float] | None, at_s: float) -> None:
        if known is not None:
            seen = self.lists.setdefault(known[0], ListSeen())
            seen.taken_s = max(seen.taken_s, at_s)

"""An execution and its shards, measured by what their histories say.

Law: everything is counted from histories as the engine gives them; nothing is taken from a log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.acceptance.harness import list_runs, read_history
from tests.acceptance.legal import assert_legal_history, attributes


@dataclass
class Tree:
    """What the histories of one execution and its shards come to.

    Attributes:
        executions: how many there are.
        events: of all of them.
        longest: events of the longest history.
        counts: how often each type of event occurs.
        causes: how often each cause of a refused decision occurs.
        scheduled: how often each activity id was scheduled.
        first: when the first activity was scheduled.
        last: when the last one was.
    """

    executions: int = 0
    events: int = 0
    longest: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    scheduled: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    def take(self, events: list[dict[str, Any]]) -> None:
        """Count one history."""
        self.executions += 1
        self.events += len(events)
        self.longest = max(self.longest, len(events))
        for event in events:
            kind, facts = event["eventType"], attributes(event)
            self.counts[kind] += 1
            if kind.endswith("Failed") and "cause" in facts:
                self.causes[facts["cause"]] += 1
            if kind == "ActivityTaskScheduled":
                self.scheduled[facts["activityId"]] += 1
                at = event["eventTimestamp"]
                self.first = min(self.first or at, at)
                self.last = max(self.last or at, at)

    @property
    def per_activity(self) -> float:
        """Events that one activity takes, all told."""
        return self.events / max(1, self.counts["ActivityTaskScheduled"])

    @property
    def schedules_per_s(self) -> float:
        """Activities scheduled a second, from the first to the last."""
        if self.first is None or self.last is None or self.first == self.last:
            return 0.0
        seconds = (self.last - self.first).total_seconds()
        return self.counts["ActivityTaskScheduled"] / seconds

    def lines(self) -> Iterator[str]:
        """Yield what there is to tell."""
        yield f"{self.executions} executions, {self.events:,} events, longest {self.longest:,}"
        activities, decisions = (
            self.counts[f"{kind}TaskScheduled"] for kind in ("Activity", "Decision")
        )
        yield (
            f"{activities:,} activities, {decisions:,} decisions, "
            f"{self.per_activity:.2f} events an activity, {self.schedules_per_s:.0f} schedules/s"
        )
        yield f"refused decisions: {dict(self.causes) or 'none'}"


def read_tree(client: Any, domain: str, root: dict[str, str] | None = None) -> Tree:
    """Return the figures of the executions of a domain, all histories being legal.

    Args:
        client: boto3's.
        domain: SWF's domain.
        root: the execution that is meant, with its shards; None for all that there are.
    """
    tree = Tree()
    for events in _histories(client, domain, root):
        assert_legal_history(_without_passing(events))
        tree.take(events)
    return tree


def _histories(
    client: Any, domain: str, root: dict[str, str] | None
) -> Iterator[list[dict[str, Any]]]:
    for run in list_runs(client, domain):
        events = read_history(client, domain, run)
        parent = attributes(events[0]).get("parentWorkflowExecution", run)
        if root is None or parent["runId"] == root["runId"]:
            yield events


def _without_passing(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events, refusals for a rate without their cause: an engine that throttles."""
    return [
        {**event, "eventType": event["eventType"].removesuffix("Failed") + "Throttled"}
        if str(attributes(event).get("cause", "")).endswith("RATE_EXCEEDED")
        else event
        for event in events
    ]

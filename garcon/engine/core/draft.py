"""One step of one execution in the making: the state it began with stays as it was.

What it never does: know why something happens. Its one law: every event passes ``record``, which
numbers it and schedules the decision task that SWF's event table asks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from garcon.engine.core.jsontext import encode
from garcon.engine.core.model import DecisionTask, Execution, Kind, Profile, item_key
from garcon.engine.core.tables import ATTRIBUTES, CLOSING, MAX_HISTORY_EVENTS, WAKING
from garcon.engine.core.versions import Table


class StartChild(NamedTuple):
    """A child is to be started; the parent hears of it through ``transitions.child_*``."""

    parent_key: int
    initiated_id: int
    completed_id: int
    profile: Profile
    input: str | None
    control: str | None


class StartNext(NamedTuple):
    """The successor of a continued run is to be started."""

    profile: Profile
    input: str | None
    continued_from: str


class TellParent(NamedTuple):
    """A child closed; ``details`` are the attributes that reach the parent's event."""

    parent_key: int
    initiated_id: int
    workflow_id: str
    run_id: str
    status: str
    details: dict[str, Any]


class ApplyPolicy(NamedTuple):
    """A parent was terminated or timed out; its open child gets the policy."""

    parent_key: int
    workflow_id: str
    run_id: str
    policy: str


class SignalOther(NamedTuple):
    """A signal to another execution of the domain."""

    sender_key: int
    initiated_id: int
    completed_id: int
    workflow_id: str
    run_id: str | None
    control: str | None
    signal_name: str
    input: str | None


class CancelOther(NamedTuple):
    """A cancel request to another execution of the domain."""

    sender_key: int
    initiated_id: int
    completed_id: int
    workflow_id: str
    run_id: str | None
    control: str | None


class CallLambda(NamedTuple):
    """A function is to be run outside."""

    key: int
    scheduled_id: int
    function_id: str
    name: str
    input: str | None
    timeout_s: int


Effect = StartChild | StartNext | TellParent | ApplyPolicy | SignalOther | CancelOther | CallLambda


class Step(NamedTuple):
    """What a transition yields.

    ``changes`` maps (kind, key) to the item as it was and as it is; None where there is none.
    """

    state: Execution
    events: list[tuple[int, str]]
    changes: dict[tuple[Kind, Any], tuple[Any, Any]]
    effects: list[Effect]


def encode_event(event_id: int, name: str, attributes: dict[str, Any], now_ms: int) -> str:
    """An event as the text that goes over the wire; it is stored like this."""
    return (
        f'{{"eventId":{event_id},"eventTimestamp":{now_ms // 1000}.{now_ms % 1000:03d},'
        f'"eventType":"{name}","{ATTRIBUTES[name]}":{encode(attributes)}}}'
    )


class Draft:
    """Collects the events, changed items and effects of one step.

    While ``answering`` (between DecisionTaskCompleted and the end of its decisions) an owed
    decision task is scheduled last, behind all events of the answer.
    """

    __slots__ = (
        "_by_activity_id",
        "_owed",
        "_owned",
        "answering",
        "changes",
        "effects",
        "events",
        "now_ms",
        "state",
    )

    def __init__(self, state: Execution, now_ms: int) -> None:
        self.state = state.clone()
        self.now_ms = now_ms
        self.events: list[tuple[int, str]] = []
        self.changes: dict[tuple[Kind, Any], tuple[Any, Any]] = {}
        self.effects: list[Effect] = []
        self.answering = False
        self._owed = False
        self._owned: set[str] = set()
        self._by_activity_id: dict[str, int] | None = None

    def record(self, name: str, attributes: dict[str, Any]) -> int:
        """Append an event; None values are left out, zeros and false stay. Returns its id."""
        state = self.state
        event_id = state.last_id + 1
        state.last_id = event_id
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.events.append((event_id, encode_event(event_id, name, kept, self.now_ms)))
        if name in WAKING:
            self.wake()
        return event_id

    def wake(self) -> None:
        """See to it that a decision task waits, at once or behind the answer in the making."""
        state = self.state
        if state.status != "OPEN" or state.scheduled is not None:
            return
        if self.answering:
            self._owed = True
        else:
            self._schedule_decision()

    def end_answer(self) -> None:
        """Schedule the decision task that the events of an answer asked for."""
        self.answering = False
        if self._owed:
            self.wake()
        elif self.state.scheduled is not None and self.state.started is None:
            # It waited behind the answered one; its stay in the list begins now.
            self.state.scheduled = self.state.scheduled._replace(scheduled_ms=self.now_ms)

    def _schedule_decision(self) -> None:
        state = self.state
        profile = state.profile
        task_list = state.sticky_list or profile.task_list
        wait_s = state.sticky_wait_s if state.sticky_list else None
        event_id = self.record(
            "DecisionTaskScheduled",
            {
                "taskList": {"name": task_list},
                "taskPriority": profile.priority,
                "startToCloseTimeout": duration_text(profile.task_timeout_s),
                "scheduleToStartTimeout": duration_text(wait_s),
            },
        )
        state.scheduled = DecisionTask(
            scheduled_id=event_id,
            task_list=task_list,
            priority=int(profile.priority or 0),
            timeout_s=profile.task_timeout_s,
            wait_s=wait_s,
            scheduled_ms=self.now_ms,
        )

    def _own(self, kind: Kind) -> Table[Any, Any]:
        table = self.state.table(kind)
        if kind not in self._owned:
            self._owned.add(kind)
            table = table.fork()
            setattr(self.state, kind, table)
        return table

    def _note(self, kind: Kind, key: Any, before: Any, after: Any) -> None:
        known = self.changes.get((kind, key))
        self.changes[kind, key] = (known[0] if known else before, after)

    def open_activity(self, activity_id: str) -> int | None:
        """The key of the open activity with this id.

        Only answers of deciders ask, so the index is made for each of them that does: keeping one
        would cost every activity that starts or ends.
        """
        if self._by_activity_id is None:
            activities = self.state.activities
            self._by_activity_id = {item.activity_id: key for key, item in activities.items()}
        return self._by_activity_id.get(activity_id)

    def put(self, kind: Kind, item: Any) -> None:
        """Add or replace an open item."""
        key = item_key(kind, item)
        table = self._own(kind)
        self._note(kind, key, table.get(key), item)
        table.put(key, item)
        if kind == "activities" and self._by_activity_id is not None:
            self._by_activity_id[item.activity_id] = key

    def drop(self, kind: Kind, key: Any) -> None:
        """Take an open item away."""
        item = self._own(kind).drop(key)
        self._note(kind, key, item, None)
        if kind == "activities" and self._by_activity_id is not None:
            del self._by_activity_id[item.activity_id]

    def close(self, event: str, attributes: dict[str, Any], to_parent: dict[str, Any]) -> None:
        """Write the closing event, tell the parent, apply the child policy, drop what is open."""
        state = self.state
        profile = state.profile
        self.record(event, attributes)
        state.counts = state.open_counts()
        state.status = CLOSING[event]
        state.close_ms = self.now_ms
        if profile.parent_key and state.status != "CONTINUED_AS_NEW":
            self.effects.append(
                TellParent(
                    profile.parent_key,
                    profile.parent_initiated_id,
                    profile.workflow_id,
                    profile.run_id,
                    state.status,
                    to_parent,
                )
            )
        if state.status in ("TERMINATED", "TIMED_OUT"):
            self._apply_policy(attributes["childPolicy"])
        state.started = state.scheduled = None
        state.activities, state.timers = Table(), Table()
        state.children, state.lambdas = Table(), Table()
        self._by_activity_id = None
        self.changes.clear()

    def _apply_policy(self, policy: str) -> None:
        if policy == "ABANDON":
            return
        for child in self.state.children.values():
            if child.started_id:
                self.effects.append(
                    ApplyPolicy(self.state.key, child.workflow_id, child.run_id, policy)
                )

    def finish(self) -> Step:
        """The step; a history that is full by now is terminated first."""
        state = self.state
        if state.status == "OPEN" and state.last_id >= MAX_HISTORY_EVENTS:
            self.close(
                "WorkflowExecutionTerminated",
                {"cause": "EVENT_LIMIT_EXCEEDED", "childPolicy": state.profile.child_policy},
                {},
            )
        return Step(state, self.events, self.changes, self.effects)


def duration_text(seconds: int | None) -> str:
    """A duration as SWF writes it."""
    return "NONE" if seconds is None else str(seconds)


def parse_duration(text: str) -> int | None:
    """Seconds of a checked duration; None for NONE."""
    return None if text == "NONE" else int(text)

"""The state of executions: what is open, and nothing of what is past.

What it never does: change anything that was handed out. Records are tuples; an ``Execution`` is
cloned by a draft before it is changed. Its one law: a state holds only what the next step needs, so
its size follows what is open, never the length of the history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from garcon.engine.core.versions import Table

Kind = Literal["activities", "timers", "children", "lambdas"]
KINDS: Final[tuple[Kind, ...]] = ("activities", "timers", "children", "lambdas")

REGISTERED: Final = "REGISTERED"
DEPRECATED: Final = "DEPRECATED"


class Domain(NamedTuple):
    """A registered or deprecated domain; ``retention_days`` None keeps nothing after a close."""

    name: str
    status: str
    description: str | None
    retention_days: int | None
    retention_text: str
    tags: dict[str, str]


class TypeRecord(NamedTuple):
    """An activity or workflow type; ``defaults`` holds the members as they were registered."""

    name: str
    version: str
    status: str
    description: str | None
    created_ms: int
    deprecated_ms: int | None
    defaults: dict[str, Any]


class Profile(NamedTuple):
    """What never changes in a run; timeouts in seconds, None means NONE."""

    domain: str
    workflow_id: str
    run_id: str
    name: str
    version: str
    task_list: str
    priority: str | None
    task_timeout_s: int | None
    run_timeout_s: int
    child_policy: str
    lambda_role: str | None
    tags: tuple[str, ...]
    start_ms: int
    parent_key: int
    parent_workflow_id: str | None
    parent_run_id: str | None
    parent_initiated_id: int


class Activity(NamedTuple):
    """An open activity task; ``started_id`` 0 means that it waits in its list."""

    scheduled_id: int
    activity_id: str
    name: str
    version: str
    task_list: str
    priority: int
    schedule_to_start_s: int | None
    schedule_to_close_s: int | None
    start_to_close_s: int | None
    heartbeat_s: int | None
    scheduled_ms: int
    started_id: int = 0
    started_ms: int = 0
    beat_ms: int = 0
    beat_details: str | None = None
    cancel_id: int = 0
    invocation: str | None = None


class Timer(NamedTuple):
    """A running timer."""

    timer_id: str
    started_id: int
    fire_ms: int


class Child(NamedTuple):
    """An open child; ``started_id`` 0 means that it is only initiated."""

    initiated_id: int
    workflow_id: str
    run_id: str
    name: str
    version: str
    started_id: int


class Lambda(NamedTuple):
    """A running function call."""

    scheduled_id: int
    function_id: str
    name: str
    started_id: int
    timeout_s: int
    started_ms: int


class DecisionTask(NamedTuple):
    """A scheduled or started decision task; ``wait_s`` bounds its stay in a sticky list."""

    scheduled_id: int
    task_list: str
    priority: int
    timeout_s: int | None
    wait_s: int | None
    scheduled_ms: int
    started_id: int = 0
    started_ms: int = 0
    invocation: str | None = None


Item = Activity | Timer | Child | Lambda
ITEM_TYPES: Final[dict[Kind, Any]] = {
    "activities": Activity,
    "timers": Timer,
    "children": Child,
    "lambdas": Lambda,
}

# Events that Describe shows the time of, as their type stands in their text.
_ACTIVITY_NEWS: Final = tuple(
    f'"eventType":"ActivityTask{end}"'
    for end in ("Started", "Completed", "Failed", "TimedOut", "Canceled")
)

# The scalar members, in the order in which they are stored.
_SCALARS: Final = (
    "last_id",
    "started",
    "scheduled",
    "previous_started_id",
    "sticky_list",
    "sticky_wait_s",
    "context_id",
    "cancel_requested",
    "activity_ms",
    "status",
    "close_ms",
    "counts",
)
# Two of them follow from the events written since (see ``catch_up``), so a step that changes only
# these need not store the row.
_told: Final = attrgetter(*(name for name in _SCALARS if name not in ("last_id", "activity_ms")))


class Execution:
    """The present of one run.

    ``key`` is its number in the store. ``started`` is the decision task in a decider's hands,
    ``scheduled`` the one that waits (behind the started one or in its list); never more than one
    of each. ``status`` is OPEN or a close status; ``counts`` are the open counts at the close.
    """

    def __init__(self, key: int, profile: Profile) -> None:
        self.key = key
        self.profile = profile
        self.last_id = 0
        self.started: DecisionTask | None = None
        self.scheduled: DecisionTask | None = None
        self.previous_started_id = 0
        self.sticky_list: str | None = None
        self.sticky_wait_s: int | None = None
        self.context_id = 0
        self.cancel_requested = False
        self.activity_ms = 0
        self.status = "OPEN"
        self.close_ms = 0
        self.counts: tuple[int, int, int, int, int] | None = None
        self.activities: Table[Any, Activity] = Table()
        self.timers: Table[Any, Timer] = Table()
        self.children: Table[Any, Child] = Table()
        self.lambdas: Table[Any, Lambda] = Table()

    @property
    def is_open(self) -> bool:
        """Whether no closing event has been written."""
        return self.status == "OPEN"

    def clone(self) -> Execution:
        """A copy that shares the tables; a draft forks a table before it touches it."""
        twin = Execution.__new__(Execution)
        twin.__dict__.update(self.__dict__)
        return twin

    def table(self, kind: Kind) -> Table[Any, Any]:
        """The open items of one kind by key."""
        table: Table[Any, Any] = getattr(self, kind)
        return table

    def scalars(self) -> list[Any]:
        """The storable part beside the items."""
        return [getattr(self, name) for name in _SCALARS]

    def is_stored_as(self, stored: Execution) -> bool:
        """Whether a stored row still tells all that the events behind it do not."""
        return bool(_told(self) == _told(stored))

    def open_counts(self) -> tuple[int, int, int, int, int]:
        """Open activities, decision tasks (0 or 1), timers, children, lambda functions."""
        if self.counts is not None:
            return self.counts
        decisions = int(self.started is not None or self.scheduled is not None)
        return (
            len(self.activities),
            decisions,
            len(self.timers),
            len(self.children),
            len(self.lambdas),
        )


def restore(key: int, profile: list[Any], scalars: list[Any]) -> Execution:
    """An execution from its stored row, still without items (see ``restore_item``)."""
    facts = Profile(*profile)
    state = Execution(key, facts._replace(tags=tuple(facts.tags)))
    for name, value in zip(_SCALARS, scalars, strict=True):
        setattr(state, name, value)
    for name in ("started", "scheduled"):
        if getattr(state, name) is not None:
            setattr(state, name, DecisionTask(*getattr(state, name)))
    if state.counts is not None:
        a, d, t, c, f = state.counts
        state.counts = (a, d, t, c, f)
    return state


def catch_up(state: Execution, events: Iterable[tuple[int, str]]) -> None:
    """Take over what events say that were written after the stored row."""
    for event_id, text in events:
        state.last_id = event_id
        if any(name in text[:120] for name in _ACTIVITY_NEWS):
            state.activity_ms = round(json.loads(text)["eventTimestamp"] * 1000)


def restore_item(state: Execution, kind: Kind, values: list[Any]) -> None:
    """Put a stored item back into a state that is being restored."""
    item = ITEM_TYPES[kind](*values)
    state.table(kind).put(item_key(kind, item), item)


def item_key(kind: Kind, item: Any) -> Any:
    """The key of an item in its table: a timer's own id, an event id for all others."""
    return item.timer_id if kind == "timers" else item[0]

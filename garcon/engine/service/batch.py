"""New states in the making: what a group of requests wants kept together.

What it never does: touch the committed world. Its one law: everything read in a batch sees the
batch's own changes, and nothing outside sees them before they are kept.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Protocol

from garcon.engine.core import faults, transitions
from garcon.engine.core.draft import (
    ApplyPolicy,
    CallLambda,
    CancelOther,
    Effect,
    SignalOther,
    StartChild,
    StartNext,
    Step,
    TellParent,
)
from garcon.engine.core.model import DEPRECATED, Domain, Execution, Kind, Profile, TypeRecord
from garcon.engine.service.registry import TypeKey, TypeKind
from garcon.engine.store.database import Writes


class Committed(Protocol):
    """The kept world, as far as a batch reads it."""

    def committed(self, key: int) -> Execution | None:
        """An open or closed execution."""

    def committed_open(self, domain: str, workflow_id: str) -> int | None:
        """The number of the open run of a workflow id."""

    def committed_open_count(self, domain: str) -> int:
        """Open executions in a domain."""

    def committed_domain(self, name: str) -> Domain | None:
        """A domain."""

    def committed_domain_count(self) -> int:
        """How many domains there are."""

    def committed_type(self, key: TypeKey) -> TypeRecord | None:
        """A type."""

    def committed_type_count(self, kind: TypeKind, domain: str) -> int:
        """How many types of a kind a domain has."""

    def committed_types(self, domain: str) -> list[TypeKey]:
        """The types of a domain."""

    def new_key(self) -> int:
        """The number for a new run."""

    def mint_run_id(self) -> str:
        """A new run id."""

    def allow(self, decision_type: str, task_list: str | None = None) -> bool:
        """Whether the rates of such decisions and of a task list permit one more."""

    def has_lambda(self) -> bool:
        """Whether functions can be run."""


class Batch:
    """The overlay of one commit.

    Attributes:
        now_ms: The time of everything in it.
        states: The newest state of each touched execution.
        touched: Per execution, the items that changed, as they were before.
        closed: Executions that end in it.
        calls: Functions to run once the batch is kept.
        applied: How many changes it holds; tells whether a request has changed anything.
    """

    def __init__(self, world: Committed, now_ms: int) -> None:
        self._world = world
        self.now_ms = now_ms
        self.states: dict[int, Execution] = {}
        self.touched: dict[int, dict[tuple[Kind, Any], Any]] = {}
        self.calls: list[CallLambda] = []
        self.domains: dict[str, Domain] = {}
        self.types: dict[TypeKey, TypeRecord | None] = {}
        self.applied = 0
        self._events: list[tuple[int, int, str]] = []
        self._items: dict[tuple[int, Any, Any], Any] = {}
        self._started: dict[int, None] = {}
        self.closed: list[int] = []
        self._open: dict[tuple[str, str], int | None] = {}
        self._open_delta: defaultdict[str, int] = defaultdict(int)

    # -- what requests and decisions read -----------------------------------------------------

    def state(self, key: int) -> Execution | None:
        """The newest state of an execution."""
        return self.states.get(key) or self._world.committed(key)

    def open_run(self, domain: str, workflow_id: str) -> Execution | None:
        """The open run of a workflow id."""
        where = (domain, workflow_id)
        key = self._open[where] if where in self._open else self._world.committed_open(*where)
        return None if key is None else self.state(key)

    def open_executions(self, domain: str) -> int:
        """Open executions in a domain."""
        return self._world.committed_open_count(domain) + self._open_delta[domain]

    def domain(self, name: str) -> Domain | None:
        """A domain."""
        return self.domains.get(name) or self._world.committed_domain(name)

    def need_domain(self, name: str) -> Domain:
        """A domain.

        Raises:
            Fault: UnknownResourceFault.
        """
        domain = self.domain(name)
        if domain is None:
            raise faults.unknown_domain(name)
        return domain

    def type_of(self, key: TypeKey) -> TypeRecord | None:
        """A type of either kind."""
        return self.types[key] if key in self.types else self._world.committed_type(key)

    def domain_count(self) -> int:
        """How many domains there are."""
        new = sum(self._world.committed_domain(name) is None for name in self.domains)
        return self._world.committed_domain_count() + new

    def type_count(self, kind: TypeKind, domain: str) -> int:
        """How many types of a kind a domain has; deleted ones of this batch still count."""
        new = sum(
            key[:2] == (kind, domain) and self._world.committed_type(key) is None
            for key in self.types
        )
        return self._world.committed_type_count(kind, domain) + new

    def types_of(self, domain: str) -> list[tuple[TypeKey, TypeRecord]]:
        """All types of a domain."""
        keys = {*self._world.committed_types(domain), *self.types}
        found = [(key, self.type_of(key)) for key in sorted(keys) if key[1] == domain]
        return [(key, record) for key, record in found if record is not None]

    def activity_type(self, domain: str, name: str, version: str) -> TypeRecord | None:
        """An activity type."""
        return self.type_of(("ActivityType", domain, name, version))

    def workflow_type(self, domain: str, name: str, version: str) -> TypeRecord | None:
        """A workflow type as a start meets it: in a deprecated domain all are deprecated."""
        record = self.type_of(("WorkflowType", domain, name, version))
        if record is not None and self.need_domain(domain).status == DEPRECATED:
            return record._replace(status=DEPRECATED)
        return record

    def mint_run_id(self) -> str:
        """A new run id."""
        return self._world.mint_run_id()

    def allow(self, decision_type: str, task_list: str | None = None) -> bool:
        """Whether the rates of such decisions and of a task list permit one more."""
        return self._world.allow(decision_type, task_list)

    def has_lambda(self) -> bool:
        """Whether functions can be run."""
        return self._world.has_lambda()

    # -- what they change ---------------------------------------------------------------------

    def start(self, profile: Profile, data: str | None, continued_from: str | None = None) -> None:
        """Start a run; the profile has its run id, the time is the batch's."""
        profile = profile._replace(start_ms=self.now_ms)
        key = self._world.new_key()
        self._started[key] = None
        self._open[profile.domain, profile.workflow_id] = key
        self._open_delta[profile.domain] += 1
        self.apply(transitions.start(key, profile, data, self.now_ms, continued_from))

    def apply(self, step: Step | None) -> None:
        """Take a step over, and all that follows from it in other executions."""
        effects: deque[Effect] = deque()
        while True:
            if step is not None:
                self._take(step)
                effects.extend(step.effects)
            if not effects:
                return
            step = self._follow(effects.popleft())

    def _take(self, step: Step) -> None:
        state = step.state
        key = state.key
        self.applied += 1
        self.states[key] = state
        for event_id, text in step.events:
            self._events.append((key, event_id, text))
        touched = self.touched.setdefault(key, {})
        for (kind, item_key), (before, item) in step.changes.items():
            touched.setdefault((kind, item_key), before)
            self._items[key, kind, item_key] = item
        if not state.is_open:
            where = (state.profile.domain, state.profile.workflow_id)
            self.closed.append(key)
            self._open[where] = None
            self._open_delta[state.profile.domain] -= 1

    def put_domain(self, domain: Domain) -> None:
        """Register or change a domain."""
        self.applied += 1
        self.domains[domain.name] = domain

    def put_type(self, key: TypeKey, record: TypeRecord | None) -> None:
        """Register, change or (None) delete a type."""
        self.applied += 1
        self.types[key] = record

    def writes(self) -> Writes:
        """The rows to keep."""
        writes = Writes(
            events=self._events,
            started=[],
            changed=[],
            items=self._items,
            closed=self.closed,
            domains=list(self.domains.values()),
            types=[],
            deleted_types=[],
        )
        for key, state in self.states.items():
            if key in self._started:
                writes.started.append(state)
                continue
            stored = self._world.committed(key)
            if stored is None or not state.is_stored_as(stored):
                writes.changed.append(state)
        for type_key, record in self.types.items():
            if record is None:
                writes.deleted_types.append(type_key)
            else:
                writes.types.append((type_key[0], type_key[1], record))
        return writes

    # -- what follows in other executions -----------------------------------------------------

    def _follow(self, effect: Effect) -> Step | None:
        if isinstance(effect, StartChild):
            return self._start_child(effect)
        if isinstance(effect, StartNext):
            return self._start_next(effect)
        if isinstance(effect, TellParent):
            return self._step(effect.parent_key, transitions.child_closed, effect)
        if isinstance(effect, ApplyPolicy):
            return self._apply_policy(effect)
        if isinstance(effect, CallLambda):
            self.calls.append(effect)
            return self._step(effect.key, transitions.lambda_started, effect.scheduled_id)
        return self._reach_other(effect)

    def _step(self, key: int, transition: Callable[..., Step | None], *facts: Any) -> Step | None:
        """A transition of another execution; None when that is no longer there."""
        state = self.state(key)
        return None if state is None else transition(state, self.now_ms, *facts)

    def _start_child(self, effect: StartChild) -> Step | None:
        profile = effect.profile
        parent = self.state(effect.parent_key)
        if parent is not None and parent.status == "TERMINATED":
            # Its history was full before the child began: nobody could end the child any more.
            return None
        if self.open_run(profile.domain, profile.workflow_id) is not None:
            return self._step(
                effect.parent_key,
                transitions.child_refused,
                effect.initiated_id,
                effect.completed_id,
                "WORKFLOW_ALREADY_RUNNING",
                effect.control,
            )
        run_id = self.mint_run_id()
        self.start(profile._replace(run_id=run_id), effect.input)
        return self._step(effect.parent_key, transitions.child_started, effect.initiated_id, run_id)

    def _start_next(self, effect: StartNext) -> Step | None:
        profile = effect.profile
        self.start(profile, effect.input, effect.continued_from)
        return self._step(
            profile.parent_key,
            transitions.child_continued,
            profile.parent_initiated_id,
            profile.run_id,
        )

    def _apply_policy(self, effect: ApplyPolicy) -> Step | None:
        parent = self.state(effect.parent_key)
        if parent is None:
            return None
        child = self.open_run(parent.profile.domain, effect.workflow_id)
        if child is None or child.profile.run_id != effect.run_id:
            return None
        cause = "CHILD_POLICY_APPLIED"
        if effect.policy == "TERMINATE":
            return transitions.terminate(child, self.now_ms, cause)
        return transitions.request_cancel(child, self.now_ms, cause, parent.profile)

    def _reach_other(self, effect: SignalOther | CancelOther) -> Step | None:
        sender = self.state(effect.sender_key)
        if sender is None:
            return None
        target = self.open_run(sender.profile.domain, effect.workflow_id)
        if target is None or (effect.run_id and target.profile.run_id != effect.run_id):
            return self._refuse_other(effect)
        origin = (sender.profile, effect.initiated_id)
        if isinstance(effect, SignalOther):
            event = "ExternalWorkflowExecutionSignaled"
            message = (effect.signal_name, effect.input)
            self.apply(transitions.signal(target, self.now_ms, *message, *origin))
        else:
            event = "ExternalWorkflowExecutionCancelRequested"
            self.apply(transitions.request_cancel(target, self.now_ms, None, *origin))
        return self._step(
            effect.sender_key,
            transitions.external_reached,
            event,
            effect.initiated_id,
            effect.workflow_id,
            target.profile.run_id,
        )

    def _refuse_other(self, effect: SignalOther | CancelOther) -> Step | None:
        kind = "Signal" if isinstance(effect, SignalOther) else "RequestCancel"
        attributes = {
            "workflowId": effect.workflow_id,
            "runId": effect.run_id,
            "cause": "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION",
            "initiatedEventId": effect.initiated_id,
            "decisionTaskCompletedEventId": effect.completed_id,
            "control": effect.control,
        }
        event = f"{kind}ExternalWorkflowExecutionFailed"
        return self._step(effect.sender_key, transitions.external_refused, event, attributes)

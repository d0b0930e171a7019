"""The committed world: open executions, registrations, and the indexes derived from them.

What it never does: hold anything that is not in the file. Its one law: the indexes (task lists,
deadlines, invocation ids, open runs) are functions of the states, brought up to date by ``adopt``.
"""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from garcon.engine.core.model import (
    KINDS,
    Activity,
    DecisionTask,
    Domain,
    Execution,
    Kind,
    TypeRecord,
)
from garcon.engine.core.timeouts import decision_due, item_due, run_due
from garcon.engine.service.batch import Batch
from garcon.engine.service.deadlines import Deadlines
from garcon.engine.service.lists import Assignment, ListKey, TaskLists
from garcon.engine.service.registry import Registry, TypeKey, TypeKind
from garcon.engine.store.database import Database


def mint_run_id() -> str:
    """A run id of the service's look: 46 characters of base64 that begin with 22."""
    return "22" + base64.b64encode(secrets.token_bytes(32)).decode()


class World:
    """What is kept and open.

    Args:
        database: Where it is kept.
        allow: The rate of decisions; takes the decision type and a task list or None.
        has_lambda: Whether functions can be run.
    """

    def __init__(
        self,
        database: Database,
        *,
        allow: Callable[[str, str | None], bool] = lambda *_: True,
        has_lambda: bool = False,
    ) -> None:
        self.database = database
        self.lists = TaskLists()
        self.deadlines = Deadlines()
        self.registry = Registry()
        self.states: dict[int, Execution] = {}
        self.invocations: dict[str, tuple[ListKey, Assignment]] = {}
        self._open: dict[tuple[str, str], int] = {}
        self._open_counts: Counter[str] = Counter()
        self._allow = allow
        self._has_lambda = has_lambda
        self._next_key = 1

    def load(self) -> None:
        """Read everything that is open, oldest work first so that lists keep their order."""
        database = self.database
        self._next_key = database.next_key()
        self.registry.domains = {domain.name: domain for domain in database.domains()}
        for kind, domain, record in database.types():
            name: Any = kind
            self.registry.set_type((name, domain, record.name, record.version), record)
        for state in database.open_executions():
            self._install(state, None, dict.fromkeys(_all_items(state)), offer=False)
        self._offer_all()

    def newest_ms(self) -> int:
        """When the last of all events was written, epoch milliseconds; 0 in an empty file."""
        ((closed_ms,),) = self.database.select("SELECT max(close_ms) FROM executions", [])
        last = (self.database.event(key, state.last_id) for key, state in self.states.items())
        times: list[int] = [round(json.loads(text)["eventTimestamp"] * 1000) for text in last]
        return max([int(closed_ms or 0), *times])

    # -- what batches read --------------------------------------------------------------------

    def committed(self, key: int) -> Execution | None:
        """An open or closed execution."""
        return self.states.get(key) or self.database.execution(key)

    def committed_open(self, domain: str, workflow_id: str) -> int | None:
        """The number of the open run of a workflow id."""
        return self._open.get((domain, workflow_id))

    def committed_open_count(self, domain: str) -> int:
        """Open executions in a domain."""
        return self._open_counts[domain]

    def committed_domain(self, name: str) -> Domain | None:
        """A domain."""
        return self.registry.domains.get(name)

    def committed_domain_count(self) -> int:
        """How many domains there are."""
        return len(self.registry.domains)

    def committed_type(self, key: TypeKey) -> TypeRecord | None:
        """A type."""
        return self.registry.types.get(key)

    def committed_types(self, domain: str) -> list[TypeKey]:
        """The types of a domain."""
        return [key for key in self.registry.types if key[1] == domain]

    def committed_type_count(self, kind: TypeKind, domain: str) -> int:
        """How many types of a kind a domain has."""
        return self.registry.type_counts[kind, domain]

    def new_key(self) -> int:
        """The number for a new run; a dropped batch leaves a gap."""
        self._next_key += 1
        return self._next_key - 1

    def mint_run_id(self) -> str:
        """A new run id."""
        return mint_run_id()

    def allow(self, decision_type: str, task_list: str | None = None) -> bool:
        """Whether the rates of such decisions and of a task list permit one more."""
        return self._allow(decision_type, task_list)

    def has_lambda(self) -> bool:
        """Whether functions can be run."""
        return self._has_lambda

    # -- taking a kept batch over -------------------------------------------------------------

    def adopt(self, batch: Batch) -> None:
        """Make a kept batch the present."""
        self.registry.domains.update(batch.domains)
        for type_key, record in batch.types.items():
            self.registry.set_type(type_key, record)
        for key, state in batch.states.items():
            self._install(state, self.states.get(key), batch.touched[key])

    def reread(self, keys: list[int]) -> None:
        """Drop what is held of some executions and take the file's word for it."""
        for key in keys:
            old = self.states.get(key)
            try:
                state = self.database.execution(key)
            except sqlite3.Error:
                state = old
            if state is not None and (old is not None or state.is_open):
                touched = {**dict.fromkeys(_all_items(state)), **_all_items(old)}
                self._install(state, old, touched)

    def _install(
        self,
        state: Execution,
        old: Execution | None,
        touched: Mapping[tuple[Kind, Any], Any],
        *,
        offer: bool = True,
    ) -> None:
        if not state.is_open:
            self._uninstall(state, old)
            return
        key = state.key
        if old is None:
            where = (state.profile.domain, state.profile.workflow_id)
            self._open[where] = key
            self._open_counts[where[0]] += 1
            self.deadlines.set((key, "run", 0), run_due(state))
        self.states[key] = state
        for (kind, item_key), before in touched.items():
            self._index_item(state, kind, item_key, before, offer)
        self._index_decision(state, old, offer)

    def _uninstall(self, state: Execution, old: Execution | None) -> None:
        if old is None:
            return
        key = state.key
        del self.states[key]
        where = (state.profile.domain, state.profile.workflow_id)
        if self._open.get(where) == key:
            del self._open[where]
        self._open_counts[where[0]] -= 1
        self.deadlines.set((key, "run", 0), None)
        for (kind, item_key), item in _all_items(old).items():
            self._index_item(state, kind, item_key, item, offer=False)
        self._index_decision(state, old, offer=False)

    def _index_item(
        self, state: Execution, kind: Kind, item_key: Any, old: Any, offer: bool
    ) -> None:
        item = state.table(kind).get(item_key)
        if kind == "children":
            return
        self.deadlines.set((state.key, kind, item_key), item_due(kind, item) if item else None)
        if kind != "activities":
            return
        where = activity_list(state, item or old) if item or old else None
        if where is None:
            return
        self._index_invocation(state, where, old, item)
        if item is None or item.started_id:
            self.lists.withdraw(where, (state.key, item_key))
        elif offer:
            self.lists.offer(where, (state.key, item_key), item.priority)

    def _index_decision(self, state: Execution, old: Execution | None, offer: bool) -> None:
        if (
            old is not None
            and old is not state  # which is read again, so that its tasks are offered again
            and old.started is state.started
            and old.scheduled is state.scheduled
        ):
            return
        key = state.key
        self.deadlines.set((key, "decision", 0), decision_due(state))
        waiting = ready_decision(state)
        before = ready_decision(old) if old else None
        if before is not None and before != waiting:
            self.lists.withdraw(decision_list(state, before), (key, before.scheduled_id))
        if waiting is not None and offer:
            where = decision_list(state, waiting)
            self.lists.offer(where, (key, waiting.scheduled_id), waiting.priority)
        started, before_started = state.started, old.started if old else None
        if started is not before_started:
            task = started or before_started
            if task is not None:
                where = decision_list(state, task)
                self._index_invocation(state, where, before_started, started)

    def _index_invocation(
        self,
        state: Execution,
        where: ListKey,
        old: Activity | DecisionTask | None,
        new: Activity | DecisionTask | None,
    ) -> None:
        if old is not None and old.invocation is not None and (new is None or new != old):
            self.invocations.pop(old.invocation, None)
        if new is not None and new.invocation is not None:
            assignment = Assignment(state.key, new.scheduled_id, new.started_id)
            self.invocations[new.invocation] = (where, assignment)

    def _offer_all(self) -> None:
        waiting: list[tuple[int, int, ListKey, tuple[int, int], int]] = []
        for key, state in self.states.items():
            task = ready_decision(state)
            if task is not None:
                where = decision_list(state, task)
                age = (task.scheduled_ms, task.scheduled_id)
                waiting.append((*age, where, (key, task.scheduled_id), task.priority))
            for item in state.activities.values():
                if not item.started_id:
                    where = activity_list(state, item)
                    age = (item.scheduled_ms, item.scheduled_id)
                    waiting.append((*age, where, (key, item.scheduled_id), item.priority))
        for _, _, where, task_key, priority in sorted(waiting):
            self.lists.offer(where, task_key, priority)


def ready_decision(state: Execution) -> DecisionTask | None:
    """The decision task a poller may have now."""
    return state.scheduled if state.started is None else None


def activity_list(state: Execution, task: Activity) -> ListKey:
    """Where an activity task waits."""
    return ("activity", state.profile.domain, task.task_list)


def decision_list(state: Execution, task: DecisionTask) -> ListKey:
    """Where a decision task waits."""
    return ("decision", state.profile.domain, task.task_list)


def _all_items(state: Execution | None) -> dict[tuple[Kind, Any], Any]:
    if state is None:
        return {}
    return {(kind, key): item for kind in KINDS for key, item in state.table(kind).items()}

"""What a pool is doing at this moment, as one document.

It is what `garcon status --json` prints and what Prometheus' figures are made of; its fields are
described in docs/operating.md. It looks at the pool and changes nothing. Law: a document is made of
what is at hand; the engine alone is asked for something, and waited for no longer than a moment.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from garcon.pool.backlog import Backlog, Count
from garcon.pool.config import PoolConfig
from garcon.pool.conversation import DecisionTask
from garcon.pool.service import Service, Work
from garcon.pool.slots import ChildKind, Pool, Slot, State, Stop
from garcon.pool.tally import RecentRates
from garcon.pool.tasks import ActivityTask
from garcon.pool.vitals import Vital, Vitals

#: Raised when a field changes its meaning; new fields do not raise it.
VERSION = 1


class PoolStatus:
    """The view of one pool."""

    def __init__(
        self, config: PoolConfig, service: Service, pool: Callable[[], Pool], vitals: Vitals
    ) -> None:
        """Look at these parts of a pool; on its loop."""
        self._config = config
        self._service = service
        self._pool = pool
        self._vitals = vitals
        self._rates = RecentRates()
        self._backlog: Backlog | None = None
        self._began_s = time.monotonic()
        vitals.on_look.append(self._on_look)

    async def close(self) -> None:
        """Ask the engine nothing more."""
        if self._backlog is not None:
            await self._backlog.close()

    async def document(self) -> dict[str, Any]:
        """Return what the pool is doing."""
        backlog = await self._look_at_backlog()
        pool, now_s = self._pool(), asyncio.get_running_loop().time()
        work = self._service.work
        children = [self._child(slot, now_s) for _, slot in sorted(pool.slots.items())]
        counts = self.counts()
        return {
            "version": VERSION,
            "time": time.time(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "flow": self._config.flow,
            "domain": work.flow.domain if work else None,
            "workflow_type": work.flow.name if work else None,
            "engine": work.engine.describe().removeprefix("engine: ") if work else None,
            "engine_reachable": not self._service.is_line_lost,
            "state": _state(pool, work is not None),
            "uptime_s": round(time.monotonic() - self._began_s, 3),
            "wanted": {kind.value: count for kind, count in pool.wanted.items()},
            "workers": [one for one in children if one["kind"] == ChildKind.WORKER.value],
            "deciders": [one for one in children if one["kind"] == ChildKind.DECIDER.value],
            "supervisor": _figures(self._vitals.of(os.getpid())),
            "tally": counts,
            "rates_per_s": {
                name: round(rate, 3) for name, rate in self._rates.per_s(counts, now_s).items()
            },
            "deciding": _deciding(work) if work else None,
            "backlog": {name: _plain(count) for name, count in backlog.items()},
            "polls": work.dispatcher.polls_waiting if work else 0,
            "in_hand": work.dispatcher.in_hand if work else 0,
            "unanswered": work.dispatcher.held + work.deciding.held if work else 0,
        }

    def counts(self) -> dict[str, int]:
        """Return what the pool has done so far, by the names of its tally."""
        work = self._service.work
        if work is None:
            return {}
        return {**work.dispatcher.tally.counts(), "decisions": work.deciding.decided}

    def one_line(self, now_s: float) -> str:
        """Return what the pool is doing in a few words."""
        counts = self.counts()
        rate = self._rates.per_s(counts, now_s).get("completed", 0.0)
        slots = [one for one in self._pool().slots.values() if one.kind is ChildKind.WORKER]
        up = sum(one.state is State.UP for one in slots)
        done = f"{counts.get('completed', 0)} done, {counts.get('failed', 0)} failed"
        return f"{up} of {len(slots)} workers up, {done}, {rate:.1f}/s lately"

    def pids(self) -> Iterable[int]:
        """Return the processes whose memory and CPU are of interest."""
        children = (slot.pid for slot in self._pool().slots.values())
        return [os.getpid(), *(pid for pid in children if pid is not None)]

    def _on_look(self, _: Mapping[int, Vital], now_s: float) -> None:
        self._rates.look(self.counts(), now_s)

    async def _look_at_backlog(self) -> dict[str, Count | None]:
        work = self._service.work
        if work is None:
            return {}
        if self._backlog is None:
            self._backlog = Backlog(work.plane, work.flow)
        if self._service.is_line_lost:
            return await self._backlog.look(patience_s=0.0)
        return await self._backlog.look()

    def _child(self, slot: Slot, now_s: float) -> dict[str, Any]:
        tasks = self._tasks(slot.number, now_s)
        has_process = slot.state not in (State.EMPTY, State.FORKING)
        state = slot.state.value
        if slot.state is State.UP:
            state = "busy" if tasks else "idle"
        return {
            "slot": slot.number,
            "kind": slot.kind.value,
            "state": state,
            "pid": slot.pid,
            "generation": slot.generation,
            "age_s": round(now_s - slot.born_s, 3) if has_process else None,
            **_figures(self._vitals.of(slot.pid) if slot.pid is not None else None),
            "tasks": tasks,
        }

    def _tasks(self, slot: int, now_s: float) -> list[dict[str, Any]]:
        work = self._service.work
        if work is None:
            return []
        activities = [_activity_task(one, now_s) for one in work.dispatcher.tasks_of(slot)]
        decision = work.deciding.task_of(slot)
        return activities + ([_decision_task(decision, now_s)] if decision is not None else [])


def _deciding(work: Work) -> dict[str, int]:
    """Return what deciding has taken: decisions, and the events that deciders were given."""
    fetched = {f"events_{name}": count for name, count in asdict(work.deciding.fetched).items()}
    kept = {"kept_runs": work.deciding.kept_here}
    return {"decisions": work.deciding.decided, **fetched, **kept}


def _state(pool: Pool, has_begun: bool) -> str:
    if pool.stop is not Stop.NO or pool.finished:
        return "stopping"
    if not has_begun:
        return "starting"
    return "reloading" if pool.starting_generation is not None else "serving"


def _activity_task(task: ActivityTask, now_s: float) -> dict[str, Any]:
    begun_s = task.taken_at_s if task.begun_at_s is None else task.begun_at_s
    return {
        **task.names,
        "for_s": round(now_s - begun_s, 3),
        "canceled": task.cancel_by_s is not None,
    }


def _decision_task(task: DecisionTask, now_s: float) -> dict[str, Any]:
    return {**task.names, "for_s": round(now_s - task.taken_at_s, 3)}


def _figures(vital: Vital | None) -> dict[str, Any]:
    """Return memory (bytes of its own), CPU seconds, and CPUs in use; None for what is unknown."""
    if vital is None:
        return {"memory": None, "cpu_s": None, "cpu": None}
    cpu = None if vital.cpu is None else round(vital.cpu, 3)
    return {"memory": vital.memory, "cpu_s": round(vital.cpu_s, 3), "cpu": cpu}


def _plain(count: Count | None) -> dict[str, Any] | None:
    return None if count is None else {"tasks": count.tasks, "truncated": count.truncated}

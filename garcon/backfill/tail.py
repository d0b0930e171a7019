"""An execution that is under way, looked at again and again: only what is new is read.

Law: a look costs what happened since the last one, and one page for each history.
"""

from __future__ import annotations

from garcon.backfill.asking import Connect, ask_history
from garcon.backfill.cells import Timeline, Told, shards_of
from garcon.description import FlowDescription
from garcon.history import RunState
from garcon.pool.execution import Run


class Tail:
    """The histories of one execution and its shards, as far as they have been read."""

    def __init__(self, connect: Connect, flow: FlowDescription, run: Run) -> None:
        """Follow `run`; nothing is read yet."""
        self._connect = connect
        self._flow = flow
        self._run = run
        self._known: dict[Run, tuple[RunState, Timeline]] = {}
        self._closed: set[Run] = set()

    def look(self) -> Told:
        """Read what is new and return what the histories say now.

        Raises:
            ServiceError: the engine refuses.
        """
        told = Told(flow=self._flow)
        root, timeline = self._read(self._run)
        told.add_root(root, timeline, None)
        for workflow_id, run_id, is_open in shards_of(root):
            run = Run(workflow_id, run_id)
            if run not in self._closed:
                self._read(run)
            if not is_open:
                self._closed.add(run)
            told.add_shard(*self._known[run], is_open)
        return told

    def _read(self, run: Run) -> tuple[RunState, Timeline]:
        state, timeline = self._known.setdefault(
            run, (RunState(self._flow.domain, run.workflow_id, run.run_id), Timeline())
        )
        fresh = []
        domain = self._flow.domain
        for event in ask_history(self._connect, domain, run, newest_first=True):
            if event["eventId"] <= state.last_event_id:
                break
            fresh.append(event)
        for event in reversed(fresh):
            timeline.take(event)
            state.fold((event,))
        return state, timeline

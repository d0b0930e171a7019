"""Folded states kept between decisions, bounded in number and in bytes.

A decision brings the events since the last one that was started; where they do not continue what is
kept, the gap is read from the history, newest first, and only as far as needed. Law: a state is
used only when it holds every event up to the decision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from garcon.errors import GarconError
from garcon.history import HistoryGap, RunState
from garcon.planning.fanout import FanOut, Slice
from garcon.planning.resuming import add_shard
from garcon.planning.shardfold import settle
from garcon.planning.shards import result_from_markers

Event = dict[str, Any]
FetchOlder = Callable[[], Iterator[Sequence[Event]]]

#: Gives the pages of another run's history, newest first, by its workflow id and run id.
FetchRun = Callable[[str, str], Iterator[Sequence[Event]]]


class RunUnknown(GarconError):
    """The engine does not know the execution whose history is asked for."""

    def __init__(self, workflow_id: str, run_id: str) -> None:
        super().__init__(f"the engine knows no execution {workflow_id!r} with run id {run_id!r}")


RUNS_MAX = 64
BYTES_MAX = 256_000_000

#: One decision in so many is checked against a fold from scratch.
CHECK_EVERY = 5_000


@dataclass(frozen=True)
class DecisionTask:
    """One decision task as SWF's poll gave it.

    Attributes:
        domain: SWF's domain.
        workflow_id: SWF's workflow id.
        run_id: SWF's run id.
        workflow_type: name of the workflow type.
        version: its version.
        started_event_id: id of this decision's DecisionTaskStarted.
        previous_started_event_id: the same of the last decision that was answered; 0 for none.
        events: ascending, in SWF's wire form; they may begin at the previous DecisionTaskStarted.
    """

    domain: str
    workflow_id: str
    run_id: str
    workflow_type: str
    version: str
    started_event_id: int
    previous_started_event_id: int
    events: Sequence[Event]


class KeptStates:
    """The states of the runs that were decided last.

    Attributes:
        is_checking: whether a history is being read for such a check just now.
        checks: how many kept states were checked against a fold from scratch.
        mismatches: how many of them differed, and were replaced.
    """

    def __init__(
        self,
        max_runs: int = RUNS_MAX,
        max_bytes: int = BYTES_MAX,
        check_every: int = CHECK_EVERY,
    ) -> None:
        """Keep at most `max_runs` states of about `max_bytes` bytes together, at least one.

        Args:
            max_runs: states.
            max_bytes: rough bytes of all states.
            check_every: one decision in so many is checked, at least 1.
        """
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._check_every = check_every
        self.is_checking = False
        self.checks = 0
        self.mismatches = 0
        self._states: OrderedDict[tuple[str, str, str], RunState] = OrderedDict()

    def __len__(self) -> int:
        """Return how many states are kept."""
        return len(self._states)

    def folded(
        self, task: DecisionTask, fetch_older: FetchOlder, fetch_run: FetchRun | None = None
    ) -> RunState:
        """Return the state of the task's run, folded up to its DecisionTaskStarted.

        Args:
            task: the decision task.
            fetch_older: gives pages of the history, newest first; called only when there is a gap.
            fetch_run: the same for the histories of shards, called for results that are too long
                for their closing event.
        Raises:
            HistoryGap: the history lacks events (it is eventually consistent: ask again).
            RunUnknown: a shard's history is gone.
        """
        key = (task.domain, task.workflow_id, task.run_id)
        state = self._states.get(key)
        if state is None or state.last_event_id > task.started_event_id:
            state = RunState(*key)
        first = task.events[0]["eventId"] if task.events else task.started_event_id + 1
        older: list[Event] = []
        if not state.fits(first):
            older = older_events(fetch_older(), state.last_event_id + 1, first - 1)
        # Out of the dict while it is changed: a fold that breaks half way must not be found again.
        self._states.pop(key, None)
        state.fold(older)
        state.fold(task.events)
        if state.last_event_id < task.started_event_id:
            raise HistoryGap(
                f"the history ends at event {state.last_event_id}, "
                f"the decision began at {task.started_event_id}"
            )
        # Whole again, and kept: results of shards that take too long to be read are read on.
        self._keep(key, state)
        settle_owed(state, fetch_run)
        if first > 1 and self._is_sampled(task):
            self.is_checking = True
            try:
                state = self._checked(state, task, fetch_older, fetch_run)
            finally:
                self.is_checking = False
            self._keep(key, state)
        return state

    def _is_sampled(self, task: DecisionTask) -> bool:
        # By the task and not by chance: the same task is checked wherever it is decided.
        place = crc32(f"{task.run_id}#{task.started_event_id}".encode())
        return place % self._check_every == 0

    def _checked(
        self,
        state: RunState,
        task: DecisionTask,
        fetch_older: FetchOlder,
        fetch_run: FetchRun | None,
    ) -> RunState:
        """Return a fold of the whole history, and count whether `state` equals it."""
        whole = RunState(task.domain, task.workflow_id, task.run_id)
        first = task.events[0]["eventId"] if task.events else task.started_event_id + 1
        whole.fold(older_events(fetch_older(), 1, first - 1))
        whole.fold(task.events)
        settle_owed(whole, fetch_run)
        self.checks += 1
        self.mismatches += whole != state
        return whole

    def _keep(self, key: tuple[str, str, str], state: RunState) -> None:
        self._states[key] = state
        while len(self._states) > 1 and self._is_full():
            self._states.popitem(last=False)

    def _is_full(self) -> bool:
        weight = sum(state.weight for state in self._states.values())
        return len(self._states) > self._max_runs or weight > self._max_bytes


def settle_owed(state: RunState, fetch_run: FetchRun | None) -> None:
    """Read the results of closed shards that lie in the markers of their histories.

    Raises:
        HistoryGap: they cannot be read now.
    """
    for event_id, debt in list(state.owed.items()):
        name = debt.workflow_id
        if fetch_run is None:
            raise HistoryGap(f"the history of shard {name} has to be read, and nobody can")
        run_id = state.children[name][0].run_id
        events = (event for page in fetch_run(name, run_id) for event in page)
        result = result_from_markers(debt.owed, events)
        if result is None:
            raise HistoryGap(f"the result of shard {name} is not in its history yet")
        settle(state, event_id, result)


def older_events(pages: Iterable[Sequence[Event]], lowest: int, highest: int) -> list[Event]:
    """Return the events from `lowest` to `highest`, ascending, from pages that are newest first.

    No page is asked for beyond the one that holds `lowest`.

    Raises:
        HistoryGap: the pages do not hold them all.
    """
    found: list[Event] = []
    wanted = highest
    for page in pages:
        for event in page:
            if event["eventId"] > wanted:
                continue
            if event["eventId"] != wanted:
                raise HistoryGap(f"event {wanted} is missing from the history")
            found.append(event)
            wanted -= 1
            if wanted < lowest:
                return found[::-1]
    raise HistoryGap(f"the history's pages end above event {wanted}")


class WholeRun:
    """The fold of another execution's whole history, with what its shards had done.

    Reading it may be broken off by an error of `fetch_run`; the next call goes on from there.
    """

    def __init__(self, domain: str, workflow_id: str, run_id: str) -> None:
        """Begin with nothing read."""
        self._names = (domain, workflow_id, run_id)
        self._state = RunState(domain, workflow_id, run_id)
        self._shards: list[tuple[FanOut, Slice]] | None = None

    def read(self, fetch_run: FetchRun | None) -> RunState:
        """Return the fold.

        Raises:
            HistoryGap: its history is not whole, or nobody can read it.
            RunUnknown: the engine does not know it, or one of its shards.
        """
        if self._shards is None or self._shards:
            if fetch_run is None:
                raise HistoryGap("the history of the earlier execution has to be read")
            self._read_on(fetch_run)
        return self._state

    def _read_on(self, fetch_run: FetchRun) -> None:
        if not self._state.last_event_id:
            pages = fetch_run(self._state.workflow_id, self._state.run_id)
            newest_first = [event for page in pages for event in page]
            state = RunState(*self._names)
            state.fold(reversed(newest_first))
            self._state = state
        settle_owed(self._state, fetch_run)
        if self._shards is None:
            self._shards = list(_unfinished(self._state))
        while self._shards:
            fan_out, found = self._shards[0]
            shard = WholeRun(self._state.domain, found.workflow_id, found.run_id).read(fetch_run)
            add_shard(fan_out, found.workflow_id, shard)
            del self._shards[0]


def _unfinished(state: RunState) -> Iterator[tuple[FanOut, Slice]]:
    """Yield the shards that have told nothing of what they had done."""
    for fan_out in state.fan_outs.values():
        for found in fan_out.slices.values():
            if (found.is_open or found.number in fan_out.lost) and found.run_id:
                yield fan_out, found

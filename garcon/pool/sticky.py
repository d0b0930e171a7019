"""Which runs come back to this pool, where several pools decide one flow.

A run whose decisions go to now this pool, now that one is read from its history again and again.
SWF can send the next decisions of a run to a list of this pool's own, for as long as it takes them
in time; else they go back to the list where the run began. A run is kept here only once another
pool was seen deciding it while this one was at work, so that a pool by itself never has a second
list to poll; and never for long on that word, for the other pool may have gone since. It is given
back then, and kept again by whoever sees another's decision. Pure: times are told.

SWF chooses a decision's list when it schedules it, which may be while the one before is in hand. So
the first decision after a change of the list may come over the old one still. Law: the own list is
wanted for as long as a decision can come there; a pool that leaves asks for no run, and gives back
those it has.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

#: How long a decision waits for this pool on its own list before everybody may have it, seconds:
#: what a pool that is killed costs each of its runs.
WAIT_S = 5

#: How long a run is kept after another pool was seen with it, seconds. With another pool at work it
#: costs one reading of its history in that time to find that out anew.
KEPT_S = 600.0

#: For so long after that its decision is waited for, seconds, so that the run can be given back.
GIVE_BACK_S = 60.0

#: One that was answered with its end is heard of again only if SWF did not take that, seconds.
CLOSED_S = 10.0

#: A pool that leaves waits for no decision once it has had none of a kept run for so long, seconds.
QUIET_S = 10.0

#: Runs that are kept; the longest unheard goes first.
RUNS_MAX = 1_000

#: Characters of the common list's name in the own one; SWF takes 256 in all.
NAME_PART = 200


def own_list(task_list: str, mark: str) -> str:
    """Return the name of the list that only one pool polls: the flow's own list and its mark."""
    return f"{task_list[:NAME_PART]}.{mark}"


class StickyRuns:
    """The runs whose decisions come to this pool's own list."""

    def __init__(self, identity: str, task_list: str) -> None:
        """Keep none yet.

        Args:
            identity: what histories call this pool.
            task_list: the list of its own.
        """
        self.task_list = task_list
        self._inherited: set[str] = set()
        self._identity = identity
        self._since_s: float | None = None
        self._until_s: OrderedDict[str, float] = OrderedDict()
        self._given_back_until_s = -math.inf
        self._heard_s = -math.inf

    def inherit(self, task_list: str) -> None:
        """Keep the runs whose decisions come over the own list of a pool that is no more."""
        self._inherited.add(task_list)

    def take(self, run_id: str, head: Mapping[str, Any], task_list: str, now_s: float) -> bool:
        """Take note of a decision task; return whether its run is kept from now on.

        Args:
            run_id: the run.
            head: the first page of the poll's answer.
            task_list: the list that was polled.
            now_s: any clock that only goes forward.
        """
        until_s = self._until_s.pop(run_id, now_s)
        is_kept = until_s - now_s > GIVE_BACK_S
        if is_kept:
            self._heard_s = now_s
        if task_list == self.task_list:
            if is_kept:
                self._keep(run_id, until_s)  # heard of, which is no news of others
            return False
        is_shared = task_list in self._inherited or self._was_decided_elsewhere(head)
        self._note_begin(head)
        if is_shared:
            self._heard_s = now_s
            self._keep(run_id, now_s + KEPT_S + GIVE_BACK_S)
        elif is_kept and not _was_missed(head):
            self._keep(run_id, until_s)  # scheduled before the answer that keeps its run
        return is_shared

    def closed(self, run_id: str, now_s: float) -> None:
        """Note that a run was answered with its end."""
        if run_id in self._until_s:
            self._keep(run_id, min(self._until_s[run_id], now_s + CLOSED_S))

    def forget(self, run_id: str) -> None:
        """Keep a run no longer that is known to be closed, whoever has answered so."""
        self._until_s.pop(run_id, None)

    def has_runs(self, now_s: float) -> bool:
        """Whether any run may come to the own list, so that it has to be polled."""
        for run_id in [one for one, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[run_id]
        return bool(self._until_s) or now_s < self._given_back_until_s

    def awaits_runs(self, now_s: float, *, soon: bool = False) -> bool:
        """Whether a kept run is open, so that a decision may yet be scheduled for this pool alone.

        That of a run which was given back or closed waits already, if there is one at all.

        Args:
            now_s: as in `take`.
            soon: only while kept runs are being decided: the next decision cannot be far.
        """
        is_far = now_s - self._heard_s >= QUIET_S
        open_until = (until_s - now_s > CLOSED_S for until_s in self._until_s.values())
        return not (soon and is_far) and any(open_until)

    def __len__(self) -> int:
        """Return how many runs are kept."""
        return len(self._until_s)

    def members(
        self, run_id: str, polled: str, home: str, now_s: float, *, gives_back: bool
    ) -> dict[str, Any]:
        """Return what an answer says of the list of the run's next decisions.

        Args:
            run_id: the run.
            polled: the list that its decision came from.
            home: the list of its kind that every pool polls.
            now_s: as in `take`.
            gives_back: any pool is to have the next decision.
        """
        is_kept = run_id in self._until_s
        if is_kept and not gives_back:
            return {
                "taskList": {"name": self.task_list},
                "taskListScheduleToStartTimeout": str(WAIT_S),
            }
        is_common = polled != self.task_list and polled not in self._inherited
        if is_common and not is_kept:
            return {}
        self._until_s.pop(run_id, None)
        # A decision that was scheduled before this answer waits so long for this pool alone.
        self._given_back_until_s = now_s + WAIT_S
        return {"taskList": {"name": home}}

    def _keep(self, run_id: str, until_s: float) -> None:
        self._until_s[run_id] = until_s
        self._until_s.move_to_end(run_id)
        while len(self._until_s) > RUNS_MAX:
            self._until_s.popitem(last=False)

    def _was_decided_elsewhere(self, head: Mapping[str, Any]) -> bool:
        """Whether another pool has begun the run's last decision after this one's first.

        By the engine's own times: a pool that was there before this one, and is no more, is not
        meant.
        """
        began = _began(head, 0, head.get("previousStartedEventId"))
        if self._since_s is None or began is None or began[0] == self._identity:
            return False
        return began[1] >= self._since_s

    def _note_begin(self, head: Mapping[str, Any]) -> None:
        """Note when this pool has begun its first decision, as the engine tells it."""
        began = _began(head, -1, head.get("startedEventId"))
        if self._since_s is None and began is not None:
            self._since_s = began[1]


def _was_missed(head: Mapping[str, Any]) -> bool:
    """Whether a decision was not taken in time since the last one, which ends an override."""
    return any(one["eventType"] == "DecisionTaskTimedOut" for one in head.get("events", ()))


def _began(head: Mapping[str, Any], place: int, event_id: Any) -> tuple[str | None, float] | None:
    """Return by whom and when a decision was begun, where that event is at `place` of the page."""
    events = head.get("events")
    event = events[place] if events else {}
    if event.get("eventType") != "DecisionTaskStarted" or event["eventId"] != event_id:
        return None
    attributes = event.get("decisionTaskStartedEventAttributes", {})
    return attributes.get("identity"), float(event["eventTimestamp"])

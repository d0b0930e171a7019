"""Pages of histories that a decider has read, kept where their reading was broken off.

A decision has little time for reading; where it is not enough, the next attempt goes on with the
next page. Kept are bytes as they came, for one decided run after the other; where they are too many
the reading that was begun first stays, and the others wait for its end: each of them gone for the
next would be begun anew for ever. Pure. Law: of a run's own history only what joins the events that
come with its next decision is ever given again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from garcon.deciding.kept import DecisionTask

Run = tuple[str, str]  #: workflow id and run id

NOBODY: Run = ("", "")

#: Bytes of all kept pages; those of the reading that was begun last go first.
BYTES_MAX = 64_000_000

#: The first reading is given up when another run has been broken off so often since it was gone on
#: with. Every run comes back at once, so the first one's has gone elsewhere, or is closed.
PASSES_MAX = 3

#: Runs that are counted for it.
PASSING_MAX = 1_000


@dataclass
class Reading:
    """What was read of one history, newest first.

    Attributes:
        pages: bodies, in the order in which they were read.
        token: asks for the next page; empty for the first one, None after the last.
    """

    pages: list[bytes] = field(default_factory=list)
    token: str | None = ""

    def add(self, page: bytes, token: str) -> None:
        """Add a page and what asks for the one after it; empty where it is the last."""
        self.pages.append(page)
        self.token = token or None


@dataclass
class _Kept:
    """What was read for the decisions of one run.

    Attributes:
        found: the readings, by the history that was read.
        last: the event with which the last of these decisions began.
    """

    found: dict[Run, Reading]
    last: int


class Readings:
    """The readings of decisions, by the run that was decided and the history that was read."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        """Keep at most `bytes_max` bytes, but always those of the first run."""
        self._bytes_max = bytes_max
        self._kept: dict[Run, _Kept] = {}  # in the order in which they were begun
        self._passing: Counter[Run] = Counter()  # since the first of them was gone on with
        self._run = NOBODY
        self._last = 0
        self._found: dict[Run, Reading] = {}
        self._pages_before = 0

    def begin(self, task: DecisionTask) -> None:
        """Begin a decision."""
        self._run, self._last = (task.workflow_id, task.run_id), task.started_event_id
        kept = self._kept.get(self._run)
        self._found = {} if kept is None else kept.found
        if kept is not None and task.events and kept.last < task.events[0]["eventId"] - 1:
            # Others have decided meanwhile: between what was read and what came lies a gap.
            self._found.pop(self._run, None)
        self._pages_before = self._pages_found()
        if self._run == self._first():
            self._passing.clear()

    def of(self, workflow_id: str, run_id: str) -> Reading:
        """Return what was read of a history, for the decision that was begun last."""
        return self._found.setdefault((workflow_id, run_id), Reading())

    def end(self, unread: Sequence[bytes] | None) -> None:
        """End the decision.

        An attempt that came no further keeps nothing: what would ask for the next page may be good
        no more (SWF's page tokens are not for ever), and the same would be asked again and again.

        Args:
            unread: the pages that came with it, where reading was broken off; None where not.
        """
        got_on = self._pages_found() > self._pages_before
        found, self._found = self._found, {}
        if unread is None or not got_on:
            self._drop(self._run)
            return
        if self._run in found:
            found[self._run].pages[:0] = reversed(unread)
        self._kept.setdefault(self._run, _Kept(found, 0)).last = self._last
        self._make_room()

    def _make_room(self) -> None:
        """Give up what is too much: what was begun last, or the first where nobody goes on."""
        if self._run != self._first():
            if len(self._passing) >= PASSING_MAX:
                self._passing.clear()
            self._passing[self._run] += 1
        while len(self._kept) > 1 and self._size() > self._bytes_max:
            is_left = self._passing[self._run] >= PASSES_MAX
            self._drop(self._first() if is_left else next(reversed(self._kept)))

    def _drop(self, run: Run) -> None:
        if run == self._first():
            self._passing.clear()
        self._kept.pop(run, None)

    def _first(self) -> Run:
        return next(iter(self._kept), NOBODY)

    def _pages_found(self) -> int:
        return sum(len(reading.pages) for reading in self._found.values())

    def _size(self) -> int:
        found = (reading for kept in self._kept.values() for reading in kept.found.values())
        return sum(len(page) for reading in found for page in reading.pages)

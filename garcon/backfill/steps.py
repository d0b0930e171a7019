"""What follows for a range from what the engine knows of it: start, resume, join, wait or nothing.

A pure table; `run` and `resume` act on what comes out, `plan` shows it. Law: nothing that completed
runs again unless that was asked for in so many words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from garcon.backfill.ranges import COMPLETED, Range, Seen, overlapping, own_runs
from garcon.errors import OpenWithAnotherInput, UsageError


class Act(str, Enum):
    """What to do with a range."""

    START = "start"  #: nothing of it is there, or all of it is wanted again
    RESUME = "resume"  #: the last execution did not complete: run what it left
    JOIN = "join"  #: it is open: work on it and wait for its end
    WAIT = "wait"  #: another open execution shares its days: let that one end first
    DONE = "done"  #: it completed
    SKIP = "skip"  #: something is open and the command says to leave it then
    FAIL = "fail"  #: something is open and the command says that this must not be
    REFUSE = "refuse"  #: there is nothing that this verb could work on


class Overlap(str, Enum):
    """What a command does when the range, or days of it, are in an open execution."""

    SKIP = "skip"
    JOIN = "join"
    FAIL = "fail"


@dataclass(frozen=True)
class Wish:
    """What the command asks for.

    Attributes:
        again: run what completed once more.
        overlap: what to do when it is open.
        resume_only: the verb `resume`: start nothing new.
        is_part: only some instances were asked for.
    """

    again: bool = False
    overlap: Overlap = Overlap.JOIN
    resume_only: bool = False
    is_part: bool = False


@dataclass(frozen=True)
class Step:
    """What follows for one range.

    Attributes:
        act: what to do.
        of: the execution that it is about: to join, to wait for, to resume or that completed.
        text: why, in words for people; may be empty.
    """

    act: Act
    of: Seen | None = None
    text: str = ""

    @property
    def error(self) -> Exception | None:
        """What a command that is about this range alone ends with, None where it goes on."""
        if self.act is Act.FAIL:
            return OpenWithAnotherInput(self.text)
        return UsageError(self.text) if self.act is Act.REFUSE else None


def next_step(one: Range, seen: Sequence[Seen], wish: Wish) -> Step:
    """Return what follows for a range.

    Args:
        one: the range.
        seen: what the engine lists: all that is open, and the closed ones of these days.
        wish: the command's words.
    """
    own = own_runs(one, seen)
    last = own[0] if own else None
    if last is not None and last.status is None:
        return _of_open(one, last, wish)
    if last is not None and last.status == COMPLETED and not wish.again:
        return Step(Act.DONE, last, f"{one} completed {_when(last)}")
    if last is None and wish.resume_only:
        return Step(Act.REFUSE, None, f"{one} was never started; there is nothing to resume")
    others = overlapping(one, seen)
    if others:
        return _of_overlap(one, others[0], wish)
    if last is None:
        return Step(Act.START)
    if wish.again:
        return Step(
            Act.START, last, f"{one} closed as {last.status} {_when(last)}; all of it again"
        )
    return Step(Act.RESUME, last, f"{one} closed as {last.status} {_when(last)}; going on with it")


def _of_open(one: Range, found: Seen, wish: Wish) -> Step:
    told = f"{one} is open since {found.started:%Y-%m-%d %H:%M} ({found.run.workflow_id})"
    if wish.is_part:
        return Step(Act.FAIL, found, f"{told}; wait for its end or cancel it, then resume a part")
    if wish.overlap is Overlap.SKIP:
        return Step(Act.SKIP, found, f"{told}; left to it")
    if wish.overlap is Overlap.FAIL:
        return Step(Act.FAIL, found, f"{told}; --overlap join works on it, skip leaves it")
    return Step(Act.JOIN, found, told)


def _of_overlap(one: Range, found: Seen, wish: Wish) -> Step:
    told = f"{one}: {found.run.workflow_id} is open with days of it ({found.days})"
    if wish.overlap is Overlap.SKIP:
        return Step(Act.SKIP, found, f"{told}; left to it")
    if wish.overlap is Overlap.FAIL:
        return Step(Act.FAIL, found, f"{told}; --overlap join lets it end first, skip leaves it")
    return Step(Act.WAIT, found, f"{told}; it ends first")


def _when(found: Seen) -> str:
    return f"on {found.closed:%Y-%m-%d %H:%M}" if found.closed else ""

"""What the pool's life is told, and what it asks to be done.

Facts go into `lifecycle.step`, actions come out of it. The supervisor turns what it sees of its
processes into facts and performs the actions; nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from garcon.pool.slots import ChildKind

# -- facts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ZygoteReady:
    """The zygote of this generation has sent the flow's description."""

    generation: int


@dataclass(frozen=True)
class ZygoteGone:
    """The zygote of this generation is no more, and with it all its children.

    Attributes:
        text: why, in one line.
        exit_code: the refusal's exit code where it refused the flow, else None.
        killed: whether somebody, or the kernel for want of memory, killed it while it imported.
    """

    generation: int
    text: str
    exit_code: int | None = None
    killed: bool = False


@dataclass(frozen=True)
class Forked:
    """The zygote has forked a child for this slot."""

    slot: int
    pid: int


@dataclass(frozen=True)
class ForkFailed:
    """The zygote could not fork for this slot: no memory, no pids.

    Attributes:
        generation: the zygote that was asked; a later one may have been asked since.
    """

    slot: int
    text: str
    generation: int


@dataclass(frozen=True)
class Booted:
    """The child in this slot says that it is ready."""

    slot: int
    pid: int


@dataclass(frozen=True)
class Exited:
    """The child in this slot is no more.

    Attributes:
        status: in words, such as `killed by SIGSEGV`.
        signal: name of the signal that ended it, None for an exit.
        was_busy: whether it had a task in hand.
        with_zygote: whether it only went down with its zygote.
    """

    slot: int
    pid: int
    status: str
    signal: str | None = None
    was_busy: bool = False
    with_zygote: bool = False


@dataclass(frozen=True)
class StopAsked:
    """TERM or INT: the first drains, the second (or `now`) kills."""

    now: bool = False


@dataclass(frozen=True)
class Resized:
    """So many workers are wanted from here on.

    Attributes:
        busy: slots with a task in hand; idle ones leave first.
    """

    workers: int
    busy: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ReloadAsked:
    """HUP: replace zygote and children by ones that import the flow anew."""


@dataclass(frozen=True)
class RetireAsked:
    """The child in this slot has had its share (tasks, age, memory): replace it after its task."""

    slot: int


@dataclass(frozen=True)
class KillAsked:
    """The child in this slot must go: its task is overdue, canceled or over its memory.

    Attributes:
        grace_s: time between SIGTERM and SIGKILL to its process group; 0 for SIGKILL at once.
    """

    slot: int
    grace_s: float = 0.0


@dataclass(frozen=True)
class Tick:
    """Nothing but the passing of time."""


Fact = (
    ZygoteReady | ZygoteGone | Forked | ForkFailed | Booted | Exited | StopAsked | Resized
    | ReloadAsked | RetireAsked | KillAsked | Tick
)  # fmt: skip


# -- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartZygote:
    """Start a zygote of this generation; tell `ZygoteReady` or `ZygoteGone`."""

    generation: int


@dataclass(frozen=True)
class RetireZygote:
    """End this zygote and whatever children it still has; `ZygoteGone` need not follow."""

    generation: int


@dataclass(frozen=True)
class Fork:
    """Have this zygote fork a child; tell `Forked`, then `Booted`, or `ForkFailed`."""

    slot: int
    kind: ChildKind
    generation: int


@dataclass(frozen=True)
class Drain:
    """Give this child nothing more and tell it to leave; `Exited` follows."""

    slot: int


@dataclass(frozen=True)
class Kill:
    """Send this signal (`SIGTERM`, `SIGKILL`) to the child's process group."""

    slot: int
    signal: str


@dataclass(frozen=True)
class Tell:
    """Something for the log.

    Attributes:
        event: name from the log's list, such as `slot.died`.
        fields: what is known of it.
    """

    event: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Finish:
    """The pool is over: end with this exit code; the text is one line for the user."""

    exit_code: int
    text: str


Action = StartZygote | RetireZygote | Fork | Drain | Kill | Tell | Finish

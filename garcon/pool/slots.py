"""The pool's places and what is known of them: slots, zygotes, bounds, and every legal move.

Plain values without behaviour; `lifecycle` changes them. A slot is a numbered place; processes
come and go in it. They are forked by a zygote, which has a generation number: a reload starts the
next generation and replaces the children of the last.
Law: every move of a slot stands in NEXT below; what is absent is illegal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from garcon.errors import GarconError


class ChildKind(str, Enum):
    """What a child of the pool does."""

    WORKER = "worker"
    DECIDER = "decider"


class State(str, Enum):
    """Where a slot stands."""

    EMPTY = "empty"  #: no process; the next may be due later
    FORKING = "forking"  #: asked of the zygote, no pid yet
    BOOTING = "booting"  #: it has a pid, but has not said that it is ready
    UP = "up"  #: it takes work
    DRAINING = "draining"  #: told to leave after what it has in hand
    KILLING = "killing"  #: a signal is on its way, its exit not yet seen


class Move(str, Enum):
    """What can happen to a slot."""

    FORK = "fork"
    FORKED = "forked"
    UNFORKED = "unforked"
    BOOTED = "booted"
    DRAIN = "drain"
    KILL = "kill"
    EXITED = "exited"


NEXT: Mapping[tuple[State, Move], State] = {
    (State.EMPTY, Move.FORK): State.FORKING,
    (State.FORKING, Move.FORKED): State.BOOTING,
    (State.FORKING, Move.UNFORKED): State.EMPTY,
    (State.BOOTING, Move.BOOTED): State.UP,
    (State.BOOTING, Move.DRAIN): State.DRAINING,
    (State.BOOTING, Move.KILL): State.KILLING,
    (State.BOOTING, Move.EXITED): State.EMPTY,
    (State.UP, Move.DRAIN): State.DRAINING,
    (State.UP, Move.KILL): State.KILLING,
    (State.UP, Move.EXITED): State.EMPTY,
    (State.DRAINING, Move.BOOTED): State.DRAINING,
    (State.DRAINING, Move.KILL): State.KILLING,
    (State.DRAINING, Move.EXITED): State.EMPTY,
    (State.KILLING, Move.BOOTED): State.KILLING,
    (State.KILLING, Move.EXITED): State.EMPTY,
}

#: States in which a process exists, or may exist.
ALIVE = frozenset({State.FORKING, State.BOOTING, State.UP, State.DRAINING, State.KILLING})


class ZygoteState(str, Enum):
    """Where a zygote stands."""

    STARTING = "starting"  #: started, the flow's description has not come
    READY = "ready"  #: forks on request
    RETIRING = "retiring"  #: a newer one is ready; ends with its last child


class IllegalMove(GarconError):
    """A slot was told to do what its state does not allow: a mistake of garcon's own."""


@dataclass(frozen=True)
class Rules:
    """Bounds of the pool's life; all durations in seconds.

    Attributes:
        drain_timeout_s: from the first stop to the kill of who still works.
        boot_timeout_s: from the fork to `ready`.
        kill_timeout_s: how long a stop waits for the exit of who was killed.
        boot_failures_max: boot failures in a row that end the pool.
        steady_s: a process that lived as long as this died of its work, not of its start.
        delay_first_s: delay of the second quick respawn; the first one has none.
        delay_max_s: where doubling ends.
        decider_delay_max_s: where it ends for a decider that had been ready: while it is missing,
            whole executions stand still.
    """

    drain_timeout_s: float = 75.0
    boot_timeout_s: float = 60.0
    kill_timeout_s: float = 5.0
    boot_failures_max: int = 5
    steady_s: float = 10.0
    delay_first_s: float = 0.5
    delay_max_s: float = 30.0
    decider_delay_max_s: float = 1.0


@dataclass(frozen=True)
class Slot:
    """One place for a process.

    Attributes:
        number: its name for life, from 1.
        kind: what its processes do.
        state: where it stands.
        since_s: when it came to this state.
        generation: zygote of the present or last process.
        pid: process, where one is known.
        born_s: when that process was forked.
        due_s: before this no new process is forked.
        quick_deaths: deaths in a row that came within `Rules.steady_s` of the fork.
        deadline_s: when a draining or terminated process gets SIGKILL; None for never.
        unasked: whether its death would be an accident rather than garcon's own doing.
        booted: whether the present process has said that it is ready.
    """

    number: int
    kind: ChildKind
    state: State = State.EMPTY
    since_s: float = 0.0
    generation: int = 0
    pid: int | None = None
    born_s: float = 0.0
    due_s: float = 0.0
    quick_deaths: int = 0
    deadline_s: float | None = None
    unasked: bool = True
    booted: bool = False


@dataclass(frozen=True)
class Zygote:
    """One zygote: its state and since when."""

    state: ZygoteState
    since_s: float


class Stop(str, Enum):
    """How the pool is being stopped."""

    NO = "no"
    DRAIN = "drain"
    NOW = "now"


@dataclass(frozen=True)
class Pool:
    """Everything that `step` knows.

    Attributes:
        rules: the bounds.
        wanted: how many children of each kind there should be.
        slots: by number.
        zygotes: by generation; at most one is ready, at most one starting.
        last_generation: the highest generation number given out.
        zygote_due_s: before this no zygote is started.
        zygote_deaths: quick deaths of zygotes in a row.
        has_been_ready: whether a zygote has ever been ready.
        boot_failures: in a row, over all slots and zygotes.
        stop: whether the pool is being stopped, and how.
        stop_deadline_s: when a stopping pool ends whatever is left.
        killed_at_deadline: children that did not finish in the drain's time.
        finished: whether `Finish` has been given out; nothing follows it.
    """

    rules: Rules = field(default_factory=Rules)
    wanted: Mapping[ChildKind, int] = field(default_factory=dict)
    slots: Mapping[int, Slot] = field(default_factory=dict)
    zygotes: Mapping[int, Zygote] = field(default_factory=dict)
    last_generation: int = 0
    zygote_due_s: float = 0.0
    zygote_deaths: int = 0
    has_been_ready: bool = False
    boot_failures: int = 0
    stop: Stop = Stop.NO
    stop_deadline_s: float | None = None
    killed_at_deadline: int = 0
    finished: bool = False

    @classmethod
    def of(cls, workers: int, deciders: int, rules: Rules | None = None) -> Pool:
        """Return a pool in which nothing runs yet; the first `step` starts its zygote."""
        wanted = {ChildKind.WORKER: workers, ChildKind.DECIDER: deciders}
        return cls(rules=rules or Rules(), wanted=wanted)

    @property
    def ready_generation(self) -> int | None:
        """Generation whose zygote forks, None where none does."""
        return self._generation_in(ZygoteState.READY)

    @property
    def starting_generation(self) -> int | None:
        """Generation whose zygote is on its way, None where none is."""
        return self._generation_in(ZygoteState.STARTING)

    def _generation_in(self, state: ZygoteState) -> int | None:
        found = [number for number, zygote in self.zygotes.items() if zygote.state is state]
        return max(found, default=None)

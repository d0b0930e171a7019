"""Life of the pool's processes, as a pure function.

`step` says what follows from what was seen: which zygote to start, which slots to fork, drain or
kill, and when it is over. The supervisor performs it and tells the outcome as facts. It starts
nothing, sends nothing and reads no clock; the same facts at the same times lead to the same end.
Law: a slot changes its state only by `Moves.move`, which looks the move up in `slots.NEXT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from garcon.pool.facts import (
    Action,
    Booted,
    Drain,
    Exited,
    Fact,
    Finish,
    Fork,
    Forked,
    ForkFailed,
    Kill,
    KillAsked,
    ReloadAsked,
    Resized,
    RetireAsked,
    RetireZygote,
    StartZygote,
    StopAsked,
    Tell,
    Tick,
    ZygoteGone,
    ZygoteReady,
)
from garcon.pool.moves import Moves
from garcon.pool.slots import (
    ALIVE,
    NEXT,
    ChildKind,
    IllegalMove,
    Move,
    Pool,
    Rules,
    Slot,
    State,
    Stop,
    Zygote,
    ZygoteState,
)

__all__ = [
    "ALIVE", "NEXT", "Action", "Booted", "ChildKind", "Drain", "Exited", "Fact", "Finish", "Fork",
    "ForkFailed", "Forked", "IllegalMove", "Kill", "KillAsked", "Move", "Pool", "ReloadAsked",
    "Resized", "RetireAsked", "RetireZygote", "Rules", "Slot", "StartZygote", "State", "Stop",
    "StopAsked", "Tell", "Tick", "Zygote", "ZygoteGone", "ZygoteReady", "ZygoteState",
    "next_wake_s", "respawn_delay_s", "step", "why_killed",
]  # fmt: skip

#: Exit code of a pool whose children cannot boot.
CANNOT_BOOT = 3

#: Why a pool that is stopped kills who still works.
DRAIN_IS_OVER = "the time of the drain was over"
TOLD_TO_HURRY = "the pool was told to stop at once"

#: Whom a shrinking pool sends away first: those at work last, and one that is just being forked
#: not at all, since it cannot be spoken to yet.
_FAREWELL = {State.EMPTY: 0, State.DRAINING: 1, State.KILLING: 1, State.BOOTING: 2, State.UP: 3}
_BUSY_FAREWELL = 4
_STAYS = 9


def step(pool: Pool, facts: Iterable[Fact], now_s: float) -> tuple[Pool, list[Action]]:
    """Return the pool after `facts` at `now_s` (monotonic seconds), and what is to be done.

    Facts about a process that is no longer the slot's own are passed over: they were on their way
    when its end was seen.

    Raises:
        IllegalMove: a fact that cannot be true of a slot in its state.
    """
    work = _Step(pool, now_s)
    for fact in facts:
        work.take(fact)
    work.converge()
    return work.pool, work.actions


def next_wake_s(pool: Pool) -> float | None:
    """Return the monotonic second at which `step` has something to do without a new fact."""
    if pool.finished:
        return None
    moments = [slot.deadline_s for slot in pool.slots.values()]
    moments.append(pool.stop_deadline_s)
    for slot in pool.slots.values():
        if slot.state is State.BOOTING:
            moments.append(slot.since_s + pool.rules.boot_timeout_s)
        elif slot.state is State.EMPTY and pool.ready_generation and pool.stop is Stop.NO:
            moments.append(slot.due_s)
    if not pool.ready_generation and not pool.starting_generation and pool.stop is Stop.NO:
        moments.append(pool.zygote_due_s)
    return min((moment for moment in moments if moment is not None), default=None)


def respawn_delay_s(rules: Rules, number: int, quick_deaths: int) -> float:
    """Return how long slot `number` stays empty after so many quick deaths in a row.

    Nothing after the first, then doubling; shortened by up to a quarter, differently for each slot
    and count, so that children that die together do not come back together.
    """
    if quick_deaths <= 1:
        return 0.0
    full_s = min(rules.delay_max_s, rules.delay_first_s * 2.0 ** min(quick_deaths - 2, 30))
    # Multiplicative hashing (Knuth): spreads small neighbours over the whole range.
    spread = ((number * 31 + quick_deaths) * 2_654_435_761 % 2**32) / 2**32
    return full_s * (1.0 - 0.25 * spread)


def why_killed(pool: Pool, number: int) -> str | None:
    """Return for what stop of its own the pool has killed the child in this slot, in words.

    None where it has not: whoever else sent the signal is told by nobody.
    """
    slot = pool.slots.get(number)
    if pool.stop is not Stop.NOW or slot is None or slot.state is not State.KILLING:
        return None
    return DRAIN_IS_OVER if pool.killed_at_deadline else TOLD_TO_HURRY


class _Step(Moves):
    """One step under way: first the facts, then what follows from where they lead."""

    def __init__(self, pool: Pool, now_s: float) -> None:
        super().__init__(pool, now_s)
        self._busy: frozenset[int] = frozenset()

    # -- facts ----------------------------------------------------------------------------

    def take(self, fact: Fact) -> None:
        """Fold one fact into the pool."""
        if self.pool.finished:
            return
        handlers: dict[type, Callable[[Any], None]] = {
            ZygoteReady: self._zygote_ready,
            ZygoteGone: self._zygote_gone,
            Forked: self._forked,
            ForkFailed: self._fork_failed,
            Booted: self._booted,
            Exited: self._exited,
            StopAsked: self._stop_asked,
            Resized: self._resized,
            ReloadAsked: self._reload_asked,
            RetireAsked: self._retire_asked,
            KillAsked: self._kill_asked,
            Tick: lambda _: None,
        }
        handlers[type(fact)](fact)

    def _zygote_ready(self, fact: ZygoteReady) -> None:
        if self.pool.starting_generation != fact.generation:
            return
        zygotes = {
            number: self.zygote(ZygoteState.RETIRING)
            if zygote.state is ZygoteState.READY
            else zygote
            for number, zygote in self.pool.zygotes.items()
        }
        zygotes[fact.generation] = self.zygote(ZygoteState.READY)
        self.change(zygotes=zygotes, has_been_ready=True)

    def _zygote_gone(self, fact: ZygoteGone) -> None:
        zygote = self.pool.zygotes.get(fact.generation)
        if zygote is None:
            return
        self.forget_zygote(fact.generation)
        for slot in self.alive():
            if slot.generation == fact.generation:
                forking = slot.state is State.FORKING
                self.vacate(slot, Move.UNFORKED if forking else Move.EXITED, self.now_s)
        if zygote.state is ZygoteState.STARTING:
            self._zygote_failed(fact)
        elif zygote.state is ZygoteState.READY:
            self._zygote_died(fact, zygote)

    def _zygote_failed(self, fact: ZygoteGone) -> None:
        """It went before it was ready: a flow that cannot be imported, mostly."""
        if self.pool.ready_generation is not None:
            self.tell("reload.failed", generation=fact.generation, text=fact.text)
            return
        if fact.exit_code is not None and not self.pool.has_been_ready:
            self.finish(fact.exit_code, fact.text)
            return
        if not fact.killed:
            # Killed it says nothing of the flow, which has been imported before.
            self.count_boot_failure(fact.text, fact.exit_code or CANNOT_BOOT)
        self._delay_zygote(self.pool.zygote_deaths + 1, fact)

    def _zygote_died(self, fact: ZygoteGone, zygote: Zygote) -> None:
        quick = self.now_s - zygote.since_s < self.pool.rules.steady_s
        self._delay_zygote(self.pool.zygote_deaths + 1 if quick else 1, fact)

    def _delay_zygote(self, deaths: int, fact: ZygoteGone) -> None:
        delay_s = respawn_delay_s(self.pool.rules, 0, deaths)
        self.change(zygote_deaths=deaths, zygote_due_s=self.now_s + delay_s)
        if not self.pool.finished:
            self.tell("zygote.died", generation=fact.generation, text=fact.text, again_s=delay_s)

    def _forked(self, fact: Forked) -> None:
        slot = self.pool.slots.get(fact.slot)
        if slot is not None:
            self.move(slot, Move.FORKED, pid=fact.pid, born_s=self.now_s, booted=False)

    def _fork_failed(self, fact: ForkFailed) -> None:
        slot = self.pool.slots.get(fact.slot)
        if slot is None or slot.state is not State.FORKING or slot.generation != fact.generation:
            # A zygote that died answers late: another one may be at it by now.
            return
        deaths = slot.quick_deaths + 1
        # Not a boot failure: the machine is short of memory or pids, and may recover. Unlike a
        # death it waits from the first time on, or it would be tried again in the same instant.
        delay_s = respawn_delay_s(self.pool.rules, slot.number, deaths + 1)
        self.vacate(slot, Move.UNFORKED, self.now_s + delay_s, quick_deaths=deaths)
        self.tell("slot.unforked", slot=slot.number, text=fact.text, again_s=delay_s)

    def _booted(self, fact: Booted) -> None:
        slot = self.own(fact.slot, fact.pid)
        if slot is not None:
            self.move(slot, Move.BOOTED, booted=True)
            self.change(boot_failures=0)

    def _exited(self, fact: Exited) -> None:
        slot = self.own(fact.slot, fact.pid)
        if slot is None:
            return
        if fact.with_zygote or not slot.unasked:
            self.vacate(slot, Move.EXITED, self.now_s)
            self.tell_exit("slot.left", slot, fact, 0.0)
            return
        quick = self.now_s - slot.born_s < self.pool.rules.steady_s
        deaths = slot.quick_deaths + 1 if quick else 1
        delay_s = respawn_delay_s(self.pool.rules, slot.number, deaths)
        if slot.kind is ChildKind.DECIDER and slot.booted:
            delay_s = min(delay_s, self.pool.rules.decider_delay_max_s)
        self.vacate(slot, Move.EXITED, self.now_s + delay_s, quick_deaths=deaths)
        self.tell_exit("slot.died", slot, fact, delay_s)
        if not slot.booted:
            text = f"{slot.kind.value} {slot.number} {fact.status}"
            if fact.signal is None:
                text += "; its traceback stands above"
            self.count_boot_failure(text, CANNOT_BOOT)

    def _stop_asked(self, fact: StopAsked) -> None:
        rules = self.pool.rules
        if fact.now or self.pool.stop is not Stop.NO:
            if self.pool.stop is not Stop.NOW:
                self._hurry(TOLD_TO_HURRY)
            return
        self.change(stop=Stop.DRAIN, stop_deadline_s=self.now_s + rules.drain_timeout_s)

    def _resized(self, fact: Resized) -> None:
        self.change(wanted={**self.pool.wanted, ChildKind.WORKER: max(0, fact.workers)})
        self._busy = fact.busy

    def _reload_asked(self, _: ReloadAsked) -> None:
        if self.pool.stop is not Stop.NO:
            return
        starting = self.pool.starting_generation
        if starting is not None:
            self.retire_zygote(starting)
        self.start_zygote()

    def _retire_asked(self, fact: RetireAsked) -> None:
        slot = self.pool.slots.get(fact.slot)
        if slot is not None and slot.state is State.UP:
            self.drain(slot, None)

    def _kill_asked(self, fact: KillAsked) -> None:
        slot = self.pool.slots.get(fact.slot)
        if slot is None or slot.state not in {State.BOOTING, State.UP, State.DRAINING}:
            return
        if fact.grace_s > 0:
            self.kill(slot, "SIGTERM", deadline_s=self.now_s + fact.grace_s)
        else:
            self.kill(slot, "SIGKILL")

    # -- what follows ---------------------------------------------------------------------

    def converge(self) -> None:
        """Bring the pool one step nearer to what is wanted."""
        if self.pool.finished:
            return
        self._enforce_deadlines()
        if self.pool.stop is Stop.NO:
            self._replace_old()
            for kind in self.pool.wanted:
                self._resize(kind)
            self._fork_due()
        else:
            self._leave()
        self._retire_childless()

    def _enforce_deadlines(self) -> None:
        for slot in self.alive():
            late = slot.deadline_s is not None and self.now_s >= slot.deadline_s
            if late and slot.state is State.KILLING:
                self.put(replace(slot, deadline_s=None))
                self.actions.append(Kill(slot.number, "SIGKILL"))
            elif late:
                self.change(killed_at_deadline=self.pool.killed_at_deadline + 1)
                self.kill(slot, "SIGKILL")
            elif slot.state is State.BOOTING and self._has_overslept(slot):
                self.tell("slot.boot_overdue", slot=slot.number, pid=slot.pid)
                self.kill(slot, "SIGKILL", unasked=True)

    def _has_overslept(self, slot: Slot) -> bool:
        return self.now_s >= slot.since_s + self.pool.rules.boot_timeout_s

    def _replace_old(self) -> None:
        """After a reload: who was forked by an older zygote leaves after its task."""
        ready = self.pool.ready_generation
        if ready is None:
            if self.pool.starting_generation is None and self.now_s >= self.pool.zygote_due_s:
                self.start_zygote()
            return
        for slot in self.alive():
            if slot.generation != ready and slot.state in {State.BOOTING, State.UP}:
                self.drain(slot, None)

    def _resize(self, kind: ChildKind) -> None:
        here = [slot for slot in self.pool.slots.values() if slot.kind is kind]
        missing = self.pool.wanted[kind] - len(here)
        for _ in range(missing):
            number = next(n for n in range(1, len(self.pool.slots) + 2) if n not in self.pool.slots)
            self.put(Slot(number, kind, since_s=self.now_s))
        if missing < 0:
            for slot in sorted(here, key=self._farewell)[:-missing]:
                self._send_away(slot)

    def _farewell(self, slot: Slot) -> tuple[int, int]:
        rank = _FAREWELL.get(slot.state, _STAYS)
        if slot.state is State.UP and slot.number in self._busy:
            rank = _BUSY_FAREWELL
        return rank, -slot.number

    def _send_away(self, slot: Slot) -> None:
        if slot.state is State.EMPTY:
            self.drop(slot)
        elif slot.state in {State.BOOTING, State.UP}:
            self.drain(slot, None)

    def _fork_due(self) -> None:
        generation = self.pool.ready_generation
        if generation is None:
            return
        for slot in list(self.pool.slots.values()):
            if slot.state is State.EMPTY and self.now_s >= slot.due_s:
                self.move(slot, Move.FORK, generation=generation, unasked=True)
                self.actions.append(Fork(slot.number, slot.kind, generation))

    def _leave(self) -> None:
        """The pool is being stopped: drain or kill whoever is left, then finish."""
        starting = self.pool.starting_generation
        if starting is not None:
            self.retire_zygote(starting)
        deadline_s = self.pool.stop_deadline_s
        for slot in list(self.pool.slots.values()):
            self._let_go(slot, deadline_s)
        left = len(self.alive())
        late = deadline_s is not None and self.now_s >= deadline_s
        if not left:
            killed = self.pool.killed_at_deadline
            self.finish(0, f"stopped; {killed} had to be killed" if killed else "stopped")
        elif late and self.pool.stop is Stop.NOW:
            self.finish(0, f"stopped; {left} did not go")
        elif late:
            self._hurry(DRAIN_IS_OVER)

    def _hurry(self, why: str) -> None:
        """Kill whoever is left, and wait for no one longer than a killed process may take."""
        deadline_s = self.now_s + self.pool.rules.kill_timeout_s
        self.change(stop=Stop.NOW, stop_deadline_s=deadline_s)
        if children := len(self.alive()):
            self.tell("pool.killing", children=children, why=why)

    def _let_go(self, slot: Slot, deadline_s: float | None) -> None:
        if slot.state is State.EMPTY:
            self.drop(slot)
        elif self.pool.stop is Stop.NOW:
            if slot.state in {State.BOOTING, State.UP, State.DRAINING}:
                self.kill(slot, "SIGKILL")
        elif slot.state in {State.BOOTING, State.UP}:
            self.drain(slot, deadline_s)
        elif slot.state is State.DRAINING and slot.deadline_s is None:
            self.put(replace(slot, deadline_s=deadline_s))

    def _retire_childless(self) -> None:
        used = {slot.generation for slot in self.alive()}
        for generation, zygote in list(self.pool.zygotes.items()):
            if zygote.state is ZygoteState.RETIRING and generation not in used:
                self.retire_zygote(generation)

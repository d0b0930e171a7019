"""The life of the pool under any sequence of accidents, against a world that obeys its actions."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from garcon.pool.lifecycle import (
    ALIVE,
    Action,
    Booted,
    ChildKind,
    Drain,
    Exited,
    Fact,
    Finish,
    Fork,
    Forked,
    ForkFailed,
    Kill,
    KillAsked,
    Pool,
    ReloadAsked,
    Resized,
    RetireAsked,
    RetireZygote,
    Rules,
    StartZygote,
    Stop,
    StopAsked,
    Tick,
    ZygoteGone,
    ZygoteReady,
    next_wake_s,
    step,
)

RULES = Rules(drain_timeout_s=20, boot_timeout_s=10, kill_timeout_s=5)
WORKERS_MAX = 4


class World(RuleBasedStateMachine):
    """Zygotes and children that do what they are told, and whatever else they like."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.pool = Pool.of(2, 1, RULES)
        self.asked: dict[int, Fork] = {}  # slot -> fork not answered yet
        self.children: dict[int, tuple[int, int]] = {}  # slot -> (pid, generation)
        self.booted: set[int] = set()
        self.starting: set[int] = set()
        self.ready: set[int] = set()
        self.late: list[ForkFailed] = []  # what dead zygotes' forks are answered with
        self.last_pid = 0
        self.stopped_at_s: float | None = None
        self.finishes: list[Finish] = []
        self.see(Tick())

    # -- the world obeys ----------------------------------------------------------------------

    def see(self, *facts: Fact) -> None:
        assert not self.finishes
        self.pool, actions = step(self.pool, facts, self.now_s)
        for action in actions:
            self.obey(action)

    def obey(self, action: Action) -> None:
        assert not self.finishes, "nothing follows the end"
        if isinstance(action, StartZygote):
            self.starting.add(action.generation)
        elif isinstance(action, RetireZygote):
            self.end_zygote(action.generation)
        elif isinstance(action, Fork):
            assert action.generation in self.ready, "only a ready zygote forks"
            assert action.slot not in self.children, "one process a slot"
            assert action.slot not in self.asked, "asked once"
            self.asked[action.slot] = action
        elif isinstance(action, Drain | Kill):
            assert action.slot in self.children, "only who is there is spoken to"
        elif isinstance(action, Finish):
            self.finishes.append(action)

    def end_zygote(self, generation: int) -> None:
        self.starting.discard(generation)
        self.ready.discard(generation)
        for slot, (_, born_of) in list(self.children.items()):
            if born_of == generation:
                del self.children[slot]
        for slot, fork in list(self.asked.items()):
            if fork.generation == generation:
                del self.asked[slot]
                self.late.append(ForkFailed(slot, "the zygote is gone", generation))

    # -- what may happen ----------------------------------------------------------------------

    @precondition(lambda self: not self.finishes and self.starting)
    @rule(refuses=st.booleans(), data=st.data())
    def a_zygote_comes_up_or_not(self, refuses: bool, data: st.DataObject) -> None:
        """The import of the flow ends."""
        generation = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.discard(generation)
        if refuses:
            self.see(ZygoteGone(generation, "broken", None))
        else:
            self.ready.add(generation)
            self.see(ZygoteReady(generation))

    @precondition(lambda self: not self.finishes and self.ready)
    @rule(data=st.data())
    def a_zygote_dies(self, data: st.DataObject) -> None:
        """With all its children."""
        generation = data.draw(st.sampled_from(sorted(self.ready)))
        gone = [(s, pid) for s, (pid, born_of) in self.children.items() if born_of == generation]
        self.end_zygote(generation)
        exits = [Exited(slot, pid, "went down", with_zygote=True) for slot, pid in gone]
        self.see(*exits, ZygoteGone(generation, "was killed"))

    @precondition(lambda self: not self.finishes and self.asked)
    @rule(fails=st.booleans(), data=st.data())
    def a_fork_is_answered(self, fails: bool, data: st.DataObject) -> None:
        """With a child, or with an error."""
        slot = data.draw(st.sampled_from(sorted(self.asked)))
        fork = self.asked.pop(slot)
        if fails:
            self.see(ForkFailed(slot, "no memory", fork.generation))
            return
        self.last_pid += 1
        self.children[slot] = (self.last_pid, fork.generation)
        self.booted.discard(slot)
        self.see(Forked(slot, self.last_pid))

    @precondition(lambda self: not self.finishes and self.late)
    @rule()
    def a_dead_zygote_s_fork_is_answered(self) -> None:
        """When its slot may long be another zygote's."""
        self.see(self.late.pop(0))

    @precondition(lambda self: not self.finishes and set(self.children) - self.booted)
    @rule(data=st.data())
    def a_child_says_ready(self, data: st.DataObject) -> None:
        """Once in its life."""
        slot = data.draw(st.sampled_from(sorted(set(self.children) - self.booted)))
        self.booted.add(slot)
        self.see(Booted(slot, self.children[slot][0]))

    @precondition(lambda self: not self.finishes and self.children)
    @rule(data=st.data())
    def a_child_ends(self, data: st.DataObject) -> None:
        """As it was told, or by itself."""
        slot = data.draw(st.sampled_from(sorted(self.children)))
        pid, _ = self.children.pop(slot)
        self.see(Exited(slot, pid, "was killed by SIGKILL", "SIGKILL"))

    @precondition(lambda self: not self.finishes)
    @rule(seconds=st.sampled_from([0.1, 1.0, 12.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        """The shell ticks whenever the pool wants to wake."""
        until_s = self.now_s + seconds
        while not self.finishes:
            wake_s = next_wake_s(self.pool)
            if wake_s is None or wake_s > until_s:
                break
            assert wake_s > self.now_s or self.pool != step(self.pool, [], self.now_s)[0]
            self.now_s = max(self.now_s, wake_s)
            self.see(Tick())
        self.now_s = until_s

    @precondition(lambda self: not self.finishes)
    @rule(workers=st.integers(0, WORKERS_MAX), busy=st.frozensets(st.integers(1, WORKERS_MAX)))
    def a_resize(self, workers: int, busy: frozenset[int]) -> None:
        """To any size."""
        self.see(Resized(workers, busy))

    @precondition(lambda self: not self.finishes)
    @rule(
        fact=st.one_of(
            st.just(ReloadAsked()),
            st.builds(RetireAsked, st.integers(1, WORKERS_MAX + 1)),
            st.builds(KillAsked, st.integers(1, WORKERS_MAX + 1), st.sampled_from([0.0, 3.0])),
        )
    )
    def a_wish(self, fact: Fact) -> None:
        """At any time, of any slot."""
        self.see(fact)

    @precondition(lambda self: not self.finishes)
    @rule(now=st.booleans())
    def a_stop(self, now: bool) -> None:
        """Once or more."""
        if self.stopped_at_s is None:
            self.stopped_at_s = self.now_s
        self.see(StopAsked(now))

    @precondition(lambda self: self.finishes)
    @rule(fact=st.sampled_from([Tick(), StopAsked(), ReloadAsked(), Resized(3), ZygoteReady(1)]))
    def a_late_fact(self, fact: Fact) -> None:
        """Nothing follows the end."""
        assert step(self.pool, [fact], self.now_s) == (self.pool, [])

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def never_more_children_than_allowed(self) -> None:
        """Resizes included: who leaves keeps the slot until it is gone."""
        alive = [slot for slot in self.pool.slots.values() if slot.state in ALIVE]
        workers = [slot for slot in alive if slot.kind is ChildKind.WORKER]
        assert len(workers) <= WORKERS_MAX
        assert len(alive) - len(workers) <= 1

    @invariant()
    def the_pool_knows_its_children(self) -> None:
        """Every child stands in its slot with its pid, and no slot claims one that is not."""
        if not self.finishes:
            known = {n: s.pid for n, s in self.pool.slots.items() if s.pid is not None}
            assert {slot: pid for slot, (pid, _) in self.children.items()} == known

    @invariant()
    def at_most_two_zygotes_work(self) -> None:
        """The last one for its children, the next one for the coming ones."""
        assert len(self.starting) <= 1

    @invariant()
    def every_empty_slot_is_waited_for(self) -> None:
        """No death is left without an answer: something is due, or on its way."""
        if self.finishes or self.pool.stop is not Stop.NO:
            return
        empty = any(slot.state not in ALIVE for slot in self.pool.slots.values())
        if empty and not self.starting:
            assert (next_wake_s(self.pool) or math.inf) <= self.now_s + RULES.delay_max_s

    @invariant()
    def a_stop_ends_by_its_deadline(self) -> None:
        """Drain, then kill, then go; whoever is left."""
        if self.stopped_at_s is not None and not self.finishes:
            latest_s = self.stopped_at_s + RULES.drain_timeout_s + RULES.kill_timeout_s
            assert self.now_s <= latest_s


World.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTheLifeOfThePool = World.TestCase

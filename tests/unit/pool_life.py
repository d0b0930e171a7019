"""A pool's life, played by a test: facts go in, and what follows is looked at."""

from __future__ import annotations

from collections.abc import Iterable

from garcon.pool.lifecycle import (
    Action,
    Booted,
    Exited,
    Fact,
    Fork,
    Forked,
    Pool,
    Rules,
    State,
    Tell,
    Tick,
    ZygoteReady,
    step,
)

RULES = Rules(drain_timeout_s=75, boot_timeout_s=60, kill_timeout_s=5)


class Life:
    """A pool and its clock; every `see` is one step."""

    def __init__(self, workers: int = 2, deciders: int = 0) -> None:
        self.pool = Pool.of(workers, deciders, RULES)
        self.now_s = 1000.0
        self.pids = 100

    def see(self, *facts: Fact, after_s: float = 0.0) -> list[Action]:
        """Step with these facts `after_s` later; log lines are left out of the answer."""
        self.now_s += after_s
        self.pool, actions = step(self.pool, facts, self.now_s)
        return [one for one in actions if not isinstance(one, Tell)]

    def fork(self, actions: Iterable[Action]) -> list[int]:
        """Answer all forks among the actions; return the slots, whose children are booting."""
        slots = [one.slot for one in actions if isinstance(one, Fork)]
        for slot in slots:
            self.pids += 1
            self.see(Forked(slot, self.pids))
        return slots

    def boot(self, actions: Iterable[Action]) -> list[int]:
        """Answer all forks among the actions, and have the children say ready."""
        slots = self.fork(actions)
        for slot in slots:
            self.see(Booted(slot, self.pid(slot)))
        return slots

    def pid(self, slot: int) -> int:
        """Return the slot's process."""
        pid = self.pool.slots[slot].pid
        assert pid is not None
        return pid

    def die(self, slot: int, after_s: float = 0.0) -> list[Action]:
        """Have the slot's child be killed by the outside."""
        status = "was killed by SIGKILL"
        return self.see(Exited(slot, self.pid(slot), status, "SIGKILL"), after_s=after_s)

    def leave(self, slot: int) -> list[Action]:
        """Have the slot's child end as it was told."""
        return self.see(Exited(slot, self.pid(slot), "ended with exit code 0"))

    def up(self) -> list[int]:
        """Return the slots that take work."""
        return [n for n, slot in self.pool.slots.items() if slot.state is State.UP]

    @classmethod
    def running(cls, workers: int = 2, deciders: int = 0) -> Life:
        """Return a pool whose children are all up, long since."""
        life = cls(workers, deciders)
        life.see()
        life.boot(life.see(ZygoteReady(1)))
        life.see(Tick(), after_s=1000)
        return life

"""The small moves that a step of the pool's life is made of.

Each changes the pool in one place and notes the action that goes with it; when to make which is
`lifecycle`'s to say. Pure, as that is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from garcon.pool.facts import (
    Action,
    Drain,
    Exited,
    Finish,
    Kill,
    RetireZygote,
    StartZygote,
    Tell,
)
from garcon.pool.slots import ALIVE, NEXT, IllegalMove, Move, Pool, Slot, Stop, Zygote, ZygoteState


class Moves:
    """A pool that is being changed, and the actions so far."""

    def __init__(self, pool: Pool, now_s: float) -> None:
        """Start from `pool` at `now_s`."""
        self.pool = pool
        self.now_s = now_s
        self.actions: list[Action] = []

    def drain(self, slot: Slot, deadline_s: float | None) -> None:
        """Tell a child to leave after its task; SIGKILL follows at `deadline_s`, None for never."""
        self.move(slot, Move.DRAIN, deadline_s=deadline_s, unasked=False)
        self.actions.append(Drain(slot.number))

    def kill(
        self, slot: Slot, signal: str, deadline_s: float | None = None, unasked: bool = False
    ) -> None:
        """Send a signal to a child; SIGKILL follows at `deadline_s`."""
        self.move(slot, Move.KILL, deadline_s=deadline_s, unasked=unasked)
        self.actions.append(Kill(slot.number, signal))

    def vacate(self, slot: Slot, move: Move, due_s: float, quick_deaths: int | None = None) -> None:
        """Note that a slot has no process any more, and when the next one is due."""
        deaths = slot.quick_deaths if quick_deaths is None else quick_deaths
        self.move(slot, move, pid=None, due_s=due_s, quick_deaths=deaths, deadline_s=None)

    def move(self, slot: Slot, move: Move, **changes: Any) -> None:
        """Take a slot through the table.

        Raises:
            IllegalMove: the table has no such move.
        """
        try:
            state = NEXT[slot.state, move]
        except KeyError:
            raise IllegalMove(
                f"slot {slot.number} cannot {move.value} while it is {slot.state.value}"
            ) from None
        # Being ready while leaving changes nothing about when the leaving began.
        since_s = slot.since_s if state is slot.state else self.now_s
        self.put(replace(slot, state=state, since_s=since_s, **changes))

    def put(self, slot: Slot) -> None:
        """Put a slot in its place."""
        self.change(slots={**self.pool.slots, slot.number: slot})

    def drop(self, slot: Slot) -> None:
        """Give up a slot and its number."""
        self.change(slots={n: s for n, s in self.pool.slots.items() if n != slot.number})

    def change(self, **changes: Any) -> None:
        """Replace attributes of the pool."""
        self.pool = replace(self.pool, **changes)

    def own(self, number: int, pid: int) -> Slot | None:
        """Return the slot if `pid` is its present process, else None."""
        slot = self.pool.slots.get(number)
        return slot if slot is not None and slot.pid == pid else None

    def alive(self) -> list[Slot]:
        """Return the slots that have, or may have, a process."""
        return [slot for slot in self.pool.slots.values() if slot.state in ALIVE]

    def zygote(self, state: ZygoteState) -> Zygote:
        """Return a zygote that has just come to this state."""
        return Zygote(state, self.now_s)

    def start_zygote(self) -> None:
        """Start a zygote of the next generation."""
        generation = self.pool.last_generation + 1
        zygotes = {**self.pool.zygotes, generation: self.zygote(ZygoteState.STARTING)}
        self.change(zygotes=zygotes, last_generation=generation)
        self.actions.append(StartZygote(generation))

    def forget_zygote(self, generation: int) -> None:
        """Note that a zygote is gone."""
        self.change(zygotes={n: z for n, z in self.pool.zygotes.items() if n != generation})

    def retire_zygote(self, generation: int) -> None:
        """End a zygote and whatever children it has."""
        self.forget_zygote(generation)
        self.actions.append(RetireZygote(generation))

    def count_boot_failure(self, text: str, exit_code: int) -> None:
        """Count one more boot failure in a row; too many end the pool."""
        failures = self.pool.boot_failures + 1
        self.change(boot_failures=failures)
        if failures >= self.pool.rules.boot_failures_max and self.pool.stop is Stop.NO:
            self.finish(exit_code, f"children cannot boot, {failures} times in a row: {text}")

    def finish(self, exit_code: int, text: str) -> None:
        """End the pool; the first end counts."""
        if self.pool.finished:
            return
        for generation in list(self.pool.zygotes):
            self.retire_zygote(generation)
        self.change(finished=True)
        self.actions.append(Finish(exit_code, text))

    def tell(self, event: str, **fields: object) -> None:
        """Note something for the log."""
        self.actions.append(Tell(event, fields))

    def tell_exit(self, event: str, slot: Slot, fact: Exited, delay_s: float) -> None:
        """Note for the log how a process ended and when the next one comes."""
        self.tell(
            event,
            slot=slot.number,
            kind=slot.kind.value,
            pid=fact.pid,
            status=fact.status,
            busy=fact.was_busy,
            lived_s=self.now_s - slot.born_s,
            again_s=delay_s,
        )

"""The life of the pool, as far as its zygotes begin and end it."""

from __future__ import annotations

from garcon.pool.lifecycle import (
    ChildKind,
    Exited,
    Finish,
    Fork,
    Forked,
    ForkFailed,
    ReloadAsked,
    StartZygote,
    Tick,
    ZygoteGone,
    ZygoteReady,
)
from tests.unit.pool_life import Life


def test_a_flow_that_is_refused_at_the_start_ends_the_pool_with_the_refusal_s_own_code() -> None:
    """A usage error is told at once, not tried five times."""
    life = Life()
    life.see()

    actions = life.see(ZygoteGone(1, "flow 'x' has no activity", exit_code=2))

    assert [Finish(2, "flow 'x' has no activity")] == actions


def test_a_zygote_that_dies_while_importing_is_tried_again_five_times() -> None:
    """It may have been the machine; five times in a row it was not."""
    life = Life()
    life.see()
    for generation in range(1, 5):
        actions = life.see(ZygoteGone(generation, "was killed by SIGSEGV"))
        actions = actions or life.see(Tick(), after_s=30)
        assert [StartZygote(generation + 1)] == actions

    actions = life.see(ZygoteGone(5, "was killed by SIGSEGV"))

    assert 3 == next(one.exit_code for one in actions if isinstance(one, Finish))


def test_a_zygote_that_is_killed_while_importing_ends_no_pool_that_could_import_before() -> None:
    """Crashes never do; each time the next one waits longer."""
    life = Life.running()
    life.see(ZygoteGone(1, "was killed by SIGKILL"))
    for generation in range(2, 12):
        actions = life.see(ZygoteGone(generation, "was killed by SIGKILL", 3, killed=True))
        assert [] == actions
        assert [StartZygote(generation + 1)] == life.see(Tick(), after_s=30)

    life.boot(life.see(ZygoteReady(12)))
    assert [1, 2] == life.up()


def test_a_zygote_that_is_killed_at_the_very_start_ends_the_command() -> None:
    """Nobody knows whether the flow can be imported at all."""
    life = Life()
    life.see()

    actions = life.see(ZygoteGone(1, "was killed by SIGKILL", 3, killed=True))

    assert [Finish(3, "was killed by SIGKILL")] == [
        one for one in actions if isinstance(one, Finish)
    ]


def test_the_death_of_a_zygote_starts_the_next_one_and_refills_every_slot() -> None:
    """Its children went with it; nothing of that counts against their slots."""
    life = Life.running(workers=2, deciders=1)
    for slot in (1, 2, 3):
        life.see(Exited(slot, life.pid(slot), "went down", with_zygote=True))

    started = life.see(ZygoteGone(1, "was killed by SIGKILL"))
    forked = life.see(ZygoteReady(2))

    assert [StartZygote(2)] == started
    assert {1, 2, 3} == {one.slot for one in forked if isinstance(one, Fork)}
    assert all(slot.quick_deaths == 0 for slot in life.pool.slots.values())


def test_slots_of_a_dead_zygote_are_refilled_though_no_exit_was_told() -> None:
    """The zygote's end is the end of its children, whatever is lost on the way."""
    life = Life.running(workers=1)

    life.see(ZygoteGone(1, "was killed by SIGKILL"))

    assert [Fork(1, ChildKind.WORKER, 2)] == life.see(ZygoteReady(2))


def test_a_serving_pool_whose_zygote_comes_back_to_a_broken_flow_tries_again() -> None:
    """A deploy may be half written at that very moment."""
    life = Life.running(workers=1)
    life.see(ZygoteGone(1, "was killed by SIGKILL"))

    actions = life.see(ZygoteGone(2, "flow 'x': SyntaxError", exit_code=3))

    assert not life.pool.finished
    assert [StartZygote(3)] == (actions or life.see(Tick(), after_s=1))


def test_a_dead_zygote_s_late_answer_does_not_touch_a_fork_of_the_next_one() -> None:
    """It comes when its slot is being forked again; taken for that fork's, it would be illegal."""
    life = Life(workers=1)
    life.see()
    life.see(ZygoteReady(1))
    life.see(ReloadAsked())
    life.see(ZygoteReady(2))
    assert [Fork(1, ChildKind.WORKER, 2)] == life.see(ZygoteGone(1, "was killed by SIGKILL"))

    life.see(ForkFailed(1, "the zygote was killed by SIGKILL", 1))

    life.see(Forked(1, 4711))
    assert 4711 == life.pid(1)

"""The life of the pool's processes: every start, death, reload and stop, in virtual time."""

from __future__ import annotations

import pytest

from garcon.pool.lifecycle import (
    NEXT,
    Booted,
    ChildKind,
    Drain,
    Exited,
    Finish,
    Fork,
    Forked,
    ForkFailed,
    IllegalMove,
    Kill,
    KillAsked,
    Move,
    ReloadAsked,
    Resized,
    RetireAsked,
    RetireZygote,
    StartZygote,
    State,
    StopAsked,
    Tick,
    ZygoteGone,
    ZygoteReady,
    next_wake_s,
    respawn_delay_s,
    step,
)
from tests.unit.pool_life import RULES, Life


def test_an_empty_pool_starts_a_zygote_and_forks_everyone_when_it_is_ready() -> None:
    """First the import of the flow, then deciders and workers, each once."""
    life = Life(workers=2, deciders=1)

    started = life.see()
    waiting = life.see(Tick())
    forked = life.see(ZygoteReady(1))

    assert [StartZygote(1)] == started
    assert [] == waiting
    kinds = [(one.kind, one.generation) for one in forked if isinstance(one, Fork)]
    assert [(ChildKind.WORKER, 1), (ChildKind.WORKER, 1), (ChildKind.DECIDER, 1)] == kinds
    assert [] == life.see(Tick(), after_s=1)


def test_a_child_that_dies_after_a_long_life_is_replaced_at_once() -> None:
    """The first death costs no time: a busy pool is never a worker short for nothing."""
    life = Life.running()

    actions = life.die(1)

    assert [Fork(1, ChildKind.WORKER, 1)] == actions


def test_quick_deaths_are_answered_with_growing_delays_that_end_at_the_maximum() -> None:
    """A child that dies again and again must not burn the machine."""
    life = Life.running(workers=1)
    delays = []
    actions = life.die(1)
    for _ in range(10):
        life.boot(actions)
        actions = life.die(1)
        assert [] == actions
        wake_s = next_wake_s(life.pool)
        assert wake_s is not None
        delays.append(wake_s - life.now_s)
        assert [] == life.see(Tick(), after_s=delays[-1] - 0.01)
        actions = life.see(Tick(), after_s=0.01)
        assert [Fork(1, ChildKind.WORKER, 1)] == actions

    assert 0.375 <= delays[0] <= 0.5
    assert delays[:5] == sorted(delays[:5])
    assert all(22.5 <= delay <= 30 for delay in delays[-3:])


def test_a_decider_that_was_ready_is_missing_for_a_second_at_most() -> None:
    """However often it dies: while it is missing, whole executions stand still."""
    life = Life.running(workers=0, deciders=1)
    delays = []
    life.boot(life.die(1))
    for _ in range(10):
        life.die(1)
        delays.append((next_wake_s(life.pool) or life.now_s) - life.now_s)
        life.boot(life.see(Tick(), after_s=delays[-1]))

    assert max(delays) <= 1.0
    assert min(delays) > 0


def test_a_steady_life_forgives_the_quick_deaths_before_it() -> None:
    """The delay grows with deaths in a row, not with deaths in months."""
    life = Life.running(workers=1)
    life.boot(life.die(1))
    life.die(1)
    life.boot(life.see(Tick(), after_s=1))

    actions = life.die(1, after_s=RULES.steady_s)

    assert [Fork(1, ChildKind.WORKER, 1)] == actions


def test_delays_of_slots_that_die_together_differ() -> None:
    """Jitter comes from slot and count, so the same pool decides the same again."""
    delays = {respawn_delay_s(RULES, number, 5) for number in range(1, 17)}

    assert 16 == len(delays)
    assert all(3.0 <= delay <= 4.0 for delay in delays)


def test_boot_failures_in_a_row_end_the_pool_with_exit_code_3_and_the_last_status() -> None:
    """Children that cannot boot are a broken flow; starting them for ever hides it."""
    life = Life(workers=5)
    life.see()
    slots = life.fork(life.see(ZygoteReady(1)))
    for slot in slots[:4]:
        assert not any(isinstance(one, Finish) for one in life.die(slot))

    actions = life.see(Exited(slots[4], life.pid(slots[4]), "ended with exit code 1"))

    assert [RetireZygote(1)] == actions[:1]
    assert isinstance(actions[1], Finish)
    assert 3 == actions[1].exit_code
    assert "worker 5 ended with exit code 1" in actions[1].text
    assert life.pool.finished


def test_a_child_that_boots_ends_the_row_of_boot_failures() -> None:
    """Failures are counted in a row over the whole pool."""
    life = Life(workers=6)
    life.see()
    slots = life.fork(life.see(ZygoteReady(1)))
    for slot in slots[:4]:
        life.die(slot)
    life.see(Booted(slots[4], life.pid(slots[4])))

    life.die(slots[5])

    assert not life.pool.finished
    assert 1 == life.pool.boot_failures


def test_crashes_of_booted_children_never_end_the_pool() -> None:
    """A task that kills its worker is the task's fault: its budget, not the pool's life."""
    life = Life.running(workers=1)
    for _ in range(50):
        actions = life.die(1)
        life.boot(actions or life.see(Tick(), after_s=30))

    assert not life.pool.finished
    assert [1] == life.up()


def test_a_child_that_does_not_say_ready_in_time_is_killed_and_counts_as_a_boot_failure() -> None:
    """Import hangs exist; the slot must not be lost to them."""
    life = Life(workers=1)
    life.see()
    life.fork(life.see(ZygoteReady(1)))

    early = life.see(Tick(), after_s=59.9)
    late = life.see(Tick(), after_s=0.1)
    life.die(1)

    assert [] == early
    assert [Kill(1, "SIGKILL")] == late
    assert 1 == life.pool.boot_failures


def test_a_fork_that_fails_is_tried_again_later_and_is_no_boot_failure() -> None:
    """Out of pids or memory: the machine may recover, and asking at once would spin."""
    life = Life(workers=1)
    life.see()
    life.see(ZygoteReady(1))

    now = life.see(ForkFailed(1, "fork: Resource temporarily unavailable", 1))
    later = life.see(Tick(), after_s=0.5)

    assert [] == now
    assert [Fork(1, ChildKind.WORKER, 1)] == later
    assert 0 == life.pool.boot_failures


def test_a_stop_drains_everyone_and_finishes_with_the_last_exit() -> None:
    """TERM: nothing new, finish what is in hand, exit code 0."""
    life = Life.running(workers=2)

    drained = life.see(StopAsked())
    first = life.leave(1)
    last = life.leave(2)

    assert [Drain(1), Drain(2)] == drained
    assert [] == first
    assert [RetireZygote(1), Finish(0, "stopped")] == last
    assert [] == life.see(Tick(), after_s=1000)


def test_who_still_works_when_the_drain_s_time_is_over_is_killed_and_not_before() -> None:
    """The deadline of the drain holds for everyone."""
    life = Life.running(workers=1)
    life.see(StopAsked())

    early = life.see(Tick(), after_s=74.9)
    late = life.see(Tick(), after_s=0.1)
    end = life.die(1)

    assert [] == early
    assert [Kill(1, "SIGKILL")] == late
    assert Finish(0, "stopped; 1 had to be killed") in end


def test_a_second_stop_kills_at_once() -> None:
    """The user is in a hurry."""
    life = Life.running(workers=2)
    life.see(StopAsked())

    actions = life.see(StopAsked())

    assert [Kill(1, "SIGKILL"), Kill(2, "SIGKILL")] == actions


def test_a_stop_does_not_wait_for_a_killed_child_for_ever() -> None:
    """A process in uninterruptible sleep cannot be waited for."""
    life = Life.running(workers=1)
    life.see(StopAsked(now=True))

    early = life.see(Tick(), after_s=4.9)
    late = life.see(Tick(), after_s=0.1)

    assert [] == early
    assert [RetireZygote(1), Finish(0, "stopped; 1 did not go")] == late


def test_a_stop_during_the_import_ends_the_zygote_and_the_pool() -> None:
    """Nothing was running yet."""
    life = Life()
    life.see()

    assert [RetireZygote(1), Finish(0, "stopped")] == life.see(StopAsked())


def test_a_child_that_is_being_forked_when_the_stop_comes_is_drained_once_it_is_there() -> None:
    """It cannot be spoken to before; it must not be forgotten either."""
    life = Life(workers=1)
    life.see()
    life.see(ZygoteReady(1))

    during = life.see(StopAsked())
    after = life.see(Forked(1, 7))

    assert [] == during
    assert [Drain(1)] == after


def test_a_dead_child_is_not_replaced_while_the_pool_stops() -> None:
    """A drain only ever gets smaller."""
    life = Life.running(workers=2)
    life.see(StopAsked())

    assert [] == life.die(1)
    assert {2} == set(life.pool.slots)


def test_a_reload_replaces_children_one_by_one_after_the_new_zygote_is_ready() -> None:
    """The old code works on until the new code can."""
    life = Life.running(workers=2)

    started = life.see(ReloadAsked())
    drained = life.see(ZygoteReady(2))
    first = life.leave(1)
    last = life.leave(2)

    assert [StartZygote(2)] == started
    assert [Drain(1), Drain(2)] == drained
    assert [Fork(1, ChildKind.WORKER, 2)] == first
    assert [Fork(2, ChildKind.WORKER, 2), RetireZygote(1)] == last


def test_a_reload_waits_for_a_running_task_without_a_deadline() -> None:
    """New code is no reason to lose work."""
    life = Life.running(workers=1)
    life.see(ReloadAsked())
    life.see(ZygoteReady(2))

    assert [] == life.see(Tick(), after_s=100_000)


def test_a_reload_whose_flow_is_broken_leaves_the_pool_as_it_is() -> None:
    """A typo in a deploy must not stop a serving pool."""
    life = Life.running(workers=1)
    life.see(ReloadAsked())

    actions = life.see(ZygoteGone(2, "flow 'x': SyntaxError", exit_code=3))

    assert [] == actions
    assert [1] == life.up()
    assert 0 == life.pool.boot_failures


def test_a_second_reload_supersedes_one_that_is_still_importing() -> None:
    """The newest code wins; at most two zygotes exist."""
    life = Life.running(workers=1)
    life.see(ReloadAsked())

    actions = life.see(ReloadAsked())
    late = life.see(ZygoteReady(2))

    assert [RetireZygote(2), StartZygote(3)] == actions
    assert [] == late


def test_a_worker_that_dies_while_it_is_replaced_comes_back_in_the_new_generation() -> None:
    """Its slot knows only one way forward."""
    life = Life.running(workers=1)
    life.see(ReloadAsked())
    life.see(ZygoteReady(2))

    assert [Fork(1, ChildKind.WORKER, 2), RetireZygote(1)] == life.die(1)


def test_growing_forks_only_what_is_missing() -> None:
    """Slots that exist stay as they are."""
    life = Life.running(workers=1)

    actions = life.see(Resized(3))

    assert [Fork(2, ChildKind.WORKER, 1), Fork(3, ChildKind.WORKER, 1)] == actions


def test_shrinking_sends_the_idle_ones_away_first() -> None:
    """Who has a task in hand would only leave later."""
    life = Life.running(workers=4)

    actions = life.see(Resized(2, busy=frozenset({3, 4})))

    assert [Drain(2), Drain(1)] == actions


def test_a_slot_that_left_after_a_shrink_is_gone() -> None:
    """Its number is free for the next growth."""
    life = Life.running(workers=2)
    life.see(Resized(1))

    assert [] == life.leave(2)
    assert [Fork(2, ChildKind.WORKER, 1)] == life.see(Resized(2))


def test_deciders_are_not_touched_by_a_resize() -> None:
    """Sizing is about workers."""
    life = Life.running(workers=2, deciders=1)

    life.see(Resized(0))

    assert [State.UP] == [
        slot.state for slot in life.pool.slots.values() if slot.kind is ChildKind.DECIDER
    ]


def test_a_worker_that_had_its_share_is_drained_and_replaced_without_delay() -> None:
    """--max-tasks and its like are no deaths."""
    life = Life.running(workers=1)
    for _ in range(5):
        assert [Drain(1)] == life.see(RetireAsked(1))
        actions = life.leave(1)
        assert [Fork(1, ChildKind.WORKER, 1)] == actions
        life.boot(actions)


def test_a_kill_with_grace_sends_term_then_kill_when_the_grace_is_over() -> None:
    """The task's own programs get the time to clean up; the worker does not get more."""
    life = Life.running(workers=1)

    term = life.see(KillAsked(1, grace_s=3))
    early = life.see(Tick(), after_s=2.9)
    late = life.see(Tick(), after_s=0.1)
    again = life.see(Tick(), after_s=100)

    assert [Kill(1, "SIGTERM")] == term
    assert [] == early
    assert [Kill(1, "SIGKILL")] == late
    assert [] == again


def test_a_child_that_was_killed_on_purpose_is_replaced_without_delay() -> None:
    """Overdue tasks are the task's fault and must not slow the slot."""
    life = Life.running(workers=1)
    for _ in range(3):
        life.see(KillAsked(1))
        actions = life.die(1)
        assert [Fork(1, ChildKind.WORKER, 1)] == actions
        life.boot(actions)


def test_facts_of_a_process_that_is_no_longer_the_slot_s_own_change_nothing() -> None:
    """They were on their way when its end was seen."""
    life = Life.running(workers=1)
    old = life.pid(1)
    life.boot(life.die(1))
    before = life.pool

    life.see(Exited(1, old, "was killed by SIGKILL"), Booted(1, old), Exited(9, 1, "never there"))

    assert before == life.pool


def test_an_impossible_fact_raises_and_names_slot_and_state() -> None:
    """A mistake of garcon's own must not be carried on with."""
    life = Life.running(workers=1)

    with pytest.raises(IllegalMove, match="slot 1 cannot forked while it is up"):
        step(life.pool, [Forked(1, 5)], life.now_s)


def test_every_state_is_reached_and_left_by_the_table() -> None:
    """A state nobody reaches, or nobody leaves, is a mistake in the table."""
    assert set(State) == {state for state, _ in NEXT} == set(NEXT.values())
    assert set(Move) == {move for _, move in NEXT}


def test_a_finished_pool_does_nothing_more() -> None:
    """Late facts are late."""
    life = Life.running(workers=1)
    life.see(StopAsked(now=True))
    life.die(1)

    assert [] == life.see(ZygoteReady(1), StopAsked(), Tick(), after_s=5)
    assert next_wake_s(life.pool) is None


def test_many_workers_that_crash_at_once_are_no_boot_failures() -> None:
    """An OOM kill of everyone must not be taken for a flow that cannot be imported."""
    life = Life.running(workers=8)

    for slot in range(1, 9):
        life.die(slot)

    assert not life.pool.finished
    assert 0 == life.pool.boot_failures


def test_a_stop_sets_a_deadline_for_who_was_leaving_without_one() -> None:
    """A worker that drains for a reload has all the time, until the pool stops."""
    life = Life.running(workers=1)
    life.see(RetireAsked(1))
    life.see(StopAsked())

    assert [Kill(1, "SIGKILL")] == life.see(Tick(), after_s=75)


def test_a_third_stop_does_not_prolong_the_end() -> None:
    """An impatient user makes nothing slower."""
    life = Life.running(workers=1)
    life.see(StopAsked(now=True))
    life.see(StopAsked(), after_s=4)

    assert life.see(Tick(), after_s=1)[-1] == Finish(0, "stopped; 1 did not go")


def test_children_that_cannot_boot_do_not_change_the_end_of_a_stop() -> None:
    """Stopped as asked is exit code 0, whatever dies on the way."""
    life = Life(workers=6)
    life.see()
    slots = life.fork(life.see(ZygoteReady(1)))
    for slot in slots[:4]:
        life.die(slot)
    pid = life.pid(slots[4])

    actions = life.see(StopAsked(), Exited(slots[4], pid, "ended with exit code 1"))

    assert not any(isinstance(one, Finish) for one in actions)
    life.leave(slots[5])
    unforked = [ForkFailed(slot, "stopped", 1) for slot in slots[:4]]
    assert Finish(0, "stopped") == life.see(*unforked)[-1]

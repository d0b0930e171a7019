"""What a run survives: the death, by SIGKILL, of anything that takes part in it."""

from __future__ import annotations

from flows import metrics
from tests.acceptance.harness import (
    count_rows,
    is_alive,
    kill,
    list_runs,
    of_type,
    read_history,
    wait_until,
    workers_of,
)
from tests.acceptance.legal import assert_legal_history

DATA = {"start": "2026-01-01", "end": "2026-01-03", "output": "rows.db"}
ROWS = 3 * 250

#: After any one death the run has to be over within this time, seconds.
RECOVERY_S = 60.0

#: How soon after the supervisor everything that it had started is gone, seconds.
ORPHAN_S = 10.0


def wait_for_rows(place, rows):
    """Wait until the run has stored so many rows."""
    wait_until(lambda: count_rows(place.folder / "rows.db") >= rows, f"{rows} rows")


def assert_all_done(place, runs=1):
    """Every row is there, in legal histories of so many runs, each instance completed once."""
    assert ROWS == count_rows(place.folder / "rows.db")
    histories = place.histories(metrics.domain)
    assert runs == len(histories)
    for events in histories:
        assert_legal_history(events)
        assert "WorkflowExecutionCompleted" == events[-1]["eventType"]
        assert ROWS + 2 == len(list(of_type(events, "ActivityTaskCompleted")))


def test_a_killed_supervisor_leaves_no_orphan_and_its_run_is_joined(place):
    """SIGKILL half way: its children go with it; the same command joins the run and ends it."""
    first = place.start_pool("flows.metrics", procs=8, data=DATA)
    wait_for_rows(place, ROWS // 2)
    mine = set(place.pool_pids())
    assert len(mine) >= 10  # supervisor, zygote, eight workers, decider

    kill(first.pid)
    first.wait()
    wait_until(lambda: not any(map(is_alive, mine)), "the end of all children", ORPHAN_S)
    assert [] == place.pool_pids()
    second = place.start_pool("flows.metrics", procs=8, data=DATA)

    assert 0 == second.wait(RECOVERY_S), second.err()
    assert_all_done(place)


def test_killed_workers_cost_no_row_and_each_death_is_told(place):
    """Five workers die one after the other under their tasks; the run ends well all the same."""
    pool = place.start_pool("flows.metrics", procs=8, data=DATA)
    killed = []
    for part in range(1, 6):
        wait_for_rows(place, ROWS * part // 7)
        victim = wait_until(lambda: workers_of(pool), "a worker")[0]
        kill(victim)
        killed.append(victim)

    assert 0 == pool.wait(RECOVERY_S), pool.err()
    for pid in killed:
        assert pool.lines_with(f"pid={pid}", "SIGKILL"), pool.err()
    assert_all_done(place)


def test_a_killed_engine_comes_back_and_forgets_nothing(place):
    """SIGKILL of the engine half way: the pool says so; what was acknowledged is still there."""
    pool = place.start_pool("flows.metrics", procs=8, data=DATA)
    wait_for_rows(place, ROWS // 2)
    with place.client() as client:
        (run,) = list_runs(client, metrics.domain)
        before = read_history(client, metrics.domain, run)

    gone = place.kill_engine()

    assert 0 == pool.wait(RECOVERY_S), pool.err()
    assert [gone] != place.engine_pids()
    assert pool.lines_with("event=engine."), pool.err()
    with place.client() as client:
        after = read_history(client, metrics.domain, run)
    assert before == after[: len(before)]
    assert_all_done(place)

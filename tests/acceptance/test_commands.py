"""The pool command's contract with shells and cron: signals, exit codes, joining."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.acceptance.harness import grandchildren_of, of_type, wait_until

GATED = "tests.acceptance.flows_ok.gated"

OPEN_WITH_ANOTHER_INPUT, ENGINE, INTERRUPTED = 5, 4, 6


@pytest.fixture
def data(place):
    """Return the input of a run of two tasks that wait for `open_gate`."""
    return {"folder": str(place.folder), "tasks": 2}


def wait_for_tasks(place, count=2):
    """Wait until so many tasks run."""
    wait_until(lambda: len(list(place.folder.glob("started-*"))) >= count, f"{count} tasks")


def open_gate(place):
    """Let the tasks end."""
    (place.folder / "gate").touch()


def test_a_serving_pool_ends_well_when_it_is_told_to(place):
    """TERM to a pool without --input: exit code 0, no process left."""
    pool = place.start_pool(GATED)
    pool.wait_for_text("event=pool.ready workers=4")

    os.kill(pool.pid, signal.SIGTERM)

    assert 0 == pool.wait(), pool.err()
    assert [] == place.pool_pids()


def test_an_interrupted_command_drains_and_the_same_line_goes_on(place, data):
    """TERM while the tasks run: they end, exit code 6; the same command completes the run."""
    first = place.start_pool(GATED, data=data)
    wait_for_tasks(place)
    os.kill(first.pid, signal.SIGTERM)
    wait_until(lambda: len(grandchildren_of(first)) == 2, "the idle children to leave")
    open_gate(place)
    assert INTERRUPTED == first.wait(), first.err()

    second = place.start_pool(GATED, data=data)

    assert 0 == second.wait(), second.err()
    (events,) = place.histories("garcon-tests")
    assert 2 == len(list(of_type(events, "ActivityTaskCompleted")))
    assert 2 == len(list(of_type(events, "ActivityTaskStarted"))), "a drained task ran again"


def test_a_second_signal_stops_at_once(place, data):
    """Two INTs while tasks run that would not end: exit code 6 without waiting for them."""
    pool = place.start_pool(GATED, data=data)
    wait_for_tasks(place)

    os.kill(pool.pid, signal.SIGINT)
    wait_until(lambda: len(grandchildren_of(pool)) == 2, "the idle children to leave")
    os.kill(pool.pid, signal.SIGINT)

    assert INTERRUPTED == pool.wait(), pool.err()
    assert [] == place.pool_pids()


def test_a_second_command_of_the_same_input_joins_the_run(place, data):
    """Two pools, one execution; both end with 0."""
    first = place.start_pool(GATED, data=data)
    wait_for_tasks(place)
    second = place.start_pool(GATED, data=data)
    second.wait_for_text("joined the open execution")

    open_gate(place)

    assert [0, 0] == [first.wait(), second.wait()], second.err()
    assert 1 == len(place.histories("garcon-tests"))


def test_an_id_that_is_open_with_another_input_is_not_joined(place, data):
    """Exit code 5, and the running execution stays as it is."""
    first = place.start_pool(GATED, "--workflow-id", "nightly", data=data)
    wait_for_tasks(place)

    second = place.start_pool(GATED, "--workflow-id", "nightly", data={**data, "tasks": 3})

    assert OPEN_WITH_ANOTHER_INPUT == second.wait(), second.err()
    assert second.lines_with("nightly")
    open_gate(place)
    assert 0 == first.wait(), first.err()


def test_an_engine_that_does_not_answer_is_exit_code_4(place):
    """Nobody listens at the URL: it is named, and nothing is started in its place."""
    pool = place.start_pool(GATED, engine="http://127.0.0.1:9", data={})

    assert ENGINE == pool.wait(), pool.err()
    assert pool.lines_with("http://127.0.0.1:9")
    assert "Traceback" not in pool.err()
    assert [] == place.engine_pids()


def test_a_region_without_credentials_is_exit_code_4(place):
    """AWS is meant, so no local engine is started behind the user's back."""
    pool = place.start(
        *("-m", "garcon.pool", GATED, "--procs", "1", "--input", "{}"), AWS_REGION="eu-west-1"
    )

    assert ENGINE == pool.wait(), pool.err()
    assert pool.lines_with("eu-west-1")
    assert pool.lines_with("credentials")
    assert [] == place.engine_pids()


def test_json_results_are_lines_of_json_on_stdout(place, data):
    """With --json every line on stdout is one JSON object; the last one tells how it ended."""
    open_gate(place)
    pool = place.start_pool(GATED, "--json", data=data)

    assert 0 == pool.wait(), pool.err()
    lines = [json.loads(line) for line in pool.out().splitlines()]
    assert "COMPLETED" in json.dumps(lines[-1])


def test_an_input_file_is_read(place, data):
    """`--input @FILE` is the same as its text."""
    open_gate(place)
    (place.folder / "input.json").write_text(json.dumps(data), encoding="utf-8")

    pool = place.start_pool(GATED, "--input", "@input.json")

    assert 0 == pool.wait(), pool.err()
    (events,) = place.histories("garcon-tests")
    assert data == json.loads(next(of_type(events, "WorkflowExecutionStarted"))["input"])


def test_a_usage_slip_is_exit_code_2(place):
    """An unknown option is named."""
    pool = place.start("-m", "garcon.pool", GATED, "--proces", "3")

    assert 2 == pool.wait(), pool.err()
    assert pool.lines_with("--proces")

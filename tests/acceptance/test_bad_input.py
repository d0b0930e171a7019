"""Wrong flows and wrong words: one line that names the thing and the mend, and a true exit code."""

from __future__ import annotations

import pytest

from tests.acceptance.harness import of_type

FLOWS = "tests.acceptance.flows_bad"

USAGE, CANNOT_BOOT, FAILED = 2, 3, 1


def assert_says(command, *texts):
    """One line of stderr holds all of `texts`, and nothing on stderr is a traceback."""
    assert command.lines_with(*texts), f"no line with {texts}:\n{command.err()}"
    assert "Traceback" not in command.err()


@pytest.mark.parametrize(
    ("flow", "texts"),
    [
        ("flows.metrix", ["flows.metrix"]),
        ("nowhere.at_all", ["nowhere.at_all"]),
        ("flows.metrics:other", ["flows.metrics", "other"]),
        (f"{FLOWS}.no_activity", ["no_activity", "create"]),
        (f"{FLOWS}.cycle", ["roast", "grind", "requires="]),
        (f"{FLOWS}.no_runner", ["brew", "run="]),
        (f"{FLOWS}.same_name", ["brew", "rename"]),
    ],
)
def test_a_flow_that_cannot_run_is_refused_at_once(place, flow, texts):
    """Exit code 2, before any execution is started."""
    pool = place.start_pool(flow, procs=1, data={})

    assert USAGE == pool.wait(), pool.err()
    assert_says(pool, *texts)


def test_a_flow_that_raises_while_it_is_imported_cannot_boot(place):
    """Exit code 3, the traceback, and as the last word one line with the error's class and text."""
    pool = place.start_pool(f"{FLOWS}.import_error", procs=1, data={})

    assert CANNOT_BOOT == pool.wait(), pool.err()
    *before, last = pool.err().splitlines()
    assert all(word in last for word in ("import_error", "RuntimeError", "no beans left")), last
    assert '    raise RuntimeError("no beans left")' in before, pool.err()
    assert pool.lines_with("event=import.failed")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"start": ', "--input"),
        ("2026-01-01", "--input"),
        ("[1]", "--input"),
        ("@missing.json", "missing.json"),
    ],
)
def test_an_input_that_is_no_json_object_is_refused(place, text, told):
    """Exit code 2; the option or the file is named."""
    pool = place.start_pool("flows.metrics", "--input", text, procs=1)

    assert USAGE == pool.wait(), pool.err()
    assert_says(pool, told)


@pytest.mark.parametrize(
    ("flow", "texts"),
    [
        ("generator_raises", ["orders", "LookupError", "the order book is gone"]),
        ("generator_yields_text", ["brew", "str", "dicts"]),
        ("result_no_dict", ["brew", "dict", "list"]),
        ("result_too_long", ["brew", "32,768"]),
        ("task_raises", ["brew", "1", "spilled order 2"]),
    ],
)
def test_an_execution_that_cannot_go_on_fails_with_the_reason(place, flow, texts):
    """Exit code 1; the history's reason and the command's line say the same."""
    pool = place.start_pool(f"{FLOWS}.{flow}", procs=2, data={})

    assert FAILED == pool.wait(), pool.err()
    assert_says(pool, *texts)
    (events,) = place.histories("garcon-tests")
    (failure,) = of_type(events, "WorkflowExecutionFailed")
    told = f"{failure.get('reason', '')} {failure.get('details', '')}"
    assert all(text in told for text in texts), told


def test_an_input_that_the_flow_refuses_fails_by_the_name_of_its_key(place):
    """The sample flow's own checks reach the user the same way."""
    pool = place.start_pool("flows.metrics", procs=2, data={"start": "2026-02-30", "end": "x"})

    assert FAILED == pool.wait(), pool.err()
    assert_says(pool, "input 'start' must be an ISO date", "2026-02-30")


def test_siblings_of_a_failed_instance_run_to_the_end(place):
    """One of four fails: three complete, what requires all four never starts."""
    pool = place.start_pool(f"{FLOWS}.task_raises", procs=2, data={})

    assert FAILED == pool.wait(), pool.err()
    (events,) = place.histories("garcon-tests")
    assert 3 == len(list(of_type(events, "ActivityTaskCompleted")))
    assert {"task_raises_brew"} == {
        one["activityType"]["name"] for one in of_type(events, "ActivityTaskScheduled")
    }

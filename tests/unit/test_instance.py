"""Instances: ids, inputs and timeouts, and the states that the history knows of them."""

# ruff: noqa: ARG002 - a runner's methods have their documented arguments, used or not

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from garcon import activity, runner, task, utils
from garcon.canonical import NotJsonError, legacy_key_of

YEAR_S = 31_536_000


@task.decorate(timeout=120)
def two_minutes(activity: Any, item: Any = None) -> None:
    """A task of two minutes that reads one value."""


def plain(context: Any, activity: Any) -> None:
    """A task that says nothing of itself."""


create = activity.create("dev", "flow")


def made(run: Any = None, **options: Any) -> activity.Activity:
    """Return an activity called `flow_step`."""
    return create(name="step", run=run or runner.Sync(plain), **options)


def test_an_instance_without_a_context_of_its_own_is_number_one() -> None:
    """Its id is the activity's full name and -1."""
    one = activity.ActivityInstance(made())

    assert one.id == "flow_step-1"
    assert one.legacy_id == "flow_step-1"
    assert one.activity_name == "flow_step"


def test_an_instance_of_a_fan_out_has_the_key_of_its_context() -> None:
    """Forty hex digits; the execution's context does not count."""
    local = {"country": "DE", "day": 1}
    one = activity.ActivityInstance(made(), local, {"start": "x"})

    assert one.id == f"flow_step-{utils.create_dictionary_key(local)}"
    assert one.id == activity.ActivityInstance(made(), dict(reversed(local.items()))).id
    assert one.legacy_id == f"flow_step-{legacy_key_of(local)}"
    assert one.local_context == local
    assert one.execution_context == {"start": "x"}
    assert one.global_context == {"start": "x", "country": "DE", "day": 1}


def test_a_context_that_is_not_json_has_no_id_and_is_named() -> None:
    """A date cannot be sent; the path says which."""
    with pytest.raises(NotJsonError, match=r"^day is a date"):
        _ = activity.ActivityInstance(made(), {"day": date(2026, 1, 1)}).id


def test_the_input_holds_what_filled_tasks_read_and_the_execution() -> None:
    """Values that are 0, empty or None are values; a key that is missing is left out."""
    run = runner.Sync(two_minutes.fill(item="a"), two_minutes.fill(item="gone"))
    names = {
        "execution.domain": "dev",
        "execution.workflow_id": "w",
        "execution.run_id": "r",
    }
    for value in (0, "", None, "x"):
        one = activity.ActivityInstance(made(run), {"a": value}, {"big": 1, **names})
        assert one.create_execution_input() == {"a": value, **names}


def test_the_input_holds_everything_where_a_task_does_not_say_what_it_reads() -> None:
    """The instance's own context over the execution's."""
    one = activity.ActivityInstance(made(), {"a": 1}, {"a": 0, "b": 2})

    assert one.create_execution_input() == {"a": 1, "b": 2}


def test_timeouts_are_pessimistic() -> None:
    """One worker for all instances, and one task after the other."""

    def ten(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"n": n} for n in range(10))

    run = runner.Async(two_minutes.fill(), two_minutes.fill())
    one = made(run, generators=[ten], schedule_to_start=1000)
    for instance in one.instances({}):
        assert instance.timeout == 240
        assert instance.schedule_to_start == 10_000
        assert instance.schedule_to_close == 10_240


def test_nothing_takes_longer_than_a_year() -> None:
    """SWF refuses more, and garcon 1.1.1 sent it."""

    def many(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"n": n} for n in range(3))

    run = runner.Sync(task.timeout(YEAR_S, heartbeat=YEAR_S + 1)(lambda activity: None), plain)
    instance = made(run, generators=[many], schedule_to_start=YEAR_S).instances({})[0]

    assert instance.timeout == YEAR_S
    assert instance.schedule_to_start == YEAR_S
    assert instance.schedule_to_close == YEAR_S
    assert instance.heartbeat_timeout == YEAR_S


def test_without_a_declared_heartbeat_it_is_a_minute() -> None:
    """Garcon beats by itself then; a timeout is no heartbeat."""
    assert activity.ActivityInstance(made()).heartbeat_timeout == 60
    assert activity.ActivityInstance(made(runner.Sync(two_minutes))).heartbeat_timeout == 60


def test_a_declared_heartbeat_counts_the_largest() -> None:
    """The task that needs most decides."""
    beats = [task.timeout(600, heartbeat=seconds)(lambda activity: None) for seconds in (30, 90)]

    assert activity.ActivityInstance(made(runner.Sync(*beats))).heartbeat_timeout == 90


def test_an_external_activity_beats_within_its_own_time() -> None:
    """Nobody else can beat for it."""
    external = create(name="out", external=True, timeout=300)

    assert activity.ActivityInstance(external).heartbeat_timeout == 300
    assert activity.ActivityInstance(external).timeout == 300
    assert activity.ActivityInstance(external, None, {"a": 1}).create_execution_input() == {"a": 1}


def test_a_runner_of_ones_own_needs_no_more_than_the_documented_methods() -> None:
    """Written against the documentation it has no declared heartbeat."""

    class Own:
        def timeout(self, context: Any) -> str:
            return "77"

        def heartbeat(self, context: Any) -> str:
            return "33"

        def requirements(self, context: Any) -> set[str]:
            return {"a"}

        def execute(self, activity: Any, context: Any) -> dict[str, Any]:
            return {}

    instance = activity.ActivityInstance(made(Own()), {"a": 1}, {"b": 2})

    assert (instance.timeout, instance.heartbeat_timeout) == (77, 33)
    assert instance.create_execution_input() == {"a": 1}


def test_retry_and_runner_are_the_activitys() -> None:
    """The instance has none of its own."""
    run = runner.Sync(plain)
    one = activity.ActivityInstance(made(run, retry=3))

    assert one.retry == 3
    assert one.runner is run
    assert one.activity_worker.retry == 3


def test_a_missing_runner_is_said_with_the_activity() -> None:
    """Timeouts and input need one."""
    instance = activity.ActivityInstance(create(name="step"))

    for read in (
        lambda: instance.runner,
        lambda: instance.timeout,
        instance.create_execution_input,
    ):
        with pytest.raises(runner.RunnerMissing, match="flow_step has no runner"):
            read()


def test_a_state_is_ready_when_its_last_is_completed() -> None:
    """Not before, and the result only then."""
    state = activity.ActivityState("flow_step-1")
    assert (state.activity_id, state.ready, state.get_last_state()) == ("flow_step-1", False, None)

    state.add_state(activity.ACTIVITY_SCHEDULED)
    assert state.get_last_state() == activity.ACTIVITY_SCHEDULED
    for wait in (state.wait, lambda: state.result):
        with pytest.raises(activity.ActivityInstanceNotReadyException, match="not completed"):
            wait()

    state.add_state(activity.ACTIVITY_COMPLETED)
    state.set_result({"a": 1})
    state.wait()
    assert (state.ready, state.result) == (True, {"a": 1})
    assert state.states == [activity.ACTIVITY_SCHEDULED, activity.ACTIVITY_COMPLETED]


def test_an_instance_has_one_result() -> None:
    """A second one would make the run depend on which was read; an empty one counts too."""
    state = activity.ActivityState("flow_step-1")
    state.set_result({})

    with pytest.raises(activity.ResultAlreadySet, match="flow_step-1"):
        state.set_result({"a": 1})


def test_failures_are_counted() -> None:
    """Of a state, or of the numbers that it went through."""
    state = activity.ActivityState("x")
    for number in (1, 3, 1, 3, 1, 2):
        state.add_state(number)

    assert activity.count_activity_failures(state) == 2
    assert activity.count_activity_failures(state.states) == 2


def test_the_states_have_their_documented_numbers() -> None:
    """Flows compare with them."""
    assert (
        activity.ACTIVITY_STANDBY,
        activity.ACTIVITY_SCHEDULED,
        activity.ACTIVITY_COMPLETED,
        activity.ACTIVITY_FAILED,
    ) == (0, 1, 2, 3)
    assert activity.DEFAULT_ACTIVITY_SCHEDULE_TO_START == 600

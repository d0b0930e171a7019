"""Runners: in order or on threads, and how long that may take."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from garcon import runner, task
from garcon.errors import ActivityCanceled, FlowError, ResultError
from garcon.log import GarconLogger


class Heard(GarconLogger):
    """Stands for the activity: notes the heartbeats."""

    def __init__(self) -> None:
        """Begin unheard."""
        self.beats = 0

    def heartbeat(self) -> None:
        """Count one."""
        self.beats += 1


@task.decorate(timeout=10, heartbeat=5)
def short(activity: Any, item: Any = None) -> None:
    """A task that says everything of itself."""


def plain(context: Any, activity: Any) -> None:
    """A task that says nothing of itself."""


def test_timeouts_add_up() -> None:
    """The worst case, for every runner; 600 s where a task says nothing."""
    for kind in (runner.Sync, runner.Async, runner.BaseRunner):
        assert kind(short, short).timeout({}) == 20
        assert kind(short, plain).timeout({}) == 10 + runner.DEFAULT_TASK_TIMEOUT
        assert kind().timeout({}) == 0
    assert runner.DEFAULT_TASK_TIMEOUT == 600


def test_the_heartbeat_is_the_largest() -> None:
    """A task that says nothing counts with its timeout, or with 600 s."""
    slower = task.timeout(100)(lambda activity: None)

    assert runner.BaseRunner(short).heartbeat({}) == 5
    assert runner.BaseRunner(short, slower).heartbeat({}) == 100
    assert runner.BaseRunner(short, plain).heartbeat({}) == runner.DEFAULT_TASK_HEARTBEAT == 600
    assert runner.BaseRunner().heartbeat({}) == 0


def test_a_declared_heartbeat_is_told_from_none() -> None:
    """Where none is declared garcon beats by itself."""
    assert runner.BaseRunner(short, plain).declared_heartbeat({}) == 5
    assert runner.BaseRunner(plain).declared_heartbeat({}) is None


def test_task_lists_are_counted_by_the_context() -> None:
    """Timeouts depend on which tasks will run."""

    @task.list
    def chosen(context: dict[str, Any]) -> Iterator[task.Task]:
        for _ in range(context["n"]):
            yield short

    assert runner.Sync(chosen).timeout({"n": 3}) == 30


def test_requirements_are_all_that_the_tasks_read() -> None:
    """Only filled tasks say it."""
    found = runner.BaseRunner(short.fill(item="a"), short.fill(item="b")).requirements({})

    assert found == {"a", "b"}


def test_what_a_task_list_looks_at_is_required_too() -> None:
    """It chooses again where it runs, from the input alone; keys that are missing count as well."""

    @task.list
    def chosen(context: dict[str, Any]) -> Iterator[task.Task]:
        if context["mode"] == "full" and "extra" not in context:
            yield short.fill(item=context.get("where", "a"))

    context = {"mode": "full", "a": 1, "b": 2}
    wanted = runner.Sync(chosen).requirements(context)

    assert wanted == {"mode", "extra", "where", "a"}
    sent = {key: value for key, value in context.items() if key in wanted}
    assert runner.Sync(chosen).requirements(sent) == wanted


def test_a_filled_task_list_requires_what_it_was_filled_with() -> None:
    """Its arguments come of the context, as a task's do."""

    @task.decorate()
    @task.list
    def chosen(count: int) -> Iterator[task.Task]:
        for _ in range(count):
            yield short.fill(item="a")

    run = runner.Sync(chosen.fill(count="n"))

    assert run.requirements({"n": 2, "a": 1, "b": 2}) == {"n", "a"}
    assert run.timeout({"n": 2}) == 20


@pytest.mark.parametrize(
    "look",
    [
        dict,
        list,
        len,
        lambda context: context.copy(),
        lambda context: context.keys(),
        lambda context: context.values(),
        lambda context: context.items(),
        lambda context: {**context},
    ],
)
def test_a_task_list_that_goes_through_the_context_gets_all_of_it(look: Any) -> None:
    """What it will look for next time cannot be told."""

    @task.list
    def chosen(context: dict[str, Any]) -> Iterator[task.Task]:
        look(context)
        yield short.fill(item="a")

    with pytest.raises(runner.NoRunnerRequirementsFound, match="reads the whole context"):
        runner.Sync(chosen).requirements({"a": 1})


@pytest.mark.parametrize("unsaid", [plain, short])
def test_requirements_of_a_task_that_does_not_say_are_unknown(unsaid: Any) -> None:
    """Neither a bare function nor one that was decorated and not filled says what it reads."""
    with pytest.raises(runner.NoRunnerRequirementsFound, match="does not say what it reads"):
        runner.BaseRunner(short.fill(item="a"), unsaid).requirements({})


def test_the_base_runner_does_not_know_how() -> None:
    """Extend it."""
    with pytest.raises(NotImplementedError, match="BaseRunner needs an execute"):
        runner.BaseRunner().execute(Heard(), {})


def test_sync_runs_in_order_and_each_task_sees_earlier_results_under_the_input() -> None:
    """A result never hides what the activity was given."""
    seen: list[dict[str, Any]] = []

    def first(context: Any, activity: Any) -> dict[str, Any]:
        seen.append(dict(context))
        return {"a": "result", "b": 1}

    def second(activity: Any, context: Any) -> dict[str, Any]:
        seen.append(dict(context))
        return {"b": 2}

    activity = Heard()
    result = runner.Sync(first, second).execute(activity, {"a": "input"})

    assert seen == [{"a": "input"}, {"a": "input", "b": 1}]
    assert result == {"a": "result", "b": 2}
    assert activity.beats == 2


def test_sync_stops_at_the_first_error() -> None:
    """What comes after may need what did not come."""
    ran: list[int] = []

    def fails(context: Any, activity: Any) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        runner.Sync(fails, lambda: ran.append(1)).execute(Heard(), {})
    assert ran == []


def test_a_task_that_returns_no_dict_is_named() -> None:
    """The activity fails with it."""

    def counts(context: Any, activity: Any) -> int:
        return 5

    for kind in (runner.Sync, runner.Async):
        with pytest.raises(ResultError, match="counts returned a int"):
            kind(counts).execute(Heard(), {})


def test_async_runs_side_by_side_within_its_workers() -> None:
    """Three tasks that wait for each other end only if three run at once."""
    together = threading.Barrier(3, timeout=10)

    def work(context: Any, activity: Any) -> dict[str, Any]:
        together.wait()
        return {context["key"]: 1}

    activity = Heard()
    result = runner.Async(work, work, work).execute(activity, {"key": "a"})

    assert result == {"a": 1}
    assert activity.beats >= 1


def test_async_runs_no_more_at_once_than_its_workers() -> None:
    """The bound is what keeps a service behind the tasks from being overrun."""
    running, most, all_started = [], [], threading.Event()

    def work(context: Any, activity: Any) -> dict[str, Any]:
        running.append(1)
        most.append(len(running))
        if len(most) == 2:
            all_started.set()
        assert all_started.wait(10)
        running.pop()
        return {}

    runner.Async(*[work] * 6, max_workers=2).execute(Heard(), {})

    assert max(most) == 2
    assert len(most) == 6
    assert runner.Async().max_workers == 3


def test_async_merges_in_the_order_of_the_tasks() -> None:
    """Not in the order of their ends, which no two runs share."""
    second_ended = threading.Event()

    def first(context: Any, activity: Any) -> dict[str, Any]:
        assert second_ended.wait(10)
        return {"a": 1}

    def second(context: Any, activity: Any) -> dict[str, Any]:
        second_ended.set()
        return {"a": 2}

    assert runner.Async(first, second).execute(Heard(), {}) == {"a": 2}


def test_async_passes_the_first_error_on_after_the_others_have_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Garcon 1.1.1 lost all errors but one, and did not wait."""
    failed = threading.Event()
    ended: list[str] = []

    def fails_one(context: Any, activity: Any) -> None:
        failed.set()
        raise ValueError("first")

    def fails_too(context: Any, activity: Any) -> None:
        assert failed.wait(10)
        raise KeyError("later")

    def ends(context: Any, activity: Any) -> None:
        assert failed.wait(10)
        ended.append("ends")

    with pytest.raises((ValueError, KeyError)) as raised:
        runner.Async(fails_one, fails_too, ends).execute(Heard(), {})

    notes = raised.value.__notes__  # type: ignore[attr-defined]
    assert ended == ["ends"]
    assert len(notes) == 1
    assert notes[0].startswith("another task failed too: ")
    assert caplog.messages == notes


def test_async_knows_the_first_of_errors_that_come_together() -> None:
    """Twenty tasks fail one after the other while nobody looks."""
    all_begun = threading.Event()

    class Late(Heard):
        def heartbeat(self) -> None:
            assert all_begun.wait(10)

    def failing(number: int) -> Any:
        def work(context: Any, activity: Any) -> None:
            if number == 19:
                all_begun.set()
            raise ValueError(str(number))

        return work

    with pytest.raises(ValueError, match="0") as raised:
        runner.Async(*map(failing, range(20)), max_workers=1).execute(Late(), {})
    assert str(raised.value) == "0"


def test_async_carries_context_variables_into_its_threads() -> None:
    """Any that the caller has set; what a task sets is its own."""
    held: ContextVar[str] = ContextVar("held", default="nothing")
    held.set("the caller's")
    seen: list[str] = []

    def work(context: Any, activity: Any) -> None:
        seen.append(held.get())
        held.set("a task's")

    runner.Async(work, work, max_workers=1).execute(Heard(), {})

    assert ["the caller's"] * 2 == seen
    assert held.get() == "the caller's"


def test_async_begins_nothing_more_once_the_attempt_is_over() -> None:
    """A heartbeat that finds the attempt gone stops what waits."""
    began: list[int] = []
    gone = threading.Event()

    class Gone(Heard):
        def heartbeat(self) -> None:
            gone.set()
            raise ActivityCanceled("over")

    def work(context: Any, activity: Any) -> None:
        began.append(1)
        assert gone.wait(10)

    with pytest.raises(ActivityCanceled):
        runner.Async(*[work] * 50, max_workers=1).execute(Gone(), {})
    assert len(began) < 50


def test_async_carries_the_log_context_into_its_threads() -> None:
    """Garcon 1.1.1 kept it on the shared activity, where two runs mixed."""
    logger = GarconLogger()
    logger.set_log_context(
        {"execution.domain": "d", "execution.workflow_id": "w", "execution.run_id": "r"}
    )
    names: list[str | None] = []

    def work(context: Any, activity: Any) -> None:
        names.append(activity.logger_name)

    runner.Async(work, work).execute(Heard(), {})
    logger.unset_log_context()

    assert names == ["garcon.d.w.r", "garcon.d.w.r"]
    assert logging.getLogger("garcon").name == logger.logger.name


def test_external_has_its_times_and_runs_nothing() -> None:
    """Its heartbeat is its timeout unless it declares one."""
    one, other = runner.External(timeout=30), runner.External(timeout=30, heartbeat=10)

    assert (one.timeout({}), one.heartbeat({}), one.declared_heartbeat({})) == (30, 30, 30)
    assert (other.timeout(), other.heartbeat(), other.declared_heartbeat()) == (30, 10, 10)
    with pytest.raises(runner.NoRunnerRequirementsFound):
        one.requirements({})
    with pytest.raises(FlowError, match="another program"):
        one.execute(Heard(), {})


def test_external_needs_a_timeout() -> None:
    """Garcon cannot know how long another program takes."""
    with pytest.raises(FlowError, match="needs timeout="):
        runner.External(heartbeat=10)


def test_a_missing_runner_is_a_flow_error() -> None:
    """It is the flow that has to be mended."""
    assert issubclass(runner.RunnerMissing, FlowError)

"""Flows of both generations run to completion on the embedded engine, unchanged, by hand."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from garcon import activity, runner, task
from garcon.engine.testing import Engine, engine_in_process
from garcon.utils import create_dictionary_key
from tests.contract.by_hand import activity_names, kinds, run_by_hand
from tests.contract.samples.coffee_1x import Workflow


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Yield an engine that holds empty polls for a moment only, so that the loops end."""
    with engine_in_process(poll_hold_s=0.3) as running:
        yield running


@pytest.fixture(autouse=True)
def _use_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flows without a client find it, and the samples of 1.x make theirs for it."""
    monkeypatch.setenv("GARCON_ENGINE", engine.url)
    monkeypatch.setenv("SAMPLE_ENDPOINT", engine.url)


def sample(name: str) -> Any:
    """Import a sample, anew for each test."""
    full_name = f"tests.contract.samples.{name}"
    sys.modules.pop(full_name, None)
    return importlib.import_module(full_name)


def test_the_first_sample_runs_its_steps_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """One, then two and three side by side, then four; named after its module."""
    events = run_by_hand(sample("four_steps"))

    printed = capsys.readouterr().out.split()
    assert kinds(events, "WorkflowExecutionCompleted")
    assert printed[0] == "activity_1"
    assert printed[-1] == "activity_4"
    assert sorted(printed[1:-1]) == ["activity_2_task_1", "activity_2_task_2", "activity_3"]
    assert activity_names(events, "Scheduled")[0] == "four_steps_activity_1"


def test_the_second_sample_hands_a_result_on(capsys: pytest.CaptureFixture[str]) -> None:
    """The dict that the first returned is in the context of both others."""
    events = run_by_hand(sample("boto_tutorial"))

    lines = capsys.readouterr().out.splitlines()
    assert kinds(events, "WorkflowExecutionCompleted")
    assert len(lines) == 2
    assert all("sambuca" in line and "execution.run_id" in line for line in lines)
    assert activity_names(events, "Completed") == [
        f"boto_tutorial_{one}_tasks" for one in ("a", "b", "c")
    ]


def test_the_country_sample_retries_each_country_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chance is 3 of 4; here the first two calls fail."""
    chances = iter([0.9, 0.8])
    monkeypatch.setattr(random, "random", lambda: next(chances, 0.1))

    events = run_by_hand(sample("country_flow"))

    lines = capsys.readouterr().out.splitlines()
    assert kinds(events, "WorkflowExecutionCompleted")
    assert (lines[0], lines[-1]) == ("activity_1", "end of flow")
    succeeded = {line.split()[0] for line in lines if line.endswith("has succeeded")}
    assert succeeded == {f"activity_2_country_id_{number}" for number in range(1, 6)}
    assert sum(line.endswith("has failed") for line in lines) == 2
    assert activity_names(events, "Scheduled").count("country_flow_activity_2") == 7


def test_the_sample_of_all_keywords_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """`generator` in the singular makes two instances."""
    events = run_by_hand(sample("one_activity"))

    assert kinds(events, "WorkflowExecutionCompleted")
    assert sorted(capsys.readouterr().out.splitlines()) == ["task1 1", "task1 2"]


@pytest.mark.parametrize("card", [None, "4711"])
def test_the_samples_of_tasks_run(card: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """Filled functions, a list chosen by the context, a namespace before a result's keys."""
    given = {
        **{f"dynamodb.table_{what}{n}": f"{what}{n}"
           for what in ("name", "index", "throughput") for n in (1, 2)},
        "context.username": "ann",
        "context.email": "ann@example.org",
        "context.credit_card": card,
    }  # fmt: skip

    flow = sample("tasks")
    events = run_by_hand(flow, given, workflow_id=f"tasks-{card}")

    assert kinds(events, "WorkflowExecutionCompleted")
    assert capsys.readouterr().out.splitlines() == [
        "name1 index1 throughput1",
        "name2 index2 throughput2",
        "user ann ann@example.org",
        *([f"card ann {card}"] if card else []),
        "email ann@example.org",
        "7",
    ]
    instance = flow.client_activity.instances(given)[0]
    assert instance.timeout == (120 if card else 80)


def test_the_simple_example_of_1x_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """A client first, retries, and `on_exception` told of each failure."""
    flow = sample("simple_1x")

    events = run_by_hand(flow)

    assert kinds(events, "WorkflowExecutionCompleted")
    assert capsys.readouterr().out.splitlines() == ["activity_3: end", "activity_4"]
    assert flow.told == [(flow.test_activity_3, "fails")] * 2
    assert len(activity_names(events, "Failed")) == 2


def test_the_coffee_example_of_1x_runs(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step's result steers the next; the prints come in their order."""
    client = boto3.client(
        "swf",
        region_name="us-east-1",
        endpoint_url=engine.url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )

    events = run_by_hand(Workflow(client, "dev", "custom_decider"))

    printed = capsys.readouterr().out.splitlines()
    assert kinds(events, "WorkflowExecutionCompleted")
    assert printed[:3] == [
        "entering coffee shop",
        "ordering: coffee",
        "ordering: chocolate_chip_cookie",
    ]
    assert sorted(printed[3:5]) == ["get order", "pay $6.98"]
    assert printed[5:] == ["leaving the coffee shop"]


def test_a_flow_written_against_the_documentation_alone() -> None:
    """Three by four instances, one failing twice: 12 results, 14 attempts, then the next step."""
    failures = iter([True, True])

    def days(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"generator.day": day} for day in range(3))

    def countries(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"generator.country": country} for country in "ABCD")

    @task.decorate(timeout=60)
    def fetch(activity: Any, day: int, country: str) -> dict[str, Any]:
        if (day, country) == (1, "C") and next(failures, False):
            raise Exception("fails")
        return {f"{day}{country}": True}

    class Flow:
        domain = "dev"
        name = "documented"
        create = activity.create("dev", "documented")
        fan = create(
            name="fan",
            generators=[days, countries],
            retry=3,
            run=runner.Sync(fetch.fill(day="generator.day", country="generator.country")),
        )
        after = create(
            name="after",
            requires=[fan],
            run=runner.Sync(lambda context, activity: {"seen": len(context)}),
        )

    events = run_by_hand(Flow())

    scheduled = activity_names(events, "Scheduled")
    assert scheduled.count("documented_fan") == 14
    assert activity_names(events, "Completed") == ["documented_fan"] * 12 + ["documented_after"]
    assert scheduled[-1] == "documented_after"
    failed = create_dictionary_key({"generator.day": 1, "generator.country": "C"})
    ids = [
        event["activityTaskScheduledEventAttributes"]["activityId"]
        for event in events
        if event["eventType"] == "ActivityTaskScheduled"
    ]
    assert ids.count(f"documented_fan-{failed}") == 3

"""Executions that garcon 1.1.1 began go on under this version, with the ids that they have.

The histories were recorded from the released garcon 1.1.1, serving the flows below on the embedded
engine, and cut off in the middle: some instances done, one failed, one running, the rest waiting.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from garcon import activity, runner, task
from garcon.deciding.flowdecider import FlowDecider
from garcon.flow import describe
from tests.unit.swf_histories import Swf, Task, play
from tests.unit.test_decider_worker import serve, worker_of

HISTORIES = Path(__file__).parent / "histories"


def begun(name: str) -> Swf:
    """Return an execution that stands where 1.1.1 left it."""
    text = (HISTORIES / f"garcon_1_1_1_{name}.json").read_text(encoding="utf-8")
    swf = Swf()
    swf.events = json.loads(text)
    swf.now_s = swf.events[-1]["eventTimestamp"]
    swf._pending = 0
    for event in swf.events:
        kind, event_id = event["eventType"], event["eventId"]
        told = event[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
        if kind == "ActivityTaskScheduled":
            names = (told["activityId"], told["activityType"]["name"])
            swf.tasks[event_id] = Task(event_id, *names, json.loads(told["input"]))
        elif kind == "ActivityTaskStarted":
            swf.tasks[told["scheduledEventId"]].started_event_id = event_id
        elif kind.startswith("ActivityTask"):
            del swf.tasks[told["scheduledEventId"]]
        elif kind == "DecisionTaskScheduled":
            swf._pending = event_id
        elif kind == "DecisionTaskStarted":
            swf._pending, swf._previous_started = 0, event_id
    return swf


def declared_flow() -> SimpleNamespace:
    """Return the flow that 1.1.1 was serving: 3 x 2 between a first step and a last one."""
    create = activity.create("dev", "begun")

    def days(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"day": day} for day in ("mon", "tue", "wed"))

    def countries(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"country": name, "rank": 1} for name in ("DE", "Cote d'Ivoire"))

    prepare = create(name="prepare", run=runner.Sync(lambda context, activity: None))
    fetch = create(
        name="fetch",
        requires=[prepare],
        generators=[days, countries],
        retry=1,
        run=runner.Sync(reading("day", "country")),
    )
    report = create(
        name="report", requires=[fetch], run=runner.Sync(lambda context, activity: None)
    )
    return SimpleNamespace(domain="dev", name="begun", prepare=prepare, fetch=fetch, report=report)


def custom_flow() -> SimpleNamespace:
    """Return the flow with a decider of its own that 1.1.1 was serving."""
    create = activity.create("dev", "shop")

    def seats(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"seat": number} for number in range(context["guests"]))

    flow = SimpleNamespace(domain="dev", name="shop")
    flow.seat = create(name="seat", generators=[seats], run=runner.Sync(reading("seat")))
    flow.order = create(name="order", retry=1, run=runner.Sync(reading("item")))
    flow.pay = create(name="pay", run=runner.Sync(reading("total")))

    def decider(schedule: Any, context: Any = None) -> None:
        seated = schedule("all", flow.seat)
        orders = [
            schedule(f"item_{number}", flow.order, requires=[seated], input={"item": item})
            for number, item in enumerate(context["items"])
        ]
        schedule("pay", flow.pay, input={"total": sum(one.result["price"] for one in orders)})

    flow.decider = decider
    return flow


def reading(*keys: str) -> Any:
    """Return a task that reads these keys and does nothing."""

    @task.decorate(timeout=60)
    def nothing(**values: Any) -> None:
        """Do nothing: the tests' workers are not real."""

    return nothing.fill(**{key: key for key in keys})


def by_pool(flow: Any, swf: Swf, work: Any = Swf.complete) -> None:
    """Go on as the pool does, each decision by a decider that has seen nothing yet."""
    play(swf, lambda: FlowDecider(flow, describe(flow)), work)


def by_hand(flow: Any, swf: Swf, work: Any = Swf.complete) -> None:
    """Go on as `DeciderWorker(flow).run()` in a loop does."""
    serve(worker_of(flow, swf), swf, work)


def answer(swf: Swf, one: Task) -> None:
    """Do what the shop's workers do."""
    swf.complete(one, {"price": len(one.input["item"])} if "item" in one.input else {"done": True})


def attempts(swf: Swf, type_name: str) -> Counter[str]:
    """Return how often each instance of an activity was scheduled, by its id."""
    scheduled = swf.kinds("ActivityTaskScheduled")
    return Counter(
        one["activityId"] for one in scheduled if one["activityType"]["name"] == type_name
    )


@pytest.mark.parametrize("go_on", [by_pool, by_hand])
def test_a_declared_flow_goes_on_with_the_ids_it_has(go_on: Any) -> None:
    """Six instances under six SHA-1 ids, the one that failed twice, and then the report."""
    swf, flow = begun("declared"), declared_flow()
    before = attempts(swf, "begun_fetch")
    running = [one for one in swf.tasks.values() if one.started_event_id]

    for one in running:
        swf.complete(one)
    go_on(flow, swf)

    assert "WorkflowExecutionCompleted" == swf.status
    assert {one.legacy_id for one in flow.fetch.instances({})} == set(before)
    assert before == attempts(swf, "begun_fetch")
    assert [1, 1, 1, 1, 1, 2] == sorted(before.values())
    assert {"begun_report-1": 1} == attempts(swf, "begun_report")


@pytest.mark.parametrize("go_on", [by_pool, by_hand])
def test_attempts_that_1_1_1_made_count(go_on: Any) -> None:
    """The instance that failed before fails for good when it fails again: `retry` is 1."""
    swf = begun("declared")
    (twice,) = (one for one, count in attempts(swf, "begun_fetch").items() if count == 2)

    def work(swf: Swf, one: Task) -> None:
        (swf.fail if one.activity_id == twice else swf.complete)(one)

    for one in [one for one in swf.tasks.values() if one.started_event_id]:
        work(swf, one)
    go_on(declared_flow(), swf, work)

    assert "WorkflowExecutionFailed" == swf.status
    assert "after 2 attempts" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert 2 == attempts(swf, "begun_fetch")[twice]


@pytest.mark.parametrize("go_on", [by_pool, by_hand])
def test_a_custom_decider_goes_on_where_it_was(go_on: Any) -> None:
    """The order that failed is tried again under its id; no seat is taken twice."""
    swf, flow = begun("custom"), custom_flow()
    seats = attempts(swf, "shop_seat")

    go_on(flow, swf, answer)

    assert "WorkflowExecutionCompleted" == swf.status
    assert {f"{one.legacy_id}-all" for one in flow.seat.instances({"guests": 2})} == set(seats)
    assert seats == attempts(swf, "shop_seat")
    assert {"shop_order-1-item_0": 1, "shop_order-1-item_1": 2} == attempts(swf, "shop_order")
    (paid,) = [
        json.loads(one["input"])["total"]
        for one in swf.kinds("ActivityTaskScheduled")
        if one["activityType"]["name"] == "shop_pay"
    ]
    assert len("tea") + len("cake") == paid

"""Activity tasks: the ways they begin and end, their four clocks, their ids and priorities."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.engine.swf import ACTIVITY, Swf, attributes, decide, schedule


def started(swf: Swf, **more: Any) -> tuple[str, dict[str, Any]]:
    """Start a run with one activity and poll for it."""
    run_id = swf.start()
    swf.step(schedule(**more))
    return run_id, swf.activity(identity="me")


def test_a_polled_activity_carries_all_a_worker_needs(swf: Swf) -> None:
    """Id, type, input, run, token and its start's event id."""
    run_id, task = started(swf, input="in", control="mine")
    assert task["activityId"] == "a1"
    assert task["activityType"] == {"name": "act", "version": "1"}
    assert task["workflowExecution"] == {"workflowId": "w", "runId": run_id}
    assert (task["input"], task["startedEventId"]) == ("in", 6)
    assert swf.last("w", run_id, "ActivityTaskStarted") == {
        "scheduledEventId": 5,
        "identity": "me",
    }
    assert swf.last("w", run_id, "ActivityTaskScheduled") == {
        "activityType": {"name": "act", "version": "1"},
        "activityId": "a1",
        "input": "in",
        "control": "mine",
        **ACTIVITY,
        "decisionTaskCompletedEventId": 4,
    }


def test_the_types_defaults_fill_what_a_schedule_leaves_out(swf: Swf) -> None:
    """NONE included; the decision's own values win."""
    swf.api.register_activity_type(
        domain="dom",
        name="full",
        version="1",
        defaultTaskList={"name": "from type"},
        defaultTaskPriority="3",
        defaultTaskScheduleToStartTimeout="11",
        defaultTaskScheduleToCloseTimeout="NONE",
        defaultTaskStartToCloseTimeout="13",
        defaultTaskHeartbeatTimeout="14",
    )
    run_id = swf.start()
    swf.step(
        decide(
            "ScheduleActivityTask",
            activityType={"name": "full", "version": "1"},
            activityId="a",
            startToCloseTimeout="99",
        )
    )
    scheduled = swf.last("w", run_id, "ActivityTaskScheduled")
    assert scheduled["taskList"] == {"name": "from type"}
    assert scheduled["taskPriority"] == "3"
    assert scheduled["scheduleToStartTimeout"] == "11"
    assert scheduled["scheduleToCloseTimeout"] == "NONE"
    assert scheduled["startToCloseTimeout"] == "99"
    assert scheduled["heartbeatTimeout"] == "14"


@pytest.mark.parametrize(
    ("operation", "given", "event"),
    [
        ("respond_activity_task_completed", {"result": "r"}, "ActivityTaskCompleted"),
        (
            "respond_activity_task_failed",
            {"reason": "r", "details": "d"},
            "ActivityTaskFailed",
        ),
        ("respond_activity_task_canceled", {"details": "d"}, "ActivityTaskCanceled"),
    ],
)
def test_an_answer_closes_the_activity_and_wakes_the_decider(
    swf: Swf, operation: str, given: dict[str, Any], event: str
) -> None:
    """Once; a second answer is unknown."""
    run_id, task = started(swf)
    getattr(swf.api, operation)(taskToken=task["taskToken"], **given)
    assert swf.names("w", run_id)[-2:] == [event, "DecisionTaskScheduled"]
    assert swf.last("w", run_id, event) == {
        **given,
        "scheduledEventId": 5,
        "startedEventId": 6,
    }
    refused = swf.refusal(operation, taskToken=task["taskToken"], **given)
    assert refused == ("UnknownResourceFault", "Unknown activity, scheduledEventId = 5")
    assert swf.describe("w", run_id)["openCounts"]["openActivityTasks"] == 0


def test_an_activity_waits_its_schedule_to_start_time_only(swf: Swf) -> None:
    """Then it is closed unstarted and not handed out any more."""
    run_id = swf.start()
    swf.step(schedule(scheduleToStartTimeout="60"))
    swf.engine.skip(59)
    assert swf.names("w", run_id)[-1] == "ActivityTaskScheduled"
    swf.engine.skip(1)
    assert swf.last("w", run_id, "ActivityTaskTimedOut") == {
        "timeoutType": "SCHEDULE_TO_START",
        "scheduledEventId": 5,
        "startedEventId": 0,
    }
    assert not swf.activity()["taskToken"]


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        ("startToCloseTimeout", "START_TO_CLOSE"),
        ("scheduleToCloseTimeout", "SCHEDULE_TO_CLOSE"),
        ("heartbeatTimeout", "HEARTBEAT"),
    ],
)
def test_a_started_activity_times_out_by_each_of_its_clocks(
    swf: Swf, timeout: str, kind: str
) -> None:
    """At its own second; the worker's late answer is unknown."""
    run_id, task = started(swf, **{timeout: "60"})
    swf.engine.skip(59)
    assert swf.names("w", run_id)[-1] == "ActivityTaskStarted"
    swf.engine.skip(1)
    assert swf.last("w", run_id, "ActivityTaskTimedOut") == {
        "timeoutType": kind,
        "scheduledEventId": 5,
        "startedEventId": 6,
    }
    code, _ = swf.refusal("respond_activity_task_completed", taskToken=task["taskToken"])
    assert code == "UnknownResourceFault"
    code, _ = swf.refusal("record_activity_task_heartbeat", taskToken=task["taskToken"])
    assert code == "UnknownResourceFault"


def test_schedule_to_close_also_ends_an_activity_nobody_took(swf: Swf) -> None:
    """Its clock runs from the schedule."""
    run_id = swf.start()
    swf.step(schedule(scheduleToCloseTimeout="60"))
    swf.engine.skip(60)
    timed_out = swf.last("w", run_id, "ActivityTaskTimedOut")
    assert (timed_out["timeoutType"], timed_out["startedEventId"]) == ("SCHEDULE_TO_CLOSE", 0)


def test_heartbeats_keep_an_activity_alive_and_leave_no_event(swf: Swf) -> None:
    """The last details are in the time-out; start-to-close is not put off."""
    run_id, task = started(swf, heartbeatTimeout="10", startToCloseTimeout="100")
    token = task["taskToken"]
    for number in range(5):
        swf.engine.skip(9)
        beat = swf.api.record_activity_task_heartbeat(taskToken=token, details=f"{number}")
        assert beat["cancelRequested"] is False
    assert swf.names("w", run_id)[-1] == "ActivityTaskStarted"
    swf.engine.skip(10)
    timed_out = swf.last("w", run_id, "ActivityTaskTimedOut")
    assert (timed_out["timeoutType"], timed_out["details"]) == ("HEARTBEAT", "4")


def test_a_timeout_has_the_details_of_the_very_last_heartbeat(swf: Swf) -> None:
    """None, if that had none."""
    run_id, task = started(swf, heartbeatTimeout="10")
    swf.api.record_activity_task_heartbeat(taskToken=task["taskToken"], details="before")
    swf.api.record_activity_task_heartbeat(taskToken=task["taskToken"])
    swf.engine.skip(10)
    assert "details" not in swf.last("w", run_id, "ActivityTaskTimedOut")


def test_a_beating_activity_still_ends_at_its_start_to_close(swf: Swf) -> None:
    """Heartbeats do not extend it."""
    run_id, task = started(swf, heartbeatTimeout="10", startToCloseTimeout="25")
    for _ in range(3):
        swf.engine.skip(8)
        swf.api.record_activity_task_heartbeat(taskToken=task["taskToken"])
    swf.engine.skip(1)
    assert swf.last("w", run_id, "ActivityTaskTimedOut")["timeoutType"] == "START_TO_CLOSE"


def test_an_activity_id_is_taken_while_open_and_free_afterwards(swf: Swf) -> None:
    """ACTIVITY_ID_ALREADY_IN_USE, then a second task of the same id."""
    run_id, task = started(swf)
    swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
    swf.step(schedule())
    assert swf.last("w", run_id, "ScheduleActivityTaskFailed") == {
        "activityType": {"name": "act", "version": "1"},
        "activityId": "a1",
        "cause": "ACTIVITY_ID_ALREADY_IN_USE",
        "decisionTaskCompletedEventId": 10,
    }
    swf.api.respond_activity_task_completed(taskToken=task["taskToken"])
    swf.step(schedule())
    assert swf.activity()["activityId"] == "a1"


def test_a_cancel_request_closes_a_waiting_activity_at_once(swf: Swf) -> None:
    """The pair of events, and no worker gets it."""
    run_id = swf.start()
    swf.step(schedule())
    swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
    swf.step(decide("RequestCancelActivityTask", activityId="a1"))
    assert swf.names("w", run_id)[-3:] == [
        "ActivityTaskCancelRequested",
        "ActivityTaskCanceled",
        "DecisionTaskScheduled",
    ]
    assert swf.last("w", run_id, "ActivityTaskCanceled") == {
        "scheduledEventId": 5,
        "startedEventId": 0,
        "latestCancelRequestedEventId": 10,
    }
    assert not swf.activity()["taskToken"]


def test_the_last_activitys_time_is_of_starts_and_ends(swf: Swf) -> None:
    """Not of schedules; a cancel that ends a waiting activity counts as well."""
    run_id = swf.start()

    def shown() -> int | None:
        found = swf.describe("w", run_id)
        at = found.get("latestActivityTaskTimestamp")
        return at and (at - found["executionInfo"]["startTimestamp"]).seconds

    swf.engine.skip(1)
    swf.step(
        schedule("a1"), schedule("a2"), decide("StartTimer", timerId="t", startToFireTimeout="9")
    )
    assert shown() is None
    swf.engine.skip(1)
    token = swf.activity()["taskToken"]
    assert shown() == 2
    swf.engine.skip(1)
    swf.api.respond_activity_task_completed(taskToken=token)
    assert shown() == 3
    swf.engine.skip(1)
    swf.step(decide("RequestCancelActivityTask", activityId="a2"))
    assert shown() == 4
    swf.engine.skip(1)
    swf.step(schedule("a3", scheduleToStartTimeout="1"))
    assert shown() == 4
    swf.engine.skip(2)
    assert shown() == 6


def test_a_started_activity_hears_of_its_cancel_at_the_next_heartbeat(swf: Swf) -> None:
    """It may obey, and its answer names the request; or ignore it."""
    run_id, task = started(swf)
    swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
    swf.step(decide("RequestCancelActivityTask", activityId="a1"))
    assert swf.names("w", run_id)[-1] == "ActivityTaskCancelRequested"
    beat = swf.api.record_activity_task_heartbeat(taskToken=task["taskToken"])
    assert beat["cancelRequested"] is True
    swf.api.respond_activity_task_canceled(taskToken=task["taskToken"], details="stopped")
    assert swf.last("w", run_id, "ActivityTaskCanceled") == {
        "details": "stopped",
        "scheduledEventId": 5,
        "startedEventId": 6,
        "latestCancelRequestedEventId": 11,
    }


def test_tasks_of_a_list_leave_by_priority_and_then_by_age(swf: Swf) -> None:
    """Higher numbers first."""
    swf.start()
    swf.step(
        schedule("low", taskPriority="-5"),
        schedule("one"),
        schedule("two"),
        schedule("high", taskPriority="2147483647"),
    )
    assert [swf.activity()["activityId"] for _ in range(4)] == ["high", "one", "two", "low"]


def test_lists_are_apart_by_name_kind_and_domain(swf: Swf) -> None:
    """A decision list and an activity list of one name do not meet."""
    Swf.prepared(swf.engine, "other")
    swf.start(taskList={"name": "work"})
    assert not swf.activity()["taskToken"]
    assert not swf.decision("other list")["taskToken"]
    other = Swf(swf.engine, swf.api, "other")
    assert not other.decision("work")["taskToken"]
    assert swf.decision("work")["taskToken"]


def test_pending_tasks_are_those_that_wait_for_a_poller(swf: Swf) -> None:
    """Scheduled, not started; an unused list counts 0."""
    counts = {"domain": "dom", "taskList": {"name": "work"}}
    assert swf.api.count_pending_activity_tasks(**counts)["count"] == 0
    swf.start("w1")
    swf.start("w2")
    decisions = {"domain": "dom", "taskList": {"name": "decide"}}
    assert swf.api.count_pending_decision_tasks(**decisions)["count"] == 2
    swf.step(schedule("a"), schedule("b"), schedule("c"))
    assert swf.api.count_pending_decision_tasks(**decisions)["count"] == 1
    swf.activity()
    pending = swf.api.count_pending_activity_tasks(**counts)
    assert (pending["count"], pending["truncated"]) == (2, False)


def test_at_most_a_thousand_activities_are_open_in_a_run(swf: Swf) -> None:
    """Scheduled and started together; the next one fails by cause."""
    run_id = swf.start()
    swf.step(*[schedule(f"a{number}") for number in range(1001)])
    failed = swf.last("w", run_id, "ScheduleActivityTaskFailed")
    assert (failed["activityId"], failed["cause"]) == ("a1000", "OPEN_ACTIVITIES_LIMIT_EXCEEDED")
    assert swf.describe("w", run_id)["openCounts"]["openActivityTasks"] == 1000
    events = swf.history("w", run_id)
    assert attributes(events[4])["activityId"] == "a0"


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_an_activity_may_ignore_its_cancel(swf: Swf, end: str) -> None:
    """Completed and Failed are still accepted."""
    run_id, task = started(swf)
    swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
    swf.step(decide("RequestCancelActivityTask", activityId="a1"))
    getattr(swf.api, f"respond_activity_task_{end}")(taskToken=task["taskToken"])
    assert swf.names("w", run_id)[-2:] == [f"ActivityTask{end.title()}", "DecisionTaskScheduled"]

"""Decision tasks: one started and one pending, paging, sticky lists, late and unhandled answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.engine.swf import Swf, attributes, decide, schedule


def signal(swf: Swf, name: str = "s") -> None:
    """Send a signal to the run of the test."""
    swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName=name)


def test_the_first_task_brings_the_whole_history(swf: Swf) -> None:
    """Up to its own start; the previous start is 0."""
    run_id = swf.start()
    task = swf.decision(identity="me")
    assert [event["eventId"] for event in task["events"]] == [1, 2, 3]
    assert attributes(task["events"][-1]) == {"scheduledEventId": 2, "identity": "me"}
    assert (task["startedEventId"], task["previousStartedEventId"]) == (3, 0)
    assert task["workflowExecution"] == {"workflowId": "w", "runId": run_id}
    assert task["workflowType"] == {"name": "flow", "version": "1"}


def test_news_during_a_decision_make_one_pending_task_right_behind_the_first(swf: Swf) -> None:
    """It is not handed out before the current one is answered; later news add none."""
    run_id = swf.start()
    task = swf.decision()
    signal(swf, "one")
    signal(swf, "two")
    assert not swf.decision()["taskToken"]
    swf.answer(task, decide("RecordMarker", markerName="m"))
    assert swf.names("w", run_id)[3:] == [
        "WorkflowExecutionSignaled",
        "DecisionTaskScheduled",
        "WorkflowExecutionSignaled",
        "DecisionTaskCompleted",
        "MarkerRecorded",
    ]
    following = swf.decision()
    assert attributes(following["events"][-1])["scheduledEventId"] == 5
    assert following["previousStartedEventId"] == 3


def test_news_before_the_poll_share_one_task(swf: Swf) -> None:
    """Several events, one DecisionTaskScheduled."""
    run_id = swf.start()
    swf.step()
    for _ in range(3):
        signal(swf)
    assert swf.names("w", run_id).count("DecisionTaskScheduled") == 2


def test_an_answer_without_decisions_lets_the_run_sleep(swf: Swf) -> None:
    """Nothing is scheduled until something happens."""
    run_id = swf.start()
    swf.step()
    assert swf.names("w", run_id)[-1] == "DecisionTaskCompleted"
    assert not swf.decision()["taskToken"]


def test_all_events_of_an_answer_share_one_instant_and_their_order(swf: Swf) -> None:
    """DecisionTaskCompleted first, then each decision's event, a due decision task last."""
    run_id = swf.start()
    swf.step(
        decide("RecordMarker", markerName="m", details="d"),
        decide("CancelTimer", timerId="never"),
        schedule(),
    )
    events = swf.history("w", run_id)[3:]
    assert [event["eventType"] for event in events] == [
        "DecisionTaskCompleted",
        "MarkerRecorded",
        "CancelTimerFailed",
        "ActivityTaskScheduled",
        "DecisionTaskScheduled",
    ]
    assert len({event["eventTimestamp"] for event in events}) == 1
    assert attributes(events[1]) == {
        "markerName": "m",
        "details": "d",
        "decisionTaskCompletedEventId": 4,
    }


def test_an_execution_context_lasts_until_the_next_one(swf: Swf) -> None:
    """An answer without one keeps the old."""
    run_id = swf.start()
    swf.step(executionContext="first")
    signal(swf)
    swf.step()
    assert swf.describe("w", run_id)["latestExecutionContext"] == "first"
    assert swf.last("w", run_id, "DecisionTaskCompleted") == {
        "scheduledEventId": 6,
        "startedEventId": 7,
    }


def test_a_long_history_is_paged_with_the_same_token_on_each_page(swf: Swf) -> None:
    """Pages join without gap, forwards and backwards, and end at the task's own start."""
    swf.start()
    swf.step(*[decide("RecordMarker", markerName="m")] * 20)
    signal(swf)
    task = page = swf.decision(maximumPageSize=7)
    signal(swf, "later: not part of this task")
    seen = list(task["events"])
    while "nextPageToken" in page:
        page = swf.decision(maximumPageSize=7, nextPageToken=page["nextPageToken"])
        assert page["taskToken"] == task["taskToken"]
        assert page["startedEventId"] == task["startedEventId"]
        seen.extend(page["events"])
    assert [event["eventId"] for event in seen] == list(range(1, task["startedEventId"] + 1))


def test_a_tasks_page_token_fits_the_poll_it_came_from(swf: Swf) -> None:
    """Another list or order refuses it, and so does GetWorkflowExecutionHistory."""
    run_id = swf.start()
    token = swf.decision(maximumPageSize=1)["nextPageToken"]
    where = {"domain": "dom", "taskList": {"name": "decide"}, "nextPageToken": token}
    invalid = ("ValidationException", "Invalid token")
    poll = "poll_for_decision_task"
    assert swf.refusal(poll, **where, reverseOrder=True) == invalid
    assert swf.refusal(poll, **{**where, "taskList": {"name": "other"}}) == invalid
    execution = {"workflowId": "w", "runId": run_id}
    history = {"domain": "dom", "execution": execution, "nextPageToken": token}
    assert swf.refusal("get_workflow_execution_history", **history) == invalid
    assert swf.decision(nextPageToken=token)["events"][0]["eventId"] == 2


def test_a_reversed_task_begins_with_the_newest_events(swf: Swf) -> None:
    """Order is turned before paging."""
    swf.start()
    first = swf.decision(maximumPageSize=2, reverseOrder=True)
    assert [event["eventId"] for event in first["events"]] == [3, 2]
    rest = swf.decision(maximumPageSize=2, reverseOrder=True, nextPageToken=first["nextPageToken"])
    assert [event["eventId"] for event in rest["events"]] == [1]


def test_a_task_may_begin_at_the_previous_start(swf: Swf) -> None:
    """The previous DecisionTaskStarted is the first event; a first task is whole."""
    swf.start()
    task = swf.decision(startAtPreviousStartedEvent=True)
    assert [event["eventId"] for event in task["events"]] == [1, 2, 3]
    swf.answer(task, *[decide("RecordMarker", markerName="m")] * 3)
    signal(swf)
    task = swf.decision(startAtPreviousStartedEvent=True, maximumPageSize=3)
    assert [event["eventId"] for event in task["events"]] == [3, 4, 5]
    rest = swf.decision(
        startAtPreviousStartedEvent=True, maximumPageSize=9, nextPageToken=task["nextPageToken"]
    )
    assert rest["events"][-1]["eventId"] == rest["startedEventId"] == 10


def test_a_page_of_a_task_that_is_gone_is_refused(swf: Swf) -> None:
    """A decider must not decide on a part."""
    swf.start()
    task = swf.decision(maximumPageSize=1)
    swf.answer(task)
    code, _ = swf.refusal(
        "poll_for_decision_task",
        domain="dom",
        taskList={"name": "decide"},
        nextPageToken=task["nextPageToken"],
    )
    assert code == "UnknownResourceFault"


def test_a_decision_task_times_out_and_comes_again(swf: Swf) -> None:
    """Timed out and scheduled at one instant; the late answer is unknown."""
    run_id = swf.start()
    late = swf.decision()
    swf.engine.skip(30)
    events = swf.history("w", run_id)[-2:]
    assert [event["eventType"] for event in events] == [
        "DecisionTaskTimedOut",
        "DecisionTaskScheduled",
    ]
    assert events[0]["eventTimestamp"] == events[1]["eventTimestamp"]
    assert attributes(events[0]) == {
        "timeoutType": "START_TO_CLOSE",
        "scheduledEventId": 2,
        "startedEventId": 3,
    }
    refused = swf.refusal("respond_decision_task_completed", taskToken=late["taskToken"])
    assert refused == ("UnknownResourceFault", "Unknown decision task, scheduledEventId = 2")
    again = swf.decision()
    assert again["previousStartedEventId"] == 0
    refused = swf.refusal("respond_decision_task_completed", taskToken=late["taskToken"])
    assert refused[1] == "Unknown decision task, scheduledEventId = 2"
    swf.answer(again)


def test_news_that_came_before_a_timeout_keep_their_one_pending_task(swf: Swf) -> None:
    """The time-out of the first task schedules no second."""
    run_id = swf.start()
    swf.decision()
    signal(swf)
    swf.engine.skip(30)
    assert swf.names("w", run_id)[-2:] == ["DecisionTaskScheduled", "DecisionTaskTimedOut"]
    assert swf.decision()["taskToken"]


def test_a_decision_task_without_a_time_waits_for_ever(swf: Swf) -> None:
    """NONE is legal for the decision's own time."""
    swf.start(taskStartToCloseTimeout="NONE", executionStartToCloseTimeout="1000000")
    task = swf.decision()
    swf.engine.skip(999_000)
    swf.answer(task)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("CompleteWorkflowExecution", {"result": "r"}),
        ("FailWorkflowExecution", {"reason": "r", "details": "d"}),
        ("CancelWorkflowExecution", {"details": "d"}),
        ("ContinueAsNewWorkflowExecution", {}),
    ],
)
def test_a_close_with_unseen_news_fails_and_the_rest_of_the_answer_counts(
    swf: Swf, kind: str, given: dict[str, Any]
) -> None:
    """UNHANDLED_DECISION, no extra decision task; the pending one follows."""
    run_id = swf.start()
    task = swf.decision()
    signal(swf)
    swf.answer(task, decide("RecordMarker", markerName="m"), decide(kind, **given))
    assert swf.names("w", run_id)[-3:] == [
        "DecisionTaskCompleted",
        "MarkerRecorded",
        f"{kind}Failed",
    ]
    assert swf.last("w", run_id, f"{kind}Failed") == {
        "cause": "UNHANDLED_DECISION",
        "decisionTaskCompletedEventId": 6,
    }
    following = swf.decision()
    assert attributes(following["events"][-1])["scheduledEventId"] == 5


@pytest.mark.parametrize(
    ("kind", "given", "event", "status"),
    [
        ("CompleteWorkflowExecution", {"result": "r"}, "WorkflowExecutionCompleted", "COMPLETED"),
        (
            "FailWorkflowExecution",
            {"reason": "r", "details": "d"},
            "WorkflowExecutionFailed",
            "FAILED",
        ),
        ("CancelWorkflowExecution", {"details": "d"}, "WorkflowExecutionCanceled", "CANCELED"),
    ],
)
def test_a_close_ends_the_history_though_work_is_open(
    swf: Swf, kind: str, given: dict[str, Any], event: str, status: str
) -> None:
    """Open activities and timers do not block it; their tokens are unknown then."""
    run_id = swf.start()
    swf.step(schedule(), decide("StartTimer", timerId="t", startToFireTimeout="9"))
    work = swf.activity()
    signal(swf)
    swf.step(decide(kind, **given))
    last = swf.history("w", run_id)[-1]
    assert last["eventType"] == event
    assert {key: attributes(last)[key] for key in given} == given
    assert swf.describe("w", run_id)["executionInfo"]["closeStatus"] == status
    swf.engine.skip(10)
    assert swf.names("w", run_id)[-1] == event
    code, text = swf.refusal("respond_activity_task_completed", taskToken=work["taskToken"])
    wanted = f"Unknown execution: WorkflowExecution=[workflowId=w, runId={run_id}]"
    assert (code, text) == ("UnknownResourceFault", wanted)


def test_a_close_that_is_not_last_refuses_the_whole_answer(swf: Swf) -> None:
    """Nothing is written and the token stays good."""
    run_id = swf.start()
    task = swf.decision()
    refused = swf.refusal(
        "respond_decision_task_completed",
        taskToken=task["taskToken"],
        decisions=[decide("CompleteWorkflowExecution"), decide("RecordMarker", markerName="m")],
    )
    assert refused == ("ValidationException", "Close must be last decision in list")
    assert swf.names("w", run_id)[-1] == "DecisionTaskStarted"
    swf.answer(task)


def test_a_sticky_list_takes_the_following_tasks(swf: Swf) -> None:
    """Without a time the override lasts; the scheduled event shows the list."""
    run_id = swf.start()
    swf.step(taskList={"name": "host1"})
    signal(swf)
    assert swf.last("w", run_id, "DecisionTaskScheduled")["taskList"] == {"name": "host1"}
    assert not swf.decision()["taskToken"]
    swf.answer(swf.decision("host1"))
    signal(swf)
    assert swf.decision("host1")["taskToken"]


def test_a_sticky_list_that_nobody_serves_is_given_up(swf: Swf) -> None:
    """The task times out unstarted and a new one goes to the original list."""
    run_id = swf.start()
    swf.step(taskList={"name": "host1"}, taskListScheduleToStartTimeout="10")
    signal(swf)
    assert swf.last("w", run_id, "DecisionTaskScheduled") == {
        "taskList": {"name": "host1"},
        "startToCloseTimeout": "30",
        "scheduleToStartTimeout": "10",
    }
    swf.engine.skip(10)
    assert swf.last("w", run_id, "DecisionTaskTimedOut") == {
        "timeoutType": "SCHEDULE_TO_START",
        "scheduledEventId": 6,
        "startedEventId": 0,
    }
    assert not swf.decision("host1")["taskToken"]
    assert swf.decision()["taskToken"]


def test_a_sticky_decider_that_overruns_loses_its_list(swf: Swf) -> None:
    """After a START_TO_CLOSE the next task is on the original list."""
    swf.start()
    swf.step(taskList={"name": "host1"}, taskListScheduleToStartTimeout="10")
    signal(swf)
    assert swf.decision("host1")["taskToken"]
    swf.engine.skip(30)
    assert swf.decision()["taskToken"]


@pytest.mark.parametrize("answered", [True, False])
def test_a_sticky_lists_time_begins_when_the_task_may_be_taken(swf: Swf, answered: bool) -> None:
    """Not while it waits behind another, which is answered or runs out of its own time."""
    run_id = swf.start()
    swf.step(taskList={"name": "host1"}, taskListScheduleToStartTimeout="10")
    signal(swf)
    task = swf.decision("host1")
    signal(swf)
    if answered:
        swf.engine.skip(20)
        swf.answer(task)
    else:
        swf.engine.skip(30)
    before = swf.names("w", run_id).count("DecisionTaskTimedOut")
    swf.engine.skip(9)
    assert swf.names("w", run_id).count("DecisionTaskTimedOut") == before
    swf.engine.skip(1)
    assert swf.names("w", run_id).count("DecisionTaskTimedOut") == before + 1
    assert swf.last("w", run_id, "DecisionTaskTimedOut")["timeoutType"] == "SCHEDULE_TO_START"
    assert swf.decision()["taskToken"]


@pytest.mark.parametrize("time", [{}, {"taskListScheduleToStartTimeout": "NONE"}])
def test_a_sticky_list_without_a_time_outlasts_a_timeout(swf: Swf, time: dict[str, str]) -> None:
    """Nor does an answer that names no list end it."""
    swf.start()
    swf.step(taskList={"name": "host1"}, **time)
    signal(swf)
    assert swf.decision("host1")["taskToken"]
    swf.engine.skip(30)
    swf.answer(swf.decision("host1"))
    signal(swf)
    assert swf.decision("host1")["taskToken"]


def test_decision_tasks_of_higher_priority_come_first(swf: Swf) -> None:
    """The run's taskPriority counts; equal ones keep their order."""
    swf.start("low", taskPriority="-1")
    swf.start("first")
    swf.start("second")
    swf.start("high", taskPriority="10")
    order = [swf.decision()["workflowExecution"]["workflowId"] for _ in range(4)]
    assert order == ["high", "first", "second", "low"]

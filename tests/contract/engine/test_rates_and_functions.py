"""Throttles, Lambda functions, retention: what an engine does when it is asked to."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from garcon.engine.core.buckets import AWS_RATES, Rate
from garcon.engine.http.server import Settings
from garcon.engine.service import lambdas
from garcon.engine.service.throttle import load_rates
from garcon.engine.store.database import Writes
from garcon.engine.testing import Engine, engine_in_process
from garcon.engine.upkeep import prune, stats
from tests.contract.engine.swf import RUN, Swf, client, decide, schedule

FLOW = {"name": "flow", "version": "1"}


def held_to(**rates: Rate) -> Any:
    """Return an engine on virtual time that holds its clients to some rates."""
    settings = Settings(db=":memory:", poll_hold_s=0.1, rates=rates)
    return engine_in_process(settings=settings, clock="virtual")


# -- rates ------------------------------------------------------------------------------------


def test_an_empty_bucket_refuses_the_call_and_refills_with_time() -> None:
    """ThrottlingException, status 400, until the next token is there."""
    with held_to(StartWorkflowExecution=Rate(2, 0.5)) as engine:
        swf = Swf.prepared(engine)
        swf.start("w1")
        swf.start("w2")
        start = {"domain": "dom", "workflowId": "w3", "workflowType": FLOW, **RUN}
        refused = swf.refusal("start_workflow_execution", **start)
        assert refused == ("ThrottlingException", "Rate exceeded")
        engine.skip(2)
        swf.start("w3")
        assert swf.refusal("start_workflow_execution", **start)[0] == "ThrottlingException"


@pytest.mark.parametrize(
    ("kind", "given", "cause"),
    [
        ("ScheduleActivityTask", None, "ACTIVITY_CREATION_RATE_EXCEEDED"),
        (
            "StartTimer",
            {"timerId": "t", "startToFireTimeout": "9"},
            "TIMER_CREATION_RATE_EXCEEDED",
        ),
        (
            "StartChildWorkflowExecution",
            {"workflowType": FLOW, "workflowId": "c", **RUN},
            "CHILD_CREATION_RATE_EXCEEDED",
        ),
        (
            "SignalExternalWorkflowExecution",
            {"workflowId": "w", "signalName": "s"},
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
        ),
        (
            "RequestCancelExternalWorkflowExecution",
            {"workflowId": "w"},
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED",
        ),
    ],
)
def test_a_decision_over_its_rate_fails_by_cause(
    kind: str, given: dict[str, Any] | None, cause: str
) -> None:
    """The answer itself is accepted."""
    with held_to(**{kind: Rate(0.5, 0.1)}) as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(schedule() if given is None else decide(kind, **given))
        assert swf.last("w", run_id, f"{kind}Failed")["cause"] == cause


def test_a_continuation_over_its_rate_fails_by_cause() -> None:
    """No figure is published for it; a file can name one."""
    with held_to(ContinueAsNewWorkflowExecution=Rate(0.5, 0.1)) as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(decide("ContinueAsNewWorkflowExecution", **RUN))
        failed = swf.last("w", run_id, "ContinueAsNewWorkflowExecutionFailed")
        assert failed["cause"] == "CONTINUE_AS_NEW_WORKFLOW_EXECUTION_RATE_EXCEEDED"


def test_one_task_list_takes_so_many_activities_a_second() -> None:
    """The list's own rate, in its domain; another list is not touched."""
    with held_to(TasksPerTaskList=Rate(1, 1)) as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        elsewhere = schedule("a3", taskList={"name": "other"})
        swf.step(schedule("a1"), schedule("a2"), elsewhere)
        failed = swf.last("w", run_id, "ScheduleActivityTaskFailed")
        assert failed["activityId"] == "a2"
        assert failed["cause"] == "ACTIVITY_CREATION_RATE_EXCEEDED"
        assert swf.describe("w", run_id)["openCounts"]["openActivityTasks"] == 2
        engine.skip(1)
        swf.step(schedule("a4"))
        assert swf.last("w", run_id, "ActivityTaskScheduled")["activityId"] == "a4"


@pytest.mark.parametrize(
    ("operation", "most"),
    [
        ("SignalWorkflowExecution", 1000),
        ("RecordActivityTaskHeartbeat", 1000),
        ("RequestCancelWorkflowExecution", 200),
        ("GetWorkflowExecutionHistory", 400),
    ],
)
def test_one_execution_has_rates_of_its_own(operation: str, most: int) -> None:
    """So many calls at once and not one more; another run is not touched."""
    with held_to(RegisterDomain=Rate(100, 100)) as engine:
        swf = Swf.prepared(engine)
        call = getattr(swf.api, xform_name(operation))
        given, others = (about_a_run(swf, operation, name) for name in ("w", "w2"))

        async def drain() -> None:
            for _ in range(most - 1):
                engine.server.throttle.check(operation, given)

        engine.call(drain)
        call(**given)
        refused = swf.refusal(xform_name(operation), **given)
        assert refused == ("ThrottlingException", "Rate exceeded")
        call(**others)


def about_a_run(swf: Swf, operation: str, workflow_id: str) -> dict[str, Any]:
    """Start a run; return the arguments of a call about it."""
    run_id = swf.start(workflow_id)
    if operation == "RecordActivityTaskHeartbeat":
        swf.step(schedule())
        return {"taskToken": swf.activity()["taskToken"]}
    if operation == "GetWorkflowExecutionHistory":
        return {"domain": "dom", "execution": {"workflowId": workflow_id, "runId": run_id}}
    more = {"signalName": "s"} if operation == "SignalWorkflowExecution" else {}
    return {"domain": "dom", "workflowId": workflow_id, **more}


def test_rates_come_from_aws_or_from_a_file_of_raised_ones(tmp_path: Path) -> None:
    """What the file leaves out keeps its default; null lifts a rate."""
    assert load_rates("none") == {}
    assert load_rates("aws") == AWS_RATES
    path = tmp_path / "rates.json"
    path.write_text(
        '{"PollForActivityTask": [4000, 800], "StartTimer": null, "TasksPerTaskList": [9000, 9000],'
        ' "ContinueAsNewWorkflowExecution": [100, 10], "ScheduleLambdaFunction": null}'
    )
    rates = load_rates(str(path))
    assert rates["TasksPerTaskList"] == Rate(9000, 9000)
    assert rates["ContinueAsNewWorkflowExecution"] == Rate(100, 10)
    assert "ScheduleLambdaFunction" not in rates
    assert rates["PollForActivityTask"] == Rate(4000, 800)
    assert "StartTimer" not in rates
    assert rates["ListDomains"] == AWS_RATES["ListDomains"]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"Nothing": [1, 1]}',
        '{"RecordMarker": [1, 1]}',
        '{"StartTimer": 5}',
        '{"StartTimer": [0, 1]}',
        '{"StartTimer": [0.5, 9]}',
    ],
)
def test_a_file_of_rates_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    """With its name in the message."""
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"rates\.json"):
        load_rates(str(path))


def test_a_file_of_rates_that_is_not_there_is_told_with_what_may_be_said() -> None:
    """A misspelt word is taken for a file's name."""
    with pytest.raises(ValueError, match="--throttle asw: say none, aws, or a file"):
        load_rates("asw")


# -- functions --------------------------------------------------------------------------------


def double(event: Any, context: Any) -> Any:
    """Return twice the number it is given; its print must not reach the answer."""
    print("noise")
    return {"doubled": 2 * event["number"]}


def breaks(event: Any, context: Any) -> Any:
    """Raise."""
    raise LookupError(f"no {event}")


def sleeps(event: Any, context: Any) -> Any:
    """Stay longer than any test lasts."""
    time.sleep(600)


def misnames(event: Any, context: Any) -> Any:
    """Raise with a file name that is no Unicode in the message, as Python shows such names."""
    raise LookupError(os.fsdecode(b"no \xff"))


def large(event: Any, context: Any) -> Any:
    """Return more than fits."""
    return "x" * 40_000


@pytest.fixture
def functional() -> Any:
    """An engine with functions, on virtual time."""
    here = "tests.contract.engine.test_rates_and_functions"
    names = ("double", "breaks", "misnames", "sleeps", "large")
    functions = {name: f"{here}:{name}" for name in names}
    settings = Settings(db=":memory:", poll_hold_s=20.0, functions=functions)
    with engine_in_process(settings=settings, clock="virtual") as engine:
        yield Swf.prepared(engine)


def called(swf: Swf, name: str, **more: Any) -> tuple[str, Any]:
    """Run a function from a decision and wait for the task that its end brings."""
    run_id = swf.start(lambdaRole="arn:aws:iam::1:role/r")
    swf.step(decide("ScheduleLambdaFunction", id="l", name=name, **more))
    return run_id, swf.decision()


def test_a_function_runs_and_its_result_is_an_event(functional: Swf) -> None:
    """Scheduled and started at once, completed when its process is done."""
    run_id, task = called(functional, "double", input='{"number": 21}', control="c")
    names = [event["eventType"] for event in task["events"]]
    assert names[4:] == [
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionCompleted",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
    ]
    assert functional.last("w", run_id, "LambdaFunctionScheduled") == {
        "id": "l",
        "name": "double",
        "control": "c",
        "input": '{"number": 21}',
        "decisionTaskCompletedEventId": 4,
    }
    completed = functional.last("w", run_id, "LambdaFunctionCompleted")
    assert json.loads(completed["result"]) == {"doubled": 42}
    assert (completed["scheduledEventId"], completed["startedEventId"]) == (5, 6)


def test_only_so_many_functions_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for their turn, and all end."""
    monkeypatch.setattr(lambdas, "_AT_ONCE", 2)
    spawn = asyncio.create_subprocess_exec
    processes: list[asyncio.subprocess.Process] = []
    at_once: list[int] = []

    async def counted(*words: Any, **options: Any) -> asyncio.subprocess.Process:
        processes.append(await spawn(*words, **options))
        at_once.append(sum(process.returncode is None for process in processes))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    functions = {"double": f"{double.__module__}:double"}
    settings = Settings(db=":memory:", poll_hold_s=20.0, functions=functions)
    with engine_in_process(settings=settings, clock="virtual") as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start(lambdaRole="arn:aws:iam::1:role/r")
        call = {"name": "double", "input": '{"number": 1}'}
        swf.step(*[decide("ScheduleLambdaFunction", id=f"{n}", **call) for n in range(5)])
        while swf.names("w", run_id).count("LambdaFunctionCompleted") < 5:
            swf.step()
    assert (max(at_once), len(at_once)) == (2, 5)


@pytest.mark.parametrize(
    ("name", "reason", "in_details"),
    [
        ("breaks", "LookupError", "no plain text"),
        ("misnames", "LookupError", "no \\udcff"),
        ("missing", "ResourceNotFoundException", "missing is none of"),
        ("large", "ResultTooLong", "40002"),
    ],
)
def test_a_function_that_fails_says_why(
    functional: Swf, name: str, reason: str, in_details: str
) -> None:
    """Reason and details; input that is no JSON comes as text."""
    run_id, _ = called(functional, name, input="plain text")
    failed = functional.last("w", run_id, "LambdaFunctionFailed")
    assert failed["reason"] == reason
    assert in_details in failed["details"]


def test_a_functions_end_that_cannot_be_kept_is_told_again(
    functional: Swf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment: nobody else knows of the result."""
    database = functional.engine.server.world.database
    commit, refused = database.commit, []

    def full_at_first(writes: Writes) -> None:
        ends = [text for _, _, text in writes.events if "LambdaFunctionCompleted" in text]
        if ends and not refused:
            refused.extend(ends)
            raise sqlite3.OperationalError("database or disk is full")
        commit(writes)

    monkeypatch.setattr(database, "commit", full_at_first)
    run_id, _ = called(functional, "double", input='{"number": 4}')
    assert refused
    assert functional.last("w", run_id, "LambdaFunctionCompleted")["result"] == '{"doubled": 8}'


def test_a_function_times_out_at_its_own_second(functional: Swf) -> None:
    """And it counts as open until then; its id is taken."""
    run_id = functional.start(lambdaRole="arn:aws:iam::1:role/r")
    call = decide("ScheduleLambdaFunction", id="l", name="sleeps", startToCloseTimeout="60")
    functional.step(call, call)
    assert (
        functional.last("w", run_id, "ScheduleLambdaFunctionFailed")["cause"] == "ID_ALREADY_IN_USE"
    )
    assert functional.describe("w", run_id)["openCounts"]["openLambdaFunctions"] == 1
    functional.engine.skip(60)
    assert functional.last("w", run_id, "LambdaFunctionTimedOut") == {
        "timeoutType": "START_TO_CLOSE",
        "scheduledEventId": 5,
        "startedEventId": 8,
    }


def test_a_function_without_a_time_has_a_quarter_of_an_hour(functional: Swf) -> None:
    """Its event does not say so, as that of the service does not."""
    run_id = functional.start(lambdaRole="r")
    functional.step(decide("ScheduleLambdaFunction", id="l", name="sleeps"))
    functional.engine.skip(899)
    assert functional.names("w", run_id)[-1] == "LambdaFunctionStarted"
    functional.engine.skip(1)
    assert functional.names("w", run_id)[-2:] == ["LambdaFunctionTimedOut", "DecisionTaskScheduled"]


def test_a_run_without_a_role_cannot_call_functions(functional: Swf) -> None:
    """StartLambdaFunctionFailed with the service's cause."""
    run_id = functional.start()
    functional.step(decide("ScheduleLambdaFunction", id="l", name="double"))
    failed = functional.last("w", run_id, "StartLambdaFunctionFailed")
    assert (failed["cause"], failed["scheduledEventId"]) == ("ASSUME_ROLE_FAILED", 5)


def test_a_call_that_dies_with_its_engine_is_failed_by_the_next(tmp_path: Path) -> None:
    """It is not run twice."""
    here = "tests.contract.engine.test_rates_and_functions"
    settings = Settings(db=str(tmp_path / "e.db"), functions={"sleeps": f"{here}:sleeps"})
    with engine_in_process(settings=settings) as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start(lambdaRole="r")
        swf.step(decide("ScheduleLambdaFunction", id="l", name="sleeps"))
    with engine_in_process(settings=settings) as engine:
        swf = Swf(engine, client(engine.url))
        swf.decision()
        assert swf.last("w", run_id, "LambdaFunctionFailed")["reason"] == "EngineRestarted"


# -- retention --------------------------------------------------------------------------------


def known(swf: Swf, workflow_id: str, run_id: str) -> bool:
    """Tell whether a run can still be read, by every way there is."""
    when = {"domain": swf.domain, "closeTimeFilter": {"oldestDate": 0}}
    listed = swf.api.list_closed_workflow_executions(
        **when, executionFilter={"workflowId": workflow_id}
    )["executionInfos"]
    execution = {"workflowId": workflow_id, "runId": run_id}
    try:
        swf.api.get_workflow_execution_history(domain=swf.domain, execution=execution)
    except swf.api.exceptions.UnknownResourceFault:
        assert listed == []
        return False
    assert len(listed) == 1
    return True


def test_a_closed_run_is_kept_as_long_as_its_domain_says(engine: Engine) -> None:
    """Then record and history are gone; open runs stay."""
    swf = Swf.prepared(engine)
    run_id = swf.start(tagList=["t"], executionStartToCloseTimeout="31536000")
    still_open = swf.start("w2", taskList={"name": "x"}, executionStartToCloseTimeout="31536000")
    swf.step(decide("CompleteWorkflowExecution"))
    engine.skip(30 * 86_400 - 60, now=True)
    assert known(swf, "w", run_id)
    engine.skip(1200, now=True)
    assert not known(swf, "w", run_id)
    assert swf.names("w2", still_open)[0] == "WorkflowExecutionStarted"


@pytest.mark.parametrize("retention", ["0", "NONE"])
def test_a_domain_without_retention_keeps_nothing(engine: Engine, retention: str) -> None:
    """A closed run is gone at once."""
    swf = Swf.prepared(engine)
    swf.api.register_domain(name="brief", workflowExecutionRetentionPeriodInDays=retention)
    swf.api.register_workflow_type(domain="brief", name="flow", version="1")
    brief = Swf(engine, swf.api, "brief")
    run_id = brief.start()
    brief.step(decide("CompleteWorkflowExecution"))
    assert not known(brief, "w", run_id)
    assert brief.start() != run_id


def test_all_that_is_past_its_retention_goes_though_time_stands_still(engine: Engine) -> None:
    """Of every domain, and however much it is."""
    dom, other = Swf.prepared(engine), Swf.prepared(engine, "other")
    for number in range(120):
        dom.start(f"w{number}")
        dom.api.terminate_workflow_execution(domain="dom", workflowId=f"w{number}")
    other.start()
    other.api.terminate_workflow_execution(domain="other", workflowId="w")
    engine.skip(31 * 86_400)
    for swf in (dom, other):
        when = {"domain": swf.domain, "startTimeFilter": {"oldestDate": 0}}
        assert swf.api.count_closed_workflow_executions(**when)["count"] == 0


def test_a_file_is_counted_and_pruned_from_outside(tmp_path: Path) -> None:
    """Closed runs and their events go, open ones stay."""
    db = tmp_path / "engine.db"
    with engine_in_process(db=str(db)) as engine:
        swf = Swf.prepared(engine)
        swf.start("open", taskList={"name": "x"})
        for number in range(3):
            swf.start(f"w{number}", tagList=["t"])
            swf.step(*[decide("RecordMarker", markerName="m", details="x" * 20_000)] * 20)
            swf.api.terminate_workflow_execution(domain="dom", workflowId=f"w{number}")
    before = stats(db)
    assert (before.open_executions, before.closed_executions, before.domains) == (1, 3, 1)
    assert prune(db, 1) == 0
    assert prune(db, -1) == 3
    after = stats(db)
    assert (after.open_executions, after.closed_executions, after.events) == (1, 0, 2)
    assert after.file_bytes < before.file_bytes / 3

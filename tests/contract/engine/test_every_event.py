"""Every event in botocore's model is met by a client with each of its attributes, or stands here
with its reason; what an event refers to is where it says; and decision tasks come when they must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from botocore.loaders import Loader

from garcon.engine.http.server import Settings
from garcon.engine.testing import Engine, engine_in_process
from tests.contract.engine.swf import RUN, Swf, attributes, decide, schedule

SHAPES = Loader().load_service_model("swf", "service-2")["shapes"]
MODEL: Final[list[str]] = SHAPES["EventType"]["enum"]
FLOW = {"name": "flow", "version": "1"}
NOTHING = {"name": "none such", "version": "1"}
ROLE = "arn:aws:iam::1:role/r"
SETTINGS = {**RUN, "input": "i", "tagList": ["t"], "taskPriority": "3", "lambdaRole": ROLE}

Event = dict[str, Any]
History = list[Event]
#: All runs of a domain by their ids.
Histories = dict[tuple[str, str], History]

#: Events that no client can meet here.
CANNOT = {"RecordMarkerFailed": "its only cause is an IAM policy; the engine has no IAM"}

#: Events behind which the service asks the decider, unless a task waits already.
ASKS = {
    *("WorkflowExecutionStarted", "WorkflowExecutionSignaled", "WorkflowExecutionCancelRequested"),
    *("ActivityTaskCompleted", "ActivityTaskFailed", "ActivityTaskTimedOut"),
    *("ActivityTaskCanceled", "TimerFired", "DecisionTaskTimedOut"),
    *("ChildWorkflowExecutionStarted", "ChildWorkflowExecutionCompleted"),
    *("ChildWorkflowExecutionFailed", "ChildWorkflowExecutionTimedOut"),
    *("ChildWorkflowExecutionCanceled", "ChildWorkflowExecutionTerminated"),
    *("ExternalWorkflowExecutionSignaled", "ExternalWorkflowExecutionCancelRequested"),
    *("LambdaFunctionCompleted", "LambdaFunctionFailed", "LambdaFunctionTimedOut"),
    *("CompleteWorkflowExecutionFailed", "FailWorkflowExecutionFailed"),
    *("CancelWorkflowExecutionFailed", "ContinueAsNewWorkflowExecutionFailed"),
    *("ScheduleActivityTaskFailed", "RequestCancelActivityTaskFailed"),
    *("StartTimerFailed", "CancelTimerFailed", "StartChildWorkflowExecutionFailed"),
    *("SignalExternalWorkflowExecutionFailed", "RequestCancelExternalWorkflowExecutionFailed"),
    *("ScheduleLambdaFunctionFailed", "StartLambdaFunctionFailed"),
}

#: What an event id among the attributes leads to, by the event's beginning where that matters.
LEADS_TO: Final = (
    ("", "decisionTaskCompletedEventId", "DecisionTaskCompleted"),
    ("", "latestCancelRequestedEventId", "ActivityTaskCancelRequested"),
    ("ActivityTask", "scheduledEventId", "ActivityTaskScheduled"),
    ("ActivityTask", "startedEventId", "ActivityTaskStarted"),
    ("DecisionTask", "scheduledEventId", "DecisionTaskScheduled"),
    ("DecisionTask", "startedEventId", "DecisionTaskStarted"),
    ("LambdaFunction", "scheduledEventId", "LambdaFunctionScheduled"),
    ("LambdaFunction", "startedEventId", "LambdaFunctionStarted"),
    ("StartLambdaFunction", "scheduledEventId", "LambdaFunctionScheduled"),
    ("Timer", "startedEventId", "TimerStarted"),
    ("ChildWorkflow", "initiatedEventId", "StartChildWorkflowExecutionInitiated"),
    ("StartChildWorkflow", "initiatedEventId", "StartChildWorkflowExecutionInitiated"),
    ("ChildWorkflow", "startedEventId", "ChildWorkflowExecutionStarted"),
    (
        "ExternalWorkflowExecutionSignaled",
        "initiatedEventId",
        "SignalExternalWorkflowExecutionInitiated",
    ),
    ("SignalExternal", "initiatedEventId", "SignalExternalWorkflowExecutionInitiated"),
    (
        "ExternalWorkflowExecutionCancelRequested",
        "initiatedEventId",
        "RequestCancelExternalWorkflowExecutionInitiated",
    ),
    (
        "RequestCancelExternal",
        "initiatedEventId",
        "RequestCancelExternalWorkflowExecutionInitiated",
    ),
    ("WorkflowExecutionStarted", "parentInitiatedEventId", "StartChildWorkflowExecutionInitiated"),
    (
        "WorkflowExecutionSignaled",
        "externalInitiatedEventId",
        "SignalExternalWorkflowExecutionInitiated",
    ),
    (
        "WorkflowExecutionCancelRequested",
        "externalInitiatedEventId",
        "RequestCancelExternalWorkflowExecutionInitiated",
    ),
)
#: Ids that lead into the history of another run, and the attribute that names it.
ABROAD = {
    "parentInitiatedEventId": "parentWorkflowExecution",
    "externalInitiatedEventId": "externalWorkflowExecution",
}


# -- lives ------------------------------------------------------------------------------------


def news(swf: Swf, workflow_id: str = "w", **more: Any) -> None:
    """Bring a run something to decide about."""
    swf.api.signal_workflow_execution(
        domain=swf.domain, workflowId=workflow_id, signalName="s", **more
    )


def ask(swf: Swf, *decisions: dict[str, Any]) -> None:
    """Have a run decide something, in an answer of its own."""
    news(swf)
    swf.step(*decisions)


def activities(swf: Swf) -> None:
    """Activities end in all ways; decisions about none fail."""
    swf.start(**SETTINGS)
    more = {"input": "i", "control": "c", "taskPriority": "1"}
    done, failed, cancelled = (schedule(name, **more) for name in ("done", "failed", "cancelled"))
    late = schedule("late", heartbeatTimeout="5")
    waiting = schedule("waiting", taskList={"name": "nobody"})
    swf.step(done, failed, cancelled, late, waiting)
    tokens = [swf.activity(identity="me")["taskToken"] for _ in range(4)]
    swf.api.respond_activity_task_completed(taskToken=tokens[0], result="r")
    swf.step()
    swf.api.respond_activity_task_failed(taskToken=tokens[1], reason="r", details="d")
    swf.step(decide("RequestCancelActivityTask", activityId="cancelled"))
    swf.api.respond_activity_task_canceled(taskToken=tokens[2], details="d")
    for name in ("waiting", "no"):
        ask(swf, decide("RequestCancelActivityTask", activityId=name))
    ask(swf, schedule("no", activityType=NOTHING))
    swf.step()
    swf.api.record_activity_task_heartbeat(taskToken=tokens[3], details="d")
    swf.engine.skip(5)
    swf.step()


def timers_and_markers(swf: Swf) -> None:
    """Timers fire, are cancelled, or fail; a marker stands."""
    swf.start()
    timer = decide("StartTimer", timerId="t", startToFireTimeout="5", control="c")
    other = decide("StartTimer", timerId="u", startToFireTimeout="5")
    cancel = decide("CancelTimer", timerId="u")
    swf.step(timer, other, decide("RecordMarker", markerName="m", details="d"))
    for decision in (cancel, timer, cancel):
        ask(swf, decision)
    swf.step()
    swf.engine.skip(5)
    swf.step()


def decision_tasks(swf: Swf) -> None:
    """A decision task is answered with all there is, and one runs out of each of its times."""
    swf.start(**SETTINGS)
    sticky = {"taskList": {"name": "sticky"}, "taskListScheduleToStartTimeout": "5"}
    swf.answer(swf.decision(identity="me"), executionContext="c", **sticky)
    news(swf)
    swf.engine.skip(5)
    swf.decision()
    news(swf)
    swf.engine.skip(30)
    swf.step()


CLOSES = (
    decide("CompleteWorkflowExecution", result="r"),
    decide("FailWorkflowExecution", reason="r", details="d"),
    decide("CancelWorkflowExecution", details="d"),
    decide("ContinueAsNewWorkflowExecution", **SETTINGS),
)


def closes(swf: Swf) -> None:
    """Runs end in all ways, and closes that come too early fail."""
    for number, close in enumerate(CLOSES):
        swf.start(f"w{number}")
        task = swf.decision()
        news(swf, f"w{number}", input="i")
        swf.answer(task, close)
        swf.step(close)
    swf.step(decide("ContinueAsNewWorkflowExecution", **RUN, workflowTypeVersion="none such"))
    swf.step()
    swf.api.request_cancel_workflow_execution(domain=swf.domain, workflowId="w3")
    given = {"domain": swf.domain, "workflowId": "w3", "reason": "r", "details": "d"}
    swf.api.terminate_workflow_execution(**given)
    swf.start("late", executionStartToCloseTimeout="5")
    swf.engine.skip(5)


def children(swf: Swf) -> None:
    """Children end in all ways, by their parent's end too, or do not begin."""
    parent = {**RUN, "taskList": {"name": "parents"}, "childPolicy": "REQUEST_CANCEL"}
    swf.start("w", **parent)

    def parent_decides(*decisions: dict[str, Any]) -> None:
        swf.answer(swf.decision("parents"), *decisions)

    def child(workflow_id: str, **more: Any) -> dict[str, Any]:
        given = {"workflowType": FLOW, "workflowId": workflow_id, "control": "c", **SETTINGS}
        return decide("StartChildWorkflowExecution", **{**given, **more})

    names = [f"c{number}" for number in range(len(CLOSES))]
    late = child("late", executionStartToCloseTimeout="5", taskList={"name": "nobody"})
    parent_decides(*map(child, names), late)
    parent_decides()
    for close in CLOSES[:3]:
        swf.step(close)
        parent_decides()
    swf.step(CLOSES[3])
    swf.api.terminate_workflow_execution(domain=swf.domain, workflowId="c3")
    parent_decides()
    swf.engine.skip(5)
    parent_decides(child("w"))
    parent_decides(child("no", workflowType=NOTHING))
    parent_decides(child("asked"))
    swf.step()
    swf.api.terminate_workflow_execution(domain=swf.domain, workflowId="w")


def orphans(swf: Swf) -> None:
    """A child is terminated because its parent was."""
    swf.start(childPolicy="TERMINATE")
    given = {"workflowType": FLOW, "workflowId": "c", **RUN, "taskList": {"name": "children"}}
    swf.step(decide("StartChildWorkflowExecution", **given))
    swf.api.terminate_workflow_execution(domain=swf.domain, workflowId="w")


def messages(swf: Swf) -> None:
    """Signals and cancel requests between runs arrive or find nobody."""
    run_id = swf.start("target", taskList={"name": "targets"})
    swf.start()
    swf.step()
    for name, run in (("target", run_id), ("none such", "22none=")):
        to = {"workflowId": name, "runId": run, "control": "c"}
        for decision in (
            decide("SignalExternalWorkflowExecution", signalName="s", input="i", **to),
            decide("RequestCancelExternalWorkflowExecution", **to),
        ):
            if name == "target":
                swf.answer(swf.decision("targets"))
            ask(swf, decision)
            swf.step()


def functions(swf: Swf) -> None:
    """Functions end in all ways; calls that cannot begin fail."""
    swf.start(lambdaRole=ROLE)

    def call(name: str, **more: Any) -> dict[str, Any]:
        return decide("ScheduleLambdaFunction", id=name, name=name, input="3", **more)

    sleeps = call("sleeps", startToCloseTimeout="60", control="c")
    swf.step(call("works"), call("breaks"), sleeps)
    ended = 0
    while ended < 2:
        task = swf.step()
        ended = sum(
            event["eventType"] in ("LambdaFunctionCompleted", "LambdaFunctionFailed")
            for event in task["events"]
        )
    ask(swf, sleeps)
    swf.step()
    swf.engine.skip(60)
    swf.api.terminate_workflow_execution(domain=swf.domain, workflowId="w")
    swf.start()
    swf.step(call("works"))


def works(event: Any, context: Any) -> Any:
    """Return what it is given."""
    return event


def breaks(event: Any, context: Any) -> Any:
    """Raise."""
    raise LookupError(event)


LIVES: Final[tuple[Callable[[Swf], None], ...]] = (
    *(activities, timers_and_markers, decision_tasks, closes),
    *(children, orphans, messages, functions),
)


def everything(swf: Swf) -> Histories:
    """Return the histories of all runs of the domain."""
    when = {"domain": swf.domain, "startTimeFilter": {"oldestDate": 0}}
    found = [
        *swf.api.list_open_workflow_executions(**when)["executionInfos"],
        *swf.api.list_closed_workflow_executions(**when)["executionInfos"],
    ]
    ids = [(one["execution"]["workflowId"], one["execution"]["runId"]) for one in found]
    return {pair: swf.history(*pair) for pair in ids}


@pytest.fixture(scope="module")
def lived() -> Iterator[dict[str, Histories]]:
    """The histories of all lives, by domain; each life has one of its own."""
    here = "tests.contract.engine.test_every_event"
    targets = {"works": f"{here}:works", "breaks": f"{here}:breaks"}
    targets["sleeps"] = "tests.contract.engine.test_rates_and_functions:sleeps"
    settings = Settings(db=":memory:", poll_hold_s=20.0, functions=targets)
    with engine_in_process(settings=settings, clock="virtual") as engine:
        yield {life.__name__: live(engine, life) for life in LIVES}


def live(engine: Engine, life: Callable[[Swf], None]) -> Histories:
    """Live a life in a domain of its own; return its histories."""
    swf = Swf.prepared(engine, life.__name__)
    life(swf)
    return everything(swf)


# -- what must hold ---------------------------------------------------------------------------


def each(lived: dict[str, Histories]) -> Iterator[tuple[Histories, History, Event]]:
    """Go through all events with their history and the histories beside it."""
    for histories in lived.values():
        for events in histories.values():
            for event in events:
                yield histories, events, event


def test_every_event_of_the_model_is_met_or_has_a_reason(lived: dict[str, Histories]) -> None:
    """No event is forgotten, none is both."""
    met = {event["eventType"] for _, _, event in each(lived)}
    assert met | set(CANNOT) == set(MODEL)
    assert not met & set(CANNOT)


@pytest.mark.parametrize("name", sorted(set(MODEL) - set(CANNOT)))
def test_an_event_has_all_its_attributes(lived: dict[str, Histories], name: str) -> None:
    """Each required one always, each optional one where there was something to say."""
    shape = SHAPES[f"{name}EventAttributes"]
    found = [attributes(event) for _, _, event in each(lived) if event["eventType"] == name]
    assert all(set(shape.get("required", ())) <= set(one) for one in found)
    assert set().union(*found) == set(shape["members"])


def test_what_an_event_refers_to_is_there(lived: dict[str, Histories]) -> None:
    """By the right kind of event, in its own history or in that of another run; 0 for nothing."""
    checked = set()
    for histories, events, event in each(lived):
        given = attributes(event)
        for member in [name for name in given if name.endswith("EventId") and given[name]]:
            wanted = leads_to(event["eventType"], member)
            if member in ABROAD:
                other = given[ABROAD[member]]
                events_there = histories[other["workflowId"], other["runId"]]
            else:
                events_there = events
            found = events_there[given[member] - 1]
            assert found["eventType"] == wanted, (event, found)
            checked.add((event["eventType"], member))
    assert len(checked) >= 60


def leads_to(event: str, member: str) -> str:
    """Return the type of the event that an id must lead to."""
    (wanted,) = [
        target for head, name, target in LEADS_TO if name == member and event.startswith(head)
    ]
    return wanted


def test_a_decision_task_is_scheduled_behind_what_asks_for_it(lived: dict[str, Histories]) -> None:
    """At once, or behind the answer it belongs to; not when one waits; never unasked."""
    asked: set[str] = set()
    for histories in lived.values():
        for events in histories.values():
            asked |= askers(events)
    assert asked | NEVER_ALONE == ASKS
    assert not asked & NEVER_ALONE


#: A close fails because of news for which a decision task waits already.
NEVER_ALONE = {f"{close}WorkflowExecutionFailed" for close in ("Complete", "Fail", "Cancel")}
#: A sticky list's task that nobody took.
UNSERVED = ("DecisionTaskTimedOut", 0)


def askers(events: History) -> set[str]:
    """Return what asked for a decision task; fail where one is missing or was not asked for."""
    asked = set()
    waits = False
    owed = None
    answer = 0
    for event in events:
        name, given = event["eventType"], attributes(event)
        if name == "DecisionTaskScheduled":
            assert owed is not None, event
            waits, owed = True, None
            continue
        if owed is not None:
            assert of_answer(answer, name, given), (owed, event)
        if name == "DecisionTaskCompleted":
            answer = event["eventId"]
        elif name == "DecisionTaskStarted" or (name, given.get("startedEventId")) == UNSERVED:
            waits = False
        if name in ASKS and not waits:
            asked.add(name)
            owed = event
    assert owed is None, owed
    return asked


def of_answer(answer: int, name: str, given: dict[str, Any]) -> bool:
    """Whether an event was written with an answer, behind which its decision task comes."""
    if (name, given.get("startedEventId")) == ("ActivityTaskCanceled", 0):
        return True
    return (
        name == "StartLambdaFunctionFailed" or given.get("decisionTaskCompletedEventId") == answer
    )

"""A pure SWF for one execution: it plays the rules of histories, so that deciders can be tried.

No clock, no network: time is a number that the test moves. It writes events in SWF's wire form and
refuses what SWF refuses (limits, ids in use, unknown timers, closes with news pending).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from garcon.deciding.kept import DecisionTask, RunUnknown

OPEN_ACTIVITIES_MAX = 1_000
DECISIONS_MAX = 100
REQUEST_MAX = 1_000_000
CLOSING = {
    "CompleteWorkflowExecution": "WorkflowExecutionCompleted",
    "FailWorkflowExecution": "WorkflowExecutionFailed",
    "CancelWorkflowExecution": "WorkflowExecutionCanceled",
}


@dataclass
class Task:
    """An activity task at SWF."""

    scheduled_event_id: int
    activity_id: str
    type_name: str
    input: dict[str, Any]
    started_event_id: int = 0
    cancel_requested: bool = False


@dataclass
class Swf:
    """One execution and its history.

    Attributes:
        now_s: the present, epoch seconds.
        events: the history.
        tasks: open activity tasks, in the order in which they were scheduled.
        status: None while open, else the closing event's type.
        unknown_types: activity types that are not registered.
        refuse: cause with which the next schedules are refused, and how many.
    """

    input: Any = field(default_factory=dict)
    flow: str = "flow"
    now_s: float = 1_700_000_000.0
    task_priority: str | None = None
    decision_timeout_s: int = 30
    events: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[int, Task] = field(default_factory=dict)
    timers: dict[str, tuple[float, int]] = field(default_factory=dict)
    status: str | None = None
    unknown_types: frozenset[str] = frozenset()
    refuse: tuple[str, int] = ("", 0)
    execution_context: str | None = None
    responses: list[list[dict[str, Any]]] = field(default_factory=list)
    workflow_id: str = "workflow"
    run_id: str = "run"
    parent: dict[str, str] | None = None
    outbox: list[tuple[str, dict[str, Any], int]] = field(default_factory=list)
    _pending: int = 0
    _started: int = 0
    _previous_started: int = 0

    def __post_init__(self) -> None:
        text = self.input if isinstance(self.input, str) else json.dumps(self.input)
        attributes = {
            "workflowType": {"name": self.flow, "version": "1.0"},
            "taskList": {"name": self.flow},
            "childPolicy": "TERMINATE",
            "input": text,
            "taskStartToCloseTimeout": str(self.decision_timeout_s),
            "executionStartToCloseTimeout": "2592000",
        }
        if self.parent is not None:
            attributes["parentWorkflowExecution"] = self.parent
        if self.task_priority is not None:
            attributes["taskPriority"] = self.task_priority
        self.add("WorkflowExecutionStarted", attributes, wakes=True)

    # Events.

    def add(self, kind: str, attributes: dict[str, Any], wakes: bool = False) -> int:
        """Append an event; one that `wakes` has a decision task scheduled behind it."""
        assert self.status is None, f"{kind} after {self.status}"
        event_id = len(self.events) + 1
        member = f"{kind[0].lower()}{kind[1:]}EventAttributes"
        self.events.append(
            {
                "eventId": event_id,
                "eventType": kind,
                "eventTimestamp": self.now_s,
                member: attributes,
            }
        )
        if wakes and not self._pending:
            self._pending = self.add("DecisionTaskScheduled", {"taskList": {"name": self.flow}})
        return event_id

    def kinds(self, *names: str) -> list[dict[str, Any]]:
        """Return the attributes of all events of these types."""
        return [
            event[f"{event['eventType'][0].lower()}{event['eventType'][1:]}EventAttributes"]
            for event in self.events
            if event["eventType"] in names
        ]

    # Decisions.

    @property
    def has_decision_task(self) -> bool:
        """Whether a poll would bring a decision task."""
        return bool(self._pending) and not self._started and self.status is None

    def poll(self, whole: bool = False) -> DecisionTask:
        """Start the pending decision task; its events begin at the previous started one."""
        assert self.has_decision_task
        scheduled, self._pending = self._pending, 0
        self._started = self.add("DecisionTaskStarted", {"scheduledEventId": scheduled})
        self._scheduled_of_started = scheduled
        first = 1 if whole or not self._previous_started else self._previous_started
        return DecisionTask(
            domain="domain",
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            workflow_type=self.flow,
            version="1.0",
            started_event_id=self._started,
            previous_started_event_id=self._previous_started,
            events=self.events[first - 1 :],
        )

    def older(self, page: int = 50) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield the history in pages, newest first, as reverseOrder gives it."""
        newest_first = self.events[::-1]
        for start in range(0, len(newest_first), page):
            yield newest_first[start : start + page]

    def time_out_decision(self) -> None:
        """Let the started decision task run out: its decider gave no answer."""
        started, self._started = self._started, 0
        scheduled = self._scheduled_of_started
        attributes = {
            "timeoutType": "START_TO_CLOSE",
            "scheduledEventId": scheduled,
            "startedEventId": started,
        }
        self.add("DecisionTaskTimedOut", attributes, wakes=True)

    def respond(self, decisions: Sequence[dict[str, Any]], context: str | None = None) -> None:
        """Take the decisions of the started decision task."""
        assert len(decisions) <= DECISIONS_MAX
        assert len(json.dumps(list(decisions))) <= REQUEST_MAX
        assert context is None or len(context) <= 32_768
        self.responses.append(list(decisions))
        self.execution_context = context
        attributes = {
            "scheduledEventId": self._scheduled_of_started,
            "startedEventId": self._started,
        }
        self._previous_started, self._started = self._started, 0
        completed = self.add("DecisionTaskCompleted", attributes)
        for place, decision in enumerate(decisions):
            kind = decision["decisionType"]
            assert kind not in CLOSING or place == len(decisions) - 1, "close must be last"
            found = decision[f"{kind[0].lower()}{kind[1:]}DecisionAttributes"]
            getattr(self, f"_do_{snake(kind)}")(dict(found), completed)

    def _do_schedule_activity_task(self, found: dict[str, Any], completed: int) -> None:
        cause = self._refusal(found)
        found["decisionTaskCompletedEventId"] = completed
        if cause:
            failed = {name: found[name] for name in ("activityType", "activityId")}
            failed |= {"cause": cause, "decisionTaskCompletedEventId": completed}
            self.add("ScheduleActivityTaskFailed", failed, wakes=True)
            return
        event_id = self.add("ActivityTaskScheduled", found)
        self.tasks[event_id] = Task(
            event_id, found["activityId"], found["activityType"]["name"], json.loads(found["input"])
        )

    def _refusal(self, found: dict[str, Any]) -> str:
        cause, left = self.refuse
        if left:
            self.refuse = (cause, left - 1)
            return cause
        if found["activityType"]["name"] in self.unknown_types:
            return "ACTIVITY_TYPE_DOES_NOT_EXIST"
        if any(task.activity_id == found["activityId"] for task in self.tasks.values()):
            return "ACTIVITY_ID_ALREADY_IN_USE"
        return "OPEN_ACTIVITIES_LIMIT_EXCEEDED" if len(self.tasks) >= OPEN_ACTIVITIES_MAX else ""

    def _do_request_cancel_activity_task(self, found: dict[str, Any], completed: int) -> None:
        found["decisionTaskCompletedEventId"] = completed
        open_tasks = [one for one in self.tasks.values() if one.activity_id == found["activityId"]]
        if not open_tasks:
            self.add(
                "RequestCancelActivityTaskFailed",
                {**found, "cause": "ACTIVITY_ID_UNKNOWN"},
                wakes=True,
            )
            return
        asked = self.add("ActivityTaskCancelRequested", found)
        task = open_tasks[0]
        task.cancel_requested = True
        if not task.started_event_id:
            self.cancel(task, asked)

    def _do_record_marker(self, found: dict[str, Any], completed: int) -> None:
        assert len(found.get("details", "")) <= 32_768
        self.add("MarkerRecorded", {**found, "decisionTaskCompletedEventId": completed})

    def _do_start_timer(self, found: dict[str, Any], completed: int) -> None:
        found["decisionTaskCompletedEventId"] = completed
        if found["timerId"] in self.timers:
            cause = {"cause": "TIMER_ID_ALREADY_IN_USE"}
            self.add("StartTimerFailed", {**found, **cause}, wakes=True)
            return
        event_id = self.add("TimerStarted", found)
        fires_s = self.now_s + float(found["startToFireTimeout"])
        self.timers[found["timerId"]] = (fires_s, event_id)

    def _do_cancel_timer(self, found: dict[str, Any], completed: int) -> None:
        if found["timerId"] not in self.timers:
            cause = {"cause": "TIMER_ID_UNKNOWN", "decisionTaskCompletedEventId": completed}
            self.add("CancelTimerFailed", {**found, **cause}, wakes=True)
            return
        _, started = self.timers.pop(found["timerId"])
        canceled = {**found, "startedEventId": started, "decisionTaskCompletedEventId": completed}
        self.add("TimerCanceled", canceled)

    def _close(self, kind: str, found: dict[str, Any], completed: int) -> None:
        found["decisionTaskCompletedEventId"] = completed
        if self._pending:
            self.add(f"{kind}Failed", {**found, "cause": "UNHANDLED_DECISION"})
            return
        self.add(CLOSING[kind], found)
        self.status = CLOSING[kind]

    def _do_complete_workflow_execution(self, found: dict[str, Any], completed: int) -> None:
        self._close("CompleteWorkflowExecution", found, completed)

    def _do_fail_workflow_execution(self, found: dict[str, Any], completed: int) -> None:
        assert len(found["reason"]) <= 256
        assert len(found.get("details", "")) <= 32_768
        self._close("FailWorkflowExecution", found, completed)

    def _do_cancel_workflow_execution(self, found: dict[str, Any], completed: int) -> None:
        self._close("CancelWorkflowExecution", found, completed)

    # What goes to other executions waits in the outbox for the world to deliver it.

    def _do_start_child_workflow_execution(self, found: dict[str, Any], completed: int) -> None:
        assert len(found["input"]) <= 32_768
        assert len(found["control"]) <= 32_768
        assert len(found["tagList"]) <= 5
        cause, left = self.refuse
        found["decisionTaskCompletedEventId"] = completed
        if left:
            self.refuse = (cause, left - 1)
            failed = {name: found[name] for name in ("workflowType", "workflowId", "control")}
            failed |= {"cause": cause, "initiatedEventId": 0}
            failed["decisionTaskCompletedEventId"] = completed
            self.add("StartChildWorkflowExecutionFailed", failed, wakes=True)
            return
        event_id = self.add("StartChildWorkflowExecutionInitiated", found)
        self.outbox.append(("start", found, event_id))

    def _do_signal_external_workflow_execution(self, found: dict[str, Any], completed: int) -> None:
        found["decisionTaskCompletedEventId"] = completed
        event_id = self.add("SignalExternalWorkflowExecutionInitiated", found)
        self.outbox.append(("signal", found, event_id))

    def _do_request_cancel_external_workflow_execution(
        self, found: dict[str, Any], completed: int
    ) -> None:
        found["decisionTaskCompletedEventId"] = completed
        event_id = self.add("RequestCancelExternalWorkflowExecutionInitiated", found)
        self.outbox.append(("cancel", found, event_id))

    # Workers.

    def start(self, count: int = 1) -> list[Task]:
        """Start up to `count` of the waiting tasks, first in first out."""
        if self.status is not None:
            return []
        waiting = [task for task in self.tasks.values() if not task.started_event_id][:count]
        for task in waiting:
            task.started_event_id = self.add(
                "ActivityTaskStarted", {"scheduledEventId": task.scheduled_event_id}
            )
        return waiting

    def complete(self, task: Task, result: dict[str, Any] | str | None = None) -> None:
        """End a started task well."""
        text = result if isinstance(result, str | None) else json.dumps(result)
        self._end(task, "ActivityTaskCompleted", {} if text is None else {"result": text})

    def fail(self, task: Task, reason: str = "boom", details: str | None = None) -> None:
        """End a started task badly."""
        extra = {"reason": reason}
        self._end(
            task, "ActivityTaskFailed", extra if not details else extra | {"details": details}
        )

    def time_out(self, task: Task, kind: str = "START_TO_CLOSE") -> None:
        """Let a task run out."""
        self._end(task, "ActivityTaskTimedOut", {"timeoutType": kind})

    def cancel(self, task: Task, asked: int = 0) -> None:
        """End a task as canceled."""
        self._end(task, "ActivityTaskCanceled", {"latestCancelRequestedEventId": asked})

    def _end(self, task: Task, kind: str, extra: dict[str, Any]) -> None:
        del self.tasks[task.scheduled_event_id]
        attributes = {
            "scheduledEventId": task.scheduled_event_id,
            "startedEventId": task.started_event_id,
        }
        self.add(kind, attributes | extra, wakes=True)

    # The rest of the world.

    def advance(self, seconds: float) -> None:
        """Move the present, firing the timers that come due, in their order."""
        until_s = self.now_s + seconds
        while self.timers and min(self.timers.values())[0] <= until_s and self.status is None:
            timer_id = min(self.timers, key=lambda one: self.timers[one])
            fires_s, started = self.timers.pop(timer_id)
            self.now_s = max(self.now_s, fires_s)
            self.add("TimerFired", {"timerId": timer_id, "startedEventId": started}, wakes=True)
        self.now_s = until_s

    def signal(self, name: str, text: str | None = None) -> None:
        """Send the execution a signal."""
        attributes = {"signalName": name} | ({} if text is None else {"input": text})
        self.add("WorkflowExecutionSignaled", attributes, wakes=True)

    def terminate(self) -> None:
        """End the execution as an operator does."""
        self.add("WorkflowExecutionTerminated", {"cause": "OPERATOR_INITIATED"})
        self.status = "WorkflowExecutionTerminated"

    def request_cancel(self) -> None:
        """Ask the execution to cancel."""
        self.add("WorkflowExecutionCancelRequested", {}, wakes=True)


def snake(name: str) -> str:
    """Return SWF's CamelCase name in snake_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def decide(swf: Swf, decider: Any, allowance: int | None = None, whole: bool = False) -> Any:
    """Let `decider` answer the pending decision task; return its answer."""
    answer = decider.decide(swf.poll(whole), swf.older, allowance)
    swf.respond(answer.decisions, answer.execution_context)
    return answer


Outcome = Callable[[Swf, Task], None]


def play(
    swf: Swf,
    decider: Callable[[], Any] | Any,
    work: Outcome = Swf.complete,
    workers: int = 16,
    steps: int = 100_000,
) -> None:
    """Play until the execution closes or nothing moves any more.

    Args:
        swf: the execution.
        decider: a FlowDecider, or a function that gives one for each decision (a cold one).
        work: what a worker does with a started task.
        workers: how many tasks run at once.
        steps: more than these mean that it would never end.
    """
    for _ in range(steps):
        if swf.status is not None:
            return
        if swf.has_decision_task:
            decide(swf, decider() if callable(decider) else decider)
        elif not _work(swf, work, workers):
            if not swf.timers:
                return
            swf.advance(max(0.0, min(swf.timers.values())[0] - swf.now_s))
    raise AssertionError(f"no end after {steps} steps, {len(swf.events)} events")


def _work(swf: Swf, work: Outcome, workers: int) -> bool:
    running = [task for task in swf.tasks.values() if task.started_event_id]
    swf.start(workers - len(running))
    before = len(swf.events)
    for task in [one for one in swf.tasks.values() if one.started_event_id]:
        if swf.status is not None:
            break
        swf.now_s += 0.01
        work(swf, task)
    return len(swf.events) > before


CHILD_ENDS = {
    "WorkflowExecutionCompleted": ("ChildWorkflowExecutionCompleted", "result"),
    "WorkflowExecutionFailed": ("ChildWorkflowExecutionFailed", "reason"),
    "WorkflowExecutionCanceled": ("ChildWorkflowExecutionCanceled", "details"),
    "WorkflowExecutionTerminated": ("ChildWorkflowExecutionTerminated", "details"),
}


@dataclass
class World:
    """An execution and its children, with the messages between them.

    Attributes:
        root: the execution that the user started.
        runs: all of them, by workflow id.
        starts: the workflow ids of children, in the order in which they started.
    """

    root: Swf
    runs: dict[str, Swf] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.runs[self.root.workflow_id] = self.root

    @property
    def open_runs(self) -> list[Swf]:
        """The executions that have not closed."""
        return [one for one in self.runs.values() if one.status is None]

    def deliver(self) -> bool:
        """Deliver what runs have for each other; return whether there was anything."""
        moved = False
        for run in list(self.runs.values()):
            letters, run.outbox = run.outbox, []
            for kind, found, event_id in letters:
                getattr(self, f"_{kind}")(run, found, event_id)
                moved = True
            if run.status is not None and run.parent and run.workflow_id not in self._told:
                self._told.add(run.workflow_id)
                self._end(run)
                moved = True
        return moved

    def _start(self, sender: Swf, found: dict[str, Any], event_id: int) -> None:
        child = Swf(
            input=found["input"],
            flow=found["workflowType"]["name"],
            now_s=sender.now_s,
            task_priority=found.get("taskPriority"),
            workflow_id=found["workflowId"],
            run_id=f"run of {found['workflowId']}",
            parent={"workflowId": sender.workflow_id, "runId": sender.run_id},
        )
        assert child.workflow_id not in self.runs
        self.runs[child.workflow_id] = child
        self.starts.append(child.workflow_id)
        if sender.status is None:
            sender.add("ChildWorkflowExecutionStarted", self._about(child, event_id), wakes=True)

    def _about(self, child: Swf, event_id: int) -> dict[str, Any]:
        return {
            "workflowExecution": {"workflowId": child.workflow_id, "runId": child.run_id},
            "workflowType": {"name": child.flow, "version": "1.0"},
            "initiatedEventId": event_id,
        }

    def _signal(self, sender: Swf, found: dict[str, Any], event_id: int) -> None:
        target = self.runs[found["workflowId"]]
        if target.status is not None:
            return
        source = {"workflowId": sender.workflow_id, "runId": sender.run_id}
        signaled = {"signalName": found["signalName"], "externalWorkflowExecution": source}
        target.add("WorkflowExecutionSignaled", signaled, wakes=True)
        if sender.status is None:
            about = {"workflowExecution": {"workflowId": target.workflow_id, "runId": ""}}
            sender.add(
                "ExternalWorkflowExecutionSignaled",
                {**about, "initiatedEventId": event_id},
                wakes=True,
            )

    def _cancel(self, sender: Swf, found: dict[str, Any], event_id: int) -> None:
        assert sender.status is None or event_id
        target = self.runs[found["workflowId"]]
        if target.status is None:
            target.request_cancel()

    def _end(self, child: Swf) -> None:
        parent = self.runs[child.parent["workflowId"]] if child.parent else None
        if parent is None or parent.status is not None:
            return
        kind, member = CHILD_ENDS[str(child.status)]
        closing = child.kinds(str(child.status))[0]
        extra = {member: closing[member]} if member in closing else {}
        parent.add(kind, self._about(child, 0) | extra, wakes=True)

    def fetch_run(self, workflow_id: str, run_id: str) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield a run's history in pages, newest first."""
        if workflow_id not in self.runs:
            raise RunUnknown(workflow_id, run_id)
        assert self.runs[workflow_id].run_id == run_id
        return self.runs[workflow_id].older()


def play_world(
    world: World,
    decider: Callable[[], Any] | Any,
    work: Outcome = Swf.complete,
    workers: int = 100,
    steps: int = 20_000,
) -> None:
    """Play until the root closes or nothing moves any more; `workers` serve each run.

    Args:
        world: the executions.
        decider: a FlowDecider, or a function that gives one for each decision (a cold one).
        work: what a worker does with a started task.
        workers: how many tasks of each run go on at once.
        steps: more than these mean that it would never end.
    """
    for _ in range(steps):
        if world.root.status is not None:
            return
        moved = world.deliver()
        for run in world.open_runs:
            if run.status is not None:
                continue  # another run's work has just ended it
            if run.has_decision_task:
                one = decider() if callable(decider) else decider
                answer = one.decide(run.poll(), run.older, None, world.fetch_run)
                run.respond(answer.decisions, answer.execution_context)
                moved = True
            elif _work(run, work, workers):
                moved = True
        waiting = moved or any(run.has_decision_task for run in world.open_runs)
        if not waiting and not _next_timer(world):
            return
    raise AssertionError(f"no end after {steps} steps, {len(world.root.events)} events of the root")


def _next_timer(world: World) -> bool:
    waiting = [one for one in world.open_runs if one.timers]
    if not waiting:
        return False
    seconds = min(min(one.timers.values())[0] - one.now_s for one in waiting)
    for run in world.open_runs:
        run.advance(max(0.0, seconds))
    return True

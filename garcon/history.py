"""The history of one execution, folded into what deciding needs.

`RunState` takes SWF's events in order and keeps the outcome: fan-outs with their instances and
counts, results, timers, signals, what SWF refused. It never looks at what was decided or sent,
only at what the history says, and folding in pieces gives what folding at once gives. Pure: its
clock is the events' own time. Law: a state only grows by the very next event.

Events are read in SWF's wire form; a timestamp may be epoch seconds or a datetime of boto3.
"""

from __future__ import annotations

import json
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from garcon.errors import GarconError, ManifestError
from garcon.manifest import MARKER, Manifest, Parts
from garcon.outcome import Failure, Kind, decode_failure
from garcon.planning import shardfold
from garcon.planning.fanout import INSTANCE_BYTES, FanOut, Instance, Phase, Slice
from garcon.planning.shards import KEY as SHARD_KEY
from garcon.planning.shards import ShardOrder

Attributes = Mapping[str, Any]
FanOutKey = tuple[str, str]  #: activity, and the schedule id of a custom decider or ""

#: Timer with which a decision that could not be finished asks to be made again.
AGAIN_TIMER = "garcon.again"

#: The same, where that had nothing to do with the run: its pool was stopping, say.
ANEW_TIMER = "garcon.anew"

#: Causes of a refused schedule that pass with time; SWF Developer Guide, "Amazon SWF quotas".
RATE_EXCEEDED = "ACTIVITY_CREATION_RATE_EXCEEDED"
PASSING_CAUSES = frozenset({"OPEN_ACTIVITIES_LIMIT_EXCEEDED", RATE_EXCEEDED})

#: Causes of a refused timer that asking again does not mend.
FATAL_TIMER_CAUSES = frozenset({"OPEN_TIMERS_LIMIT_EXCEEDED", "OPERATION_NOT_PERMITTED"})

#: The events with which an execution ends; nothing follows them.
CLOSING = tuple(
    f"WorkflowExecution{how}"
    for how in ("Completed", "Failed", "TimedOut", "Canceled", "Terminated", "ContinuedAsNew")
)

#: Decisions of which is kept when they began, to measure the run's own rate.
PACES_KEPT = 64

#: Moments of scheduling that are kept for an activity's rate.
MOMENTS_KEPT = 64

#: Contexts of fan-outs that stay merged in memory; others are merged again from the results.
CONTEXTS_KEPT = 32


class HistoryGap(GarconError):
    """Events are missing between what is kept and what came."""


@dataclass(frozen=True)
class Timer:
    """An open timer: when it started and when it fires, epoch seconds."""

    started_event_id: int
    fires_s: float


@dataclass(frozen=True)
class Signal:
    """A signal to the execution, as SWF's `WorkflowExecutionSignaled` tells it."""

    event_id: int
    name: str
    input: str | None


@dataclass(frozen=True)
class Refusal:
    """A decision that SWF refused: what it was about and SWF's cause."""

    subject: str
    cause: str


@dataclass(frozen=True)
class Pace:
    """What had happened when a decision began; two of them tell a rate.

    Attributes:
        busy_s: seconds during which tasks waited for a worker, so that no worker was idle.
        closes: attempts that had ended.
    """

    busy_s: float
    closes: int


@dataclass
class Start:
    """What the execution was started with; timeouts in seconds, None for unlimited."""

    workflow_type: str = ""
    version: str = ""
    input: str | None = None
    task_list: str = ""
    task_priority: str | None = None
    decision_timeout_s: int | None = None
    execution_timeout_s: int | None = None
    tags: tuple[str, ...] = ()
    parent: Mapping[str, str] | None = None


@dataclass
class RunState:
    """One execution, folded up to `last_event_id`.

    Attributes:
        domain: SWF's domain.
        workflow_id: SWF's workflow id.
        run_id: SWF's run id.
        last_event_id: the last event folded.
        now_s: time of the last DecisionTaskStarted, epoch seconds: the decision's present.
        start: what the execution was started with.
        fan_outs: by activity and schedule id, in the order in which they were frozen.
        loose: instances scheduled without a manifest, by type and id (1.1.1, other deciders).
        results: results that are JSON objects, with the id of their event, in order.
        timers: open timers by id.
        fired: ids of timers that have fired, with the event's id.
        signals: in order.
        open: activities with a task at SWF.
        started: those of them that a worker has taken.
        closes: attempts that ended, ever.
        busy_s: seconds during which tasks waited, so that all workers were busy.
        closes_decided: attempts that had ended when the last answered decision began.
        paces: the last decisions' beginnings.
        deaths: decisions in a row that ended without an answer of their decider.
        cancel_requested_s: when the execution was asked to cancel.
        is_closed: whether it has ended, in whatever way.
        refusals: responses in a row in which SWF refused a schedule for a cause that passes.
        refused_s: when that happened last.
        rate_refused: the last event that told of a schedule refused for its rate; 0 for none.
        fatal: a refusal that waiting does not mend.
        fault: why a recorded manifest cannot be used.
        tasks: open activities by SWF's id, with the fan-out that they belong to.
        order: what a shard was started with; None in an execution that a user started.
        children: shards that have not closed, by workflow id, with their fan-out.
        owed: results of closed shards that lie in their markers, by the closing event's id.
        told_parent: whether a shard has told its parent that all is scheduled.
        scheduled_at: for each activity, when how many were scheduled last, epoch seconds.
        weight: rough bytes that this state holds.
    """

    domain: str = ""
    workflow_id: str = ""
    run_id: str = ""
    last_event_id: int = 0
    now_s: float = 0.0
    start: Start = field(default_factory=Start)
    fan_outs: dict[FanOutKey, FanOut] = field(default_factory=dict)
    loose: dict[str, dict[str, Instance]] = field(default_factory=dict)
    results: list[tuple[int, str]] = field(default_factory=list)
    timers: dict[str, Timer] = field(default_factory=dict)
    fired: dict[str, int] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    open: int = 0
    started: int = 0
    closes: int = 0
    busy_s: float = 0.0
    closes_decided: int = 0
    paces: deque[Pace] = field(default_factory=lambda: deque(maxlen=PACES_KEPT))
    deaths: int = 0
    cancel_requested_s: float | None = None
    is_closed: bool = False
    refusals: int = 0
    refused_s: float = 0.0
    rate_refused: int = 0
    fatal: Refusal | None = None
    fault: str | None = None
    tasks: dict[str, tuple[Instance, FanOut | None]] = field(default_factory=dict)
    order: ShardOrder | None = None
    children: dict[str, tuple[Slice, FanOut]] = field(default_factory=dict)
    owed: dict[int, shardfold.Debt] = field(default_factory=dict)
    told_parent: bool = False
    scheduled_at: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    weight: int = 0
    _parts: Parts = field(default_factory=Parts, compare=False, repr=False)
    _by_event: dict[int, str] = field(default_factory=dict)
    _begun: dict[int, int] = field(default_factory=dict)
    _deaths_before: int = 0
    _at_s: float = 0.0
    _refused_by: int = 0
    _contexts: dict[int, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)

    def fits(self, first_event_id: int) -> bool:
        """Whether events that begin with this id continue the state without a gap."""
        return first_event_id <= self.last_event_id + 1

    def fold(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take events in ascending order; those already folded are passed over.

        Raises:
            HistoryGap: an event is missing; what came before it has been folded.
        """
        for event in events:
            event_id = event["eventId"]
            if event_id <= self.last_event_id:
                continue
            if event_id != self.last_event_id + 1:
                raise HistoryGap(f"event {self.last_event_id + 1} is missing before {event_id}")
            self.take(event)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event, whatever came before it (a list without the decisions' events)."""
        self.last_event_id = event["eventId"]
        at_s = epoch_s(event["eventTimestamp"])
        if self.open > self.started:
            self.busy_s += max(0.0, at_s - self._at_s)
        self._at_s = at_s
        known = _HANDLERS.get(event["eventType"])
        if known is not None:
            handler, member = known
            handler(self, event["eventId"], at_s, event.get(member, {}))

    def input(self) -> dict[str, Any]:
        """Return the input of the execution.

        Raises:
            ValueError: it is not a JSON object.
        """
        if self.order is not None:
            return dict(self.order.context)
        if not self.start.input:
            return {}
        try:
            data = json.loads(self.start.input)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(data, dict):
            raise ValueError(f"it is a JSON {type(data).__name__}")
        return data

    def execution_info(self) -> dict[str, str]:
        """Return what every context carries of the execution itself; of a shard, of its root."""
        if self.order is not None:
            root = {f"execution.{name}": value for name, value in self.order.root.items()}
            return {**root, SHARD_KEY: str(self.order.number)}
        return {
            "execution.domain": self.domain,
            "execution.workflow_id": self.workflow_id,
            "execution.run_id": self.run_id,
        }

    def context_at(self, event_id: int) -> dict[str, Any]:
        """Return the context as of event `event_id`: input, then results, later over earlier.

        The dict is the state's own: whoever hands it to a user copies it.
        """
        kept = self._contexts.get(event_id)
        if kept is not None:
            return kept
        earlier = max((known for known in self._contexts if known < event_id), default=0)
        context = dict(self._contexts[earlier]) if earlier else self._first_context()
        begin = bisect_right(self.results, earlier, key=_event_of) if earlier else 0
        for _, text in self.results[begin : bisect_right(self.results, event_id, key=_event_of)]:
            context.update(json.loads(text))
        while len(self._contexts) >= CONTEXTS_KEPT:
            del self._contexts[next(iter(self._contexts))]
        self._contexts[event_id] = context
        return context

    def _first_context(self) -> dict[str, Any]:
        return {**self.input(), **self.execution_info()}

    # What each event does. Names are SWF's; the table at the end binds them.

    def _on_workflow_started(self, _: int, at_s: float, found: Attributes) -> None:
        self.now_s = at_s
        parent = found.get("parentWorkflowExecution")
        self.start = Start(
            workflow_type=found["workflowType"]["name"],
            version=found["workflowType"]["version"],
            input=found.get("input"),
            task_list=found["taskList"]["name"],
            task_priority=found.get("taskPriority"),
            decision_timeout_s=_seconds(found.get("taskStartToCloseTimeout")),
            execution_timeout_s=_seconds(found.get("executionStartToCloseTimeout")),
            tags=tuple(found.get("tagList", ())),
            parent=dict(parent) if parent else None,
        )
        if shardfold.is_shard_type(self.start.workflow_type):
            shardfold.begin_shard(self, self.start.input)

    def _on_decision_started(self, event_id: int, at_s: float, _: Attributes) -> None:
        self.now_s = at_s
        self._begun = {event_id: self.closes}
        self.paces.append(Pace(self.busy_s, self.closes))

    def _on_decision_completed(self, _: int, __: float, found: Attributes) -> None:
        self.closes_decided = self._begun.get(found["startedEventId"], self.closes_decided)
        self._deaths_before, self.deaths = self.deaths, 0

    def _on_decision_timed_out(self, _: int, __: float, found: Attributes) -> None:
        # A sticky list's SCHEDULE_TO_START says nothing about a decider: nobody had the task.
        self.deaths += found.get("timeoutType") == "START_TO_CLOSE"

    def _on_scheduled(self, event_id: int, at_s: float, found: Attributes) -> None:
        activity_id, type_name = found["activityId"], found["activityType"]["name"]
        control = _control(found.get("control"))
        fan_out = self.fan_outs.get((control["of"], control["id"])) if control else None
        if fan_out is not None and control is not None:
            instance = fan_out.schedule(control["n"], activity_id, event_id)
            self._count_scheduled(control["of"], at_s)
        else:
            known = self.loose.setdefault(type_name, {})
            instance = known.setdefault(activity_id, Instance(activity_id, type_name, -1))
            instance.schedule(event_id)
        self.tasks[activity_id] = (instance, fan_out)
        self._by_event[event_id] = activity_id
        self.open += 1
        self.weight += INSTANCE_BYTES if instance.attempts == 1 else 0
        self.note_accepted(found["decisionTaskCompletedEventId"])

    def _count_scheduled(self, activity: str, at_s: float) -> None:
        moments = self.scheduled_at.setdefault(activity, deque(maxlen=MOMENTS_KEPT))
        if moments and moments[-1][0] == at_s:
            moments[-1] = (at_s, moments[-1][1] + 1)
        else:
            moments.append((at_s, 1))

    def _on_schedule_failed(self, event_id: int, at_s: float, found: Attributes) -> None:
        cause, decided = found["cause"], found["decisionTaskCompletedEventId"]
        if cause in PASSING_CAUSES:
            self.note_refusal(decided, at_s)
            if cause == RATE_EXCEEDED:
                self.rate_refused = event_id
            return
        name, version = found["activityType"]["name"], found["activityType"]["version"]
        self.note_fatal(f"activity {found['activityId']} of type {name} version {version}", cause)

    def note_refusal(self, decided: int, at_s: float) -> None:
        """Note that SWF refused something for now, of the response that event `decided` tells."""
        self.refusals += decided != self._refused_by
        self._refused_by, self.refused_s = decided, at_s

    def note_accepted(self, decided: int) -> None:
        """Note that SWF took something of the response that event `decided` tells."""
        if decided != self._refused_by:
            self.refusals = 0

    def note_fatal(self, subject: str, cause: str) -> None:
        """Note that SWF refused something for good; the first such thing is told."""
        self.fatal = self.fatal or Refusal(subject, cause)

    def _on_marker_failed(self, _: int, __: float, found: Attributes) -> None:
        self.note_fatal(f"marker {found['markerName']}", found["cause"])

    def _on_timer_failed(self, _: int, __: float, found: Attributes) -> None:
        # One that is not there any more, or is already, is what was wanted.
        self._count_deaths(found["timerId"])
        if found["cause"] in FATAL_TIMER_CAUSES:
            self.note_fatal(f"timer {found['timerId']}", found["cause"])

    def _on_started(self, _: int, __: float, found: Attributes) -> None:
        activity_id = self._by_event.get(found["scheduledEventId"])
        if activity_id is None:
            return
        instance, fan_out = self.tasks[activity_id]
        instance.phase = Phase.STARTED
        self.started += 1
        if fan_out is not None:
            fan_out.start()

    def _end(self, phase: Phase, event_id: int, at_s: float, found: Attributes) -> Instance | None:
        activity_id = self._by_event.pop(found["scheduledEventId"], None)
        if activity_id is None:
            return None  # only in a list of events that somebody has cut
        instance, fan_out = self.tasks.pop(activity_id)
        was = instance.phase
        instance.end(phase, event_id, at_s)
        self.open -= 1
        self.started -= was is Phase.STARTED
        self.closes += 1
        if fan_out is not None:
            fan_out.end(instance, was)
        return instance

    def _on_completed(self, event_id: int, at_s: float, found: Attributes) -> None:
        instance = self._end(Phase.COMPLETED, event_id, at_s, found)
        if instance is None:
            return
        instance.result, instance.failure = found.get("result"), None
        if instance.result and _is_filled_object(instance.result):
            self.add_result(event_id, instance.result)

    def add_result(self, event_id: int, text: str) -> None:
        """Note a result, a JSON object as text, in its place."""
        insort(self.results, (event_id, text), key=_event_of)
        for later in [known for known in self._contexts if known >= event_id]:
            del self._contexts[later]
        self.weight += len(text)

    def _on_failed(self, event_id: int, at_s: float, found: Attributes) -> None:
        instance = self._end(Phase.FAILED, event_id, at_s, found)
        if instance is not None:
            instance.draw(decode_failure(found.get("reason"), found.get("details")))

    def _on_timed_out(self, event_id: int, at_s: float, found: Attributes) -> None:
        instance = self._end(Phase.FAILED, event_id, at_s, found)
        if instance is not None:
            instance.draw(timeout_failure(found["timeoutType"]))

    def _on_canceled(self, event_id: int, at_s: float, found: Attributes) -> None:
        instance = self._end(Phase.CANCELED, event_id, at_s, found)
        if instance is not None:
            instance.failure = Failure(Kind.FAILED, "canceled")

    def _on_cancel_asked(self, _: int, __: float, found: Attributes) -> None:
        if found["activityId"] in self.tasks:
            self.tasks[found["activityId"]][0].cancel_requested = True

    def _on_marker(self, event_id: int, _: float, found: Attributes) -> None:
        if found["markerName"] != MARKER:
            return
        details = found.get("details", "")
        self.weight += len(details)
        try:
            manifest = self._parts.add(details)
        except ManifestError as error:
            self.fault = self.fault or str(error)
            return
        if manifest is not None:
            self._freeze(event_id, manifest)

    def _freeze(self, event_id: int, manifest: Manifest) -> None:
        key = (manifest.activity, manifest.schedule_id)
        if key in self.fan_outs:
            return
        fan_out = self.fan_outs[key] = FanOut(manifest)
        for _, text in fan_out.shard_results:
            self.add_result(event_id, text)
        earlier = self.loose.get(manifest.type_name, {})
        for instance in fan_out.adopt(earlier):
            del earlier[instance.activity_id]
            if instance.phase.is_open:
                self.tasks[instance.activity_id] = (instance, fan_out)

    def _on_timer_started(self, event_id: int, at_s: float, found: Attributes) -> None:
        timer_id = found["timerId"]
        self.timers[timer_id] = Timer(event_id, at_s + float(found["startToFireTimeout"]))
        self._count_deaths(timer_id)

    def _count_deaths(self, timer_id: str) -> None:
        """Take back that a decision was answered which only asked to be made again."""
        if timer_id == AGAIN_TIMER:
            self.deaths = self._deaths_before + 1
        elif timer_id == ANEW_TIMER:
            self.deaths = self._deaths_before

    def _on_timer_fired(self, event_id: int, _: float, found: Attributes) -> None:
        self.timers.pop(found["timerId"], None)
        self.fired[found["timerId"]] = event_id

    def _on_timer_canceled(self, _: int, __: float, found: Attributes) -> None:
        self.timers.pop(found["timerId"], None)

    def _on_signaled(self, event_id: int, _: float, found: Attributes) -> None:
        if shardfold.take_signal(self, found):
            return
        self.signals.append(Signal(event_id, found["signalName"], found.get("input")))
        self.weight += len(found.get("input") or "") + INSTANCE_BYTES

    def _on_cancel_requested(self, _: int, at_s: float, __: Attributes) -> None:
        if self.cancel_requested_s is None:
            self.cancel_requested_s = at_s

    def _on_closed(self, _: int, __: float, ___: Attributes) -> None:
        self.is_closed = True


def timeout_failure(timeout_type: str) -> Failure:
    """Return what a timed-out attempt counts as: the budget table of the design."""
    if timeout_type == "HEARTBEAT":
        return Failure(Kind.LOST, "lost: no heartbeat came in time")
    if timeout_type == "SCHEDULE_TO_START":
        return Failure(Kind.HANDED_BACK, "no worker took it in time (SCHEDULE_TO_START)")
    return Failure(Kind.FAILED, f"timed out ({timeout_type})", ("TimeoutError", "Exception"))


def epoch_s(timestamp: Any) -> float:
    """Return SWF's timestamp, a number of seconds or boto3's datetime, as epoch seconds."""
    return float(timestamp.timestamp() if hasattr(timestamp, "timestamp") else timestamp)


def _seconds(text: str | None) -> int | None:
    return None if text is None or text == "NONE" else int(text)


def _event_of(entry: tuple[int, str]) -> int:
    return entry[0]


def _is_filled_object(text: str) -> bool:
    try:
        return isinstance(data := json.loads(text), dict) and bool(data)
    except (ValueError, RecursionError):
        return False


def _control(text: str | None) -> dict[str, Any] | None:
    """Return what garcon wrote beside a schedule, None for anything else."""
    if not text or not text.startswith('{"garcon":1,'):
        return None
    try:
        found = json.loads(text)
        return {"of": str(found["of"]), "id": str(found.get("id", "")), "n": int(found["n"])}
    except (ValueError, KeyError, TypeError):
        return None


_Handler = Callable[[RunState, int, float, Attributes], None]

_NAMED: dict[str, _Handler] = {
    "WorkflowExecutionStarted": RunState._on_workflow_started,
    "WorkflowExecutionSignaled": RunState._on_signaled,
    "WorkflowExecutionCancelRequested": RunState._on_cancel_requested,
    "DecisionTaskStarted": RunState._on_decision_started,
    "DecisionTaskCompleted": RunState._on_decision_completed,
    "DecisionTaskTimedOut": RunState._on_decision_timed_out,
    "ActivityTaskScheduled": RunState._on_scheduled,
    "ScheduleActivityTaskFailed": RunState._on_schedule_failed,
    "ActivityTaskStarted": RunState._on_started,
    "ActivityTaskCompleted": RunState._on_completed,
    "ActivityTaskFailed": RunState._on_failed,
    "ActivityTaskTimedOut": RunState._on_timed_out,
    "ActivityTaskCanceled": RunState._on_canceled,
    "ActivityTaskCancelRequested": RunState._on_cancel_asked,
    "RequestCancelActivityTaskFailed": RunState._on_cancel_asked,
    "MarkerRecorded": RunState._on_marker,
    "RecordMarkerFailed": RunState._on_marker_failed,
    "StartChildWorkflowExecutionInitiated": shardfold.on_initiated,
    "StartChildWorkflowExecutionFailed": shardfold.on_start_failed,
    "ChildWorkflowExecutionStarted": shardfold.on_child_started,
    "ChildWorkflowExecutionCompleted": shardfold.on_child_completed,
    "ChildWorkflowExecutionCanceled": shardfold.on_child_canceled,
    "ChildWorkflowExecutionFailed": shardfold.on_child_failed,
    "ChildWorkflowExecutionTimedOut": shardfold.on_child_timed_out,
    "ChildWorkflowExecutionTerminated": shardfold.on_child_terminated,
    "RequestCancelExternalWorkflowExecutionInitiated": shardfold.on_child_cancel_asked,
    "RequestCancelExternalWorkflowExecutionFailed": shardfold.on_child_cancel_asked,
    "SignalExternalWorkflowExecutionInitiated": shardfold.on_signal_sent,
    "SignalExternalWorkflowExecutionFailed": shardfold.on_signal_failed,
    "TimerStarted": RunState._on_timer_started,
    "TimerFired": RunState._on_timer_fired,
    "TimerCanceled": RunState._on_timer_canceled,
    "StartTimerFailed": RunState._on_timer_failed,
    "CancelTimerFailed": RunState._on_timer_failed,
    **dict.fromkeys(CLOSING, RunState._on_closed),
}

#: Handler and attribute member of every event that deciding needs; the rest says nothing to it.
_HANDLERS: dict[str, tuple[_Handler, str]] = {
    name: (handler, f"{name[0].lower()}{name[1:]}EventAttributes")
    for name, handler in _NAMED.items()
}

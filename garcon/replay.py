"""What the present code would have decided, beside what was decided: for a stored history.

Every answered decision of a history is planned again from the events that it had seen, with no
limit on what may be scheduled. What was decided has to be, in order, the beginning of what is
planned now: pace and time may have cut it short, but nothing may differ. `check_files(flow, paths)`
is for the tests of a flow. Law: the history is the truth and is not changed; nothing is sent.

A fan-out that a decision froze is taken as it was frozen, for generators may depend on the clock
and a run never asks them twice; that they give something else now is told, and counts for nothing.
Nor does an end that the pool gave an execution, since no decider had decided it, or a key of an
input that begins with `garcon.`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from garcon.canonical import OWN_PREFIX
from garcon.deciding.flowdecider import FlowDecider, Lists, generated_now
from garcon.deciding.kept import FetchRun, RunUnknown, settle_owed
from garcon.errors import DecisionError, GarconError, ManifestError, UsageError
from garcon.flow import check_flow, describe
from garcon.history import AGAIN_TIMER, ANEW_TIMER, RunState
from garcon.manifest import MARKER, Manifest, Parts
from garcon.planner import Planning
from garcon.planning.batch import DUE_TIMER, MORE_TIMER
from garcon.planning.plan import NeedFreeze
from garcon.pool.replies import is_own_reason

if TYPE_CHECKING:
    from garcon.activity import Activity

Event = Mapping[str, Any]

#: Timers that pace or a limit may put behind what was decided.
_OWN_TIMERS = (MORE_TIMER, DUE_TIMER, AGAIN_TIMER, ANEW_TIMER)

#: For each event that tells of a decision: the decision's type, and the attributes that count.
_TOLD: dict[str, tuple[str, tuple[str, ...]]] = {
    "ActivityTaskScheduled": (
        "ScheduleActivityTask",
        (
            *("activityType", "activityId", "taskList", "input", "control", "taskPriority"),
            *("startToCloseTimeout", "scheduleToStartTimeout"),
            *("scheduleToCloseTimeout", "heartbeatTimeout"),
        ),
    ),
    "ScheduleActivityTaskFailed": ("ScheduleActivityTask", ("activityType", "activityId")),
    "ActivityTaskCancelRequested": ("RequestCancelActivityTask", ("activityId",)),
    "RequestCancelActivityTaskFailed": ("RequestCancelActivityTask", ("activityId",)),
    "MarkerRecorded": ("RecordMarker", ("markerName", "details")),
    "TimerStarted": ("StartTimer", ("timerId", "startToFireTimeout")),
    "StartTimerFailed": ("StartTimer", ("timerId",)),
    "TimerCanceled": ("CancelTimer", ("timerId",)),
    "CancelTimerFailed": ("CancelTimer", ("timerId",)),
    "RecordMarkerFailed": ("RecordMarker", ("markerName",)),
    "StartChildWorkflowExecutionInitiated": (
        "StartChildWorkflowExecution",
        (
            *("workflowType", "workflowId", "control", "input", "taskList", "taskPriority"),
            *("taskStartToCloseTimeout", "executionStartToCloseTimeout", "childPolicy"),
        ),
    ),
    "StartChildWorkflowExecutionFailed": (
        "StartChildWorkflowExecution",
        ("workflowType", "workflowId", "control"),
    ),
    "SignalExternalWorkflowExecutionInitiated": (
        "SignalExternalWorkflowExecution",
        ("workflowId", "signalName"),
    ),
    "SignalExternalWorkflowExecutionFailed": ("SignalExternalWorkflowExecution", ("workflowId",)),
    "RequestCancelExternalWorkflowExecutionInitiated": (
        "RequestCancelExternalWorkflowExecution",
        ("workflowId",),
    ),
    "RequestCancelExternalWorkflowExecutionFailed": (
        "RequestCancelExternalWorkflowExecution",
        ("workflowId",),
    ),
    "WorkflowExecutionCompleted": ("CompleteWorkflowExecution", ("result",)),
    "CompleteWorkflowExecutionFailed": ("CompleteWorkflowExecution", ()),
    "WorkflowExecutionFailed": ("FailWorkflowExecution", ("reason", "details")),
    "FailWorkflowExecutionFailed": ("FailWorkflowExecution", ()),
    "WorkflowExecutionCanceled": ("CancelWorkflowExecution", ("details",)),
    "CancelWorkflowExecutionFailed": ("CancelWorkflowExecution", ()),
}


class ReplayMismatch(GarconError):
    """The present code would have decided otherwise than the history tells."""


@dataclass(frozen=True)
class Decided:
    """One decision as the history tells it."""

    kind: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Replayed:
    """One answered decision task, then and now.

    Attributes:
        started_event_id: its DecisionTaskStarted.
        decided: what was decided then.
        planned: what would be decided now without a limit, in SWF's form.
        mismatch: the first difference in one line; None where there is none.
        notes: what is otherwise worth knowing, and no difference.
    """

    started_event_id: int
    decided: tuple[Decided, ...]
    planned: tuple[Mapping[str, Any], ...]
    mismatch: str | None
    notes: tuple[str, ...] = ()


def replay(
    decider: FlowDecider,
    events: Sequence[Event],
    execution: tuple[str, str, str],
    fetch_run: FetchRun | None = None,
) -> Iterator[Replayed]:
    """Yield every answered decision of a history, planned again by the flow as it is now.

    Args:
        decider: of the flow.
        events: the whole history, ascending, in SWF's wire form.
        execution: domain, workflow id and run id.
        fetch_run: gives the histories of shards; needed where a shard's result was too long for
            its closing event.
    Raises:
        HistoryGap: events are missing.
    """
    state = RunState(*execution)
    told = _told_by_decision(events)
    ended = _ended_by_pool(events)
    folded = 0
    for started, completed in _answered(events):
        state.fold(events[folded:started])
        folded = started
        settle_owed(state, fetch_run)
        decided = told.get(completed, ())
        if ended is not None and [one.kind for one in decided] == ["FailWorkflowExecution"]:
            yield Replayed(started, decided, (), None, (f"the pool ended it: {ended}",))
            continue
        recorded = _Recorded(decided)
        planning = Planning(state, decider.flow_of(state))
        with recorded.given_by(decider):
            planned = tuple(decider.answer(planning, fetch_run).decisions)
        found = _mismatch(started, decided, planned)
        yield Replayed(started, decided, planned, found, tuple(recorded.notes))


class _Recorded:
    """The fan-outs that one decision froze, given in place of what generators give now.

    Attributes:
        notes: where they would give something else.
    """

    def __init__(self, decided: Iterable[Decided]) -> None:
        self.notes: list[str] = []
        self._manifests: dict[tuple[str, str], Manifest] = {}
        parts = Parts()
        for one in decided:
            if one.attributes.get("markerName") == MARKER:
                with suppress(ManifestError):  # its reading fails in the fold, which tells why
                    manifest = parts.add(one.attributes.get("details", ""))
                    if manifest is not None:
                        self._manifests[manifest.activity, manifest.schedule_id] = manifest

    @contextmanager
    def given_by(self, decider: FlowDecider) -> Iterator[None]:
        """Have `decider` take them meanwhile."""
        before, decider.generated = decider.generated, self._generated
        try:
            yield
        finally:
            decider.generated = before

    def _generated(self, need: NeedFreeze, activity: Activity) -> Lists:
        manifest = self._manifests.get((need.activity.name, need.schedule_id))
        if manifest is None or manifest.lists is None:
            return generated_now(need, activity)
        about = f"the generators of {manifest.activity}"
        try:
            now = generated_now(need, activity)
        except DecisionError as error:
            self.notes.append(f"{about} fail now: {error}")
        else:
            if now != manifest.lists:
                count = replace(manifest, lists=now).count
                self.notes.append(
                    f"{about} give others now: {count:,} instances, {manifest.count:,} were frozen"
                )
        return manifest.lists


def _ended_by_pool(events: Sequence[Event]) -> str | None:
    """Return the reason where the pool itself has failed the execution, None where it has not."""
    last = events[-1] if events else {}
    found = last.get("workflowExecutionFailedEventAttributes", {})
    reason = str(found.get("reason", ""))
    return reason if is_own_reason(reason) else None


def check_replay(
    decider: FlowDecider, document: Mapping[str, Any], fetch_run: FetchRun | None = None
) -> int:
    """Replay a stored history; return how many decisions were compared.

    Args:
        decider: of the flow.
        document: what `garcon history` wrote: `domain`, `execution` with `workflowId` and `runId`,
            `events`.
        fetch_run: gives the histories of shards.
    Raises:
        ReplayMismatch: a decision would differ; the text names the first one.
    """
    execution = document["execution"]
    names = (document["domain"], execution["workflowId"], execution["runId"])
    compared = 0
    for one in replay(decider, document["events"], names, fetch_run):
        if one.mismatch is not None:
            raise ReplayMismatch(one.mismatch)
        compared += 1
    return compared


def check_files(flow: Any, paths: Iterable[str | Path]) -> int:
    """Replay the histories in some files with a flow as it is now, for the tests of that flow.

    Args:
        flow: a module or an object.
        paths: what `garcon history` wrote, of executions and of shards that they had.
    Returns:
        How many decisions were compared.
    Raises:
        ReplayMismatch: a decision would differ; the text names the first one.
        UsageError: a file is none of `garcon history`.
    """
    check_flow(flow)
    stored = [read_document(path) for path in paths]
    decider = FlowDecider(flow, describe(flow))
    return sum(check_replay(decider, one, among(stored)) for one in stored)


def read_document(path: str | Path) -> dict[str, Any]:
    """Return the history that `garcon history` wrote into a file.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        names = (document["domain"], document["execution"]["workflowId"])
        known = bool(names and document["execution"]["runId"] and document["events"][0]["eventId"])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8") from None
    except (ValueError, LookupError, TypeError):
        known = False
    if not known:
        raise UsageError(f"{path} is no history; `garcon history WORKFLOW_ID` writes one")
    return dict(document)


def among(stored: Sequence[Mapping[str, Any]]) -> FetchRun:
    """Return what gives the histories of other executions: those in `stored`."""
    known = {_run_of(document): document["events"] for document in stored}

    def fetch_run(workflow_id: str, run_id: str) -> Iterator[Sequence[dict[str, Any]]]:
        if (workflow_id, run_id) not in known:
            raise RunUnknown(workflow_id, run_id)
        yield known[workflow_id, run_id][::-1]

    return fetch_run


def _run_of(document: Mapping[str, Any]) -> tuple[str, str]:
    execution = document["execution"]
    return execution["workflowId"], execution["runId"]


def _answered(events: Sequence[Event]) -> Iterator[tuple[int, int]]:
    """Yield the ids of DecisionTaskStarted and DecisionTaskCompleted of each answered decision."""
    for event in events:
        if event["eventType"] == "DecisionTaskCompleted":
            yield (
                event["decisionTaskCompletedEventAttributes"]["startedEventId"],
                event["eventId"],
            )


def _told_by_decision(events: Sequence[Event]) -> dict[int, tuple[Decided, ...]]:
    told: dict[int, tuple[Decided, ...]] = {}
    for event in events:
        kind = event["eventType"]
        if kind not in _TOLD:
            continue
        found = event[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
        if found.get("initiatedEventId"):
            continue  # what failed later was told already, when it was initiated
        completed = found.get("decisionTaskCompletedEventId", 0)
        decision, names = _TOLD[kind]
        counted = {name: found[name] for name in names if name in found}
        told[completed] = (*told.get(completed, ()), Decided(decision, counted))
    return told


def _mismatch(
    started: int, decided: Sequence[Decided], planned: Sequence[Mapping[str, Any]]
) -> str | None:
    what = [*decided]
    while what and what[-1].attributes.get("timerId") in _OWN_TIMERS:
        what.pop()
    for place, then in enumerate(what):
        if place >= len(planned):
            return (
                f"decision {started}: {_words(then)} was decided as number {place + 1}, "
                f"now there are only {len(planned)}"
            )
        difference = _difference(then, planned[place])
        if difference:
            return f"decision {started}, number {place + 1}: {_words(then)}: {difference}"
    return None


def _difference(then: Decided, now: Mapping[str, Any]) -> str | None:
    kind = now["decisionType"]
    if then.kind != kind:
        return f"now it is {kind}"
    found = now[f"{kind[0].lower()}{kind[1:]}DecisionAttributes"]
    for name, value in then.attributes.items():
        if not _is_same(name, value, found.get(name)):
            return f"{name} was {_short(value)} and is {_short(found.get(name))} now"
    return None


def _is_same(name: str, then: Any, now: Any) -> bool:
    return then == now or (name == "input" and _without_own_keys(then) == _without_own_keys(now))


def _without_own_keys(text: Any) -> Any:
    try:
        data = json.loads(text)
    except (ValueError, TypeError):
        return text
    if not isinstance(data, dict):
        return data
    return {key: value for key, value in data.items() if not key.startswith(OWN_PREFIX)}


def _words(one: Decided) -> str:
    names = ("activityId", "timerId", "markerName", "workflowId", "signalName")
    return " ".join(
        [one.kind, *(str(one.attributes[name]) for name in names if name in one.attributes)]
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")

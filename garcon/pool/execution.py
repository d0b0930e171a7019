"""One execution as the command line sees it: start or join it, look at it, read how it ended.

Plain boto3, called from the supervisor's one helper thread: none of this is per task. Law: the
same id and the same input lead to the same execution, whoever asks and however often, so a command
that was cut off can simply be repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

from garcon.canonical import canonical_json
from garcon.client import swf_errors
from garcon.description import FlowDescription
from garcon.errors import (
    DecisionError,
    EngineError,
    OpenWithAnotherInput,
    ServiceError,
    StillOpen,
    UsageError,
)
from garcon.outcome import cut
from garcon.planning.resuming import earlier_in, open_text
from garcon.pool.shardlook import TAG_MAX, OpenShards
from garcon.progress import Counts, counts_from_context

#: SWF lists executions with a delay (eventual consistency); a started one shows within this time.
LOOKUP_S = 10.0
LOOKUP_PAUSE_S = 0.5

NAME_IN_ID_MAX = 200  # characters of the flow's name that a default workflow id keeps


@dataclass(frozen=True)
class Run:
    """Which execution: SWF's workflow id and run id."""

    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class Started:
    """How the command came to its execution.

    Attributes:
        run: the execution.
        joined: it was open already, with the same input.
        earlier: close status of an earlier execution of this id, None where there is none.
    """

    run: Run
    joined: bool
    earlier: str | None = None


@dataclass(frozen=True)
class Look:
    """An execution at one moment.

    Attributes:
        close_status: `COMPLETED`, `FAILED`, `CANCELED`, `TERMINATED`, `TIMED_OUT`,
            `CONTINUED_AS_NEW`; None while it is open.
        counts: progress of each activity, in the flow's order, as its decider last told.
    """

    close_status: str | None
    counts: Mapping[str, Counts]


@dataclass(frozen=True)
class Ending:
    """How an execution closed, from its last event."""

    reason: str = ""
    details: str = ""
    result: str = ""


def without_own_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an execution's input without garcon's own `garcon.*` keys.

    They say how to run, not what: two inputs that differ only there are the same work.
    """
    return {key: value for key, value in data.items() if not key.startswith("garcon.")}


def default_workflow_id(flow_name: str, data: Mapping[str, Any]) -> str:
    """Return the workflow id that this flow and this input always have."""
    digest = sha256(canonical_json(without_own_keys(data)).encode()).hexdigest()[:16]
    return f"{flow_name[:NAME_IN_ID_MAX]}-{digest}"


def tags_of(workflow_id: str, data: Mapping[str, Any]) -> list[str]:
    """Return the tags of a root execution: garcon's mark, the root, and the range of its input."""
    tags = ["garcon", cut(f"root={workflow_id}", TAG_MAX)]
    tags += [cut(f"{key}={data[key]}", TAG_MAX) for key in ("start", "end") if key in data]
    return tags


class Executions:
    """The executions of one flow on one engine, through boto3."""

    def __init__(self, connect: Callable[[], Any], description: FlowDescription) -> None:
        """Ask `connect` for a boto3 client, anew for each step, since an engine may come back.

        Args:
            connect: returns a client of SWF; it may block.
            description: the flow.
        """
        self._connect = connect
        self._flow = description
        self._shards: dict[str, OpenShards] = {}

    def start_or_join(
        self, workflow_id: str, data: Mapping[str, Any], priority: int | None = None
    ) -> Started:
        """Start an execution, or join the open one of the same id and input.

        Raises:
            OpenWithAnotherInput: an execution of this id is open with another input.
            StillOpen: the execution that it is to resume is open.
            UsageError: the input says what to resume in a way that cannot be read.
            ServiceError: the engine refuses.
        """
        self._check_resumed(workflow_id, data)
        # What closed has to be read before the start: later it could be this very run.
        earlier = self._newest_closed(workflow_id)
        try:
            run_id = self._start(workflow_id, data, priority)
        except ServiceError as error:
            if error.code != "WorkflowExecutionAlreadyStartedFault":
                raise
            return self._join(workflow_id, data, earlier)
        status = earlier["closeStatus"] if earlier else None
        return Started(Run(workflow_id, run_id), joined=False, earlier=status)

    def look(self, run: Run) -> Look:
        """Return the state and the progress of `run`, its open shards included.

        Looked at again by the same object, an open run's counts never fall.
        """
        answer = self._call("describe_workflow_execution", execution=_execution(run))
        info = answer["executionInfo"]
        counts = counts_from_context(answer.get("latestExecutionContext"))
        if info["executionStatus"] == "CLOSED":
            self._shards.pop(run.run_id, None)
            return Look(info.get("closeStatus"), counts)
        shards = self._shards.setdefault(
            run.run_id, OpenShards(self._call, run.workflow_id, run.run_id)
        )
        return Look(
            None, shards.add_to(counts, answer["openCounts"]["openChildWorkflowExecutions"])
        )

    def ending(self, run: Run) -> Ending:
        """Return what the closing event of `run` says."""
        event = self._event(run, newest=True)
        attributes: Mapping[str, str] = next(
            (value for key, value in event.items() if key.endswith("EventAttributes")), {}
        )
        return Ending(
            attributes.get("reason", ""),
            attributes.get("details", ""),
            attributes.get("result", ""),
        )

    def _check_resumed(self, workflow_id: str, data: Mapping[str, Any]) -> None:
        """Refuse to start an execution beside the one that it is to resume.

        Not where both have one id: of these the engine itself keeps one open at a time. One that
        is unknown is told of by the decider. What has closed cannot open again meanwhile.
        """
        try:
            resumed = earlier_in(data)
        except DecisionError as error:
            raise UsageError(str(error)) from None
        if resumed is None or resumed.workflow_id == workflow_id:
            return
        execution = _execution(Run(resumed.workflow_id, resumed.run_id))
        try:
            answer = self._call("describe_workflow_execution", execution=execution)
        except ServiceError as error:
            if error.is_unknown_resource:
                return
            raise
        if answer["executionInfo"]["executionStatus"] == "OPEN":
            raise StillOpen(open_text(resumed))

    def _start(self, workflow_id: str, data: Mapping[str, Any], priority: int | None) -> str:
        optional = {} if priority is None else {"taskPriority": str(priority)}
        answer = self._call(
            "start_workflow_execution",
            workflowId=workflow_id,
            workflowType={"name": self._flow.name, "version": self._flow.version},
            taskList={"name": self._flow.task_list},
            input=json.dumps(data, ensure_ascii=False),
            executionStartToCloseTimeout=str(self._flow.execution_timeout_s),
            taskStartToCloseTimeout=str(self._flow.decision_timeout_s),
            childPolicy="TERMINATE",
            tagList=tags_of(workflow_id, data),
            **optional,
        )
        return str(answer["runId"])

    def _join(
        self, workflow_id: str, data: Mapping[str, Any], earlier: Mapping[str, Any] | None
    ) -> Started:
        run = self._find_open(workflow_id, earlier)
        event = self._event(run, newest=False)
        text = event["workflowExecutionStartedEventAttributes"].get("input", "")
        if not _same_input(text, data):
            raise OpenWithAnotherInput(
                f"execution {workflow_id!r} is open with another input; wait for it to close, or "
                "give this one its own --workflow-id"
            )
        return Started(run, joined=True)

    def _find_open(self, workflow_id: str, earlier: Mapping[str, Any] | None) -> Run:
        """Return the run that was open when the start was refused.

        It may have closed meanwhile, by this very pool's deciders: then it is the newest closed
        one, and another than `earlier`, which was the newest before the start.
        """
        before = earlier["execution"]["runId"] if earlier else None
        deadline = time.monotonic() + LOOKUP_S
        while True:
            found = self._newest("list_open_workflow_executions", workflow_id)
            if found is None:
                found = self._newest_closed(workflow_id)
            if found is not None and found["execution"]["runId"] != before:
                return Run(workflow_id, found["execution"]["runId"])
            if time.monotonic() >= deadline:
                raise EngineError(
                    f"execution {workflow_id!r} is open, says the engine, yet is not listed after "
                    f"{LOOKUP_S:.0f} s; run the command again"
                )
            time.sleep(LOOKUP_PAUSE_S)

    def _newest_closed(self, workflow_id: str) -> Mapping[str, Any] | None:
        return self._newest("list_closed_workflow_executions", workflow_id)

    def _newest(self, listing: str, workflow_id: str) -> Mapping[str, Any] | None:
        found = self._call(
            listing,
            startTimeFilter={"oldestDate": datetime.fromtimestamp(0, timezone.utc)},
            executionFilter={"workflowId": workflow_id},
            maximumPageSize=1,
        )["executionInfos"]
        return found[0] if found else None

    def _event(self, run: Run, *, newest: bool) -> dict[str, Any]:
        answer = self._call(
            "get_workflow_execution_history",
            execution=_execution(run),
            maximumPageSize=1,
            reverseOrder=newest,
        )
        event: dict[str, Any] = answer["events"][0]
        return event

    def _call(self, operation: str, **words: Any) -> Any:
        """Make one call in the flow's domain.

        Raises:
            ServiceError: the engine refuses.
            EngineUnreachable: no answer came.
        """
        with swf_errors():
            return getattr(self._connect(), operation)(domain=self._flow.domain, **words)


def _execution(run: Run) -> dict[str, str]:
    return {"workflowId": run.workflow_id, "runId": run.run_id}


def _same_input(text: str, data: Mapping[str, Any]) -> bool:
    try:
        other = json.loads(text or "{}")
    except ValueError:
        return False
    if not isinstance(other, dict):
        return False
    return canonical_json(without_own_keys(other)) == canonical_json(without_own_keys(data))

"""The decider: looks at the history of an execution and says what runs next.

`DeciderWorker(flow).run()` in a loop serves a flow by hand; the pool uses `FlowDecider` in its
decider processes. Both plan with the one planner over the one fold, and the documented functions
here are adapters over the same two, so that what a subclass overrides is what runs. Law: whatever
goes wrong while one task is answered, `run` comes back for the next.
"""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from garcon import polls
from garcon.activity import Activity, ActivityInstance, ActivityState, find_workflow_activities
from garcon.context import ExecutionContext
from garcon.deciding.customdecider import (
    ActivityFailedError,
    Schedule,
    ScheduleContext,
    ensure_requirements,
)
from garcon.deciding.decisions import Decisions, add_decisions
from garcon.deciding.flowdecider import Answer, FlowDecider, answer_needs, tell_failure
from garcon.deciding.kept import DecisionTask
from garcon.deciding.states import state_from
from garcon.deciding.usercode import input_text
from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import DecisionError
from garcon.event import (
    ActivityStates,
    History,
    activity_states_from_events,
    get_current_context,
)
from garcon.flow import client_of, describe
from garcon.history import RunState
from garcon.log import GarconLogger
from garcon.outcome import DETAILS_MAX, REASON_MAX, cut
from garcon.planner import Planning
from garcon.planning import batch
from garcon.planning.batch import BYTES_MAX, BYTES_RESERVED, DECISIONS_MAX, MORE_TIMER, Decision
from garcon.planning.checks import check_decisions

__all__ = [
    "ActivityFailedError",
    "Answer",
    "DeciderWorker",
    "DecisionTask",
    "Decisions",
    "FlowDecider",
    "ScheduleContext",
    "ensure_requirements",
    "schedule",
    "schedule_activity_task",
]

#: Events that one page of a poll may hold; SWF's largest.
PAGE_MAX = 1_000

#: Longest pause after polls that fail one after the other, seconds.
POLL_PAUSE_MAX_S = 30.0

#: SWF keeps closed executions of a new domain this long, days; its longest.
RETENTION_DAYS = "90"

HistoryStates = Mapping[str, Mapping[str, ActivityState]]


class DeciderWorker(GarconLogger):
    """Decides a flow's executions, one decision task after the other.

    Attributes:
        flow: the flow, a module or an object.
        domain: SWF's domain.
        version: version of the workflow type.
        task_list: task list of the decisions; equals the flow's name.
        activities: all activities of the flow.
        on_exception: called with this worker and the error when a poll, an answer or a whole
            execution fails; may be None.
    """

    def __init__(self, flow: Any, register: bool = True) -> None:
        """Serve `flow`.

        Args:
            flow: a module or object with activities, and with a `decider` if it wants its own.
            register: whether to register the domain and the types first.
        """
        self.flow = flow
        described: FlowDescription = describe(flow)
        # One worker polls one list: shards, which wait on a list of their own, are the pool's.
        whole = tuple(replace(one, shard_size=None) for one in described.activities)
        self.description = replace(described, activities=whole)
        self.domain = self.description.domain
        self.version = self.description.version
        self.task_list = self.description.task_list
        self.activities = find_workflow_activities(flow)
        self.on_exception: Callable[..., Any] | None = getattr(flow, "on_exception", None)
        self._client: Any = client_of(flow)
        self._decider = FlowDecider(flow, self.description)
        self._failed_polls = 0
        if register:
            self.register()

    @property
    def client(self) -> Any:
        """boto3's SWF client: the flow's own, or this process's for the engine of the moment."""
        return polls.default_client() if self._client is None else self._client

    def register(self) -> None:
        """Register the domain, the workflow type and the activity types that do not exist yet.

        Types get no defaults: every start and every decision passes all values.

        Raises:
            botocore.exceptions.ClientError: SWF refuses for another reason.
        """
        client = self.client
        exists = (
            client.exceptions.DomainAlreadyExistsFault,
            client.exceptions.TypeAlreadyExistsFault,
        )
        typed = {"domain": self.domain}
        retention = {"workflowExecutionRetentionPeriodInDays": RETENTION_DAYS}
        wanted: list[tuple[Callable[..., Any], dict[str, str]]] = [
            (client.register_domain, {"name": self.domain, **retention}),
            (
                client.register_workflow_type,
                {**typed, "name": self.description.name, "version": self.version},
            ),
        ]
        for one in self.description.activities:
            names = {**typed, "name": one.type_name, "version": one.version}
            wanted.append((client.register_activity_type, names))
        for operation, names in wanted:
            try:
                operation(**names)
            except exists:
                self.logger.debug("registered already: %s", names["name"])

    def get_history(self, identity: Any, poll: Mapping[str, Any] | None = None) -> History:
        """Return all events of the execution but those of decision tasks.

        Args:
            identity: who asks, as in `run`; left out in garcon 0.0.4: `get_history(poll)`.
            poll: what the poll for a decision task returned; its further pages are read.
        """
        if poll is None:
            identity, poll = None, identity
        execution = poll["workflowExecution"]
        run = RunState(self.domain, execution["workflowId"], execution["runId"])
        events = [event for page in self._pages(identity, poll) for event in page]
        run.fold(events)
        return History(run, events)

    def _pages(
        self, identity: str | None, poll: Mapping[str, Any]
    ) -> Iterator[list[dict[str, Any]]]:
        yield poll.get("events", [])
        token = poll.get("nextPageToken")
        while token:
            page = self._poll(identity, nextPageToken=token)
            if not page.get("taskToken"):
                raise DecisionError("the decision task is gone: its history can be read no further")
            yield page.get("events", [])
            token = page.get("nextPageToken")

    def _poll(self, identity: str | None, **more: Any) -> dict[str, Any]:
        if identity:
            more["identity"] = identity[: polls.IDENTITY_MAX]
        answer: dict[str, Any] = polls.polling_client(self.client).poll_for_decision_task(
            domain=self.domain,
            taskList={"name": self.task_list},
            maximumPageSize=PAGE_MAX,
            **more,
        )
        return answer

    def _fetch_run(self, workflow_id: str, run_id: str) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of another execution's history, newest first."""
        more: dict[str, str] = {}
        while True:
            page = self.client.get_workflow_execution_history(
                domain=self.domain,
                execution={"workflowId": workflow_id, "runId": run_id},
                reverseOrder=True,
                maximumPageSize=PAGE_MAX,
                **more,
            )
            yield page["events"]
            if not page.get("nextPageToken"):
                return
            more = {"nextPageToken": page["nextPageToken"]}

    def get_activity_states(self, history: Iterable[Mapping[str, Any]]) -> ActivityStates:
        """Return the states of all activities that were ever scheduled.

        Args:
            history: the full history, as `get_history` returns it.
        Returns:
            A dict of dicts: the activity's full name, the instance's id, its `ActivityState`.
        """
        return activity_states_from_events(history)

    def create_decisions_from_flow(
        self, decisions: Any, activity_states: HistoryStates, context: Mapping[str, Any]
    ) -> None:
        """Add the decisions that a flow without a decider of its own comes to.

        Args:
            decisions: where to add them: a list, `Decisions`, or boto 2's Layer1Decisions.
            activity_states: what `get_activity_states` returned.
            context: the execution's context; what differs from the history's goes over it.
        """
        planning = self._planning(activity_states, context)
        self._add_answer(decisions, self._decider.answer_declared(planning, self._fetch_run))

    def delegate_decisions(
        self,
        decisions: Any,
        decider: Callable[..., Any],
        history: HistoryStates,
        context: Mapping[str, Any],
    ) -> None:
        """Add the decisions that a decider of the flow's own comes to.

        Args:
            decisions: where to add them: a list, `Decisions`, or boto 2's Layer1Decisions.
            decider: `decider(schedule)` or `decider(schedule, context=None)`.
            history: what `get_activity_states` returned.
            context: the execution's context.
        """
        planning = self._planning(history, context)
        self._add_answer(decisions, self._decider.answer_custom(planning, decider, self._fetch_run))

    def _planning(self, states: HistoryStates, context: Mapping[str, Any]) -> Planning:
        state, extra = state_from(states, context)
        return Planning(state, self.description, extra=extra)

    def _add_answer(self, decisions: Any, answer: Answer) -> None:
        add_decisions(decisions, answer.decisions)
        if isinstance(decisions, Decisions):
            decisions.execution_context = answer.execution_context
        for note in answer.notes:
            self.logger.info("%s", note)
        if answer.error is not None:
            self._tell_failure(answer.error)

    def run(self, identity: str | None = None) -> bool:
        """Wait up to a minute for a decision task and answer it.

        Args:
            identity: who asks, at most 256 characters; SWF writes it into the history.
        Returns:
            True, whatever happened, so that `while decider.run()` serves on; errors are in the log
            and told to the flow's `on_exception`.
        """
        try:
            poll = self._poll(identity)
        except Exception as error:
            self._tell("the poll for a decision failed", error)
            self._failed_polls += 1
            pause_s = min(POLL_PAUSE_MAX_S, 2.0 ** min(16, self._failed_polls) / 2)
            time.sleep(random.uniform(0, pause_s))
            return True
        self._failed_polls = 0
        if poll.get("taskToken"):
            self._serve(identity, poll)
        return True

    def _serve(self, identity: str | None, poll: Mapping[str, Any]) -> None:
        try:
            execution = ExecutionContext()
            execution.set_workflow_execution_info(poll, self.domain)
            self.set_log_context(execution)
            self._respond(poll, self._decide(self._history(identity, poll), execution))
        except Exception as error:
            # The task runs out and is given again; the next one may be of another execution.
            self._tell("a decision failed", error)
        finally:
            self.unset_log_context()

    def _history(self, identity: str | None, poll: Mapping[str, Any]) -> list[dict[str, Any]]:
        # A subclass may have get_history(poll), as garcon 0.0.4 has it.
        takes = len(inspect.signature(self.get_history).parameters)
        return self.get_history(identity, poll) if takes > 1 else self.get_history(poll)

    def _decide(self, history: list[dict[str, Any]], execution: ExecutionContext) -> Decisions:
        decisions = Decisions()
        states = self.get_activity_states(history)
        try:
            context = get_current_context(history)
            context.update(execution)
            if self.description.custom_decider:
                self.delegate_decisions(decisions, self.flow.decider, states, context)
            else:
                self.create_decisions_from_flow(decisions, states, context)
            check_decisions(decisions)
        except DecisionError as error:
            reason, details = cut(str(error), REASON_MAX), cut(error.details, DETAILS_MAX)
            decisions[:] = [batch.fail_execution(reason, details)]
            self._tell_failure(error)
        return decisions

    def _tell_failure(self, error: DecisionError) -> None:
        self.logger.error("the execution fails: %s", error)
        tell_failure(self, self.on_exception, error)

    def _respond(self, poll: Mapping[str, Any], decisions: Decisions) -> None:
        told = {}
        if decisions.execution_context is not None:
            told["executionContext"] = decisions.execution_context
        self.client.respond_decision_task_completed(
            taskToken=poll["taskToken"], decisions=within_limits(decisions), **told
        )

    def _tell(self, what: str, error: Exception) -> None:
        self.logger.exception("%s: %s: %s", what, type(error).__name__, error)
        if self.on_exception is None:
            return
        try:
            self.on_exception(self, error)
        except Exception:
            self.logger.exception("on_exception of %s failed", self.description.name)


def within_limits(decisions: list[Decision]) -> list[Decision]:
    """Return as many decisions as SWF takes at once, a 0-second timer behind them if some are left.

    What is left is decided again then: a decider runs from its beginning every time.
    """
    kept: list[Decision] = []
    size = 0
    for decision in decisions:
        size += batch.size_of(decision)
        full = len(kept) == DECISIONS_MAX - 1 and len(decisions) > DECISIONS_MAX
        if full or size > BYTES_MAX - BYTES_RESERVED:
            return [*kept, batch.start_timer(MORE_TIMER, 0)]
        kept.append(decision)
    return kept


def schedule(
    decisions: Any,
    schedule_context: ScheduleContext,
    history: HistoryStates,
    context: Mapping[str, Any],
    schedule_id: str,
    current_activity: Activity,
    requires: Iterable[ActivityState] | None = None,
    input: Mapping[str, Any] | None = None,
    version: str = "1.0",
) -> ActivityState:
    """Schedule an activity once its requirements have completed, and return its state.

    Args:
        decisions: where to add what is decided.
        schedule_context: learns whether something has not completed.
        history: states of all activities, as `get_activity_states` returns them.
        context: the execution's context.
        schedule_id: names this use of the activity; it ends the instances' ids.
        current_activity: the activity.
        requires: states that have to be complete first.
        input: goes over the context of the execution for these instances.
        version: version of the activity's type.
    Raises:
        ActivityInstanceNotReadyException: a required state is not complete.
        ActivityFailedError: instances have failed for good.
    """
    state, extra = state_from(history, context)
    described = ActivityDescription(
        name=current_activity.short_name or current_activity.name,
        type_name=current_activity.name,
        version=version,
        task_list=current_activity.task_list or current_activity.name,
        generators=len(current_activity.generators),
        retry=current_activity.retry,
        lost_retry=current_activity.lost_retry,
    )
    flow = FlowDescription(current_activity.domain, "", version, (described,), True)
    planning = Planning(state, flow, extra=extra)
    found = Schedule(planning, answer_needs, schedule_context)(
        schedule_id, current_activity, requires, input, version
    )
    add_decisions(decisions, planning.decisions)
    return found


def schedule_activity_task(
    decisions: Any, instance: ActivityInstance, version: str = "1.0", id: str | None = None
) -> None:
    """Add the decision that schedules one instance.

    Args:
        decisions: where to add it.
        instance: what to schedule; its input and timeouts are computed now.
        version: version of the activity's type.
        id: SWF's activity id, where it is not the instance's own.
    """
    decision = batch.schedule_activity(
        activityType={"name": instance.activity_name, "version": version},
        activityId=id or instance.id,
        taskList={"name": instance.activity_worker.task_list},
        input=input_text(instance.create_execution_input()),
        startToCloseTimeout=str(instance.timeout),
        scheduleToStartTimeout=str(instance.schedule_to_start),
        scheduleToCloseTimeout=str(instance.schedule_to_close),
        heartbeatTimeout=str(instance.heartbeat_timeout),
    )
    add_decisions(decisions, [decision])

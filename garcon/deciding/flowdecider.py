"""Decides one flow: folds the history, plans, runs the flow's own code where the plan needs it.

The shell round the pure planner. Law: whatever the user's code does, an answer comes out: an error
of the flow fails the execution with a line that names it, and never the decider.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from garcon.deciding.customdecider import (
    ActivityFailedError,
    Schedule,
    ScheduleContext,
    call_decider,
)
from garcon.deciding.kept import (
    BYTES_MAX,
    RUNS_MAX,
    DecisionTask,
    FetchOlder,
    FetchRun,
    KeptStates,
    RunUnknown,
    WholeRun,
)
from garcon.deciding.usercode import (
    USER_ERRORS,
    error_details,
    error_line,
    fresh,
    prepare,
    required_keys,
    run_generators,
)
from garcon.description import FlowDescription
from garcon.errors import DecisionError, GarconError
from garcon.flow import activities_by_name
from garcon.history import ANEW_TIMER, RunState
from garcon.instance import ActivityInstanceNotReadyException
from garcon.log import GarconLogger
from garcon.manifest import Item
from garcon.planner import Planning, plan_declared
from garcon.planning.batch import Decision, start_timer
from garcon.planning.checks import check_decisions
from garcon.planning.plan import (
    Need,
    NeedEarlier,
    NeedFreeze,
    NeedShard,
    Plan,
    ShardNeeds,
    Standing,
)
from garcon.planning.resuming import Earlier, Taken, earlier_of, open_text, taken_over
from garcon.planning.shardfold import is_shard_type
from garcon.planning.sharding import plan_shard, shard_flow

if TYPE_CHECKING:
    from garcon.activity import Activity

T = TypeVar("T")

#: Earlier executions whose fold, or what is read of it, is kept while those that resume them begin.
EARLIER_KEPT = 8

#: Share of a decision's timeout that reading histories may take; the rest is for deciding.
HISTORY_SHARE = 0.5


#: What the generators of an activity give: their lists, None where there are none.
Lists = tuple[tuple[Item, ...], ...] | None
Generated = Callable[[NeedFreeze, "Activity"], Lists]


def generated_now(need: NeedFreeze, activity: Activity) -> Lists:
    """Return the lists of an activity's generators, which are run."""
    return run_generators(need.activity.name, activity, need.context)


class TookTooLong(GarconError):
    """Histories could not be read in the time that a decision has."""


@dataclass(frozen=True)
class Answer:
    """The response to one decision task.

    Attributes:
        decisions: in SWF's form, checked.
        execution_context: progress as compact JSON (`garcon.planner` tells its form).
        hold_s: how long the response may be held for more completions, seconds.
        closes: whether it closes the execution.
        notes: lines worth logging.
        throttled: whether SWF has refused a schedule for its rate since the last decision.
        terminate: workflow and run ids of shards that outlived their grace; whoever sends the
            answer terminates them first.
        error: why the execution fails, where it does; its cause is what the flow's code raised.
        is_unread: nothing is decided, for histories could not be read in time.
    """

    decisions: list[Decision]
    execution_context: str | None
    hold_s: float
    closes: bool
    notes: tuple[str, ...]
    throttled: bool = False
    terminate: tuple[tuple[str, str], ...] = ()
    error: DecisionError | None = field(default=None, compare=False)
    is_unread: bool = False


class FlowDecider(GarconLogger):
    """The decider of one flow; one per process.

    Attributes:
        flow: the flow, a module or an object.
        description: its names and numbers.
        domain: SWF's domain.
        version: version of the workflow type.
        task_list: task list of the decisions; equals the flow's name.
        generated: gives the lists of generators; what replays a history gives those of then.
    """

    def __init__(
        self,
        flow: Any,
        description: FlowDescription,
        *,
        max_runs: int = RUNS_MAX,
        max_bytes: int = BYTES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Decide executions of `flow`.

        Args:
            flow: a module or object that `garcon.flow` found good.
            description: what `garcon.flow.describe` said of it.
            max_runs: states of runs that are kept between decisions.
            max_bytes: rough bytes of all of them.
            clock: monotonic seconds, for the bound on reading a history.
        """
        self.flow = flow
        self.description = description
        self.domain, self.version = description.domain, description.version
        self.task_list = description.task_list
        self._clock = clock
        self._timeout_s = float(description.decision_timeout_s)
        self._kept = KeptStates(max_runs, max_bytes)
        self._activities = activities_by_name(flow)
        self._earlier: dict[Earlier, WholeRun] = {}
        self.generated: Generated = generated_now

    def decide(
        self,
        task: DecisionTask,
        fetch_older: FetchOlder,
        allowance: int | None = None,
        fetch_run: FetchRun | None = None,
        read_s: float | None = None,
    ) -> Answer:
        """Return the answer to `task`.

        Histories that cannot be read in time are read on at the next attempt, from where this one
        came to: for that, `fetch_older` and `fetch_run` should give again what they have given.

        Args:
            task: what the poll gave.
            fetch_older: gives pages of GetWorkflowExecutionHistory with reverseOrder; called, and
                its pages consumed, only where `task.events` leave a gap.
            allowance: how many activities may be scheduled now; None for any number.
            fetch_run: the same for the history of a shard, by workflow id and run id.
            read_s: how long histories may be read, seconds; None for a share of the timeout.
        Raises:
            HistoryGap: the history that could be read is not whole; the task has to be decided
                again. What `fetch_older` raises passes through as well.
        """
        bound_s = HISTORY_SHARE * self._timeout_s if read_s is None else read_s
        reading = _InTime(self._clock, bound_s)
        wrong = self._kept.mismatches
        try:
            runs = reading.of_runs(fetch_run)
            state = self._kept.folded(task, reading.older(fetch_older), runs)
            answer = self.answer(Planning(state, self.flow_of(state), allowance), runs)
        except TookTooLong as error:
            return _unread(str(error))
        answer = replace(answer, throttled=state.rate_refused > task.previous_started_event_id)
        if self._kept.mismatches == wrong:
            return answer
        note = "the kept state differed from its history and was replaced: please report this"
        return replace(answer, notes=(*answer.notes, note))

    @property
    def is_checking(self) -> bool:
        """Whether a history is being read only to check a kept state against it."""
        return self._kept.is_checking

    def flow_of(self, state: RunState) -> FlowDescription:
        """Return the flow as this run sees it: a shard sees its one activity only."""
        return shard_flow(self.description, state.order) if state.order else self.description

    def answer(self, planning: Planning, fetch_run: FetchRun | None = None) -> Answer:
        """Return the answer that `planning` comes to with this flow's code.

        Args:
            planning: of one decision.
            fetch_run: gives the history of an execution that this one resumes.
        """
        if is_shard_type(planning.state.start.workflow_type):
            return _answer(planning, lambda: drive(plan_shard(planning), self._user(fetch_run)))
        if not self.description.custom_decider:
            return self.answer_declared(planning, fetch_run)
        return self.answer_custom(planning, self.flow.decider, fetch_run)

    def answer_declared(self, planning: Planning, fetch_run: FetchRun | None = None) -> Answer:
        """Return the answer for a flow whose activities say what they require."""
        user = self._user(fetch_run)
        return _answer(planning, lambda: drive(plan_declared(planning), user))

    def answer_custom(
        self,
        planning: Planning,
        decider: Callable[..., Any],
        fetch_run: FetchRun | None = None,
    ) -> Answer:
        """Return the answer that a flow's own `decider` comes to."""
        # Its results are read by the decider itself: all of them have to be carried.
        user = replace(self._user(fetch_run), carried=_all_of_them)
        return _answer(planning, lambda: plan_custom(planning, decider, user))

    def _user(self, fetch_run: FetchRun | None) -> UserCode:
        return UserCode(
            self._activity_of,
            self._carried,
            lambda need: self._taken(need, fetch_run),
            self.generated,
        )

    def _activity_of(self, need: Need) -> Activity:
        return self._activities[need.activity.name]

    def _taken(self, need: NeedEarlier, fetch_run: FetchRun | None) -> Taken:
        """Return what an earlier execution has done, or had taken over itself.

        One that ended before it came to this fan-out left what it resumed as that was.
        """
        earlier: Earlier | None = need.earlier
        while earlier is not None:
            try:
                state = self._folded_earlier(earlier, fetch_run)
            except RunUnknown as error:
                if earlier != need.earlier:
                    break  # what the engine keeps no longer, nobody can take over
                raise DecisionError(
                    f"{error}, so it cannot be resumed: it never was, or is older than what the "
                    "engine keeps; start without resuming"
                ) from None
            fan_out = state.fan_outs.get((need.manifest.activity, need.manifest.schedule_id))
            if fan_out is not None:
                carry = None if self.description.custom_decider else self._carried(need.context)
                return taken_over(fan_out, need.manifest, carry, need.earlier.only)
            earlier = earlier_of(state)
        return taken_over(None, need.manifest, None, need.earlier.only)

    def _folded_earlier(self, earlier: Earlier, fetch_run: FetchRun | None) -> RunState:
        """Return an earlier execution, whose history is read once and kept a while.

        Raises:
            DecisionError: it is open.
            RunUnknown: the engine does not know it.
        """
        if earlier not in self._earlier:
            while len(self._earlier) >= EARLIER_KEPT:
                del self._earlier[next(iter(self._earlier))]
            names = (earlier.workflow_id, earlier.run_id)
            self._earlier[earlier] = WholeRun(self.description.domain, *names)
        state = self._earlier[earlier].read(fetch_run)
        if not state.is_closed:
            del self._earlier[earlier]  # it grows, so what was read of it is of no further use
            raise DecisionError(open_text(earlier))
        return state

    def _carried(self, context: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the keys that any activity of the flow reads, None where that is unknown."""
        keys: set[str] = set()
        for activity in self._activities.values():
            found = required_keys(activity, context)
            if found is None:
                return None
            keys |= found
        return tuple(sorted(keys))


class _InTime:
    """Pages of histories, as long as there is time for them."""

    def __init__(self, clock: Callable[[], float], bound_s: float) -> None:
        self._clock = clock
        self._bound_s = bound_s
        self._begin_s = clock()
        self._read = 0

    def older(self, fetch: FetchOlder) -> FetchOlder:
        """Return `fetch` within the time that there is."""
        return lambda: self._pages(fetch())

    def of_runs(self, fetch: FetchRun | None) -> FetchRun | None:
        """Return `fetch` within the time that there is."""
        if fetch is None:
            return None
        return lambda workflow_id, run_id: self._pages(fetch(workflow_id, run_id))

    def _pages(self, pages: Iterable[Sequence[dict[str, Any]]]) -> Iterator[Sequence[Any]]:
        for page in pages:
            took_s = self._clock() - self._begin_s
            # Never before the first page: an attempt that uses none would be the last one's again.
            if self._read and took_s > self._bound_s:
                raise TookTooLong(f"reading {self._read:,} events of histories took {took_s:.0f} s")
            self._read += len(page)
            yield page


def _unread(why: str) -> Answer:
    """Return the answer that asks for the same decision once more, and decides nothing.

    It counts for no fault of the run: each attempt has read further than the one before.
    """
    note = f"decided again: {why}"
    return Answer([start_timer(ANEW_TIMER, 0)], None, 0.0, False, (note,), is_unread=True)


def _answer(planning: Planning, plan_of: Callable[[], Plan]) -> Answer:
    try:
        plan = plan_of()
        check_decisions(plan.decisions)
    except DecisionError as error:
        plan = planning.fail(error)
    return Answer(
        plan.decisions,
        plan.execution_context,
        plan.hold_s,
        plan.closes,
        plan.notes,
        terminate=plan.terminate,
        error=plan.error,
    )


def plan_custom(planning: Planning, decider: Callable[..., Any], user: UserCode) -> Plan:
    """Return the plan that a flow's own decider comes to.

    Args:
        planning: of one decision.
        decider: `decider(schedule)` or `decider(schedule, context=None)`.
        user: answers what planning needs, but for the activities, which the decider names.
    Raises:
        DecisionError: the execution cannot go on.
    """
    early = planning.begin()
    if early is not None:
        return early
    scheduled = ScheduleContext()

    def drive_one(activity: Activity, steps: Generator[Need, Any, Standing]) -> Standing:
        return drive(steps, replace(user, activity_of=lambda _: activity))

    schedule = Schedule(planning, drive_one, scheduled)
    error = run_decider(decider, schedule, planning.state)
    return planning.finish(scheduled.completed and error is None, error)


def answer_needs(activity: Activity, steps: Generator[Need, Any, T]) -> T:
    """Return what `steps` come to, all they need being answered by `activity`."""
    return drive(steps, UserCode(lambda _: activity, _all_of_them, lambda _: Taken()))


def _all_of_them(_: Mapping[str, Any]) -> None:
    return None


@dataclass(frozen=True)
class UserCode:
    """Who answers what planning needs.

    Attributes:
        activity_of: gives the activity that a need is about.
        carried: gives the keys of results that later activities read, None for all.
        taken: gives what an earlier execution has done.
        generated: gives the lists of an activity's generators.
    """

    activity_of: Callable[[Need], Activity]
    carried: Callable[[Mapping[str, Any]], tuple[str, ...] | None]
    taken: Callable[[NeedEarlier], Taken]
    generated: Generated = generated_now


def drive(steps: Generator[Need, Any, T], user: UserCode) -> T:
    """Return what `steps` come to, their needs answered by `user`."""
    # One copy of a context serves all instances of a decision; held beside its original, whose
    # address must not be used again meanwhile.
    copies: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}
    answer: Any = None
    while True:
        try:
            need = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        activity = user.activity_of(need)
        if isinstance(need, NeedFreeze):
            answer = user.generated(need, activity)
            continue
        if isinstance(need, NeedShard):
            seen = fresh(need.context)
            answer = ShardNeeds(required_keys(activity, seen), user.carried(seen))
            continue
        if isinstance(need, NeedEarlier):
            answer = user.taken(need)
            continue
        if id(need.context) not in copies:
            copies[id(need.context)] = (need.context, fresh(need.context))
        answer = prepare(activity, need.manifest, need.index, copies[id(need.context)][1])


def run_decider(decider: Any, schedule: Schedule, state: RunState) -> DecisionError | None:
    """Run a flow's own decider; return why it stopped for good, None if it did not.

    Raises:
        DecisionError: it raised anything else than that something is not ready or has failed.
    """
    try:
        call_decider(decider, schedule, fresh(state.input()))
    except ActivityInstanceNotReadyException:
        schedule.mark_uncompleted()
    except ActivityFailedError as error:
        return DecisionError(str(error), error.details)
    except DecisionError:
        raise
    except USER_ERRORS as error:
        raise DecisionError(
            f"the decider raised {error_line(error)}", error_details(error)
        ) from error
    return None


def tell_failure(actor: Any, hook: Callable[..., Any] | None, error: DecisionError) -> None:
    """Tell a flow's `on_exception` why an execution fails; what it raises itself is logged.

    Args:
        actor: who decided; it has a `logger`.
        hook: `on_exception(actor, error)`, if the flow has one.
        error: why; the hook gets what the flow's own code raised, where it did.
    """
    if hook is None:
        return
    try:
        hook(actor, error.__cause__ or error)
    except USER_ERRORS:
        actor.logger.exception("on_exception of the flow failed")

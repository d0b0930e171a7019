"""Instances of an activity, and the states that the history knows of them.

An instance is one unit of an activity: its id, its input and its four timeouts follow from the
flow and from its own context alone, so that every decider computes the same. It reads no clock and
calls nobody. Law: all timeouts are whole seconds from 1 to one year, which is SWF's bound.

`garcon.activity` exports these names; import them from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from garcon import utils
from garcon.canonical import legacy_key_of
from garcon.description import HEARTBEAT_S
from garcon.errors import GarconError
from garcon.runner import BaseRunner, NoRunnerRequirementsFound, RunnerMissing

if TYPE_CHECKING:
    from garcon.activity import Activity

ACTIVITY_STANDBY = 0
ACTIVITY_SCHEDULED = 1
ACTIVITY_COMPLETED = 2
ACTIVITY_FAILED = 3

#: SWF lets nothing take longer than a year (SWF developer guide, quotas).
YEAR_S = 31_536_000

#: Keys of the context that go with every input; the log names its lines after them.
EXECUTION_KEYS = ("execution.domain", "execution.workflow_id", "execution.run_id")


class ActivityInstanceNotReadyException(GarconError):
    """An instance has not completed, so it has no result yet."""


class ResultAlreadySet(GarconError):
    """An instance has its result, and an instance has only one."""


class ActivityInstance:
    """One unit of an activity.

    Attributes:
        activity_worker: the activity it belongs to.
        local_context: what the generators gave to this instance; empty without generators.
        execution_context: the execution's context when it was made.
    """

    def __init__(
        self,
        activity_worker: Activity,
        local_context: Mapping[str, Any] | None = None,
        execution_context: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the instance of `activity_worker` that `local_context` stands for."""
        self.activity_worker = activity_worker
        self.local_context: dict[str, Any] = dict(local_context or {})
        self.execution_context: Mapping[str, Any] = (
            {} if execution_context is None else execution_context
        )

    @property
    def global_context(self) -> dict[str, Any]:
        """The execution's context with the instance's own over it."""
        return {**self.execution_context, **self.local_context}

    @property
    def activity_name(self) -> str:
        """Full name of the activity: SWF's activity type and task list."""
        return self.activity_worker.name

    @property
    def retry(self) -> int:
        """Further attempts that the activity allows after the first one failed."""
        return self.activity_worker.retry

    @property
    def id(self) -> str:
        """SWF's activity id, by which the history knows this instance.

        `<activity's full name>-1` without a context of its own, else `<full name>-<40 hex digits>`
        of that context (see `utils.create_dictionary_key`).

        Raises:
            NotJsonError: the context holds something that JSON lacks; the message names it.
        """
        if not self.local_context:
            return f"{self.activity_name}-1"
        return f"{self.activity_name}-{utils.create_dictionary_key(self.local_context)}"

    @property
    def legacy_id(self) -> str:
        """The id that garcon 1.1.1 gave this instance, for runs that began under it."""
        if not self.local_context:
            return f"{self.activity_name}-1"
        return f"{self.activity_name}-{legacy_key_of(self.local_context)}"

    @property
    def runner(self) -> BaseRunner:
        """The activity's runner.

        Raises:
            RunnerMissing: it has none, so timeouts and input cannot be computed.
        """
        runner: BaseRunner | None = getattr(self.activity_worker, "runner", None)
        if not runner:
            raise RunnerMissing(
                f"activity {self.activity_name} has no runner; give run=runner.Sync(task)"
            )
        return runner

    @property
    def timeout(self) -> int:
        """Seconds that one attempt may take (SWF's start-to-close): the tasks' sum."""
        return _bounded(int(self.runner.timeout(self.global_context)))

    @property
    def heartbeat_timeout(self) -> int:
        """Seconds within which SWF wants to hear of the task.

        The largest heartbeat that a task declares. Where none does, 60: garcon then beats by itself
        while the task runs, so a lost machine is known after a minute, not after the timeout. An
        external activity that declares none has its timeout.
        """
        context = self.global_context
        if not hasattr(self.runner, "declared_heartbeat"):
            # A runner of the user's own, which has what the documentation names.
            return _bounded(int(self.runner.heartbeat(context)))
        declared = self.runner.declared_heartbeat(context)
        return _bounded(HEARTBEAT_S if declared is None else declared)

    @property
    def schedule_to_start(self) -> int:
        """Seconds that SWF may keep the instance waiting for a worker.

        As if one worker served all instances of the activity: their number times the activity's
        `schedule_to_start_timeout`.
        """
        worker = self.activity_worker
        return _bounded(max(1, worker.pool_size) * worker.schedule_to_start_timeout)

    @property
    def schedule_to_close(self) -> int:
        """Seconds from being scheduled to the end: waiting and running together."""
        return _bounded(self.schedule_to_start + self.timeout)

    def create_execution_input(self) -> dict[str, Any]:
        """Return the input to send with the task.

        Where every task is filled (see `task.decorate`) it holds what they read, and the domain,
        workflow id and run id of the execution; else the whole context. SWF takes 32,768
        characters.

        Raises:
            RunnerMissing: the activity has no runner.
        """
        context = self.global_context
        try:
            wanted = self.runner.requirements(context)
        except NoRunnerRequirementsFound:
            return context
        return {key: context[key] for key in (*sorted(wanted), *EXECUTION_KEYS) if key in context}


def _bounded(seconds: int) -> int:
    return min(max(1, seconds), YEAR_S)


class ActivityState:
    """What the history says of one instance.

    Attributes:
        activity_id: SWF's activity id.
        states: the `ACTIVITY_...` numbers that it went through, oldest first.
        losses: attempts that were lost with their worker; they draw on `lost_retry`.
        canceled: whether its last attempt was canceled, so that no other one follows.
    """

    def __init__(self, activity_id: str) -> None:
        """Begin without any state."""
        self.activity_id = activity_id
        self.states: list[int] = []
        self.losses = 0
        self.canceled = False
        self._result: dict[str, Any] | None = None

    @property
    def ready(self) -> bool:
        """Whether the instance has completed."""
        return self.get_last_state() == ACTIVITY_COMPLETED

    @property
    def result(self) -> Any:
        """What the instance returned, a dict; None where nothing was noted.

        Raises:
            ActivityInstanceNotReadyException: it has not completed.
        """
        self.wait()
        return self._result

    def get_last_state(self) -> int | None:
        """Return the newest state, None before the first."""
        return self.states[-1] if self.states else None

    def add_state(self, state: int) -> None:
        """Note that the instance went into `state`, one of the `ACTIVITY_...` numbers."""
        self.states.append(state)

    def set_result(self, result: dict[str, Any] | None) -> None:
        """Note what the instance returned.

        Raises:
            ResultAlreadySet: it has a result.
        """
        if self._result is not None:
            raise ResultAlreadySet(f"{self.activity_id} has its result; it cannot get another one")
        self._result = result

    def wait(self) -> None:
        """Go on only when the instance has completed.

        Raises:
            ActivityInstanceNotReadyException: it has not; a custom decider ends here for now and is
                called again when more is known.
        """
        if not self.ready:
            raise ActivityInstanceNotReadyException(f"{self.activity_id} has not completed")


def count_activity_failures(states: ActivityState | Iterable[int]) -> int:
    """Return how often an instance has failed.

    Args:
        states: its `ActivityState`, or the numbers that it went through.
    """
    numbers = states.states if isinstance(states, ActivityState) else states
    return sum(1 for number in numbers if number == ACTIVITY_FAILED)

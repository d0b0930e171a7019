"""Runners: how the tasks of one activity run, and how long that may take.

There is one runner an activity. It runs tasks in its own process, in order (`Sync`) or on threads
(`Async`), and merges their results; it polls and answers nothing. Law: every figure is the worst
case: timeouts add up even where tasks run side by side, because SWF cannot be asked for more later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any

from garcon.calling import call_task, result_as_dict
from garcon.errors import FlowError
from garcon.task import Task, details_of, flatten, is_task_list, name_of

#: Seconds that a task may take when it does not say.
DEFAULT_TASK_TIMEOUT = 600

#: Seconds within which a task would have to be heard of when it does not say; what SWF is told
#: is in `ActivityInstance.heartbeat_timeout`.
DEFAULT_TASK_HEARTBEAT = 600


class NoRunnerRequirementsFound(FlowError):
    """A task does not say which values of the context it reads, so it may read any."""


class RunnerMissing(FlowError):
    """An activity has no runner: neither `run=` nor `tasks=` was given."""


class BaseRunner:
    """Tasks and their figures; extend it and write `execute` to run them another way.

    Attributes:
        tasks: tasks and task lists as they were given.
    """

    def __init__(self, *args: Task) -> None:
        """Run the tasks `args`."""
        self.tasks: tuple[Task, ...] = args

    def timeout(self, context: Mapping[str, Any] | None) -> int:
        """Return how long all tasks together may take.

        The sum over the tasks, as if one ran after the other whatever the runner.

        Args:
            context: what task lists choose by.

        Returns:
            Whole seconds; 0 without tasks. (The text of garcon 0.0.4 promises a string, which boto
            needed and garcon never returned.)
        """
        return sum(
            details_of(task).get("timeout", DEFAULT_TASK_TIMEOUT)
            for task in flatten(self.tasks, context)
        )

    def heartbeat(self, context: Mapping[str, Any] | None) -> int:
        """Return the largest time within which the tasks want to be heard of.

        A task that says nothing counts with its timeout.

        Args:
            context: what task lists choose by.

        Returns:
            Whole seconds; 0 without tasks.
        """
        tasks = [details_of(task) for task in flatten(self.tasks, context)]
        return max(
            (one.get("heartbeat") or one.get("timeout", DEFAULT_TASK_HEARTBEAT) for one in tasks),
            default=0,
        )

    def declared_heartbeat(self, context: Mapping[str, Any] | None) -> int | None:
        """Return the largest heartbeat that a task declares, in seconds; None if none does."""
        tasks = [details_of(task) for task in flatten(self.tasks, context)]
        return max((one["heartbeat"] for one in tasks if "heartbeat" in one), default=None)

    def requirements(self, context: Mapping[str, Any] | None) -> set[str]:
        """Return the keys of the context that the tasks read, and those that task lists looked at.

        Args:
            context: what task lists choose by.

        Raises:
            NoRunnerRequirementsFound: a task is not filled (see `task.decorate`), or a task list
                went through all of the context, so it has to be sent whole.
        """
        keys: set[str] = set()
        chosen = context is not None and any(map(is_task_list, self.tasks))
        seen = _Watched(context or {}) if chosen else context
        for task in flatten(self.tasks, seen):
            found = details_of(task).get("requirements")
            if found is None:
                raise NoRunnerRequirementsFound(
                    f"task {name_of(task)} does not say what it reads; decorate and fill it"
                )
            keys.update(found)
        if not isinstance(seen, _Watched):
            return keys
        if seen.whole:
            raise NoRunnerRequirementsFound("a task list reads the whole context")
        return keys | seen.read

    def execute(self, activity: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the tasks and return their merged results.

        Args:
            activity: what tasks get as `activity`; it has `heartbeat()`.
            context: the activity's input.

        Raises:
            NotImplementedError: always; `Sync` and `Async` say how.
        """
        raise NotImplementedError(f"{type(self).__name__} needs an execute(activity, context)")


class _Watched(dict[str, Any]):
    """A context that notes what is read of it.

    A task list chooses its tasks twice, before the input is made and where it runs: what it looks
    at has to be part of the input, or it would choose others there.

    Attributes:
        read: keys that were asked for, present or not.
        whole: whether something went through all of it.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        super().__init__(context)
        self.read: set[str] = set()
        self.whole = False

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self.whole = True
        return super().__iter__()

    def __len__(self) -> int:
        self.whole = True
        return super().__len__()

    def keys(self) -> Any:
        self.whole = True
        return super().keys()

    def values(self) -> Any:
        self.whole = True
        return super().values()

    def items(self) -> Any:
        self.whole = True
        return super().items()

    def copy(self) -> dict[str, Any]:
        self.whole = True
        return dict(super().items())


class Sync(BaseRunner):
    """Runs tasks one after the other; each sees the results of those before it."""

    def execute(self, activity: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the tasks in order; the first error ends the activity.

        A result never hides a value of the input that has the same key.

        Raises:
            ResultError: a task returned something that is no dict.
        """
        result: dict[str, Any] = {}
        for task in flatten(self.tasks, context):
            _ask_to_go_on(activity)
            result.update(result_as_dict(task, call_task(task, {**result, **context}, activity)))
        return result


class Async(BaseRunner):
    """Runs tasks side by side on threads; no task sees another one's result.

    Attributes:
        max_workers: threads at most.
    """

    def __init__(self, *args: Task, max_workers: int = 3) -> None:
        """Run the tasks `args` on at most `max_workers` threads."""
        super().__init__(*args)
        self.max_workers = max_workers

    def execute(self, activity: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the tasks; all of them end, then the first error of any is passed on.

        Results are merged in the tasks' order. The log context of the caller reaches the threads.
        Errors after the first are in the log, and noted on the one that is raised.

        Raises:
            ResultError: a task returned something that is no dict.
        """
        tasks = tuple(flatten(self.tasks, context))
        errors: list[BaseException] = []
        with ThreadPoolExecutor(self.max_workers, thread_name_prefix="garcon-task") as threads:
            # A context can be entered by one thread at a time, so each task gets its own copy.
            futures = [
                threads.submit(copy_context().run, _run_one, task, context, activity, errors)
                for task in tasks
            ]
            _beat_until_ended(futures, activity)
        if errors:
            raise _first_with_notes(errors, activity)
        result: dict[str, Any] = {}
        for future in futures:
            result.update(future.result())
        return result


class External(BaseRunner):
    """Stands for tasks that another program runs, in any language."""

    def __init__(self, timeout: int | None = None, heartbeat: int | None = None) -> None:
        """Describe the other program's work.

        Args:
            timeout: whole seconds that it may take; needed.
            heartbeat: whole seconds within which it is heard of; the timeout when not given.

        Raises:
            FlowError: no timeout.
        """
        super().__init__()
        if not timeout:
            raise FlowError("an external activity needs timeout= (seconds that it may take)")
        self._timeout_s = timeout
        self._heartbeat_s = heartbeat or timeout

    def timeout(self, context: Mapping[str, Any] | None = None) -> int:  # noqa: ARG002 - interface
        """Return the declared timeout in seconds."""
        return self._timeout_s

    def heartbeat(self, context: Mapping[str, Any] | None = None) -> int:  # noqa: ARG002 - interface
        """Return the declared heartbeat in seconds, or the timeout."""
        return self._heartbeat_s

    def declared_heartbeat(self, context: Mapping[str, Any] | None = None) -> int | None:
        """Return the heartbeat in seconds: nobody but the other program can give it."""
        return self.heartbeat(context)

    def requirements(self, context: Mapping[str, Any] | None = None) -> set[str]:  # noqa: ARG002 - interface
        """Raise NoRunnerRequirementsFound: what another program reads is unknown."""
        raise NoRunnerRequirementsFound("an external activity gets the whole context")

    def execute(self, activity: Any, context: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - interface
        """Raise FlowError: garcon does not run what another program runs."""
        raise FlowError("an external activity is run by another program, not by garcon")


def _ask_to_go_on(activity: Any) -> None:
    """Raise what a heartbeat raises where the attempt is to end.

    A pool tells its own question from those of the task: by a task that asks for nothing itself it
    is not heard before its end.
    """
    ask = getattr(activity, "checkpoint", None) or activity.heartbeat
    ask()


def _run_one(
    task: Task, context: Mapping[str, Any], activity: Any, errors: list[BaseException]
) -> dict[str, Any]:
    """Run a task; note its error where it is raised: of two that end together one is the first."""
    try:
        return result_as_dict(task, call_task(task, dict(context), activity))
    except BaseException as error:
        errors.append(error)
        raise


def _beat_until_ended(futures: list[Future[dict[str, Any]]], activity: Any) -> None:
    """Wait for the futures, with a heartbeat at the start and after each that ended."""
    open_ones = set(futures)
    try:
        while open_ones:
            _ask_to_go_on(activity)
            _, open_ones = wait(open_ones, return_when=FIRST_COMPLETED)
    finally:
        # Left early, the activity is gone at SWF: what has not begun is not begun any more.
        for future in open_ones:
            future.cancel()


def _first_with_notes(errors: list[BaseException], activity: Any) -> BaseException:
    """Return the first error, after all others have been logged and noted on it."""
    first, *others = errors
    logger = getattr(activity, "logger", None)
    for other in others:
        note = f"another task failed too: {type(other).__name__}: {other}"
        # Python 3.10 has no add_note; where there is one it writes to this very attribute.
        first.__notes__ = [*getattr(first, "__notes__", ()), note]  # type: ignore[attr-defined]
        if logger is not None:
            logger.error("%s", note, exc_info=other)
    return first

"""Activities: what a flow declares, and the workers that run them by hand.

`create(...)` binds a domain and a workflow; what it returns makes activities. An `Activity` knows
its instances and how to run one; `ActivityWorker(flow).run()` polls for them without a pool.
Nothing here decides what runs next: see `decider`. Law: importing a flow calls nobody; the client
of a flow that brings none is made when it is first used.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from garcon.deciding.search import (
    History,
    attributes_of,
    available,
    client_of,
    listed_by,
    uncomplete,
)
from garcon.declare import (
    CreateActivity,
    Generator,
    OnException,
    activity_data,
    bind,
    first_given,
    module_name,
)
from garcon.description import LOST_RETRY, SHARD_SIZE
from garcon.errors import FlowError, GeneratorError
from garcon.execution import (
    ActivityExecution,
    describe_error,
    fail_with,
    read_input,
    result_text,
    run_instance,
)
from garcon.instance import (
    ACTIVITY_COMPLETED,
    ACTIVITY_FAILED,
    ACTIVITY_SCHEDULED,
    ACTIVITY_STANDBY,
    ActivityInstance,
    ActivityInstanceNotReadyException,
    ActivityState,
    ResultAlreadySet,
    count_activity_failures,
)
from garcon.log import GarconLogger
from garcon.planning.policy import Policy
from garcon.runner import DEFAULT_TASK_HEARTBEAT, DEFAULT_TASK_TIMEOUT, BaseRunner, External
from garcon.serving import serve_once

__all__ = [
    "ACTIVITY_COMPLETED",
    "ACTIVITY_FAILED",
    "ACTIVITY_SCHEDULED",
    "ACTIVITY_STANDBY",
    "DEFAULT_ACTIVITY_SCHEDULE_TO_START",
    "DEFAULT_TASK_HEARTBEAT",
    "DEFAULT_TASK_TIMEOUT",
    "Activity",
    "ActivityExecution",
    "ActivityInstance",
    "ActivityInstanceNotReadyException",
    "ActivityState",
    "ActivityWorker",
    "ExternalActivity",
    "ResultAlreadySet",
    "count_activity_failures",
    "create",
    "describe_error",
    "find_activities",
    "find_available_activities",
    "find_uncomplete_activities",
    "find_workflow_activities",
    "result_text",
    "run_instance",
    "worker_runner",
]

#: Seconds that one instance may wait for a worker, where the flow does not say.
DEFAULT_ACTIVITY_SCHEDULE_TO_START = 600


def _polls() -> Any:
    # Imported when it is needed: boto3 costs a fifth of a second and 20 MB, and in a pool the
    # processes that have the flow never poll.
    from garcon import polls

    return polls


class Activity(GarconLogger):
    """One step of a flow: what runs, after what, how often, and in how many instances.

    Attributes:
        name: full name, `<workflow>_<activity>`: SWF's activity type.
        short_name: name within the flow.
        flow_name: name of the workflow.
        domain: SWF's domain.
        version: SWF's version of the activity type.
        task_list: SWF's task list; equals the full name.
        requires: activities that have to complete first.
        retry: further attempts after the first one failed.
        lost_retry: further attempts after a worker died under one.
        runner: runs the tasks; None where the flow forgot it.
        generators: fan the activity out into instances.
        on_exception: called with this activity and the error when an attempt fails.
        schedule_to_start_timeout: seconds that one instance may wait for a worker.
        pool_size: instances in the fan-out that was computed last; 0 before the first.
        external: whether another program runs it.
        max_procs: instances of it that one pool runs at once; None for no cap of its own.
        threads: instances of it that one worker of a pool runs at once, each on its own thread.
        shard_size: instances that one history runs; what is more runs in child executions. None
            keeps every fan-out in one history.
        decision_timeout: seconds that one decision of the workflow may take; None for the default.
        policy: delays between attempts, when failures stop the execution, and the pace.
    """

    name: str = ""
    short_name: str = ""
    flow_name: str = ""
    domain: str = ""
    version: str = "1.0"
    task_list: str | None = None
    runner: BaseRunner | None = None
    on_exception: OnException | None = None
    retry: int = 0
    lost_retry: int = LOST_RETRY
    schedule_to_start_timeout: int = DEFAULT_ACTIVITY_SCHEDULE_TO_START
    pool_size: int = 0
    external: bool = False
    max_procs: int | None = None
    threads: int = 1
    shard_size: int | None = SHARD_SIZE
    decision_timeout: int | None = None
    policy: Policy = Policy()
    requires: list[Activity] = []  # noqa: RUF012 - a default that is never changed in place
    generators: list[Generator] = []  # noqa: RUF012 - likewise
    _client: Any = None

    def __init__(self, client: Any = None, **data: Any) -> None:
        """Make an activity.

        Args:
            client: boto3's SWF client; made on first use when not given.
            data: what `hydrate` takes.
        """
        self._client = client
        self.requires, self.generators = list(self.requires), list(self.generators)
        if data:
            self.hydrate(data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or 'without a name'}>"

    @property
    def client(self) -> Any:
        """boto3's SWF client: the flow's own, or this process's for the engine of the moment.

        That one is made when first asked for, and not kept here: a local engine that has left
        meanwhile is started again, and a test may move on to its next engine.
        """
        return _polls().default_client() if self._client is None else self._client

    @client.setter
    def client(self, client: Any) -> None:
        self._client = client

    def hydrate(self, data: Mapping[str, Any]) -> None:
        """Fill the activity with what is known of it.

        What an extending class has set stays, but for version and retry that `data` gives.

        Args:
            data: any of `name short_name flow_name domain version task_list requires retry
                lost_retry max_procs threads shard_size decision_timeout policy run tasks runner
                generators on_exception schedule_to_start`.
        """
        self.pool_size = 0
        self.version = data.get("version") or self.version
        self.name = self.name or data.get("name") or ""
        self.flow_name = self.flow_name or data.get("flow_name") or ""
        self.short_name = self.short_name or data.get("short_name") or self._name_in_flow()
        self.domain = self.domain or data.get("domain") or ""
        self.task_list = self.task_list or data.get("task_list") or self.name or None
        self.requires = self.requires or list(data.get("requires") or [])
        self.generators = self.generators or list(data.get("generators") or [])
        self.runner = self.runner or first_given(data, "runner", "run", "tasks")
        for given in ("retry", "lost_retry", "max_procs", "threads", "decision_timeout", "policy"):
            if data.get(given) is not None:
                setattr(self, given, data[given])
        if "shard_size" in data:
            self.shard_size = data["shard_size"]
        self.on_exception = self.on_exception or data.get("on_exception")
        if data.get("schedule_to_start"):
            self.schedule_to_start_timeout = data["schedule_to_start"]

    def _name_in_flow(self) -> str:
        return self.name.removeprefix(f"{self.flow_name}_") if self.flow_name else self.name

    def instances(self, context: Mapping[str, Any]) -> list[ActivityInstance]:
        """Return all instances of the activity in an execution, whatever their state.

        One without generators, else one for each combination of what they yield.

        Args:
            context: the execution's context; each generator gets it.

        Raises:
            GeneratorError: a generator yields something that is no dict.
        """
        if not self.generators:
            self.pool_size = 1
            return [ActivityInstance(self, execution_context=context)]
        parts = [self._parts_of(generator, context) for generator in self.generators]
        found = [
            ActivityInstance(self, ChainMap(*reversed(choice)), context)
            for choice in itertools.product(*parts)
        ]
        self.pool_size = len(found)
        return found

    def _parts_of(
        self, generator: Generator, context: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        name = getattr(generator, "__name__", repr(generator))
        where = f"generator {name} of activity {self.short_name}"
        given: Any = generator(context)
        if not isinstance(given, Iterable):
            raise GeneratorError(f"{where} returns {type(given).__name__}; it has to yield dicts")
        parts = list(given)
        for part in parts:
            if not isinstance(part, Mapping):
                raise GeneratorError(
                    f"{where} yields {part!r:.60} ({type(part).__name__});"
                    " yield dicts such as {'day': '2026-01-01'}"
                )
        return parts

    def execute_activity(self, context: ActivityExecution | Mapping[str, Any]) -> dict[str, Any]:
        """Run the tasks and return their merged results.

        Args:
            context: the attempt (its tasks get it as `activity`), or a bare context: then they get
                this activity, and heartbeats go nowhere.

        Raises:
            RunnerMissing: the activity has no runner.
        """
        runner = ActivityInstance(self).runner
        if isinstance(context, Mapping):
            return runner.execute(self, context)
        return runner.execute(context, context.context)

    def heartbeat(self, details: str | None = None) -> None:
        """Do nothing: outside an attempt nobody waits for a sign (see `ActivityExecution`)."""

    def poll_for_activity(self, identity: str | None = None) -> ActivityExecution:
        """Wait up to a minute for one task of this activity.

        A throttled poll is repeated up to five times, after growing random pauses.

        Args:
            identity: who asks, at most 256 characters; SWF writes it into the history.

        Returns:
            The attempt; its `activity_id` is None when no task came.

        Raises:
            botocore.exceptions.ClientError: SWF refuses, or still throttles.
            FlowError: the task's input is no JSON object; the attempt is answered as failed.
        """
        task = _polls().poll_for_task(self, identity)
        token = task.get("taskToken")
        execution = ActivityExecution(self.client, task.get("activityId"), token, {})
        try:
            execution.context = read_input(task.get("input"))
        except FlowError as error:
            fail_with(execution, error)
            raise
        return execution

    def run(self, identity: str | None = None) -> bool:
        """Wait for one task and run it, telling SWF how it ended.

        Heartbeats go out while it runs. After a poll that failed it pauses, longer each time.

        Args:
            identity: see `poll_for_activity`.

        Returns:
            True, whatever happened, so that `while activity.run()` serves on; errors are in the log
            and told to `on_exception`.
        """
        return serve_once(self, identity)

    def tell_exception(self, error: BaseException) -> None:
        """Call `on_exception` with this activity and `error`; what it raises itself is logged."""
        if self.on_exception is None:
            return
        try:
            self.on_exception(self, error)
        except Exception:
            self.logger.exception("on_exception of %s failed", self.name)


class ExternalActivity(Activity):
    """An activity that another program runs, in any language; garcon schedules it.

    That program polls the task list `<workflow>_<activity>`.
    """

    external = True

    def __init__(
        self,
        client: Any = None,
        timeout: int | None = None,
        heartbeat: int | None = None,
        **data: Any,
    ) -> None:
        """Make an external activity.

        Args:
            client: boto3's SWF client; made on first use when not given.
            timeout: whole seconds that the other program may take; needed.
            heartbeat: whole seconds within which it is heard of; the timeout when not given.
            data: what `hydrate` takes.

        Raises:
            FlowError: no timeout.
        """
        if isinstance(client, int):
            # Garcon 0.0.4 has no client: ExternalActivity(timeout, heartbeat).
            client, timeout, heartbeat = None, client, timeout or heartbeat
        self.runner = External(timeout=timeout, heartbeat=heartbeat)
        super().__init__(client, **data)

    def run(self, identity: str | None = None) -> bool:  # noqa: ARG002 - as in Activity
        """Return False at once: nothing of it runs here, so its loop ends."""
        return False


class ActivityWorker:
    """Runs a flow's activities by hand, one thread for each.

    Attributes:
        flow: the flow.
        activities: all its activities.
        worker_activities: names of those to run; None or empty means all.
    """

    def __init__(self, flow: Any, activities: Iterable[str] | None = None) -> None:
        """Serve `flow`; its activities that have no client get the one that the flow brings.

        Args:
            flow: a module or object with activities.
            activities: names, full or short, of those to serve; the rest is left to others.
        """
        self.flow = flow
        self.activities = find_workflow_activities(flow)
        self.worker_activities = list(activities) if activities else None
        client = client_of(flow, self.activities)
        for activity in self.activities:
            # One flow is at one engine, also where only part of it was given a client.
            activity._client = activity._client or client

    def run(self) -> None:
        """Start the threads and return; they run until the process ends."""
        for activity in self.activities:
            if self._is_served(activity):
                threading.Thread(
                    target=worker_runner, args=(activity,), name=f"garcon-{activity.name}"
                ).start()

    def _is_served(self, activity: Activity) -> bool:
        wanted = self.worker_activities
        return not wanted or activity.name in wanted or activity.short_name in wanted


def worker_runner(worker: Any) -> None:
    """Call `worker.run()` until it returns something false."""
    while worker.run():
        pass


@overload
def create(
    domain: str,
    name: str | None = None,
    version: str = "1.0",
    on_exception: OnException | None = None,
    *,
    decision_timeout: int | None = None,
) -> CreateActivity: ...


@overload
def create(
    client: Any,
    domain: str,
    workflow_name: str | None = None,
    version: str = "1.0",
    on_exception: OnException | None = None,
    *,
    decision_timeout: int | None = None,
) -> CreateActivity: ...


def create(*args: Any, **kwargs: Any) -> CreateActivity:
    """Bind a workflow; the function that comes back makes its activities.

    Two forms: `create(domain, name=None, version='1.0', on_exception=None)`, and with a boto3 SWF
    client in front `create(client, domain, workflow_name, version='1.0', on_exception=None)`.
    Without a name the workflow is called like the last part of the calling module. Both take
    `decision_timeout`, the seconds that a decision with its generators may take (30).

    What comes back takes keywords: `name`; `run` (or `tasks`), a runner; `requires`, activities;
    `retry` and `lost_retry`, further attempts after a failure or the death of a worker;
    `max_procs`, instances of it that one pool runs at once; `threads`, instances that one worker
    runs at once, for tasks that wait for others most of their time; `shard_size`, instances from
    which a fan-out runs in child executions of so many each (1,000), None for never;
    `generators` (or `generator`); `schedule_to_start`, seconds; `on_exception(activity, error)`;
    `external=True` with `timeout` and `heartbeat` in seconds; `retry_delay`, `retry_backoff`,
    `retry_max_delay`, `no_retry`, `fail_fast`, `max_failures`, `max_open` and `rate` as
    `policy.read_policy` says.

    Raises:
        FlowError: an unknown keyword, or one that does not fit; here and in what comes back.
    """
    bound = bind(args, kwargs)
    flow_name = bound.name or module_name(sys._getframe(1).f_globals)

    def create_activity(**options: Any) -> Activity:
        data = activity_data(bound, flow_name, options)
        if not options.get("external"):
            return Activity(bound.client, **data)
        return ExternalActivity(
            bound.client, options.get("timeout"), options.get("heartbeat"), **data
        )

    return create_activity


def find_workflow_activities(flow: Any) -> list[Activity]:
    """Return all activities of a flow, in the order in which it declares them.

    They are the attributes that are activities (a property may build one at each access), and those
    of other names that the flow's `activities` lists.
    """
    found = [one for one in attributes_of(flow) if isinstance(one, Activity)]
    declared = list({id(one): one for one in found}.values())
    names = {one.name for one in declared}
    return declared + [one for one in listed_by(flow, Activity) if one.name not in names]


def find_activities(flow: Any, context: Mapping[str, Any]) -> list[ActivityInstance]:
    """Return all instances of all activities of a flow, whatever their state.

    Args:
        flow: the flow.
        context: the execution's context, which the generators get.
    """
    return [
        one for activity in find_workflow_activities(flow) for one in activity.instances(context)
    ]


def find_available_activities(
    flow: Any, history: History, context: Mapping[str, Any]
) -> Iterator[ActivityInstance]:
    """Yield the instances that are to be scheduled now.

    Those that are not under way, and whose activity's requirements have completed with every one of
    their instances; failed ones again while retries are left.

    Args:
        flow: the flow.
        history: for each activity's full name its instances' states by id (see `event`).
        context: the execution's context.

    Raises:
        DecisionError: an instance has used up its retries.
    """
    return available(find_workflow_activities(flow), history, context)


def find_uncomplete_activities(
    flow: Any, history: History, context: Mapping[str, Any]
) -> Iterator[ActivityInstance]:
    """Yield the instances that have not completed; takes what `find_available_activities` takes."""
    return uncomplete(find_workflow_activities(flow), history, context)

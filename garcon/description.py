"""What the rest of garcon knows of a flow without importing it.

The supervisor never imports the flow and the planner is pure, so both work from this description,
which the zygote makes with `garcon.flow.describe` and sends as JSON. Pure. Law: it holds names and
numbers only; generators, tasks and custom deciders stay in the processes that have the flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Default bounds that every start and decision passes on, in seconds.
EXECUTION_TIMEOUT_S = 30 * 24 * 3600
DECISION_TIMEOUT_S = 30

#: What a task has that declares nothing, in seconds; the pool beats for it.
HEARTBEAT_S = 60
START_TO_CLOSE_S = 600

#: How further attempts are put off: none for the first, twice as long each time, an hour at most.
RETRY_DELAY_S = 0.0
RETRY_BACKOFF = 2.0
RETRY_MAX_DELAY_S = 3600.0

#: Instances that one worker may run at once: beyond it a second worker serves better.
THREADS_MAX = 64

#: How often an instance may lose its worker before it counts as killing workers.
LOST_RETRY = 3

#: Instances that an execution runs itself, and that one shard runs.
SHARD_SIZE = 1_000

#: What the names of a flow's shards and of their task list end with.
SHARD_TYPE_SUFFIX = ".shard"
SHARD_LIST_SUFFIX = ".shards"


@dataclass(frozen=True)
class ActivityDescription:
    """One declared step.

    Attributes:
        name: the name in the flow, such as `country_day`.
        type_name: SWF's activity type, `<flow>_<name>`.
        version: SWF's version of that type.
        task_list: where its tasks wait; equals `type_name`.
        requires: names of the activities that have to complete first.
        generators: how many generators fan it out; 0 means one single instance.
        external: whether another program serves its tasks.
        retry: further attempts after the first failure.
        lost_retry: further attempts after a worker died under it.
        heartbeat_s: seconds within which SWF wants to hear of a task, as the flow declares it;
            a task list that depends on the context may ask for another value.
        start_to_close_s: seconds one attempt may take, likewise.
        retry_delay_s: seconds from a failure until the next attempt; 0 for at once.
        retry_backoff: by how much the delay grows with each failure.
        retry_max_delay_s: the longest delay, seconds.
        no_retry: names of error classes, or of bases of them, that get no further attempt.
        fail_fast: whether one failed instance stops the execution.
        max_failures: failed instances above which the execution stops, a number or a share of the
            whole manifest such as `5%`; None lets all others run to their end.
        max_open: instances that may be scheduled or running at once in an execution.
        rate_per_s: instances that may be scheduled a second in an execution.
        max_procs: instances that one pool runs at once; None for as many as it has workers.
        threads: instances that one worker runs at once, each on a thread of its own.
        shard_size: instances of one shard, and of all that an execution runs itself; what is more
            runs in child executions. None keeps every fan-out in one history.
    """

    name: str
    type_name: str
    version: str
    task_list: str
    requires: tuple[str, ...] = ()
    generators: int = 0
    external: bool = False
    retry: int = 0
    lost_retry: int = LOST_RETRY
    heartbeat_s: int = HEARTBEAT_S
    start_to_close_s: int = START_TO_CLOSE_S
    retry_delay_s: float = RETRY_DELAY_S
    retry_backoff: float = RETRY_BACKOFF
    retry_max_delay_s: float = RETRY_MAX_DELAY_S
    no_retry: tuple[str, ...] = ()
    fail_fast: bool = False
    max_failures: int | str | None = None
    max_open: int | None = None
    rate_per_s: float | None = None
    max_procs: int | None = None
    threads: int = 1
    shard_size: int | None = SHARD_SIZE

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ActivityDescription:
        """Return the description that `dataclasses.asdict` wrote as `data`."""
        lists = {name: tuple(data.get(name, ())) for name in ("requires", "no_retry")}
        return cls(**{**data, **lists})


@dataclass(frozen=True)
class FlowDescription:
    """A flow's names and numbers.

    Attributes:
        domain: SWF's domain.
        name: SWF's workflow type, and the task list of its deciders.
        version: SWF's version of the workflow type.
        activities: in the order in which the flow declares them.
        custom_decider: whether the flow has a `decider` of its own.
        execution_timeout_s: bound of a whole execution, seconds.
        decision_timeout_s: bound of one decision, seconds.
        client_endpoint: endpoint of the flow's own boto3 client, where it has one.
        client_region: region of that client.
    """

    domain: str
    name: str
    version: str
    activities: tuple[ActivityDescription, ...]
    custom_decider: bool = False
    execution_timeout_s: int = EXECUTION_TIMEOUT_S
    decision_timeout_s: int = DECISION_TIMEOUT_S
    client_endpoint: str | None = None
    client_region: str | None = None

    @property
    def task_list(self) -> str:
        """Task list that deciders of this flow poll."""
        return self.name

    @property
    def shard_type(self) -> str:
        """Workflow type of the child executions that run slices of a large fan-out."""
        return self.name + SHARD_TYPE_SUFFIX

    @property
    def shard_list(self) -> str:
        """Task list that deciders of those child executions poll."""
        return self.name + SHARD_LIST_SUFFIX

    def activity(self, name: str) -> ActivityDescription | None:
        """Return the activity of this name, None where the flow has none."""
        return next((one for one in self.activities if one.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` turns back into an equal description."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FlowDescription:
        """Return the description that `to_json` wrote as `data`."""
        activities = tuple(ActivityDescription.from_json(one) for one in data["activities"])
        return cls(**{**data, "activities": activities})

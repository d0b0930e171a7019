"""What the rest of garcon knows of a flow without importing it.

The supervisor never imports the flow and the planner is pure, so both work from this description,
which the zygote makes with `garcon.flow.describe` and sends as JSON. It holds names and numbers
only; generators, tasks and custom deciders stay in the processes that have the flow.
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

#: How often an instance may lose its worker before it counts as killing workers.
LOST_RETRY = 3


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

    def activity(self, name: str) -> ActivityDescription | None:
        """Return the activity of this name, None where the flow has none."""
        return next((one for one in self.activities if one.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` turns back into an equal description."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FlowDescription:
        """Return the description that `to_json` wrote as `data`."""
        activities = tuple(
            ActivityDescription(**{**one, "requires": tuple(one["requires"])})
            for one in data["activities"]
        )
        return cls(**{**data, "activities": activities})

"""The 39 operations by name, and how each is run.

What it never does: anything itself. Its one law: what changes something goes through the kernel's
next batch; what only reads is answered from what is kept, at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from garcon.engine.service import registration, runs, tasks, visibility
from garcon.engine.service.batch import Batch
from garcon.engine.service.kernel import Kernel
from garcon.engine.service.tasks import Call

Given = dict[str, Any]
# A JSON text, a value to encode, or None for the operations without a result.
Answer = Any
Operation = Callable[[Kernel, Given, Call], Awaitable[Answer]]


def _write(act: Callable[..., Any], **fixed: Any) -> Operation:
    """An operation that changes something."""

    def run(kernel: Kernel, given: Given, _call: Call) -> Awaitable[Answer]:
        def bound(batch: Batch) -> Any:
            return act(batch, given, **fixed)

        return kernel.submit(bound)

    return run


def _read(look: Callable[[Kernel, Given], Answer]) -> Operation:
    """An operation that only reads."""

    async def run(kernel: Kernel, given: Given, _call: Call) -> Answer:
        return look(kernel, given)

    return run


def _world(look: Callable[..., Answer], **fixed: Any) -> Operation:
    return _read(lambda kernel, given: look(kernel.world, given, **fixed))


def _dated(look: Callable[..., Answer], **fixed: Any) -> Operation:
    return _read(
        lambda kernel, given: look(kernel.world, given, now_ms=kernel.clock.now_ms(), **fixed)
    )


def _types(kind: str) -> dict[str, Operation]:
    """The six operations that both kinds of type have."""
    return {
        f"Register{kind}": _write(registration.register_type, kind=kind),
        f"Deprecate{kind}": _write(registration.deprecate_type, kind=kind),
        f"Undeprecate{kind}": _write(registration.undeprecate_type, kind=kind),
        f"Delete{kind}": _write(registration.delete_type, kind=kind),
        f"Describe{kind}": _world(registration.describe_type, kind=kind),
        f"List{kind}s": _dated(registration.list_types, kind=kind),
    }


OPERATIONS: Final[dict[str, Operation]] = {
    "RegisterDomain": _write(registration.register_domain),
    "DeprecateDomain": _write(registration.deprecate_domain),
    "UndeprecateDomain": _write(registration.undeprecate_domain),
    "DescribeDomain": _world(registration.describe_domain),
    "ListDomains": _dated(registration.list_domains),
    "TagResource": _write(registration.tag_resource),
    "UntagResource": _write(registration.untag_resource),
    "ListTagsForResource": _world(registration.list_tags),
    **_types("ActivityType"),
    **_types("WorkflowType"),
    "StartWorkflowExecution": _write(runs.start),
    "SignalWorkflowExecution": _write(runs.signal),
    "RequestCancelWorkflowExecution": _write(runs.request_cancel),
    "TerminateWorkflowExecution": _write(runs.terminate),
    "DescribeWorkflowExecution": _world(runs.describe),
    "GetWorkflowExecutionHistory": _dated(runs.history),
    "ListOpenWorkflowExecutions": _dated(visibility.list_open),
    "ListClosedWorkflowExecutions": _dated(visibility.list_closed),
    "CountOpenWorkflowExecutions": _world(visibility.count_open),
    "CountClosedWorkflowExecutions": _world(visibility.count_closed),
    "CountPendingActivityTasks": _read(partial(tasks.count_pending, kind="activity")),
    "CountPendingDecisionTasks": _read(partial(tasks.count_pending, kind="decision")),
    "PollForActivityTask": tasks.poll_activity,
    "PollForDecisionTask": tasks.poll_decision,
    "RecordActivityTaskHeartbeat": _write(tasks.beat),
    "RespondActivityTaskCompleted": _write(tasks.complete_activity),
    "RespondActivityTaskFailed": _write(tasks.fail_activity),
    "RespondActivityTaskCanceled": _write(tasks.cancel_activity),
    "RespondDecisionTaskCompleted": _write(tasks.complete_decision),
}

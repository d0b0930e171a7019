"""The times of one instance where the flow's description cannot know them.

A task list chooses its tasks by the context, and so heartbeat and timeout; the decider told SWF
what follows from it, and the worker tells its supervisor. Law: what does not depend on a context
is not computed again for each task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from garcon.activity import Activity
from garcon.instance import ActivityInstance
from garcon.runner import Async, External, Sync
from garcon.task import is_task_list

#: Runners whose times follow from their tasks alone.
_PLAIN = (Sync, Async, External)


def own_times(activity: Activity, context: Mapping[str, Any]) -> dict[str, int]:
    """Return `heartbeat_s` and `start_to_close_s` of an instance if they depend on its context.

    Args:
        activity: the activity.
        context: the instance's input.
    Returns:
        Whole seconds; empty where the description says all.
    """
    instance = ActivityInstance(activity, execution_context=context)
    runner = instance.runner
    if type(runner) in _PLAIN and not any(is_task_list(one) for one in runner.tasks):
        return {}
    return {"heartbeat_s": instance.heartbeat_timeout, "start_to_close_s": instance.timeout}

"""One turn of an activity that is run by hand: a poll, the task, its answer.

What `Activity.run` does. It decides nothing and ends no loop: whatever goes wrong is told, to the
log and to the activity's `on_exception`, and the next turn may go better. Law: a task that came is
answered, if SWF still takes an answer.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from garcon.errors import ActivityCanceled
from garcon.execution import ActivityExecution, beating, fail_with, one_line, run_instance
from garcon.instance import ActivityInstance

if TYPE_CHECKING:
    from garcon.activity import Activity

#: Longest pause after polls that fail one after the other, seconds.
POLL_PAUSE_MAX_S = 30.0

#: A heartbeat goes out this many times within the time in which SWF wants one.
BEATS = 3

#: Polls of each activity that failed since its last good one.
_failed_polls: WeakKeyDictionary[Activity, int] = WeakKeyDictionary()


def serve_once(activity: Activity, identity: str | None = None) -> bool:
    """Wait for one task of `activity`, run it and answer; return True, whatever happened.

    Heartbeats go out while the task runs. A poll that failed is followed by a random pause, longer
    each time.
    """
    try:
        execution = activity.poll_for_activity(identity)
    except Exception as error:
        _log_and_tell(activity, "poll failed", error)
        failed = _failed_polls[activity] = _failed_polls.get(activity, 0) + 1
        time.sleep(random.uniform(0, min(POLL_PAUSE_MAX_S, 2.0 ** min(failed, 16) / 2)))
        return True
    _failed_polls.pop(activity, None)
    if execution.activity_id:
        _serve(activity, execution)
    return True


def _serve(activity: Activity, execution: ActivityExecution) -> None:
    activity.set_log_context(execution.context)
    try:
        with beating(execution, _beat_every_s(activity, execution)):
            text = run_instance(activity, execution)
        if not execution.answered:
            execution.complete(text)
    except ActivityCanceled as over:
        activity.logger.warning("%s ended: %s", execution.activity_id, over)
    except Exception as error:
        activity.logger.exception("%s failed: %s", execution.activity_id, one_line(error))
        _answer_failed(activity, execution, error)
    finally:
        activity.unset_log_context()


def _beat_every_s(activity: Activity, execution: ActivityExecution) -> float:
    return ActivityInstance(activity, execution.context).heartbeat_timeout / BEATS


def _answer_failed(activity: Activity, execution: ActivityExecution, error: Exception) -> None:
    if execution.answered:
        return
    try:
        fail_with(execution, error)
    except Exception as refused:
        # The attempt timed out or its execution closed: SWF has no use for the answer.
        _log_and_tell(activity, f"{execution.activity_id}: no answer possible", refused)


def _log_and_tell(activity: Activity, what: str, error: Exception) -> None:
    activity.logger.error("%s: %s", what, one_line(error), exc_info=error)
    activity.tell_exception(error)

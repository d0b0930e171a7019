"""Token buckets: SWF's rates as a table and the arithmetic of one bucket.

What it never does: look at a clock. Its one law: a bucket refills evenly and never holds more than
its size.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Rate(NamedTuple):
    """A bucket's size and its refill per second."""

    size: float
    refill: float


class Level(NamedTuple):
    """How full a bucket was, and when."""

    tokens: float
    at_ms: int


# Per account and region: operations, then decisions ("Amazon SWF quotas", throttling).
AWS_RATES: Final[dict[str, Rate]] = {
    name: Rate(size, refill)
    for names, size, refill in (
        ("CountClosedWorkflowExecutions CountOpenWorkflowExecutions", 2000, 6),
        ("CountPendingActivityTasks CountPendingDecisionTasks", 200, 6),
        ("DeleteActivityType DeleteWorkflowType", 200, 6),
        ("DeprecateActivityType DeprecateWorkflowType", 200, 6),
        ("UndeprecateActivityType UndeprecateWorkflowType", 200, 6),
        ("DeprecateDomain UndeprecateDomain ListDomains RegisterDomain", 100, 6),
        ("DescribeActivityType DescribeWorkflowType DescribeWorkflowExecution", 2000, 6),
        ("DescribeDomain ListActivityTypes ListWorkflowTypes", 200, 6),
        ("ListClosedWorkflowExecutions", 200, 6),
        ("ListOpenWorkflowExecutions", 200, 48),
        ("GetWorkflowExecutionHistory TerminateWorkflowExecution", 2000, 60),
        ("PollForActivityTask PollForDecisionTask", 2000, 200),
        ("RecordActivityTaskHeartbeat", 2000, 160),
        ("RespondActivityTaskCompleted RespondActivityTaskFailed", 2000, 200),
        ("RespondActivityTaskCanceled RespondDecisionTaskCompleted", 2000, 200),
        ("StartWorkflowExecution", 2000, 200),
        ("SignalWorkflowExecution RequestCancelWorkflowExecution", 2000, 30),
        ("RegisterActivityType RegisterWorkflowType", 200, 60),
        ("TagResource UntagResource ListTagsForResource", 50, 30),
        ("ScheduleActivityTask", 1000, 200),
        ("StartTimer", 2000, 200),
        ("StartChildWorkflowExecution", 500, 12),
        ("SignalExternalWorkflowExecution RequestCancelExternalWorkflowExecution", 1200, 120),
        ("TasksPerTaskList", 2000, 2000),
    )
    for name in names.split()
}

# The rate in the table that holds for each task list by itself: activity tasks scheduled into it.
PER_TASK_LIST: Final = "TasksPerTaskList"

# Per execution; AWS does not raise these.
EXECUTION_RATES: Final[dict[str, Rate]] = {
    "GetWorkflowExecutionHistory": Rate(400, 200),
    "SignalWorkflowExecution": Rate(1000, 1000),
    "RecordActivityTaskHeartbeat": Rate(1000, 1000),
    "RequestCancelWorkflowExecution": Rate(200, 200),
}


def refilled(rate: Rate, level: Level | None, now_ms: int) -> Level:
    """The level at an instant; a bucket not seen before is full."""
    if level is None:
        return Level(rate.size, now_ms)
    gained = (now_ms - level.at_ms) / 1000 * rate.refill
    return Level(min(rate.size, level.tokens + gained), now_ms)


def take(rate: Rate, level: Level | None, now_ms: int) -> tuple[Level, bool]:
    """Take one token if there is one: the new level, and whether there was."""
    full = refilled(rate, level, now_ms)
    if full.tokens < 1:
        return full, False
    return Level(full.tokens - 1, now_ms), True

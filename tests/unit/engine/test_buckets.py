"""Token buckets: the arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garcon.engine.core.buckets import AWS_RATES, EXECUTION_RATES, PER_TASK_LIST, Level, Rate, take
from garcon.engine.core.tables import DECISIONS
from garcon.engine.service.operations import OPERATIONS


def test_a_new_bucket_is_full_and_an_empty_one_refuses() -> None:
    """Size tokens at once, then none."""
    level: Level | None = None
    taken = []
    for _ in range(4):
        level, ok = take(Rate(3, 1), level, 0)
        taken.append(ok)
    assert taken == [True, True, True, False]


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=50))
def test_no_more_leaves_a_bucket_than_its_size_and_its_refill(pauses_ms: list[int]) -> None:
    """Whatever the pattern of calls."""
    rate, level, now_ms, taken = Rate(5, 2), None, 0, 0
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        level, ok = take(rate, level, now_ms)
        taken += ok
        assert 0 <= level.tokens <= rate.size
    assert taken <= rate.size + now_ms / 1000 * rate.refill + 1e-6


def test_every_rate_belongs_to_an_operation_or_a_decision() -> None:
    """Or to task lists; and every operation has one."""
    assert set(AWS_RATES) <= set(OPERATIONS) | set(DECISIONS) | {PER_TASK_LIST}
    assert set(OPERATIONS) <= set(AWS_RATES)
    assert set(EXECUTION_RATES) <= set(OPERATIONS)


#: "Amazon SWF quotas", throttling: bucket / refill per second, and what they are of.
QUOTAS = """
2000/6 CountClosedWorkflowExecutions CountOpenWorkflowExecutions DescribeActivityType
2000/6 DescribeWorkflowType DescribeWorkflowExecution
200/6 CountPendingActivityTasks CountPendingDecisionTasks DeleteActivityType DeleteWorkflowType
200/6 DeprecateActivityType DeprecateWorkflowType UndeprecateActivityType UndeprecateWorkflowType
200/6 DescribeDomain ListActivityTypes ListWorkflowTypes ListClosedWorkflowExecutions
100/6 DeprecateDomain UndeprecateDomain ListDomains RegisterDomain
200/48 ListOpenWorkflowExecutions
2000/60 GetWorkflowExecutionHistory TerminateWorkflowExecution
2000/200 PollForActivityTask PollForDecisionTask RespondActivityTaskCompleted
2000/200 RespondActivityTaskFailed RespondActivityTaskCanceled RespondDecisionTaskCompleted
2000/200 StartWorkflowExecution StartTimer
2000/160 RecordActivityTaskHeartbeat
2000/30 SignalWorkflowExecution RequestCancelWorkflowExecution
200/60 RegisterActivityType RegisterWorkflowType
50/30 TagResource UntagResource ListTagsForResource
1000/200 ScheduleActivityTask
500/12 StartChildWorkflowExecution
1200/120 SignalExternalWorkflowExecution RequestCancelExternalWorkflowExecution
2000/2000 TasksPerTaskList
"""


def test_the_rates_are_those_that_aws_publishes() -> None:
    """Each of them, and none beside them."""
    published = {
        name: Rate(*map(float, line.split()[0].split("/")))
        for line in QUOTAS.strip().splitlines()
        for name in line.split()[1:]
    }
    assert published == AWS_RATES

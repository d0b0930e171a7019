"""SWF's rules that are tables: events, decisions, closings, quotas.

What it never does: decide anything. Its one law: a rule that can be a row stands here and nowhere
else, so that reading this file is reading what the engine knows about SWF.
"""

from __future__ import annotations

from typing import Final

# The 54 events; True: the event makes the service schedule a decision task when none is pending.
EVENTS: Final[dict[str, bool]] = {
    "WorkflowExecutionStarted": True,
    "WorkflowExecutionSignaled": True,
    "WorkflowExecutionCancelRequested": True,
    "WorkflowExecutionCompleted": False,
    "WorkflowExecutionFailed": False,
    "WorkflowExecutionCanceled": False,
    "WorkflowExecutionContinuedAsNew": False,
    "WorkflowExecutionTimedOut": False,
    "WorkflowExecutionTerminated": False,
    "CompleteWorkflowExecutionFailed": True,
    "FailWorkflowExecutionFailed": True,
    "CancelWorkflowExecutionFailed": True,
    "ContinueAsNewWorkflowExecutionFailed": True,
    "DecisionTaskScheduled": False,
    "DecisionTaskStarted": False,
    "DecisionTaskCompleted": False,
    "DecisionTaskTimedOut": True,
    "ActivityTaskScheduled": False,
    "ActivityTaskStarted": False,
    "ActivityTaskCompleted": True,
    "ActivityTaskFailed": True,
    "ActivityTaskTimedOut": True,
    "ActivityTaskCanceled": True,
    "ActivityTaskCancelRequested": False,
    "ScheduleActivityTaskFailed": True,
    "RequestCancelActivityTaskFailed": True,
    "TimerStarted": False,
    "TimerFired": True,
    "TimerCanceled": False,
    "StartTimerFailed": True,
    "CancelTimerFailed": True,
    "MarkerRecorded": False,
    "RecordMarkerFailed": True,
    "StartChildWorkflowExecutionInitiated": False,
    "StartChildWorkflowExecutionFailed": True,
    "ChildWorkflowExecutionStarted": True,
    "ChildWorkflowExecutionCompleted": True,
    "ChildWorkflowExecutionFailed": True,
    "ChildWorkflowExecutionTimedOut": True,
    "ChildWorkflowExecutionCanceled": True,
    "ChildWorkflowExecutionTerminated": True,
    "SignalExternalWorkflowExecutionInitiated": False,
    "ExternalWorkflowExecutionSignaled": True,
    "SignalExternalWorkflowExecutionFailed": True,
    "RequestCancelExternalWorkflowExecutionInitiated": False,
    "ExternalWorkflowExecutionCancelRequested": True,
    "RequestCancelExternalWorkflowExecutionFailed": True,
    "LambdaFunctionScheduled": False,
    "LambdaFunctionStarted": False,
    "LambdaFunctionCompleted": True,
    "LambdaFunctionFailed": True,
    "LambdaFunctionTimedOut": True,
    "ScheduleLambdaFunctionFailed": True,
    "StartLambdaFunctionFailed": True,
}

WAKING: Final = frozenset(name for name, wakes in EVENTS.items() if wakes)

# The member of an event that holds its attributes.
ATTRIBUTES: Final = {name: f"{name[0].lower()}{name[1:]}EventAttributes" for name in EVENTS}

# Closing event -> status shown by the visibility calls.
CLOSING: Final = {
    "WorkflowExecutionCompleted": "COMPLETED",
    "WorkflowExecutionFailed": "FAILED",
    "WorkflowExecutionCanceled": "CANCELED",
    "WorkflowExecutionTerminated": "TERMINATED",
    "WorkflowExecutionContinuedAsNew": "CONTINUED_AS_NEW",
    "WorkflowExecutionTimedOut": "TIMED_OUT",
}

# Status of a closed child -> the event its parent gets. A continued child is still the child.
CHILD_EVENTS: Final = {
    "COMPLETED": "ChildWorkflowExecutionCompleted",
    "FAILED": "ChildWorkflowExecutionFailed",
    "CANCELED": "ChildWorkflowExecutionCanceled",
    "TERMINATED": "ChildWorkflowExecutionTerminated",
    "TIMED_OUT": "ChildWorkflowExecutionTimedOut",
}

# The 13 decisions, in the order in which the service itself lists them in its messages.
DECISIONS: Final = (
    "CompleteWorkflowExecution",
    "StartTimer",
    "RequestCancelExternalWorkflowExecution",
    "SignalExternalWorkflowExecution",
    "CancelTimer",
    "RecordMarker",
    "ScheduleActivityTask",
    "ContinueAsNewWorkflowExecution",
    "ScheduleLambdaFunction",
    "FailWorkflowExecution",
    "RequestCancelActivityTask",
    "StartChildWorkflowExecution",
    "CancelWorkflowExecution",
)

DECISION_ATTRIBUTES: Final = {
    name: f"{name[0].lower()}{name[1:]}DecisionAttributes" for name in DECISIONS
}

CLOSING_DECISIONS: Final = frozenset(
    {
        "CompleteWorkflowExecution",
        "FailWorkflowExecution",
        "CancelWorkflowExecution",
        "ContinueAsNewWorkflowExecution",
    }
)

# Decisions that must carry attributes; the closing ones may come bare.
BARE_DECISIONS: Final = CLOSING_DECISIONS

# Start values in the order in which the service looks for them: request member, type default, and
# the cause (behind DEFAULT_, before _UNDEFINED) when neither is there.
START_DEFAULTS: Final = (
    (
        "executionStartToCloseTimeout",
        "defaultExecutionStartToCloseTimeout",
        "EXECUTION_START_TO_CLOSE_TIMEOUT",
    ),
    ("taskList", "defaultTaskList", "TASK_LIST"),
    ("taskStartToCloseTimeout", "defaultTaskStartToCloseTimeout", "TASK_START_TO_CLOSE_TIMEOUT"),
    ("childPolicy", "defaultChildPolicy", "CHILD_POLICY"),
)

# The same for activities.
ACTIVITY_DEFAULTS: Final = (
    ("taskList", "defaultTaskList", "TASK_LIST"),
    ("scheduleToStartTimeout", "defaultTaskScheduleToStartTimeout", "SCHEDULE_TO_START_TIMEOUT"),
    ("scheduleToCloseTimeout", "defaultTaskScheduleToCloseTimeout", "SCHEDULE_TO_CLOSE_TIMEOUT"),
    ("startToCloseTimeout", "defaultTaskStartToCloseTimeout", "START_TO_CLOSE_TIMEOUT"),
    ("heartbeatTimeout", "defaultTaskHeartbeatTimeout", "HEARTBEAT_TIMEOUT"),
)

# Quotas that always hold ("Amazon SWF quotas").
MAX_HISTORY_EVENTS: Final = 25_000
MAX_OPEN_ACTIVITIES: Final = 1_000
MAX_OPEN_TIMERS: Final = 1_000
MAX_OPEN_CHILDREN: Final = 1_000
MAX_OPEN_LAMBDAS: Final = 1_000  # no figure is published; the activities' one is taken
MAX_OPEN_EXECUTIONS: Final = 100_000
MAX_DOMAINS: Final = 100
MAX_TYPES: Final = 10_000
MAX_POLLERS: Final = 1_000
MAX_DOMAIN_TAGS: Final = 50
MAX_PAGE: Final = 1_000
MAX_RUN_S: Final = 31_622_400  # one year, a leap year's length
MAX_LAMBDA_S: Final = 900
PAGE_TOKEN_LIFE_MS: Final = 86_400_000

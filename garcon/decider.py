"""The decider: what a flow's executions do next."""

from __future__ import annotations

from garcon.customdecider import ActivityFailedError, ScheduleContext, ensure_requirements
from garcon.flowdecider import Answer, FlowDecider
from garcon.kept import DecisionTask

__all__ = [
    "ActivityFailedError",
    "Answer",
    "DecisionTask",
    "FlowDecider",
    "ScheduleContext",
    "ensure_requirements",
]

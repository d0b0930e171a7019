"""The settings of a new run: from the request, else from its type's defaults.

What it never does: start anything.
"""

from __future__ import annotations

from typing import Any

from garcon.engine.core.draft import parse_duration
from garcon.engine.core.model import REGISTERED, Profile, TypeRecord
from garcon.engine.core.tables import START_DEFAULTS


def type_cause(record: TypeRecord | None) -> str | None:
    """Why a workflow type cannot be started."""
    if record is None:
        return "WORKFLOW_TYPE_DOES_NOT_EXIST"
    return None if record.status == REGISTERED else "WORKFLOW_TYPE_DEPRECATED"


def start_cause(
    given: dict[str, Any], record: TypeRecord | None, settings: dict[str, Any]
) -> str | None:
    """Why a run cannot be configured; fills ``settings`` with the effective values."""
    defaults = record.defaults if record else {}
    for member, default, cause in START_DEFAULTS:
        value = given.get(member, defaults.get(default))
        if value is None:
            return f"DEFAULT_{cause}_UNDEFINED"
        settings[member] = value
    return None


def make_profile(
    domain: str,
    workflow_id: str,
    run_id: str,
    name: str,
    version: str,
    settings: dict[str, Any],
) -> Profile:
    """A profile from effective start values; its start time is set when it starts."""
    return Profile(
        domain=domain,
        workflow_id=workflow_id,
        run_id=run_id,
        name=name,
        version=version,
        task_list=settings["taskList"]["name"],
        priority=None,
        task_timeout_s=parse_duration(settings["taskStartToCloseTimeout"]),
        run_timeout_s=int(settings["executionStartToCloseTimeout"]),
        child_policy=settings["childPolicy"],
        lambda_role=None,
        tags=(),
        start_ms=0,
        parent_key=0,
        parent_workflow_id=None,
        parent_run_id=None,
        parent_initiated_id=0,
    )

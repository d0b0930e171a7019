"""Registration of a flow's domain and types, before the first poll.

Types are registered without defaults: every start and every decision passes all values, so a type
that somebody registered earlier, with whatever defaults, behaves the same. What exists already is
accepted, what is deprecated is told: SWF would refuse each start or decision later, one by one.

Law: blocking boto3, so it belongs in the helper thread; nothing here is repeated but by boto3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import botocore.exceptions
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from garcon.description import FlowDescription
from garcon.errors import EngineError, EngineUnreachable, GarconError

if TYPE_CHECKING:
    from mypy_boto3_swf import SWFClient

#: Days for which closed executions are kept: SWF's longest on AWS, a month in a local file.
RETENTION_DAYS = {"aws": 90, "url": 90, "local": 30}

_EXISTS = frozenset({"DomainAlreadyExistsFault", "TypeAlreadyExistsFault"})


def ensure_types(
    client: SWFClient, flow: FlowDescription, *, retention_days: int = 90
) -> list[str]:
    """Register what the flow needs and the engine does not have yet.

    Args:
        client: of the engine.
        flow: whose domain, workflow type and activity types.
        retention_days: for a domain that is new.
    Returns:
        What was new, in words, for the log.
    Raises:
        EngineError: something is deprecated, or the engine refuses; with the mend.
        EngineUnreachable: no answer came.
    """
    made = []
    period = {"workflowExecutionRetentionPeriodInDays": str(retention_days)}
    if _made(client.register_domain, name=flow.domain, **period):
        made.append(f"domain {flow.domain}")
    else:
        _check_domain(client, flow.domain)
    for name in (flow.name, flow.shard_type):
        made += _workflow_type(client, flow.domain, name, flow.version)
    for activity in flow.activities:
        made += _activity_type(client, flow.domain, activity.type_name, activity.version)
    return made


def _workflow_type(client: SWFClient, domain: str, type_name: str, version: str) -> list[str]:
    name = f"workflow type {type_name} {version}"
    if _made(client.register_workflow_type, domain=domain, name=type_name, version=version):
        return [name]
    kind = {"name": type_name, "version": version}
    found = _called(client.describe_workflow_type, domain=domain, workflowType=kind)
    _refuse_deprecated(found["typeInfo"], name, domain, "undeprecate-workflow-type")
    return []


def _activity_type(client: SWFClient, domain: str, type_name: str, version: str) -> list[str]:
    name = f"activity type {type_name} {version}"
    if _made(client.register_activity_type, domain=domain, name=type_name, version=version):
        return [name]
    kind = {"name": type_name, "version": version}
    found = _called(client.describe_activity_type, domain=domain, activityType=kind)
    _refuse_deprecated(found["typeInfo"], name, domain, "undeprecate-activity-type")
    return []


def _check_domain(client: SWFClient, domain: str) -> None:
    found = _called(client.describe_domain, name=domain)
    if found["domainInfo"]["status"] == "DEPRECATED":
        raise EngineError(
            f"engine: domain {domain!r} is deprecated, so nothing can start in it; "
            f"`aws swf undeprecate-domain --name {domain}` brings it back"
        )


def _refuse_deprecated(info: Any, name: str, domain: str, verb: str) -> None:
    if info["status"] == "DEPRECATED":
        raise EngineError(
            f"engine: {name} in domain {domain!r} is deprecated; `aws swf {verb}` brings it back,"
            " or give the flow another version"
        )


class _Exists(GarconError):
    """The thing is there already; known in this module only."""


def _made(register: Callable[..., object], **what: Any) -> bool:
    """Return whether `register` made something new; False where it existed."""
    try:
        _called(register, **what)
    except _Exists:
        return False
    return True


def _called(operation: Callable[..., Any], **what: Any) -> Any:
    """Call one operation of boto3 and turn its errors into garcon's."""
    try:
        return operation(**what)
    except ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code in _EXISTS:
            raise _Exists from None
        raise EngineError(f"engine: {error.operation_name} refused: {code}: {text}") from error
    except (botocore.exceptions.ConnectionError, HTTPClientError) as error:
        raise EngineUnreachable(f"engine unreachable: {error}") from error
    except BotoCoreError as error:
        raise EngineError(f"engine: {error}") from error

"""The refusals of SWF: codes, and the texts the service was seen to use.

What it never does: know HTTP. Its one law: a fault raised by a transition means nothing changed.
"""

from __future__ import annotations

from typing import Final

_SWF: Final = "com.amazonaws.swf.base.model#"
_VALIDATION: Final = "com.amazon.coral.validate#"
_SERVICE: Final = "com.amazon.coral.service#"
_AVAILABILITY: Final = "com.amazon.coral.availability#"


class Fault(Exception):
    """A refusal that the client gets as the service would put it.

    Attributes:
        code: The fault's name, as botocore shows it.
        kind: The full ``__type`` of the body.
        status: The HTTP status, 400 for all but internal failures.
    """

    def __init__(self, code: str, message: str, *, prefix: str = _SWF, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.kind = prefix + code
        self.message = message
        self.status = status


def execution_text(workflow_id: str, run_id: str) -> str:
    """An execution in the service's notation."""
    return f"WorkflowExecution=[workflowId={workflow_id}, runId={run_id}]"


def type_text(kind: str, name: str, version: str) -> str:
    """A type in the service's notation; ``kind`` is ActivityType or WorkflowType."""
    return f"{kind}=[name={name}, version={version}]"


def unknown(what: str) -> Fault:
    """UnknownResourceFault with its text behind ``Unknown``."""
    return Fault("UnknownResourceFault", f"Unknown {what}")


def unknown_domain(name: str) -> Fault:
    """The domain is not registered."""
    return unknown(f"domain: {name}")


def unknown_execution(workflow_id: str, run_id: str | None) -> Fault:
    """No such execution, or it is closed and the call needs an open one."""
    if run_id:
        return unknown(f"execution: {execution_text(workflow_id, run_id)}")
    return unknown(f"execution, workflowId = {workflow_id}")


def unknown_activity(scheduled_id: int) -> Fault:
    """The activity task of a token is no longer open."""
    return unknown(f"activity, scheduledEventId = {scheduled_id}")


def unknown_decision(scheduled_id: int) -> Fault:
    """The decision task of a token is no longer open."""
    return unknown(f"decision task, scheduledEventId = {scheduled_id}")


def limit_exceeded(text: str) -> Fault:
    """A quota is reached."""
    return Fault("LimitExceededFault", text)


def validation(text: str) -> Fault:
    """The request breaks a shape or a rule; nothing was done."""
    return Fault("ValidationException", text, prefix=_VALIDATION)


def constraint(value: object, path: str, rule: str) -> Fault:
    """One broken constraint in the service's own sentence."""
    return validation(f"1 validation error detected: {broken(value, path, rule)}")


def broken(value: object, path: str, rule: str) -> str:
    """The sentence about one broken constraint."""
    if isinstance(value, list):
        value = f"[{', '.join(map(str, value))}]"
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {rule}"


def several(sentences: list[str]) -> Fault:
    """All broken constraints of a request in one fault."""
    noun = "error" if len(sentences) == 1 else "errors"
    return validation(f"{len(sentences)} validation {noun} detected: {'; '.join(sentences)}")


def serialization(text: str) -> Fault:
    """The body is no JSON or a member has another JSON type than the model says."""
    return Fault("SerializationException", text, prefix=_SERVICE)


def unknown_operation(name: str) -> Fault:
    """The service has no such call."""
    return Fault("UnknownOperationException", f"Unknown operation: {name}", prefix=_SERVICE)


def throttled() -> Fault:
    """The bucket of this call is empty."""
    return Fault("ThrottlingException", "Rate exceeded", prefix=_AVAILABILITY)


def internal() -> Fault:
    """The engine could not keep what was asked; the call may be repeated."""
    return Fault(
        "InternalFailure", "The engine could not keep this request", prefix=_SERVICE, status=500
    )

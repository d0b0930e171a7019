"""AWS JSON 1.0: what a request asks for, what an answer or a fault looks like.

What it never does: touch a socket. Its one law: whatever bytes come in, a Fault or a parsed
request comes out.
"""

from __future__ import annotations

from typing import Any, Final

from garcon.engine.core import faults
from garcon.engine.core.jsontext import decode, encode

CONTENT_TYPE: Final = "application/x-amz-json-1.0"
# What clients that send the long target are answered with.
OLD_CONTENT_TYPE: Final = "application/json"

# What this engine understands beside SWF's calls.
RELEASE_POLLS: Final = "GarconEngine.ReleasePolls"
SKIP: Final = "GarconEngine.Skip"


def operation_name(target: str) -> str:
    """The operation in an X-Amz-Target header; old clients send a longer prefix.

    Raises:
        Fault: UnknownOperationException when there is no such header.
    """
    if not target:
        raise faults.unknown_operation("")
    return target.rpartition(".")[2]


def is_old(target: str) -> bool:
    """Whether a target is in the long form of old clients."""
    return target.startswith("com.")


def parse_body(body: bytes) -> Any:
    """The JSON of a body; an empty one is an empty structure.

    Raises:
        Fault: SerializationException for what is no JSON, or text that is no Unicode.
    """
    if not body:
        return {}
    try:
        value = decode(body.decode())
        if b"\\u" in body:
            # Half a surrogate pair is legal JSON but no text that could be kept.
            encode(value).encode()
    except (ValueError, RecursionError):
        raise faults.serialization("The body is not valid JSON") from None
    return value


def encode_answer(answer: Any) -> bytes:
    """The body of an answer: text as it is, values as JSON, nothing for None."""
    if answer is None:
        return b""
    if not isinstance(answer, str):
        answer = encode(answer)
    encoded: bytes = answer.encode()
    return encoded


def encode_fault(fault: faults.Fault) -> bytes:
    """The body of a fault; what a header had that is no Unicode is shown by its codes."""
    text = encode({"__type": fault.kind, "message": fault.message})
    return text.encode(errors="backslashreplace")

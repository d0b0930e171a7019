"""One way to ask SWF from here: plain boto3, page by page, garcon's own errors.

Law: a question that the engine cannot answer raises one of `garcon.errors`, never boto3's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from garcon.client import swf_errors
from garcon.errors import ServiceError
from garcon.pool.execution import Run

#: Returns a boto3 client; one for each question, since an engine may come back elsewhere.
Connect = Callable[[], Any]

PAGE_MAX = 1_000  # SWF's largest


def ask(connect: Connect, operation: str, **words: Any) -> Any:
    """Return the engine's answer.

    Args:
        connect: returns a client.
        operation: boto3's name of it.
        words: its arguments.
    Raises:
        EngineError: the engine refuses, or does not answer.
    """
    with swf_errors():
        return getattr(connect(), operation)(**words)


def ask_pages(connect: Connect, operation: str, member: str, **words: Any) -> Iterator[Any]:
    """Yield the entries of a list that the engine gives page by page.

    Args:
        connect: returns a client.
        operation: boto3's name of it.
        member: what the entries are called in its answers.
        words: its arguments.
    Raises:
        EngineError: the engine refuses, or does not answer.
    """
    more: dict[str, Any] = {}
    while True:
        answer = ask(connect, operation, **words, **more)
        yield from answer[member]
        if not answer.get("nextPageToken"):
            return
        more = {"nextPageToken": answer["nextPageToken"]}


def ask_history(
    connect: Connect, domain: str, run: Run, *, newest_first: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the events of an execution, the oldest first unless told otherwise.

    Raises:
        EngineError: the engine refuses, for example because it knows no such execution.
    """
    return ask_pages(
        connect,
        "get_workflow_execution_history",
        "events",
        domain=domain,
        execution=execution_of(run),
        maximumPageSize=PAGE_MAX,
        reverseOrder=newest_first,
    )


def execution_of(run: Run) -> dict[str, str]:
    """Return an execution's ids as SWF takes them."""
    return {"workflowId": run.workflow_id, "runId": run.run_id}


def is_unknown(error: ServiceError, what: str) -> bool:
    """Whether the engine does not know the thing that a question was about, such as a domain."""
    return error.is_unknown_resource and what in error.message.lower()

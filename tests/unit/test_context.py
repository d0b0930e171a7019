"""The context of an execution: its input, and the results of its activities over it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from garcon.context import ExecutionContext
from garcon.errors import DecisionError


def started(text: str | None) -> dict[str, Any]:
    """Return the event of an execution that began with this input."""
    attributes = {} if text is None else {"input": text}
    return {
        "eventType": "WorkflowExecutionStarted",
        "workflowExecutionStartedEventAttributes": attributes,
    }


def completed(text: str | None) -> dict[str, Any]:
    """Return the event of an activity that completed with this result."""
    attributes = {} if text is None else {"result": text}
    return {
        "eventType": "ActivityTaskCompleted",
        "activityTaskCompletedEventAttributes": attributes,
    }


def test_results_are_merged_over_the_input_later_over_earlier() -> None:
    """The order of the events decides."""
    context = ExecutionContext(
        [started('{"a": 1, "b": 1}'), completed('{"b": 2, "c": 2}'), completed('{"c": 3}')]
    )

    assert context == {"a": 1, "b": 2, "c": 3}
    assert context.current == {"a": 1, "b": 2, "c": 3}
    assert context.workflow_input == {"a": 1, "b": 1}


def test_the_context_is_a_dict() -> None:
    """Flows of 0.0.4 get the merged dict itself, and may send it anywhere."""
    context = ExecutionContext([started('{"a": 1}')])

    assert json.dumps(context) == '{"a": 1}'
    assert context.current is context
    assert ExecutionContext() == {}


def test_other_events_and_empty_texts_bring_nothing() -> None:
    """Most events of a history are about neither inputs nor results."""
    events = [started(None), completed(None), completed(""), {"eventType": "TimerFired"}]

    assert ExecutionContext(events) == {}


@pytest.mark.parametrize("text", ["done", "[1]", "42", '"text"', "null"])
def test_a_result_that_is_no_object_brings_nothing(text: str) -> None:
    """External workers may answer anything; SWF does not mind."""
    assert ExecutionContext([started('{"a": 1}'), completed(text)]) == {"a": 1}


@pytest.mark.parametrize("text", ["hello", "[1]", "42"])
def test_an_input_that_is_no_object_fails_the_execution(text: str) -> None:
    """No flow could read it; the text says what an input looks like."""
    with pytest.raises(DecisionError, match="not a JSON object") as refused:
        ExecutionContext([started(text)])

    assert text in str(refused.value)


def test_the_execution_is_named_in_the_context() -> None:
    """The log and the tasks can tell which run they serve."""
    context = ExecutionContext()

    context.set_workflow_execution_info(
        {"workflowExecution": {"workflowId": "w", "runId": "r"}}, "dev"
    )

    assert context == {
        "execution.domain": "dev",
        "execution.workflow_id": "w",
        "execution.run_id": "r",
    }


@pytest.mark.parametrize("info", [{}, {"workflowExecution": {"workflowId": "w"}}])
def test_without_an_execution_nothing_is_named(info: dict[str, Any]) -> None:
    """An empty poll names none."""
    context = ExecutionContext()

    context.set_workflow_execution_info(info, "dev")

    assert context == {}

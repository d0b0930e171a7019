"""Tasks are called in the order in which they name their arguments, and only once."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any
from unittest.mock import MagicMock

import pytest

from garcon import task
from garcon.calling import call_task, result_as_dict
from garcon.errors import FlowError, ResultError

CONTEXT = {"key": 1}
ACTIVITY = "the activity"


class Callable:
    """An object that is called like a function."""

    def __call__(self, activity: Any, context: Any) -> Any:
        """Return what it got, context first."""
        return context, activity

    def method(self, context: Any, activity: Any) -> Any:
        """Return what it got, context first."""
        return context, activity


def passed_on(fn: Any) -> Any:
    """Wrap `fn` the way decorators of users do."""

    @wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def positional(activity: Any, context: Any, /) -> Any:
    """Return what it got, context first."""
    return context, activity


@pytest.mark.parametrize(
    "work",
    [
        lambda context, activity: (context, activity),
        lambda activity, context: (context, activity),
        lambda ctx, activity: (ctx, activity),
        lambda activity, ctx: (ctx, activity),
        lambda context, _: (context, _),
        lambda _, context: (context, _),
        lambda *, context, activity: (context, activity),
        lambda context, activity, verbose=True: (context, activity),
        lambda ctx=None, activity=None: (ctx, activity),
        lambda *args, **kwargs: (args[0], kwargs["activity"]),
        lambda **kwargs: (kwargs["context"], kwargs["activity"]),
        lambda ctx, **kwargs: (ctx, kwargs["activity"]),
        positional,
        Callable(),
        Callable().method,
        passed_on(lambda activity, context: (context, activity)),
        partial(lambda more, context, activity: (context, activity), "more"),
    ],
)
def test_both_get_to_where_they_belong(work: Any) -> None:
    """Every shape of task that flows of either generation have."""
    assert call_task(work, CONTEXT, ACTIVITY) == (CONTEXT, ACTIVITY)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda: "nothing", "nothing"),
        (lambda context: context, CONTEXT),
        (lambda activity: activity, ACTIVITY),
        (lambda ctx: ctx, CONTEXT),
        (lambda activity, verbose=True: (activity, verbose), (ACTIVITY, True)),
        (lambda *args: args, (CONTEXT,)),
    ],
)
def test_a_task_gets_no_more_than_it_takes(work: Any, expected: Any) -> None:
    """One argument, or none, is enough for many tasks."""
    assert call_task(work, CONTEXT, ACTIVITY) == expected


def test_a_mock_is_called_as_garcon_always_did() -> None:
    """Tests of flows put mocks in the place of tasks."""
    work = MagicMock(return_value={"a": 1})

    assert call_task(work, CONTEXT, ACTIVITY) == {"a": 1}
    work.assert_called_once_with(CONTEXT, activity=ACTIVITY)


def test_a_builtin_without_a_signature_is_called_as_garcon_always_did() -> None:
    """There are no names to read."""
    assert call_task(dict, {"a": 1}, ACTIVITY) == {"a": 1, "activity": ACTIVITY}


def test_a_filled_task_gets_context_and_activity() -> None:
    """`fill` made it, so its form is known."""

    @task.decorate()
    def work(activity: Any, item: Any) -> Any:
        return (activity, item)

    assert call_task(work.fill(item="key"), CONTEXT, ACTIVITY) == (ACTIVITY, 1)


def test_two_arguments_of_other_names_are_refused() -> None:
    """A guess could hand the context to what expects the activity."""

    def work(one: Any, two: Any) -> None: ...

    with pytest.raises(FlowError, match=r"work takes \(one, two\).*name it activity"):
        call_task(work, CONTEXT, ACTIVITY)


def test_a_task_that_raises_type_error_is_not_called_a_second_time() -> None:
    """A TypeError of its own after half the work is the task's failure."""
    calls = []

    def work(context: Any, activity: Any) -> None:
        calls.append(context)
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        call_task(work, CONTEXT, ACTIVITY)
    assert calls == [CONTEXT]


@pytest.mark.parametrize("result", [None, False, 0, "", [], {}])
def test_an_empty_result_brings_nothing(result: Any) -> None:
    """Many a task ends in a call whose return value nobody meant."""
    assert result_as_dict(len, result) == {}


@pytest.mark.parametrize("result", ["text", 1, [1], True])
def test_a_result_that_is_no_dict_is_refused_with_the_task(result: Any) -> None:
    """It could not join the context."""
    with pytest.raises(ResultError, match=f"task len returned a {type(result).__name__}"):
        result_as_dict(len, result)

"""Tasks: what they say of themselves, and how they are filled from the context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from garcon import param, task
from garcon.errors import FlowError, TimeoutRangeError


def test_timeout_notes_both_times_in_seconds() -> None:
    """The decorator leaves the function as it is."""

    @task.timeout(30, heartbeat=10)
    def work(activity: Any) -> str:
        return "done"

    assert work(None) == "done"
    assert task.details_of(work) == {"timeout": 30, "heartbeat": 10}


def test_decorate_notes_times_and_adds_fill() -> None:
    """One decorator does what the two others do."""

    @task.decorate(timeout=30, heartbeat=10)
    def work(activity: Any, item: Any = None) -> Any:
        return item

    assert task.details_of(work) == {"timeout": 30, "heartbeat": 10}
    assert work.fill(item="key")({"key": 1}, activity=None) == 1


def test_decorate_without_contextify_adds_no_fill() -> None:
    """The task then takes activity and context as any function does."""

    @task.decorate(timeout=30, enable_contextify=False)
    def work(context: Any, activity: Any) -> None: ...

    assert not hasattr(work, "fill")
    assert task.details_of(work) == {"timeout": 30}


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "10", True])
def test_a_time_that_is_no_whole_number_of_seconds_is_refused(seconds: Any) -> None:
    """SWF would refuse it later, and far from the line that wrote it."""
    with pytest.raises(TimeoutRangeError, match="at least 1"):
        task.timeout(seconds)(lambda: None)
    with pytest.raises(TimeoutRangeError, match="at least 1"):
        task.decorate(heartbeat=seconds)(lambda: None)


def test_task_lists_are_flattened_by_the_context_in_their_place() -> None:
    """A list may hold lists; the order stays."""
    first, second, third = (lambda: 1), (lambda: 2), (lambda: 3)

    @task.list
    def inner(context: dict[str, Any]) -> Iterator[task.Task]:
        yield third

    @task.list
    def chosen(context: dict[str, Any]) -> Iterator[task.Task]:
        if context["both"]:
            yield second
        yield inner

    assert list(task.flatten([first, chosen], {"both": True})) == [first, second, third]
    assert list(task.flatten([first, chosen], {"both": False})) == [first, third]


def test_a_task_list_is_known_as_one() -> None:
    """A plain function and a mock-like object are none."""

    @task.list
    def chosen(context: Any) -> Iterator[task.Task]:
        yield from ()

    assert task.is_task_list(chosen) is True
    assert task.is_task_list(lambda: None) is False


def test_fill_takes_values_from_the_context_and_passes_the_activity() -> None:
    """The documented example: one function, several tasks."""

    @task.contextify
    def resize(activity: Any, table_name: Any = None, table_index: Any = None) -> dict[str, Any]:
        return {"seen": (activity, table_name, table_index)}

    filled = resize.fill(table_name="dynamodb.name", table_index=param.StaticParam(7))

    assert filled({"dynamodb.name": "users"}, activity="A") == {"seen": ("A", "users", 7)}


def test_a_filled_task_is_called_in_the_order_of_either_generation() -> None:
    """The documentation writes (activity, context), 1.x (context, activity=...)."""

    @task.contextify
    def work(activity: Any, item: Any) -> Any:
        return (activity, item)

    filled = work.fill(item="key")

    assert filled("A", {"key": 1}) == ("A", 1)
    assert filled({"key": 1}, "A") == ("A", 1)
    assert filled({"key": 1}, activity="A") == ("A", 1)
    assert filled(context={"key": 1}, activity="A") == ("A", 1)
    with pytest.raises(TypeError, match="nothing else by place"):
        filled("A", {"key": 1}, 3)


def test_a_filled_task_without_an_activity_argument_is_not_given_one() -> None:
    """What the function does not name it does not get."""

    @task.decorate()
    def work(item: Any) -> Any:
        return item

    assert work.fill(item="key")({"key": 1}, activity="A") == 1


def test_a_namespace_is_put_before_the_keys_of_the_result() -> None:
    """An empty result has no keys to put it before."""

    @task.decorate()
    def work(item: Any) -> Any:
        return {"size": item} if item else None

    filled = work.fill(namespace="users", item="key")

    assert filled({"key": 1}) == {"users.size": 1}
    assert filled({}) is None


def test_a_filled_task_says_what_it_reads_and_keeps_its_times_and_name() -> None:
    """The activity's input and timeouts are computed from these."""

    @task.decorate(timeout=30)
    def work(activity: Any, one: Any, two: Any, three: Any) -> None:
        """Do it."""

    filled = work.fill(one="a", two=param.Param("b"), three=param.StaticParam(1))

    assert task.details_of(filled)["requirements"] == ("a", "b")
    assert task.details_of(filled)["timeout"] == 30
    assert "requirements" not in task.details_of(work)
    assert (filled.__name__, filled.__doc__) == ("work", "Do it.")


def test_a_contextified_function_with_a_context_argument_gets_all_of_it() -> None:
    """The documentation's own sample has one; then everything has to be sent."""

    @task.contextify
    def work(activity: Any, context: Any, item: Any = None) -> Any:
        return (context, item)

    filled = work.fill(item="key")

    assert filled({"key": 1, "other": 2}, activity=None) == ({"key": 1, "other": 2}, 1)
    assert "requirements" not in task.details_of(filled)


def test_fill_refuses_a_requirement_that_is_no_key_and_no_param() -> None:
    """The line that wrote it raises, not the activity at night."""

    @task.decorate()
    def work(item: Any) -> None: ...

    with pytest.raises(param.UnknownParamException):
        work.fill(item=5)  # type: ignore[arg-type]


def test_fill_refuses_an_argument_that_the_task_does_not_have() -> None:
    """A slip of the pen would otherwise be a None in the middle of the night."""

    @task.decorate()
    def load(activity: Any, path: Any, limit: Any = 5, *rest: Any, dry: Any = False) -> None: ...

    with pytest.raises(FlowError) as told:
        load.fill(path="a", limt="b")

    assert "load has no argument 'limt' (known: path, limit, dry)" in str(told.value)
    load.fill(path="a", limit="b", dry="c", activity="d")  # of this one nothing is taken


def test_fill_of_a_task_that_takes_any_name_refuses_none() -> None:
    """Such a task gets all that was required."""

    @task.contextify
    def load(**values: Any) -> Any:
        return values

    assert load.fill(one="a")({"a": 1}) == {"one": 1}


def test_fill_refuses_names_of_a_task_that_has_no_arguments() -> None:
    """There is none to name."""

    @task.contextify
    def load(activity: Any) -> None: ...

    with pytest.raises(
        FlowError, match=r"load has no argument 'one' \(it takes nothing of the con"
    ):
        load.fill(one="a")


def test_fill_function_call_returns_arguments_by_name() -> None:
    """Without a requirement an argument keeps its default, or is None."""

    def work(activity: Any, one: Any, two: Any, three: Any = 3, *, four: Any) -> None: ...

    arguments = task.fill_function_call(work, {"one": "a", "four": param.Param("b")}, "A", {"a": 1})

    assert arguments == {"activity": "A", "one": 1, "two": None, "four": None}


def test_fill_function_call_passes_falsy_values() -> None:
    """0 and the empty text are values."""
    arguments = task.fill_function_call(
        lambda one, two: None, {"one": "a", "two": "b"}, None, {"a": 0, "b": ""}
    )

    assert arguments == {"one": 0, "two": ""}


def test_fill_function_call_gives_the_rest_to_keyword_arguments() -> None:
    """A function that takes any name gets all that was required."""

    def work(activity: Any, *rest: Any, **values: Any) -> None: ...

    assert task.fill_function_call(work, {"one": "a"}, "A", {"a": 1}) == {"activity": "A", "one": 1}


def test_fill_function_call_refuses_an_argument_named_context() -> None:
    """What a task reads has to be named, or its input cannot be kept small."""

    def work(activity: Any, context: Any) -> None: ...

    with pytest.raises(FlowError, match="work takes the whole context"):
        task.fill_function_call(work, {}, None, {})


def test_namespace_result_prefixes_keys() -> None:
    """Without a namespace nothing changes."""
    assert task.namespace_result({"key": 1}, "users") == {"users.key": 1}
    assert task.namespace_result({"key": 1}, "") == {"key": 1}

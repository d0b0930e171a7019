"""Tasks: the functions that an activity runs, and what the flow says about each.

A task is any callable that takes the activity and the context, named so, in either order; with
`decorate` it gets the context's values as arguments instead, which also keeps an activity's input
small. A task may return a dict, which joins the context. Nothing here runs a task: see `runner`.

Law: what a task says of itself is in its `__garcon__` dict: `timeout` and `heartbeat` in seconds,
`list`, and `requirements` once it is filled.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from garcon.errors import FlowError, TimeoutRangeError
from garcon.param import BaseParam, get_all_requirements, parametrize

Task = Callable[..., Any]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
F = TypeVar("F", bound=Task)


class Fillable(Protocol[P, R]):
    """A task whose arguments can be filled from the context."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, as it was written."""
        ...

    def fill(self, namespace: str | None = None, **requirements: str | BaseParam) -> Task:
        """Return a task that takes its arguments from the context (see `contextify`)."""
        ...


@overload
def decorate(
    timeout: int | None = None,
    heartbeat: int | None = None,
    enable_contextify: Literal[True] = True,
) -> Callable[[Callable[P, R]], Fillable[P, R]]: ...


@overload
def decorate(
    timeout: int | None = None, heartbeat: int | None = None, *, enable_contextify: Literal[False]
) -> Callable[[F], F]: ...


def decorate(
    timeout: int | None = None, heartbeat: int | None = None, enable_contextify: bool = True
) -> Callable[[Any], Any]:
    """Decorate a task with all that garcon can know of it.

    Args:
        timeout: whole seconds that one call may take; 600 when not given.
        heartbeat: whole seconds within which SWF wants a sign of life; without one garcon gives
            the sign itself.
        enable_contextify: whether the task gets `fill` (see `contextify`).

    Raises:
        TimeoutRangeError: a number of seconds is not whole, or below 1.
    """

    def wrapper(fn: Any) -> Any:
        _note(fn, timeout=_seconds("timeout", timeout), heartbeat=_seconds("heartbeat", heartbeat))
        return contextify(fn) if enable_contextify else fn

    return wrapper


def timeout(time: int, heartbeat: int | None = None) -> Callable[[F], F]:
    """Decorate a task with its timeout alone.

    Args:
        time: whole seconds that one call may take.
        heartbeat: whole seconds within which SWF wants a sign of life.

    Raises:
        TimeoutRangeError: a number of seconds is not whole, or below 1.
    """

    def wrapper(fn: F) -> F:
        _note(fn, timeout=_seconds("timeout", time), heartbeat=_seconds("heartbeat", heartbeat))
        return fn

    return wrapper


def list(fn: F) -> F:
    """Mark a function that yields tasks, chosen by the context it is given.

    It is called once for the timeouts, when the activity is scheduled, and once when it runs::

        @task.list
        def new_client(context):
            yield create_user.fill(email='context.email')
            if context.get('context.credit_card'):
                yield create_card.fill(card='context.credit_card')
    """
    _note(fn, list=True)
    return fn


def is_task_list(fn: Task) -> bool:
    """Return whether `fn` yields tasks instead of being one."""
    return bool(details_of(fn).get("list"))


def contextify(fn: Callable[P, R]) -> Fillable[P, R]:
    """Give `fn` a `fill`, which makes tasks of it that take values from the context.

    One function can so serve many tasks::

        @task.contextify
        def resize(activity, table_name=None):
            ...

        runner.Sync(
            resize.fill(table_name='context.first'),
            resize.fill(table_name='context.second'))

    `fill(namespace=None, **requirements)` names the context's key for each argument, or a param;
    with a namespace the keys of the result get it as a prefix. The activity goes to an argument
    named `activity`, if there is one. A function with an argument named `context` gets all of it,
    at the price of an input that holds all of it. An argument that the function does not have is
    refused with a `FlowError`.
    """

    def fill(namespace: str | None = None, **requirements: str | BaseParam) -> Task:
        return _filled(fn, namespace, requirements)

    fn.fill = fill  # type: ignore[attr-defined]  # a function takes attributes
    return cast("Fillable[P, R]", fn)


def _filled(fn: Task, namespace: str | None, requirements: Mapping[str, str | BaseParam]) -> Task:
    params = {name: parametrize(value) for name, value in requirements.items()}
    parameters = inspect.signature(fn).parameters
    _refuse_unknown(fn, params, parameters)
    wants_context = "context" in parameters

    def filled(*args: Any, **kwargs: Any) -> Any:
        context, activity, rest = _read_call(args, kwargs)
        whole = {"context": context} if wants_context else {}
        values = _values(parameters, params, activity, context)
        result = fn(**{**rest, **values, **whole})
        return namespace_result(result, namespace) if result and namespace else result

    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(filled, name, getattr(fn, name, None))
    _note(filled, **details_of(fn), filled=True)
    if not wants_context:
        _note(filled, requirements=tuple(get_all_requirements(params.values())))
    return filled


def _refuse_unknown(
    fn: Task, params: Mapping[str, BaseParam], parameters: Mapping[str, inspect.Parameter]
) -> None:
    """Refuse to fill an argument that the task does not have: its value would go nowhere.

    Raises:
        FlowError: there is one.
    """
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    if inspect.Parameter.VAR_KEYWORD in kinds.values():
        return
    known = [name for name, kind in kinds.items() if kind is not inspect.Parameter.VAR_POSITIONAL]
    for name in params:
        if name not in known:
            values = ", ".join(one for one in known if one not in ("activity", "context"))
            told = f"known: {values}" if values else "it takes nothing of the context by name"
            raise FlowError(f"fill: task {name_of(fn)} has no argument {name!r} ({told})")


def _read_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return context, activity and the rest of a call to a filled task.

    garcon calls `task(context, activity=activity)`; the documentation shows the other order.
    """
    rest = dict(kwargs)
    given = [*args]
    if len(given) == 2 and not isinstance(given[0], Mapping):
        given.reverse()
    context = rest.pop("context") if "context" in rest else given.pop(0) if given else {}
    activity = rest.pop("activity") if "activity" in rest else given.pop(0) if given else None
    if given:
        raise TypeError("a filled task takes the context and the activity, nothing else by place")
    return context, activity, rest


def flatten(callables: Iterable[Task], context: Any = None) -> Iterator[Task]:
    """Yield the tasks of `callables`, those of task lists in their place.

    Args:
        callables: tasks and task lists.
        context: what task lists choose by.
    """
    for task in callables:
        if is_task_list(task):
            yield from flatten(task(context), context)
        else:
            yield task


def fill_function_call(
    fn: Task,
    requirements: Mapping[str, str | BaseParam],
    activity: Any,
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments to call `fn` with.

    An argument without a requirement keeps its default, or is None; `activity` gets the activity.

    Args:
        fn: the function.
        requirements: the context's key, or a param, for each argument by name.
        activity: what to pass as `activity`.
        context: where the values are.

    Raises:
        FlowError: `fn` has an argument named `context`; what it reads has to be named.
    """
    parameters = inspect.signature(fn).parameters
    if "context" in parameters:
        raise FlowError(
            f"task {name_of(fn)} takes the whole context; name what it reads instead:"
            " an argument for each value, and fill(argument='context.key')"
        )
    params = {name: parametrize(value) for name, value in requirements.items()}
    return _values(parameters, params, activity, context)


def _values(
    parameters: Mapping[str, inspect.Parameter],
    params: Mapping[str, BaseParam],
    activity: Any,
    context: Mapping[str, Any],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            missing = [other for other in params if other not in values]
            values.update({other: params[other].get_data(context) for other in missing})
        elif parameter.kind is parameter.VAR_POSITIONAL or name == "context":
            continue
        elif name == "activity":
            values[name] = activity
        elif name in params:
            values[name] = params[name].get_data(context)
        elif parameter.default is parameter.empty:
            values[name] = None
    return values


def namespace_result(dictionary: Mapping[str, Any], namespace: str | None) -> Mapping[str, Any]:
    """Return `dictionary` with `namespace` and a dot before each key.

    `namespace_result({'key': 1}, 'users')` is `{'users.key': 1}`; without a namespace it comes
    back as it is.
    """
    if not namespace:
        return dictionary
    return {f"{namespace}.{key}": value for key, value in dictionary.items()}


def details_of(task: Task) -> dict[str, Any]:
    """Return what `task` says of itself; empty for a plain function."""
    details = getattr(task, "__garcon__", None)
    # A mock has every attribute; only a dict was put there by this module.
    return details if isinstance(details, dict) else {}


def name_of(task: Task) -> str:
    """Return a name for messages: the function's own, or that of what it is an instance of."""
    return str(getattr(task, "__qualname__", None) or type(task).__name__)


def _note(fn: Any, **details: Any) -> None:
    """Write what is known into the `__garcon__` of `fn`, keeping what it said before."""
    fn.__garcon__ = {**details_of(fn), **{k: v for k, v in details.items() if v is not None}}


def _seconds(what: str, value: int | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TimeoutRangeError(f"{what}={value!r} is no time: give whole seconds, at least 1")
    return value

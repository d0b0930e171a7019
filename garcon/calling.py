"""Calls a task the way it wants to be called, and takes its result.

Flows of garcon 0.0.4 write tasks as `(activity, context)`, those of 1.x as `(context, activity)`:
the names of the parameters decide, read once before the call. Law: a call is never tried a second
way, because a task that raised TypeError after half its work must not run again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from garcon.errors import FlowError, ResultError
from garcon.task import Task, details_of, name_of


@dataclass(frozen=True)
class _Convention:
    """What goes where; each word is `context` or `activity`."""

    by_place: tuple[str, ...] = ()
    by_name: tuple[tuple[str, str], ...] = ()


#: How garcon 1.x called every task: what a mock or a wrapper with *args, **kwargs expects.
_OF_1X = _Convention(("context",), (("activity", "activity"),))


def call_task(task: Task, context: Mapping[str, Any], activity: Any) -> Any:
    """Call `task` with its context and activity, in the order in which it names them.

    Raises:
        FlowError: it takes two arguments and names neither `activity` nor `context`.
    """
    convention = _OF_1X if details_of(task).get("filled") else _convention_of(task)
    values = {"context": context, "activity": activity}
    by_place = [values[word] for word in convention.by_place]
    return task(*by_place, **{name: values[word] for name, word in convention.by_name})


def _convention_of(task: Task) -> _Convention:
    try:
        parameters = tuple(inspect.signature(task).parameters.values())
    except (TypeError, ValueError):
        return _OF_1X  # a builtin that keeps its signature to itself
    words = _words(task, parameters)
    named = [one for one in parameters if one.name in words]
    by_place = tuple(words[one.name] for one in named if one.kind is one.POSITIONAL_ONLY)
    by_name = tuple(
        (one.name, words[one.name]) for one in named if one.kind is not one.POSITIONAL_ONLY
    )
    kinds = {one.kind for one in parameters}
    for word in ("context", "activity"):
        if word in words.values():
            continue
        if inspect.Parameter.VAR_POSITIONAL in kinds and not by_name and word == "context":
            by_place += (word,)
        elif inspect.Parameter.VAR_KEYWORD in kinds:
            by_name += ((word, word),)
    return _Convention(by_place, by_name)


def _words(task: Task, parameters: tuple[inspect.Parameter, ...]) -> dict[str, str]:
    """Return what each parameter takes, for those that take the context or the activity."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [one.name for one in parameters if one.kind not in variable]
    words: dict[str, str] = {name: name for name in ("activity", "context") if name in names}
    places = [one for one in parameters if one.kind is not one.KEYWORD_ONLY and one.name in names]
    others = [one for one in places if one.name not in words]
    required = [one.name for one in others if one.default is one.empty]
    if not words and len(required) > 1:
        raise FlowError(
            f"task {name_of(task)} takes ({', '.join(names)}): garcon cannot tell which one is the"
            " activity; name it activity, and the other one context"
        )
    if "context" not in words and others:
        # Garcon 1.x gave the context to the first place, whatever its name and default.
        first = [others[0].name] if others[0] is places[0] else required
        words.update(dict.fromkeys(first[:1], "context"))
    elif "activity" not in words and len(required) == 1:
        words[required[0]] = "activity"
    return words


def result_as_dict(task: Task, result: Any) -> dict[str, Any]:
    """Return what a task brings into the context.

    None and every other empty value bring nothing, as ever: many a task ends in a call whose return
    value nobody meant.

    Raises:
        ResultError: it is neither empty nor a dict.
    """
    if not result:
        return {}
    if hasattr(result, "keys"):
        return dict(result)
    raise ResultError(
        f"task {name_of(task)} returned a {type(result).__name__}; return a dict, or nothing"
    )

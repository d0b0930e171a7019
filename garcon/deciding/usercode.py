"""Calls into the user's flow while a decision is made: generators, requirements, timeouts.

Whatever the flow raises comes out as a DecisionError whose line names the thing. Law: the flow gets
copies, so that nothing it does to them reaches the next instance or the kept state.
"""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from garcon.canonical import NotJsonError, canonical_json
from garcon.errors import DecisionError, GeneratorError
from garcon.instance import ActivityInstance
from garcon.manifest import Item, Manifest, collect, distinct
from garcon.outcome import DETAILS_MAX, cut
from garcon.planning.plan import Prepared
from garcon.runner import NoRunnerRequirementsFound
from garcon.task import is_task_list

if TYPE_CHECKING:
    from garcon.activity import Activity

#: What counts as an error of the flow: a flow that calls sys.exit must not end the decider.
USER_ERRORS = (Exception, SystemExit)

_SCALARS = (str, int, float, bool, type(None))


def fresh(context: Mapping[str, Any]) -> Item:
    """Return a copy of `context` that shares nothing that can change."""
    return {
        key: value if isinstance(value, _SCALARS) else copy.deepcopy(value)
        for key, value in context.items()
    }


def run_generators(
    name: str, activity: Activity, context: Mapping[str, Any]
) -> tuple[tuple[Item, ...], ...] | None:
    """Return the lists of the activity's generators, None where it has none.

    Args:
        name: the activity's name in the flow, for the texts.
        activity: the activity as the flow declares it.
        context: what the generators may see; each gets a copy.
    Raises:
        DecisionError: a generator raised, or gave what cannot be an instance's context.
    """
    if not activity.generators:
        return None
    lists = [_run_generator(name, one, fresh(context)) for one in activity.generators]
    return distinct(name, lists)


def _run_generator(
    activity_name: str, generator: Callable[[Item], Iterable[Any]], context: Item
) -> tuple[Item, ...]:
    name = getattr(generator, "__qualname__", repr(generator))
    try:
        given = generator(context)
        if given is not None:
            return collect(activity_name, given)
    except DecisionError:
        raise
    except USER_ERRORS as error:
        raise GeneratorError(
            f"generator {name} of activity {activity_name!r} raised {error_line(error)}",
            error_details(error),
        ) from error
    raise GeneratorError(
        f"generator {name} of activity {activity_name!r} returned None; it has to yield dicts"
    )


def prepare(
    activity: Activity, manifest: Manifest, index: int, context: Mapping[str, Any]
) -> Prepared:
    """Return input and timeouts of one instance, as the activity computes them.

    Args:
        activity: the activity as the flow declares it.
        manifest: its frozen fan-out.
        index: which instance.
        context: the frozen context, a copy.
    Raises:
        DecisionError: the activity raised, or the input is not JSON or too long.
    """
    activity.pool_size = manifest.count
    instance = ActivityInstance(activity, fresh(manifest.local_context(index)), context)
    try:
        return Prepared(
            input=input_text(instance.create_execution_input()),
            start_to_close=str(instance.timeout),
            schedule_to_start=str(instance.schedule_to_start),
            schedule_to_close=str(instance.schedule_to_close),
            heartbeat=str(instance.heartbeat_timeout),
        )
    except USER_ERRORS as error:
        details = "" if isinstance(error, DecisionError) else error_details(error)
        raise DecisionError(
            f"the input of {cut(manifest.describe(index), 120)} cannot be made: "
            f"{error_line(error)}",
            details,
        ) from error


def required_keys(activity: Activity, context: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the keys of the context that the activity's tasks read; None where that is unknown.

    It is known where every task is filled, and none is a list that depends on the context.
    """
    runner = activity.runner
    if runner is None or any(is_task_list(one) for one in getattr(runner, "tasks", ())):
        return None
    try:
        return frozenset(runner.requirements(context))
    except NoRunnerRequirementsFound:
        return None
    except USER_ERRORS as error:
        raise DecisionError(
            f"the requirements of {activity.name!r} raised {error_line(error)}",
            error_details(error),
        ) from error


def input_text(data: Mapping[str, Any]) -> str:
    """Return an instance's input as the JSON text that SWF keeps.

    Raises:
        DecisionError: it is longer than SWF takes.
        NotJsonError: it holds what JSON lacks.
    """
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError):
        canonical_json(data)  # its error names the place
        raise
    if len(text) > DETAILS_MAX:
        raise DecisionError(
            f"it has {len(text):,} characters, SWF takes {DETAILS_MAX:,}; "
            "use task.decorate with fill so that only what the tasks read is sent"
        )
    return text


def error_line(error: BaseException) -> str:
    """Return the error in one line: its class and its text."""
    if isinstance(error, DecisionError | NotJsonError):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def error_details(error: BaseException) -> str:
    """Return the error's traceback."""
    return "".join(traceback.format_exception(error))

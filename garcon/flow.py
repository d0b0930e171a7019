"""Flows: found by name, checked, described.

A flow is a module or an object with activities; of either generation, with or without names of its
own. It never runs a task, a generator or a decider. Law: whatever is wrong with a flow is said in
one line that names the thing and the mend, before a process is started for it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from garcon.activity import Activity, find_workflow_activities
from garcon.deciding import search
from garcon.description import (
    DECISION_TIMEOUT_S,
    HEARTBEAT_S,
    LOST_RETRY,
    SHARD_TYPE_SUFFIX,
    START_TO_CLOSE_S,
    ActivityDescription,
    FlowDescription,
)
from garcon.errors import BootError, EngineError, FlowError
from garcon.instance import ActivityInstance
from garcon.task import is_task_list

#: Longest name of a domain, characters (SWF).
DOMAIN_MAX = 256

#: Longest name of a flow: its shards' list is called `<flow>.shards`, and its executions
#: `<flow>-<16 hex digits>`, within SWF's 256 characters.
FLOW_NAME_MAX = 239

#: Longest full name of an activity: its instances are called `<name>-<40 hex digits>`.
ACTIVITY_NAME_MAX = 215

#: Longest version, characters (SWF).
VERSION_MAX = 64

#: What SWF allows in no name: separators of its own, and control characters.
_FORBIDDEN = re.compile(r"[:/|\x00-\x1f\x7f-\x9f]")


#: What `module:attribute` may lead to by mistake: things without room for activities.
_NO_FLOWS = (str, bytes, int, float, list, tuple, dict, set, FunctionType, Activity, type(None))


def load_flow(name: str) -> Any:
    """Import the flow of this name.

    Args:
        name: a module, `flows.metrics`, or an object in one, `flows.coffee:workflow`.

    Raises:
        FlowError: there is no such module or object; the line names what is near.
        BootError: the module raises while it is imported; the original is the cause.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise FlowError(f"flow {name!r}: {_how_to_name(module_name, attribute)}")
    flow = _import(name, module_name)
    for part in attribute.split(".") if attribute else ():
        flow = _attribute(name, flow, part)
    if isinstance(flow, _NO_FLOWS):
        raise FlowError(
            f"flow {name!r} is no flow but of type {type(flow).__name__}; name a module with"
            " activities, or an object that has them as attributes"
        )
    if isinstance(flow, type):
        raise FlowError(
            f"flow {name!r} is a class; name an object of it, made in its module:"
            f" workflow = {flow.__name__}(...), then {module_name}:workflow"
        )
    return flow


def _how_to_name(module_name: str, attribute: str) -> str:
    as_path = Path(module_name)
    if as_path.suffix == ".py" or "/" in module_name:
        dotted = ".".join(as_path.with_suffix("").parts).strip("./")
        meant = f"{dotted}:{attribute}" if attribute else dotted
        return f"a flow is named like a module, not like a file: {meant}"
    return "this is no name of a module, such as flows.metrics or flows.coffee:workflow"


def _import(name: str, module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise FlowError(_not_found(name, module_name, missing)) from None
        raise _boot_error(name, module_name, error) from error
    except (EngineError, FlowError, KeyboardInterrupt):
        raise
    except BaseException as error:
        # SystemExit included: a script that ends itself is no module to work with.
        raise _boot_error(name, module_name, error) from error


def _not_found(name: str, module_name: str, missing: str) -> str:
    if module_name.endswith(".py"):
        return f"flow {name!r}: {_how_to_name(module_name, '')}"
    parent, _, last = missing.rpartition(".")
    module = sys.modules.get(parent)
    if module is not None and hasattr(module, last) and missing == module_name:
        return f"flow {name!r}: {missing} is an object, not a module; write {parent}:{last}"
    if module is not None and not hasattr(module, "__path__"):
        return f"flow {name!r}: no module {missing}, for {parent} is no package"
    places = list(module.__path__) if module is not None else [*dict.fromkeys(sys.path)][:3]
    near = difflib.get_close_matches(last, {one.name for one in pkgutil.iter_modules(places)})
    words = " or ".join(".".join([*parent.split("."), one]).lstrip(".") for one in near)
    hint = f"did you mean {words}?" if words else f"looked in {places[0] or Path.cwd()}"
    return f"flow {name!r}: no module {missing}; {hint}"


def _attribute(name: str, owner: Any, part: str) -> Any:
    try:
        return getattr(owner, part)
    except AttributeError:
        near = difflib.get_close_matches(part, [one for one in dir(owner) if one[:1] != "_"])
        hint = f"did you mean {' or '.join(near)}?" if near else "name a flow that it holds"
        where = getattr(owner, "__name__", type(owner).__name__)
        raise FlowError(f"flow {name!r}: {where} has no attribute {part!r}; {hint}") from None


def _boot_error(name: str, module_name: str, error: BaseException) -> BootError:
    text = error.msg if isinstance(error, SyntaxError) else str(error)  # its place is told anyway
    message = " ".join(text.split())
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return BootError(f"flow {name!r} cannot be imported: {what} ({_place(module_name, error)})")


def _place(module_name: str, error: BaseException) -> str:
    """Return file and line to look at: in the flow's own file if it is in the traceback."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
    ]
    spec = importlib.util.find_spec(module_name) if module_name in sys.modules else None
    stem = module_name.rpartition(".")[2]
    own = [
        frame
        for frame in frames
        if frame.filename == (spec.origin if spec else None) or Path(frame.filename).stem == stem
    ]
    best = (own or frames)[-1]
    return f"{best.filename}:{best.lineno}"


def name_of(flow: Any) -> str | None:
    """Return the flow's name: its own `name`, else the one its activities were created with."""
    return _own_or_activities(flow, "name", "flow_name")


def domain_of(flow: Any) -> str | None:
    """Return the flow's domain: its own `domain`, else that of its activities."""
    return _own_or_activities(flow, "domain", "domain")


def _own_or_activities(flow: Any, own: str, of_activity: str) -> str | None:
    value = getattr(flow, own, None)
    if isinstance(value, str) and value:
        return value
    found = (getattr(one, of_activity) for one in find_workflow_activities(flow))
    return next((one for one in found if one), None)


def is_custom_decider(flow: Any) -> bool:
    """Return whether the flow decides by itself, with a `decider(schedule, context=None)`."""
    return callable(getattr(flow, "decider", None))


def activities_by_name(flow: Any) -> dict[str, Activity]:
    """Return the flow's activities by their names within the flow.

    Each call reads the flow's attributes again: a property that builds an activity builds another.
    """
    return {one.short_name: one for one in find_workflow_activities(flow)}


def check_flow(flow: Any) -> None:
    """Check that the flow can run.

    Raises:
        FlowError: no domain or name, no activity, two of one name, one without a runner, a
            requirement that is not in the flow or goes round in a circle, or a name that SWF would
            refuse. The first of these, in one line.
    """
    activities = find_workflow_activities(flow)
    what = getattr(flow, "__name__", type(flow).__name__)
    if not activities:
        raise FlowError(
            f"flow {what} has no activity; make one in it: create = activity.create('dev', 'name'),"
            " then first = create(name='first', run=runner.Sync(task))"
        )
    for attribute, value in (("domain", domain_of(flow)), ("name", name_of(flow))):
        if not value:
            raise FlowError(f"flow {what} has no {attribute}; set {attribute} = '...' in it")
    _check_name("domain", str(domain_of(flow)), DOMAIN_MAX)
    _check_name("flow", str(name_of(flow)), FLOW_NAME_MAX)
    _check_name("version of the flow", version_of(flow), VERSION_MAX)
    decision_timeout_of(flow)
    _check_twice(activities)
    for one in activities:
        _check_activity(one, activities)
    _check_circle(activities)


def version_of(flow: Any) -> str:
    """Return the flow's version, `1.0` where it has none."""
    version = getattr(flow, "version", None)
    return version if isinstance(version, str) and version else "1.0"


def decision_timeout_of(flow: Any) -> int:
    """Return the seconds that a decision may take: the flow's own, else that of its activities.

    Raises:
        FlowError: it is no whole number from 1 up.
    """
    places = (flow, *find_workflow_activities(flow))
    found = (getattr(one, "decision_timeout", None) for one in places)
    seconds = next((one for one in found if one is not None), DECISION_TIMEOUT_S)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
        raise FlowError(f"decision_timeout={seconds!r:.60} is no number of seconds from 1 up")
    return seconds


def _check_name(what: str, name: str, longest: int) -> None:
    found = _FORBIDDEN.search(name)
    problem = None
    if found:
        problem = f"holds {found.group()!r}, which SWF allows in no name (nor : / | and controls)"
    elif what == "flow" and name.endswith(SHARD_TYPE_SUFFIX):
        problem = f"ends with {SHARD_TYPE_SUFFIX!r}, as the names of garcon's own shards do"
    elif name == "arn":
        problem = "is a name that SWF keeps for itself"
    elif name != name.strip():
        problem = "begins or ends with a blank"
    elif len(name) > longest:
        problem = (
            f"has {len(name)} characters; {longest} are allowed, so that its ids fit SWF's 256"
        )
    if problem:
        raise FlowError(f"{what} {name[:60]!r} {problem}; rename it")


def _check_twice(activities: Iterable[Activity]) -> None:
    full_names: set[str] = set()
    short_names: set[str] = set()
    for one in activities:
        if one.name in full_names or one.short_name in short_names:
            raise FlowError(f"two activities are called {one.short_name!r}; rename one of them")
        full_names.add(one.name)
        short_names.add(one.short_name)


def _check_activity(activity: Activity, activities: list[Activity]) -> None:
    name = activity.short_name
    _check_name("activity", activity.name, ACTIVITY_NAME_MAX)
    _check_name(f"version of activity {name}", activity.version, VERSION_MAX)
    if activity.runner is None:
        raise FlowError(f"activity {name} has no runner; give it run=runner.Sync(task)")
    if activity.external and not activity.runner.timeout(None):
        raise FlowError(f"activity {name} is external and has no timeout; give timeout=seconds")
    known = {one.name for one in activities}
    for one in activity.requires:
        if one.name not in known:
            raise FlowError(
                f"activity {name} requires {one.short_name}, which is not in the flow"
                f" (known: {', '.join(sorted(other.short_name for other in activities))});"
                " make it an attribute of the flow, or list it in flow.activities"
            )


def _check_circle(activities: Iterable[Activity]) -> None:
    """Raise when requirements go round: nothing in the circle could ever start."""
    requires = {one.short_name: [other.short_name for other in one.requires] for one in activities}
    done: set[str] = set()
    for start in requires:
        circle = _circle_from(start, requires, done)
        if circle:
            raise FlowError(
                f"activities require each other in a circle: {' -> '.join(circle)};"
                " take one requires= out"
            )


def _circle_from(start: str, requires: Mapping[str, list[str]], done: set[str]) -> list[str] | None:
    """Return a circle that can be reached from `start`; what leads to none joins `done`."""
    path: list[str] = []
    open_ends = [iter([start])]
    while open_ends:
        name = next(open_ends[-1], None)
        if name is None:
            open_ends.pop()
            done.update(path[-1:])
            del path[-1:]
        elif name in path:
            return [*path[path.index(name) :], name]
        elif name not in done:
            path.append(name)
            open_ends.append(iter(requires.get(name, ())))
    return None


def describe(flow: Any) -> FlowDescription:
    """Return the names and numbers of a flow that `check_flow` found good."""
    endpoint, region = _place_of(client_of(flow))
    return FlowDescription(
        domain=domain_of(flow) or "",
        name=name_of(flow) or "",
        version=version_of(flow),
        activities=tuple(_describe(one) for one in find_workflow_activities(flow)),
        custom_decider=is_custom_decider(flow),
        decision_timeout_s=decision_timeout_of(flow),
        client_endpoint=endpoint,
        client_region=region,
    )


def _describe(activity: Activity) -> ActivityDescription:
    heartbeat_s, start_to_close_s = _times(activity)
    return ActivityDescription(
        name=activity.short_name,
        type_name=activity.name,
        version=activity.version,
        task_list=activity.task_list or activity.name,
        requires=tuple(one.short_name for one in activity.requires),
        generators=len(activity.generators),
        external=activity.external,
        retry=activity.retry,
        lost_retry=LOST_RETRY if activity.lost_retry is None else activity.lost_retry,
        heartbeat_s=heartbeat_s,
        start_to_close_s=start_to_close_s,
        max_procs=activity.max_procs,
        threads=activity.threads,
        shard_size=activity.shard_size,
        **activity.policy.fields(),
    )


def _times(activity: Activity) -> tuple[int, int]:
    """Return heartbeat and timeout in seconds; what depends on a context counts as undeclared."""
    tasks = getattr(activity.runner, "tasks", ())
    if any(is_task_list(one) for one in tasks):
        return HEARTBEAT_S, START_TO_CLOSE_S
    instance = ActivityInstance(activity)
    return instance.heartbeat_timeout, instance.timeout


def client_of(flow: Any) -> Any:
    """Return the boto3 client that a flow of garcon 1.x brings, itself or for its activities.

    None where it brings none; none is made.
    """
    return search.client_of(flow, find_workflow_activities(flow))


def _place_of(client: Any) -> tuple[str | None, str | None]:
    """Return endpoint and region of a boto3 client, None for what it does not tell."""
    meta = getattr(client, "meta", None)
    told = (getattr(meta, "endpoint_url", None), getattr(meta, "region_name", None))
    endpoint, region = (one if isinstance(one, str) else None for one in told)
    return endpoint, region

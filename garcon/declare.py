"""Reads what a flow says in `activity.create(...)` and in what comes back of it.

Two generations of flows give their words in two orders; here they become one. It makes no activity
and imports none. Law: a word that nobody knows is refused by name, at the line that wrote it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from garcon.description import SHARD_SIZE, THREADS_MAX
from garcon.errors import FlowError
from garcon.planning.policy import POLICY_KEYWORDS, read_policy

if TYPE_CHECKING:
    from garcon.activity import Activity
    from garcon.runner import BaseRunner

Generator = Callable[[Any], Iterable[Mapping[str, Any]]]
OnException = Callable[[Any, BaseException], Any]

_CREATE_PLACES = ("client", "domain", "name", "version", "on_exception")
_CREATE_KEYWORDS = (*_CREATE_PLACES, "decision_timeout")

_ACTIVITY_KEYWORDS = (
    *("name", "run", "tasks", "requires", "retry", "lost_retry", "generators", "generator"),
    *("schedule_to_start", "on_exception", "external", "timeout", "heartbeat", "max_procs"),
    *("threads", "shard_size"),
    *POLICY_KEYWORDS,
)


class CreateActivity(Protocol):
    """Makes the activities of one workflow; `create` returns it and says what its words mean."""

    def __call__(
        self,
        *,
        name: str,
        run: BaseRunner | None = None,
        tasks: BaseRunner | None = None,
        requires: Iterable[Activity] | None = None,
        retry: int | None = None,
        lost_retry: int | None = None,
        retry_delay: float | None = None,
        retry_backoff: float | None = None,
        retry_max_delay: float | None = None,
        no_retry: Any = None,
        fail_fast: bool | None = None,
        max_failures: int | str | None = None,
        max_open: int | None = None,
        max_procs: int | None = None,
        threads: int | None = None,
        shard_size: int | None = SHARD_SIZE,
        rate: str | float | None = None,
        generators: Iterable[Generator] | None = None,
        generator: Iterable[Generator] | Generator | None = None,
        schedule_to_start: int | None = None,
        on_exception: OnException | None = None,
        external: bool = False,
        timeout: int | None = None,
        heartbeat: int | None = None,
    ) -> Activity:
        """Return the activity."""
        ...


@dataclass(frozen=True)
class Bound:
    """What `activity.create` was given, in either of its forms.

    Attributes:
        domain: SWF's domain.
        client: boto3's SWF client, None in the form without.
        name: the workflow's name, None where the calling module's name is meant.
        version: version of the activity types.
        on_exception: called with the activity and the error when an attempt fails.
        decision_timeout: seconds that one decision of the workflow may take; None for the default.
    """

    domain: str
    client: Any = None
    name: str | None = None
    version: str = "1.0"
    on_exception: Callable[..., Any] | None = None
    decision_timeout: int | None = None


def bind(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Bound:
    """Read the arguments of `activity.create` in either of its forms.

    Raises:
        FlowError: they fit neither.
    """
    given = {("name" if key == "workflow_name" else key): kwargs[key] for key in kwargs}
    _refuse_unknown("activity.create", given, _CREATE_KEYWORDS)
    without_client = bool(args) and isinstance(args[0], str)
    names = _CREATE_PLACES[1:] if without_client or "client" in given else _CREATE_PLACES
    if len(args) > len(names) or set(names[: len(args)]) & set(given):
        raise FlowError("activity.create takes (domain, name, ...) or (client, domain, name, ...)")
    bound = {**dict(zip(names, args, strict=False)), **given}
    if not isinstance(bound.get("domain"), str) or not bound["domain"]:
        raise FlowError(
            "activity.create needs SWF's domain, such as activity.create('dev', 'name')"
        )
    _count("activity.create", "decision_timeout", bound.get("decision_timeout"), least=1)
    return Bound(**bound)


def module_name(caller: Mapping[str, Any]) -> str:
    """Return the last part of a module's name; of a script run by its path, the file's."""
    spec = caller.get("__spec__")
    name = str(spec.name if spec else caller.get("__name__", ""))
    if name == "__main__" and caller.get("__file__"):
        return PurePath(caller["__file__"]).stem
    return name.rpartition(".")[2]


def activity_data(bound: Bound, flow_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Activity.hydrate` takes, from the keywords of one activity.

    Raises:
        FlowError: a keyword is unknown or does not fit, or the name is missing.
    """
    name = options.get("name")
    if not isinstance(name, str) or not name:
        raise FlowError(f"an activity of flow {flow_name} has no name; give name='...'")
    where = f"activity {name} of flow {flow_name}"
    _refuse_unknown(where, options, _ACTIVITY_KEYWORDS)
    if options.get("external") and not options.get("timeout"):
        raise FlowError(f"{where} is external and has no timeout; give timeout=seconds")
    full_name = f"{flow_name}_{name}"
    # None is a wish as well: the whole fan-out in one history.
    size = _count(where, "shard_size", options.get("shard_size"), least=1)
    return {
        **({"shard_size": size} if "shard_size" in options else {}),
        "decision_timeout": bound.decision_timeout,
        "name": full_name,
        "short_name": name,
        "flow_name": flow_name,
        "domain": bound.domain,
        "version": bound.version,
        "task_list": full_name,
        "requires": _activities(where, options.get("requires")),
        "retry": _count(where, "retry", options.get("retry")),
        "lost_retry": _count(where, "lost_retry", options.get("lost_retry")),
        "max_procs": _count(where, "max_procs", options.get("max_procs"), least=1),
        "threads": _count(where, "threads", options.get("threads"), least=1, most=THREADS_MAX),
        "policy": read_policy(where, options),
        "generators": _generators(where, options),
        "schedule_to_start": _count(where, "schedule_to_start", options.get("schedule_to_start")),
        "on_exception": options.get("on_exception") or bound.on_exception,
        "runner": None if options.get("external") else _runner(where, options),
    }


def _refuse_unknown(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known)
        hint = f"; did you mean {' or '.join(near)}?" if near else f" (known: {', '.join(known)})"
        raise FlowError(f"{where}: unknown keyword {unknown[0]!r}{hint}")


def _activities(where: str, requires: Any) -> list[Any]:
    found = [requires] if hasattr(requires, "instances") else list(requires or [])
    for one in found:
        if not hasattr(one, "instances"):
            raise FlowError(f"{where}: requires={one!r:.60} is no activity; give the variable")
    return found


def _count(
    where: str, what: str, value: Any, least: int = 0, most: int | None = None
) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FlowError(f"{where}: {what}={value!r} is no number from {least} up")
    if most is not None and value > most:
        raise FlowError(f"{where}: {what}={value} is more than the {most} that are possible")
    return value


def _generators(where: str, options: Mapping[str, Any]) -> list[Callable[..., Any]]:
    given = first_given(options, "generators", "generator") or []
    found = [given] if callable(given) else list(given)
    for one in found:
        if not callable(one):
            raise FlowError(f"{where}: generator {one!r:.60} is no function of the context")
    return found


def _runner(where: str, options: Mapping[str, Any]) -> Any:
    found = first_given(options, "run", "tasks")
    if found is not None and not hasattr(found, "execute"):
        raise FlowError(f"{where}: run={found!r:.60} is no runner; write run=runner.Sync(task)")
    return found


def first_given(data: Mapping[str, Any], *names: str) -> Any:
    """Return the value of the first of `names` that `data` has a value for, else None."""
    return next((data[name] for name in names if data.get(name)), None)

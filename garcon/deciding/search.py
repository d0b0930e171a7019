"""Finds the activities of a flow, and which of their instances are due by a list of states.

The decider plans by `planner`; this is the same question over the plain dicts that the documented
functions take. It schedules nothing. Law: an activity counts as complete when every instance that
it has by now has completed, and so have its requirements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from garcon.errors import DecisionError, FlowError
from garcon.instance import (
    ACTIVITY_COMPLETED,
    ACTIVITY_FAILED,
    ACTIVITY_STANDBY,
    ActivityInstance,
    ActivityState,
    count_activity_failures,
)

if TYPE_CHECKING:
    from garcon.activity import Activity

T = TypeVar("T")

#: For each activity's full name, the states of its instances by their ids.
History = Mapping[str, Mapping[str, ActivityState]]


def attributes_of(flow: Any) -> Iterator[Any]:
    """Yield the values of a flow's attributes in the order in which they are declared.

    Those of the object first, then those of its classes, properties among them.

    Raises:
        FlowError: a property raises.
    """
    own = list(getattr(flow, "__dict__", {}))
    classes = [] if isinstance(flow, ModuleType) else reversed(type(flow).__mro__)
    names = dict.fromkeys([*own, *(name for one in classes for name in vars(one))])
    for name in names:
        # A flow's client is no activity, and may be a property that makes one.
        if name.startswith("__") or name == "client":
            continue
        try:
            yield getattr(flow, name)
        except AttributeError:
            continue  # a class may hide what its base declares
        except Exception as error:
            raise FlowError(
                f"attribute {name} of the flow raises {type(error).__name__}: {error}"
            ) from error


def listed_by(flow: Any, kind: type[T]) -> list[T]:
    """Return those of the flow's `activities`, a list or a dict of them, that are of this kind."""
    listed = getattr(flow, "activities", None)
    values = listed.values() if isinstance(listed, Mapping) else listed
    if not isinstance(values, Iterable):
        return []
    return [one for one in values if isinstance(one, kind)]


def client_of(flow: Any, activities: Iterable[Activity]) -> Any:
    """Return the boto3 client that a flow brings, itself or for its activities; None if none."""
    found = [getattr(flow, "client", None), *(one._client for one in activities)]
    return next((one for one in found if one is not None), None)


def available(
    activities: Iterable[Activity], history: History, context: Mapping[str, Any]
) -> Iterator[ActivityInstance]:
    """Yield the instances to schedule now (see `activity.find_available_activities`)."""
    barrier = _Barrier(history, context)
    for activity in activities:
        if not all(barrier.is_complete(one) for one in activity.requires):
            continue
        for instance in activity.instances(context):
            if _is_due(instance, state_of(instance, history)):
                yield instance


def uncomplete(
    activities: Iterable[Activity], history: History, context: Mapping[str, Any]
) -> Iterator[ActivityInstance]:
    """Yield the instances that have not completed."""
    for activity in activities:
        for instance in activity.instances(context):
            if not _has_completed(state_of(instance, history)):
                yield instance


def state_of(instance: ActivityInstance, history: History) -> ActivityState | None:
    """Return what the history says of an instance, by its id or that of garcon 1.1.1."""
    states = history.get(instance.activity_name)
    if not states:
        return None
    return states.get(instance.id) or states.get(instance.legacy_id)


def _has_completed(state: ActivityState | None) -> bool:
    return state is not None and ACTIVITY_COMPLETED in state.states


def _is_due(instance: ActivityInstance, state: ActivityState | None) -> bool:
    last = None if state is None else state.get_last_state()
    if state is None or last is None:
        return True
    if last not in (ACTIVITY_FAILED, ACTIVITY_STANDBY):
        return False
    failures, lost_retry = count_activity_failures(state), instance.activity_worker.lost_retry
    if state.canceled:
        raise DecisionError(f"{instance.id} was canceled")
    if failures > instance.retry:
        raise DecisionError(
            f"{instance.id} failed {failures} times, which exceeds its retry={instance.retry}"
        )
    if state.losses > lost_retry:
        raise DecisionError(
            f"{instance.id} lost its worker {state.losses} times, which exceeds its"
            f" lost_retry={lost_retry}"
        )
    return True


class _Barrier:
    """Which activities have completed; each is computed once."""

    def __init__(self, history: History, context: Mapping[str, Any]) -> None:
        self._history = history
        self._context = context
        self._known: dict[str, bool] = {}

    def is_complete(self, activity: Activity) -> bool:
        """Tell whether every instance of `activity` and of all it requires has completed."""
        if activity.name not in self._known:
            # Requirements first: a generator may need what they bring into the context.
            self._known[activity.name] = all(
                self.is_complete(one) for one in activity.requires
            ) and all(
                _has_completed(state_of(one, self._history))
                for one in activity.instances(self._context)
            )
        return self._known[activity.name]

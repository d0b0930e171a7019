"""What an activity would fan out into, before what it requires has run.

Runs the flow's generators on a context that notes what they look for. Law: a number is told only
where the generators gave it; where they wait for a result it is unknown, and what was assumed to
stay absent is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from garcon.deciding.usercode import USER_ERRORS, error_line, fresh
from garcon.errors import DecisionError
from garcon.manifest import Manifest, collect, distinct

if TYPE_CHECKING:
    from garcon.activity import Activity

#: Stands for "all of it" among the keys that a generator looked for.
EVERYTHING = "*"


@dataclass(frozen=True)
class Foreseen:
    """What is known of a fan-out that is not frozen yet.

    Attributes:
        manifest: its instances; None where they cannot be known yet.
        assumes: keys that the generators looked for and did not find, and that a result could set.
        problem: why the instances are not known, or what the generators raised.
        is_error: whether the generators fail whatever the results are.
    """

    manifest: Manifest | None
    assumes: tuple[str, ...] = ()
    problem: str = ""
    is_error: bool = False


class _Noting(dict[str, Any]):
    """A context that notes which keys it was asked for in vain; asking for all notes `*`."""

    def __init__(self, data: Mapping[str, Any], missed: set[str]) -> None:
        super().__init__(data)
        self._missed = missed

    def _note(self, key: object) -> None:
        if not super().__contains__(key):
            self._missed.add(str(key))

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(key)
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._note(key)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        self._note(key)
        return super().setdefault(key, default)

    def __iter__(self) -> Iterator[str]:
        self._missed.add(EVERYTHING)
        return super().__iter__()

    def __len__(self) -> int:
        self._missed.add(EVERYTHING)
        return super().__len__()

    def keys(self) -> Any:
        self._missed.add(EVERYTHING)
        return super().keys()

    def values(self) -> Any:
        self._missed.add(EVERYTHING)
        return super().values()

    def items(self) -> Any:
        self._missed.add(EVERYTHING)
        return super().items()


def foresee(activity: Activity, context: Mapping[str, Any], is_waiting: bool) -> Foreseen:
    """Return what the activity fans out into, as far as that is known.

    Args:
        activity: as the flow declares it.
        context: what is known by now: the input, and the results so far.
        is_waiting: whether something that it requires has yet to complete, so that results may
            still come.
    """
    manifest = Manifest(activity.short_name, activity.name, None, 0)
    if not activity.generators:
        return Foreseen(manifest)
    missed: set[str] = set()
    lists = []
    try:
        for generator in activity.generators:
            given = generator(_Noting(fresh(context), missed))
            lists.append(collect(activity.short_name, () if given is None else given))
        manifest = replace(manifest, lists=distinct(activity.short_name, lists))
    except USER_ERRORS as error:
        if is_waiting and missed:
            return Foreseen(None, tuple(sorted(missed)), _waits(missed))
        raised = f"its generators raise {error_line(error)}"
        told = str(error) if isinstance(error, DecisionError) else raised
        return Foreseen(None, problem=told, is_error=True)
    if not is_waiting or not missed:
        return Foreseen(manifest)
    if EVERYTHING in missed or manifest.count == 0:
        return Foreseen(None, tuple(sorted(missed)), _waits(missed))
    return Foreseen(manifest, tuple(sorted(missed)))


def _waits(missed: set[str]) -> str:
    what = "all results" if EVERYTHING in missed else ", ".join(sorted(missed))
    return f"waits for results: its generators look for {what}"

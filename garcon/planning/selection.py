"""Which instances of an earlier execution are to be run again, when not all that it left.

Part of `garcon.resume` in an execution's input: `{"failed": true, "activities": ["country_day"],
"keys": [{"country": "FR"}]}`; an instance has to satisfy every word that is given. Pure. Law: a
selection only leaves out; it never names what is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Selection:
    """What to run of that which is left.

    Attributes:
        only_failed: only what failed, not what never ran.
        activities: only these; all of them where it is empty.
        keys: only instances that one of these matches, by the texts of their values; all where it
            is empty.
    """

    only_failed: bool = False
    activities: tuple[str, ...] = ()
    keys: tuple[tuple[tuple[str, str], ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.only_failed or self.activities or self.keys)

    def names(self, activity: str, context: Mapping[str, Any], has_failed: bool) -> bool:
        """Whether an instance that is left is to be run.

        Args:
            activity: its name in the flow.
            context: what the generators gave it.
            has_failed: whether it failed, rather than never ran.
        """
        if self.only_failed and not has_failed:
            return False
        if self.activities and activity not in self.activities:
            return False
        return not self.keys or any(matches(dict(one), context) for one in self.keys)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it; words that say nothing are left out."""
        told: dict[str, Any] = {"failed": True} if self.only_failed else {}
        if self.activities:
            told["activities"] = list(self.activities)
        if self.keys:
            told["keys"] = [dict(one) for one in self.keys]
        return told


def read_selection(told: Any) -> Selection:
    """Return the selection that `plain` wrote; None is all of it.

    Raises:
        ValueError: it is none.
    """
    if told is None:
        return Selection()
    if not isinstance(told, dict) or not told.keys() <= {"failed", "activities", "keys"}:
        raise ValueError("it may hold failed, activities and keys")
    activities, keys = told.get("activities", []), told.get("keys", [])
    if not isinstance(activities, list) or not all(isinstance(one, str) for one in activities):
        raise ValueError("activities is a list of names")
    if not isinstance(keys, list) or not all(_is_texts(one) for one in keys):
        raise ValueError("keys is a list of objects whose values are texts")
    return Selection(
        bool(told.get("failed")), tuple(activities), tuple(tuple(one.items()) for one in keys)
    )


def _is_texts(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(value, str) for value in one.values())


def matches(wanted: Mapping[str, str], context: Mapping[str, Any]) -> bool:
    """Whether an instance with this context has all the keys that are wanted, with these values.

    A text is compared as it is, anything else by its JSON: `5` means the number 5 and the text "5".
    """
    return all(key in context and value == _text_of(context[key]) for key, value in wanted.items())


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

"""Requests checked whole against botocore's service model, by functions made once.

What it never does: know what an operation means. Its one law: a request either passes whole or is
refused with everything that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from garcon.engine.core import faults
from garcon.engine.core.rules import MEMBER_RULES, SHAPE_RULES, Rule
from garcon.engine.core.tables import DECISIONS
from garcon.engine.servicemodel import service_model

# A broken constraint: path below the checked value, the value, the sentence about it.
Broken = tuple[str, Any, str]
Check = Callable[[Any], "list[Broken] | None"]

_NULL: Final = "Member must not be null"


def load_checks() -> dict[str, Callable[[Any], dict[str, Any]]]:
    """For each operation of SWF a function that checks a parsed body and returns it.

    The function strips null and unknown members and raises a Fault (SerializationException for a
    wrong JSON type, ValidationException with every broken constraint).
    """
    model = service_model()
    compiler = _Compiler(model["shapes"])
    return {
        name: _whole(compiler.check(operation["input"]["shape"]))
        for name, operation in model["operations"].items()
    }


def _whole(check: Check) -> Callable[[Any], dict[str, Any]]:
    def checked(body: Any) -> dict[str, Any]:
        broken = check(body)
        if broken:
            raise faults.several([faults.broken(v, path, rule) for path, v, rule in broken])
        given: dict[str, Any] = body
        return given

    return checked


class _Compiler:
    """Makes one function for each shape of the model."""

    def __init__(self, shapes: dict[str, Any]) -> None:
        self._shapes = shapes
        self._made: dict[str, Check] = {}

    def check(self, name: str, rule: Rule | None = None) -> Check:
        """The function for a shape; ``rule`` replaces the shape's own further rule."""
        if rule is not None:
            return self._make(name, rule)
        if name not in self._made:
            self._made[name] = self._make(name, SHAPE_RULES.get(name))
        return self._made[name]

    def _make(self, name: str, rule: Rule | None) -> Check:
        shape = self._shapes[name]
        kind = shape["type"]
        if kind == "structure":
            return self._structure(name, shape)
        if kind == "list":
            return self._list(shape)
        if kind == "string":
            return _string(name, shape, rule)
        return _NUMBERS[kind](shape)

    def _structure(self, name: str, shape: dict[str, Any]) -> Check:
        members = {
            member: self.check(target["shape"], MEMBER_RULES.get((name, member)))
            for member, target in shape["members"].items()
        }
        required = tuple(shape.get("required", ()))

        def check(value: Any) -> list[Broken] | None:
            if type(value) is not dict:
                raise _wrong_type("a structure", value)
            if None in value.values():
                for member in [key for key, item in value.items() if item is None]:
                    del value[member]
            broken: list[Broken] | None = None
            for member in required:
                if member not in value:
                    broken = [*(broken or ()), (member, None, _NULL)]
            unknown: list[str] | None = None
            for member, item in value.items():
                check_member = members.get(member)
                if check_member is None:
                    unknown = [*(unknown or ()), member]
                    continue
                below = check_member(item)
                if below:
                    found = [(_join(member, path), v, rule) for path, v, rule in below]
                    broken = [*(broken or ()), *found]
            if unknown:
                for member in unknown:
                    del value[member]
            return broken

        return check

    def _list(self, shape: dict[str, Any]) -> Check:
        member = self.check(shape["member"]["shape"])
        most = shape.get("max")

        def check(value: Any) -> list[Broken] | None:
            if type(value) is not list:
                raise _wrong_type("a list", value)
            broken: list[Broken] = []
            if most is not None and len(value) > most:
                broken.append(("", value, f"Member must have length less than or equal to {most}"))
            for number, item in enumerate(value, 1):
                if item is None:
                    broken.append((f"{number}.member", None, _NULL))
                    continue
                below = member(item)
                if below:
                    head = f"{number}.member"
                    broken.extend((_join(head, path), v, rule) for path, v, rule in below)
            return broken

        return check


def _join(head: str, path: str) -> str:
    return f"{head}.{path}" if path else head


def _string(name: str, shape: dict[str, Any], rule: Rule | None) -> Check:
    most, least = shape.get("max"), shape.get("min", 0)
    # Of the decisions the service prints its own order.
    choices = list(DECISIONS) if name == "DecisionType" else shape.get("enum", [])
    allowed = frozenset(choices) if choices else None

    def check(value: Any) -> list[Broken] | None:
        if type(value) is not str:
            raise _wrong_type("a string", value)
        if most is not None and len(value) > most:
            return [("", value, f"Member must have length less than or equal to {most}")]
        if len(value) < least:
            return [("", value, f"Member must have length greater than or equal to {least}")]
        if allowed is not None and value not in allowed:
            return [("", value, f"Member must satisfy enum value set: [{', '.join(choices)}]")]
        sentence = rule(value) if rule is not None else None
        return [("", value, sentence)] if sentence else None

    return check


def _integer(shape: dict[str, Any]) -> Check:
    most, least = shape.get("max"), shape.get("min")

    def check(value: Any) -> list[Broken] | None:
        if type(value) is not int:
            raise _wrong_type("an integer", value)
        if most is not None and value > most:
            return [("", value, f"Member must have value less than or equal to {most}")]
        if least is not None and value < least:
            return [("", value, f"Member must have value greater than or equal to {least}")]
        return None

    return check


def _boolean(_shape: dict[str, Any]) -> Check:
    def check(value: Any) -> list[Broken] | None:
        if type(value) is not bool:
            raise _wrong_type("a boolean", value)
        return None

    return check


_LATEST_S: Final = 253_402_300_799  # the end of the year 9999


def _timestamp(_shape: dict[str, Any]) -> Check:
    def check(value: Any) -> list[Broken] | None:
        if type(value) not in (int, float):
            raise _wrong_type("a timestamp in epoch seconds", value)
        if not -_LATEST_S <= value <= _LATEST_S:
            return [("", value, "Member must be a time before the year 10000")]
        return None

    return check


_NUMBERS: Final[dict[str, Callable[[dict[str, Any]], Check]]] = {
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
    "timestamp": _timestamp,
}


def _wrong_type(wanted: str, value: Any) -> faults.Fault:
    return faults.serialization(f"Expected {wanted}, got {type(value).__name__}")

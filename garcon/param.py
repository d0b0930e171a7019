"""Params: where a filled task takes an argument from.

`task.fill(country='generator.country')` means the context's key of that name; a `StaticParam`
brings its value along; a class of one's own may compute one. Params never change the context.
Law: a param lists every context key it reads in `requirements`, since nothing else is sent along
with the activity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from garcon.errors import FlowError


class UnknownParamException(FlowError):
    """A requirement is neither the name of a context key nor a param."""


class BaseParam:
    """What every param has; extend it to compute a value."""

    @property
    def requirements(self) -> Iterable[str]:
        """Context keys that `get_data` reads; none by itself."""
        return ()

    def get_data(self, context: Mapping[str, Any]) -> Any:
        """Return the argument's value.

        Args:
            context: the context of the activity, as far as it was required.

        Raises:
            NotImplementedError: always; the extending class says where the value is.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a get_data(context)")


class Param(BaseParam):
    """A value of the context, found under its key.

    Attributes:
        context_key: the key.
    """

    def __init__(self, context_key: str) -> None:
        """Take the value of `context_key`."""
        self.context_key = context_key

    @property
    def requirements(self) -> Iterable[str]:
        """The one key that is read."""
        return (self.context_key,)

    def get_data(self, context: Mapping[str, Any]) -> Any:
        """Return what the context holds under the key, None where it has no such key."""
        return context.get(self.context_key)


class StaticParam(BaseParam):
    """A value known when the flow is written.

    Attributes:
        value: the value; it is not copied.
    """

    def __init__(self, value: Any) -> None:
        """Take `value` whatever the context."""
        self.value = value

    def get_data(self, context: Mapping[str, Any]) -> Any:  # noqa: ARG002 - part of the interface
        """Return the value; the context does not matter."""
        return self.value


def get_all_requirements(params: Iterable[BaseParam]) -> list[str]:
    """Return the context keys that all `params` together read, in their order."""
    return [key for param in params for key in param.requirements]


def parametrize(requirement: str | BaseParam) -> BaseParam:
    """Return the param that `requirement` means: a text names a context key, a param is itself.

    Raises:
        UnknownParamException: it is neither.
    """
    if isinstance(requirement, BaseParam):
        return requirement
    if isinstance(requirement, str):
        return Param(requirement)
    raise UnknownParamException(
        f"{requirement!r} ({type(requirement).__name__}) is no requirement:"
        " give the name of a context key, or param.StaticParam(value) for a fixed value"
    )

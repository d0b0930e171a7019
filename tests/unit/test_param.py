"""Params: where a filled task takes an argument from."""

from __future__ import annotations

import pytest

from garcon import param
from garcon.errors import FlowError


def test_a_param_reads_its_key_of_the_context() -> None:
    """The key is what is required, and its value is what the task gets."""
    one = param.Param("context.country")

    assert list(one.requirements) == ["context.country"]
    assert one.get_data({"context.country": "DE", "other": 1}) == "DE"
    assert one.context_key == "context.country"


def test_a_param_whose_key_is_missing_is_none() -> None:
    """A task decides itself what a missing value means."""
    assert param.Param("missing").get_data({}) is None


def test_a_static_param_brings_its_value() -> None:
    """It reads nothing, so nothing is sent along for it."""
    one = param.StaticParam([1, 2])

    assert list(one.requirements) == []
    assert one.get_data({}) == [1, 2]
    assert one.value == [1, 2]


def test_the_base_param_has_no_value() -> None:
    """A class that forgets get_data is told so."""

    class Forgetful(param.BaseParam):
        pass

    assert list(Forgetful().requirements) == []
    with pytest.raises(NotImplementedError, match="Forgetful needs a get_data"):
        Forgetful().get_data({})


def test_all_requirements_are_those_of_each_param_in_order() -> None:
    """Static params add nothing."""
    params = [param.Param("b"), param.StaticParam(1), param.Param("a")]

    assert param.get_all_requirements(params) == ["b", "a"]


def test_a_text_becomes_a_param_and_a_param_stays() -> None:
    """`fill` takes either."""
    own = param.StaticParam(1)
    made = param.parametrize("key")

    assert isinstance(made, param.Param)
    assert made.context_key == "key"
    assert param.parametrize(own) is own


def test_anything_else_is_refused_with_its_value() -> None:
    """The line says what was given and what would do."""
    with pytest.raises(
        param.UnknownParamException, match=r"^5 \(int\) is no requirement"
    ) as refused:
        param.parametrize(5)  # type: ignore[arg-type]

    assert isinstance(refused.value, FlowError)

"""The three documented helpers."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from garcon import utils
from garcon.errors import ServiceError


def test_a_key_stands_for_the_content_whatever_the_order() -> None:
    """Two dicts of equal content have one key of 40 hex digits."""
    key = utils.create_dictionary_key({"a": 1, "b": [2]})

    assert key == utils.create_dictionary_key({"b": [2], "a": 1})
    assert len(key) == 40


def test_one_and_its_text_have_two_keys() -> None:
    """Garcon 1.1.1 gave both the same id, and ran one of them."""
    one, text = utils.create_dictionary_key({"n": 1}), utils.create_dictionary_key({"n": "1"})

    assert one != text


@pytest.mark.parametrize("value", ["text", None, [("a", 1)], 1])
def test_a_key_of_no_dict_is_a_type_error(value: Any) -> None:
    """As it has always been."""
    with pytest.raises(TypeError, match=f"not of a {type(value).__name__}"):
        utils.create_dictionary_key(value)


def test_a_key_of_an_empty_dict_is_a_value_error() -> None:
    """As it has always been: such an instance is called -1."""
    with pytest.raises(ValueError, match="empty"):
        utils.create_dictionary_key({})


def test_a_value_that_is_not_json_is_named() -> None:
    """The user finds it by its path."""
    with pytest.raises(ValueError, match=r"^days\[0\] is a set"):
        utils.create_dictionary_key({"days": [{1}]})


def client_error(code: str) -> ClientError:
    """Return a fault as boto3 raises it."""
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "PollForActivityTask")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ThrottlingException"), False),
        (client_error("LimitExceededFault"), False),
        (client_error("UnknownResourceFault"), True),
        (ServiceError("ThrottlingException", "slower"), False),
        (ServiceError("UnknownResourceFault", "gone"), True),
        (ValueError("x"), True),
    ],
)
def test_only_a_throttle_is_worth_waiting_for(error: Exception, expected: bool) -> None:
    """Everything else is passed on at once."""
    assert utils.non_throttle_error(error) is expected


def test_the_handler_says_how_long_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    """The line goes to the logger of whoever polled."""
    actor = SimpleNamespace(logger=logging.getLogger("garcon.test"))

    with caplog.at_level(logging.INFO, "garcon.test"):
        utils.throttle_backoff_handler({"args": (actor,), "tries": 2, "wait": 1.25})

    assert caplog.messages == ["SWF throttles: try 2 failed, next one in 1.2 s"]

"""What an activity wants when things fail, and how fast it may go, as `create(...)` reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from garcon import activity, runner
from garcon.description import ActivityDescription
from garcon.errors import FlowError
from garcon.flow import describe
from garcon.planning.policy import Policy


def step(**options: Any) -> activity.Activity:
    """Return an activity with these keywords."""
    create = activity.create("dev", "flow")
    return create(name="step", run=runner.Sync(lambda context, activity: None), **options)


def test_without_a_word_the_defaults_are_those_of_the_description() -> None:
    """Attempts follow at once, nothing stops the others, nothing slows them."""
    (described,) = describe(SimpleNamespace(one=step())).activities

    assert step().policy == Policy()
    assert described == ActivityDescription("step", "flow_step", "1.0", "flow_step")


def test_every_word_reaches_the_description() -> None:
    """Which is all that the planner knows."""
    one = step(
        retry_delay=5,
        retry_backoff=3,
        retry_max_delay=60.5,
        no_retry=(ValueError, "Refused"),
        fail_fast=True,
        max_failures="2.5%",
        max_open=20,
        rate="600/min",
    )

    (described,) = describe(SimpleNamespace(one=one)).activities

    assert (described.retry_delay_s, described.retry_backoff) == (5.0, 3.0)
    assert (described.retry_max_delay_s, described.no_retry) == (60.5, ("ValueError", "Refused"))
    assert (described.fail_fast, described.max_failures) == (True, "2.5%")
    assert (described.max_open, described.rate_per_s) == (20, 10.0)


@pytest.mark.parametrize(
    ("rate", "per_s"),
    [("10/s", 10), ("1 / s", 1), ("36/h", 0.01), ("0.5/s", 0.5), (3, 3), (0.2, 0.2)],
)
def test_a_rate_is_read_in_its_unit(rate: Any, per_s: float) -> None:
    """A bare number is a second's."""
    assert step(rate=rate).policy.rate_per_s == pytest.approx(per_s)


def test_one_error_class_needs_no_tuple() -> None:
    """Nor does one name."""
    assert step(no_retry=KeyError).policy.no_retry == ("KeyError",)
    assert step(no_retry="KeyError").policy.no_retry == ("KeyError",)
    assert step(max_failures=0).policy.max_failures == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry_delay": -1}, "retry_delay=-1 is no number from 0 up"),
        ({"retry_delay": "5"}, "retry_delay='5' is no number"),
        ({"retry_delay": float("inf")}, "retry_delay=inf is endless"),
        ({"retry_backoff": 0.5}, "retry_backoff=0.5 is no number from 1 up"),
        ({"no_retry": (int,)}, "no_retry=.* holds <class 'int'>, which is no error class"),
        ({"no_retry": 5}, "no_retry=5 holds 5"),
        ({"fail_fast": 1}, "fail_fast=1 is neither True nor False"),
        ({"max_failures": "5"}, "max_failures='5' is no share; write it like '5%'"),
        ({"max_failures": "101%"}, "is no share"),
        ({"max_failures": -1}, "max_failures=-1 is no number from 0 up, and no share"),
        ({"max_open": 0}, "max_open=0 is no number from 1 up"),
        ({"rate": "10"}, "rate='10' is no rate; write it like '10/s'"),
        ({"rate": "10/day"}, "is no rate"),
        ({"rate": "0/s"}, "is no rate"),
        ({"rate": 0}, "rate=0 is no rate"),
        ({"rate": True}, "rate=True is no rate"),
    ],
)
def test_a_word_that_cannot_be_meant_so_is_refused(options: Any, message: str) -> None:
    """In one line that names the activity, the word and its value."""
    with pytest.raises(FlowError, match=f"^activity step of flow flow: .*{message}"):
        step(**options)

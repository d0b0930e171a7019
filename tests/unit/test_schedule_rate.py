"""`--schedule-rate`, as it is written and as the pool understands it."""

from __future__ import annotations

from typing import Any

import click
import pytest

from garcon import cli


def rate_of(*words: str) -> Any:
    """Return what `garcon pool` understands by these words."""
    return cli.pool.make_context("pool", ["flows.metrics", *words]).params["schedule_rate"]


def test_a_rate_is_a_number_or_one_of_two_words() -> None:
    """Left out it is what the engine asks for."""
    assert rate_of() == "auto"
    assert rate_of("--schedule-rate", "auto") == "auto"
    assert rate_of("--schedule-rate", "none") is None
    assert rate_of("--schedule-rate", "0.5") == 0.5
    assert rate_of("--schedule-rate", "180") == 180


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """With the words that there are."""
    with pytest.raises(click.BadParameter, match="neither 'auto', 'none' nor a number above 0"):
        rate_of("--schedule-rate", text)

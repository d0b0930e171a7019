"""Counts out of a decider's context, and the rates between two looks."""

from __future__ import annotations

import pytest

from garcon.progress import (
    Counts,
    Rates,
    counts_from_context,
    format_duration,
    progress_line,
    retries_told,
)


def test_counts_are_read_from_the_context_that_a_decider_wrote():
    """Names and numbers come out as they went in."""
    text = '{"garcon":1,"activities":{"a":{"n":10,"done":4,"failed":1,"running":2,"retries":3}}}'

    assert counts_from_context(text) == {"a": Counts(10, 4, 1, 2, 3)}
    assert counts_from_context(text)["a"].left == 5


@pytest.mark.parametrize(
    "text", [None, "", "no json", "[]", '{"garcon":2,"activities":{}}', '{"activities":{"a":1}}']
)
def test_a_context_of_somebody_else_tells_nothing(text):
    """Whatever another library wrote is no progress, and no error."""
    assert counts_from_context(text) == {}


def test_the_rate_is_what_ended_between_the_looks():
    """Ten ended in two seconds are five a second, and what is left takes as long as that says."""
    rates = Rates()
    rates.observe({"a": Counts(total=100, done=0)}, 0.0)
    rates.observe({"a": Counts(total=100, done=9, failed=1)}, 2.0)

    assert rates.per_s("a") == 5.0
    assert rates.time_left_s("a", Counts(total=100, done=9, failed=1)) == 18.0


def test_old_looks_leave_the_rate():
    """A burst long ago does not colour the present."""
    rates = Rates(window_s=10.0)
    rates.observe({"a": Counts(done=0)}, 0.0)
    rates.observe({"a": Counts(done=1000)}, 1.0)
    for second in range(2, 30):
        rates.observe({"a": Counts(done=1000)}, float(second))

    assert rates.per_s("a") == 0.0


def test_nothing_is_known_before_the_second_look():
    """One look has no rate and no time left."""
    rates = Rates()
    rates.observe({"a": Counts(total=5)}, 0.0)

    assert rates.per_s("a") == 0.0
    assert rates.time_left_s("a", Counts(total=5)) is None


def test_a_line_tells_what_a_log_of_cron_should_keep():
    """Every number stands in it with its word."""
    line = progress_line("fetch", Counts(10, 4, 1, 2, 3), 2.5, 125.0)

    assert line == (
        "fetch: 4 of 10 done, 1 failed, 2 running, 5 left, 3 retries, 2.5/s, 2:05 to go"
    )


@pytest.mark.parametrize(
    ("retries", "text"), [(0, ""), (1, ", 1 retry"), (2, ", 2 retries"), (1234, ", 1,234 retries")]
)
def test_retries_are_told_where_there_were_some(retries, text):
    """In a summary and in every line of progress."""
    assert text == retries_told(Counts(retries=retries))
    assert f"0 left{text}" in progress_line("a", Counts(retries=retries), 0.0, None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (760, "12:40"), (11100, "3:05:00")]
)
def test_durations_read_like_a_clock(seconds, text):
    """Minutes and seconds, hours where there are any."""
    assert format_duration(seconds) == text

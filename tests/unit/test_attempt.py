"""Which attempt an input is for: put in by the decider, taken out by who runs it."""

from __future__ import annotations

import json

import pytest

from garcon.attempt import split_attempt, with_attempt
from garcon.execution import read_input
from garcon.outcome import DETAILS_MAX


def test_a_first_attempt_s_input_is_what_the_flow_made():
    """Nothing is added where there is nothing to say."""
    assert with_attempt('{"a":1}', 1) == '{"a":1}'
    assert split_attempt(b'{"a":1}') == (1, b'{"a":1}')


@pytest.mark.parametrize("text", ["{}", '{"a":1}', '{"garcon.attempt":7}', '{"\\ud800":"x"}'])
def test_a_later_attempt_s_input_tells_it_and_is_whole_again_without(text):
    """It stays JSON on the way, whatever it holds."""
    marked = with_attempt(text, 12)
    json.loads(marked)

    assert split_attempt(marked.encode()) == (12, text.encode())


def test_an_input_without_room_for_it_goes_as_it_is():
    """A retry must not fail for the sake of the log."""
    full = '{"a":"' + (DETAILS_MAX - 8) * "x" + '"}'
    assert len(full) == DETAILS_MAX

    assert with_attempt(full, 2) == full


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"garcon.attempt":"2"}', b'{"a":1,"garcon.attempt":2}', b"\xff"]
)
def test_what_no_decider_of_garcon_wrote_is_passed_on(data):
    """A task list may be fed by another program."""
    assert split_attempt(data) == (1, data)


def test_a_task_run_by_hand_does_not_see_it():
    """Its context is the same in each attempt."""
    assert read_input(with_attempt('{"a":1}', 3)) == {"a": 1}

"""Which activities a pool serves."""

from __future__ import annotations

import pytest

from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import UsageError
from garcon.pool.choice import choose_activities
from garcon.pool.config import parse_activities

FETCH = ActivityDescription("fetch", "flow_fetch", "1.0", "flow_fetch")
SEND = ActivityDescription("send", "flow_send", "1.0", "flow_send")
OUT = ActivityDescription("out", "flow_out", "1.0", "flow_out", external=True)
FLOW = FlowDescription("dev", "flow", "1.0", (FETCH, SEND, OUT))


def test_without_a_choice_all_that_are_not_external_are_served():
    """External ones belong to another program."""
    assert choose_activities(FLOW, None) == (FETCH, SEND)


def test_an_activity_is_chosen_by_its_short_or_its_full_name():
    """In the flow's order, whatever the order of the words."""
    assert choose_activities(FLOW, ["flow_send", "fetch"]) == (FETCH, SEND)
    assert choose_activities(FLOW, ["send"]) == (SEND,)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["fetch", "sent"], r"flow flow has no activity 'sent' \(known: fetch, send\)"),
        (["out"], "'out' is external; the program that it belongs to serves it"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(names, told):
    """With what could have been meant."""
    with pytest.raises(UsageError, match=told):
        choose_activities(FLOW, names)


def test_names_are_given_with_commas():
    """Blanks and repetitions do not matter; nothing at all is a mistake."""
    assert parse_activities(None) is None
    assert parse_activities("fetch, send,fetch,") == ("fetch", "send")
    with pytest.raises(UsageError, match="--activities names none"):
        parse_activities(" , ")

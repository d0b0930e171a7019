"""Answers that the supervisor words itself, and how they are known again."""

from __future__ import annotations

import pytest

from garcon.pool.replies import is_own_reason, refused_text, unmade_text


@pytest.mark.parametrize(
    "reason",
    [unmade_text(3, "the decider was killed by SIGSEGV"), refused_text("it is too long")],
)
def test_a_reason_of_the_pool_s_own_is_known_again(reason):
    """A replay does not look for it among what a decider decides."""
    assert is_own_reason(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "the engine refused the decimal point of its thrust",
        "the engine refused the decisions of the board",
        "many decisions in a row could not be made: we are tired",
        "3 decisions in a row could not be made yet",
        "",
    ],
)
def test_a_reason_that_only_begins_like_one_is_the_flow_s(reason):
    """What a flow fails with is compared by a replay, whatever its words are."""
    assert not is_own_reason(reason)

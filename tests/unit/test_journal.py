"""What a journal's bytes mean, whatever became of their end."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from garcon.pool.journal import Holdings, OwnList, PollUnderWay, read_holdings

HEAD = b"garcon-journal 1\tlocal:/x\n"


def test_what_was_taken_and_not_given_back_is_in_hand() -> None:
    """Tokens of both kinds and polls, in the order in which they came."""
    data = HEAD + (
        b'+ 1 activity ["a1"]\n'
        b'+ 2 decision ["d1"]\n'
        b'+ 3 poll ["id-1", "PollForActivityTask", "{\\"domain\\": \\"d\\"}"]\n'
        b'+ 4 activity ["a2"]\n'
        b"- 1\n"
        b'+ 5 activity ["a3"]\n'
        b'+ 6 list ["flow.mark", "d", "flow"]\n'
        b'+ 7 list ["torn"]\n'
    )

    assert read_holdings(data) == Holdings(
        "local:/x",
        activities=("a2", "a3"),
        decisions=("d1",),
        polls=(PollUnderWay("id-1", "PollForActivityTask", b'{"domain": "d"}'),),
        lists=(OwnList("flow.mark", "d", "flow"),),
    )


def test_torn_last_line_counts_for_nothing() -> None:
    """Death in the middle of a line: what stood before it stays true."""
    data = HEAD + b'+ 1 activity ["a1"]\n+ 2 activity ["a2"]\n- 1\n'
    for end in range(len(HEAD), len(data) + 1):
        found = read_holdings(data[:end])

        assert found is not None
        assert set(found.activities) <= {"a1", "a2"}
        assert ("a1" in found.activities) == (data[:end].count(b"\n") in (2, 3))


def test_what_is_no_journal_is_told_from_an_empty_one() -> None:
    """A head that is missing, torn, or of another version is none; a bare head holds nothing."""
    assert read_holdings(b"") is None
    assert read_holdings(HEAD[:-1]) is None
    assert read_holdings(b"garcon-journal 2\tlocal:/x\n") is None
    assert read_holdings(b"garcon-journal 1\n") is None
    assert read_holdings(HEAD) == Holdings("local:/x")


@given(st.lists(st.binary(max_size=30)), st.text(min_size=1))
def test_garbled_lines_are_passed_over(garbage: list[bytes], token: str) -> None:
    """Whatever stands between good lines, the good ones are read and nothing is raised."""
    good = b"+ good activity " + json.dumps([token]).encode()
    lines = [line for line in garbage if b"\n" not in line and b"good" not in line]

    found = read_holdings(HEAD + b"\n".join([*lines, good, b""]))

    assert found is not None
    assert token in found.activities

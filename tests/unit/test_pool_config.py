"""The words of `garcon pool`, checked before anything starts."""

from __future__ import annotations

import pytest

from garcon.errors import UsageError
from garcon.pool.config import check_workflow_id, parse_address, parse_input
from garcon.pool.execution import default_workflow_id, tags_of


def test_the_input_is_read_from_the_line_or_from_a_file(tmp_path):
    """`@FILE` means the content of that file."""
    file = tmp_path / "input.json"
    file.write_text('{"day": "2026-01-01"}')

    assert parse_input('{"day": 1}') == {"day": 1}
    assert parse_input(f"@{file}") == {"day": "2026-01-01"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{start: 1}", "is not JSON"),
        ("[1, 2]", "is a JSON list"),
        ("@/nowhere/at/all", "cannot be read"),
        ('{"a": "' + "x" * 40_000 + '"}', "SWF takes 32768"),
    ],
)
def test_a_wrong_input_is_refused_in_one_line(text, told):
    """The line names the option and what is wrong with it."""
    with pytest.raises(UsageError, match=told) as caught:
        parse_input(text)

    assert str(caught.value).startswith("--input")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["", "x" * 257, "a:b", "a/b", "a|b", "a\nb", "arn"])
def test_a_workflow_id_that_swf_forbids_is_refused(wrong):
    """Length and characters are SWF's."""
    with pytest.raises(UsageError, match="--workflow-id"):
        check_workflow_id(wrong)


def test_the_default_id_follows_from_flow_and_input_alone():
    """The order of keys and garcon's own keys do not count; the values do."""
    one = default_workflow_id("metrics", {"a": 1, "b": 2})

    assert one == default_workflow_id("metrics", {"b": 2, "a": 1, "garcon.resume": {"x": 1}})
    assert one != default_workflow_id("metrics", {"a": "1", "b": 2})
    assert one.startswith("metrics-")
    assert len(one) == len("metrics-") + 16


def test_tags_name_the_root_and_the_range():
    """What a later command finds the execution by."""
    assert tags_of("w", {"start": "2026-01-01", "end": "2026-01-07", "x": 1}) == [
        "garcon",
        "root=w",
        "start=2026-01-01",
        "end=2026-01-07",
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (None, None),
        ("127.0.0.1:9100", ("127.0.0.1", 9100)),
        (":9100", (None, 9100)),
        ("[::1]:0", ("::1", 0)),
    ],
)
def test_the_place_of_the_figures_is_host_and_port(text, address):
    """Without a host every address of the machine is meant."""
    assert parse_address(text) == address


@pytest.mark.parametrize("wrong", ["9100", "localhost", "localhost:", "localhost:http", ":99999"])
def test_a_place_without_a_port_is_refused(wrong):
    """With an example of what is meant."""
    with pytest.raises(UsageError, match=r"--metrics .* is no HOST:PORT; write 127\.0\.0\.1:9100"):
        parse_address(wrong)

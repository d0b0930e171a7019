"""`garcon status` between the pools' answers and the terminal."""

from __future__ import annotations

import pytest

from garcon.cli import main
from garcon.pool import status_socket

STUCK = {"pid": 4120, "error": "it does not answer"}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "pool 4120: it does not answer\n"),
        (["flows.metrics"], "pool 4120: it does not answer\n"),
        (["4120"], "pool 4120: it does not answer\n"),
        (["4121"], ""),
    ],
)
def test_a_pool_that_does_not_answer_is_shown_to_who_may_look_for_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    shown: str,
) -> None:
    """It cannot say which flow it serves; nothing has answered, and the exit code says so."""
    monkeypatch.setattr(status_socket, "ask_all", lambda: [STUCK])

    with pytest.raises(SystemExit) as ended:
        main(["status", *words])

    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (1, shown)
    assert "garcon: found no running pool" in told.err

"""Whose stacks they are, and where their lines go."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from garcon.pool.slots import ChildKind
from garcon.pool.stacks import Stacks

FRAME = '  File "flows/metrics.py", line 7 in fetch'
CHILD = SimpleNamespace(slot=3, kind=ChildKind.WORKER, pid=4124)


def told(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, object]]:
    """Return the fields of all events of this name."""
    events = [record.garcon_event for record in caplog.records]
    return [event for event in events if event["event"] == name]


@pytest.mark.parametrize("is_logged", [False, True])
def test_a_stack_is_an_event_of_the_child_that_was_asked(
    caplog: pytest.LogCaptureFixture, is_logged: bool
) -> None:
    """Where the log is read by a program or kept in a file; else it is shown as it is."""
    caplog.set_level(logging.INFO, logger="garcon.pool")
    shown: list[str] = []

    async def scenario() -> None:
        stacks = Stacks(lambda _: None, lambda _, line: shown.append(line), is_logged=is_logged)
        stacks.dump(CHILD)
        stacks.output("stderr", FRAME)
        stacks.output("stderr", "a task's own word")
        stacks.output("stdout", FRAME)

    asyncio.run(scenario())
    who = {"slot": 3, "kind": "worker", "pid": 4124}
    assert told(caplog, "child.stacks") == [{"event": "child.stacks", **who}]
    logged = [{"event": "child.stack", **who, "text": FRAME}]
    assert told(caplog, "child.stack") == (logged if is_logged else [])
    others = ["a task's own word", FRAME]
    assert shown == (others if is_logged else [FRAME, *others])


def test_what_looks_like_a_stack_is_none_while_nobody_was_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A task may print tracebacks of its own."""
    shown: list[str] = []

    async def scenario() -> None:
        stacks = Stacks(lambda _: None, lambda _, line: shown.append(line), is_logged=True)
        stacks.output("stderr", FRAME)

    asyncio.run(scenario())
    assert shown == [FRAME]
    assert caplog.records == []

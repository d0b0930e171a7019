"""Data plane, registration and starting on demand with the engine itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from garcon import client as client_module
from garcon.client import Engine, swf_client
from garcon.description import ActivityDescription, FlowDescription
from garcon.engine.address import EngineFiles, answers, read_address, take_lock
from garcon.engine.ensure import ensure_engine
from garcon.pool.dataplane import DataPlane
from garcon.pool.registration import ensure_types

FLOW = FlowDescription(
    domain="dev",
    name="coffee",
    version="1.0",
    activities=(ActivityDescription("brew", "coffee_brew", "1.1", "coffee_brew"),),
)
POLL = {"domain": "dev", "taskList": {"name": "coffee"}, "identity": "pool@host:1"}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A local engine of the test's own, killed at its end."""
    monkeypatch.setattr(client_module, "_PROCESS", client_module._Process())
    engine = Engine("local", path=tmp_path / "engine.db")
    yield engine
    kill(engine)


def kill(engine: Engine) -> int:
    """Kill the engine and return the pid it had, once its lock has fallen."""
    assert engine.path is not None
    files = EngineFiles.of(engine.path)
    address = read_address(files.address)
    if address is None:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.pid, signal.SIGKILL)
    lock = take_lock(files.lock, 10.0)
    assert lock is not None
    os.close(lock)
    return address.pid


def begun(engine: Engine) -> None:
    """Register the flow and start one execution of it."""
    client = swf_client(engine)
    ensure_types(client, FLOW, retention_days=30)
    client.start_workflow_execution(
        domain="dev",
        workflowId="w",
        workflowType={"name": "coffee", "version": "1.0"},
        taskList={"name": "coffee"},
        executionStartToCloseTimeout="600",
        taskStartToCloseTimeout="30",
        childPolicy="TERMINATE",
    )


def run(scenario: Any) -> None:
    """Run a test's coroutine with a bound that only a hang can meet."""
    asyncio.run(asyncio.wait_for(scenario, 90))


def test_killed_engine_comes_back_on_its_port_and_has_kept_everything(engine: Engine) -> None:
    """Started on demand, killed, started again by whoever misses it."""
    begun(engine)
    assert engine.path is not None
    before = ensure_engine(engine.path)
    kill(engine)

    assert ensure_engine(engine.path) == before
    assert swf_client(engine).describe_domain(name="dev")["domainInfo"]["status"] == "REGISTERED"


def test_types_are_registered_once_however_often_pools_start(engine: Engine) -> None:
    """The second pool finds what the first one registered."""
    client = swf_client(engine)

    # Domain, the flow's workflow type and its shards', and its one activity type.
    assert len(ensure_types(client, FLOW, retention_days=30)) == 4
    assert ensure_types(client, FLOW, retention_days=30) == []


def test_task_of_a_poll_that_was_cut_is_given_to_it_again(engine: Engine) -> None:
    """The engine is killed after it gave a task; the same poll, asked again, gets the same one."""
    begun(engine)

    async def scenario() -> None:
        async with DataPlane(engine) as plane:
            first = json.loads(
                await plane.poll("PollForDecisionTask", POLL, invocation_id="poll-1")
            )
            await asyncio.to_thread(kill, engine)
            again = json.loads(
                await plane.poll("PollForDecisionTask", POLL, invocation_id="poll-1")
            )

            assert first["taskToken"]
            assert again["startedEventId"] == first["startedEventId"]
            done = {"taskToken": again["taskToken"], "decisions": []}
            deadline_s = asyncio.get_running_loop().time() + 30
            await plane.answer("RespondDecisionTaskCompleted", done, deadline_s=deadline_s)

    run(scenario())


def test_waiting_poll_outlives_the_engine_and_is_told_about_once(engine: Engine) -> None:
    """Killed under a waiting poll, the engine is started again and the poll brings its task."""
    told: list[bool] = []

    async def scenario() -> None:
        ensure_types(swf_client(engine), FLOW, retention_days=30)
        async with DataPlane(engine, on_connection=lambda lost, text: told.append(lost)) as plane:
            poll = asyncio.create_task(plane.poll("PollForDecisionTask", POLL))
            count = {"domain": "dev", "taskList": {"name": "coffee"}}
            await plane.call("CountPendingDecisionTasks", count, timeout_s=10)
            pid = await asyncio.to_thread(kill, engine)
            await asyncio.to_thread(begun, engine)
            task = json.loads(await poll)

            assert task["taskToken"]
            assert engine.path is not None
            address = read_address(EngineFiles.of(engine.path).address)
            assert address is not None
            assert address.pid != pid

    run(scenario())
    assert told == sorted(told, reverse=True)
    assert len(told) in (0, 2)  # none where the line was whole again before it was looked at


def test_released_polls_are_answered_at_once(engine: Engine) -> None:
    """A stop need not wait for the end of a poll: the engine ends it, by identity."""

    async def scenario() -> None:
        ensure_types(swf_client(engine), FLOW, retention_days=30)
        async with DataPlane(engine) as plane:
            poll = asyncio.create_task(plane.poll("PollForDecisionTask", POLL))
            other = asyncio.create_task(
                plane.poll("PollForDecisionTask", {**POLL, "identity": "another"})
            )
            while not poll.done():
                assert await plane.release_polls("pool@host:1") is True
            assert not json.loads(await poll).get("taskToken")
            assert not other.done()
            assert await plane.release_polls("another") is True
            await other

    run(scenario())


def test_idle_engine_leaves_and_the_next_command_starts_another(tmp_path: Path) -> None:
    """Idle time over: the process ends, its lock falls, its port is kept for the next."""
    path = tmp_path / "engine.db"
    url = ensure_engine(path, idle_exit_s=1)
    files = EngineFiles.of(path)
    before = read_address(files.address)
    assert before is not None
    until_s = time.monotonic() + 30
    lock = take_lock(files.lock, until_s - time.monotonic())
    assert lock is not None, "the idle engine never left"
    os.close(lock)
    assert not answers(before, 1.0)

    assert ensure_engine(path) == url
    kill(Engine("local", path=path))

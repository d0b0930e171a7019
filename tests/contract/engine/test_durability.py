"""What was answered is kept: restarts, kills, full disks, other people's files."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from garcon.engine.__main__ import _may_leave
from garcon.engine.address import take_lock
from garcon.engine.ensure import ensure_engine
from garcon.engine.lease import Lease
from garcon.engine.service.clock import VirtualClock
from garcon.engine.store.database import Database
from garcon.engine.store.schema import APPLICATION_ID, MIGRATIONS, VERSION, SchemaError
from garcon.engine.testing import engine_beside, engine_in_process
from tests.contract.engine.swf import RUN, Swf, client, decide, schedule


@contextlib.contextmanager
def engine_process(db: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the engine's command on a file; yields the process and its URL."""
    command = [sys.executable, "-m", "garcon.engine", "--db", str(db), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def prepared(url: str) -> Swf:
    """Return a client of a fresh engine process."""
    swf = Swf(None, client(url))  # type: ignore[arg-type]
    swf.api.register_domain(name="dom", workflowExecutionRetentionPeriodInDays="30")
    swf.api.register_workflow_type(domain="dom", name="flow", version="1")
    swf.api.register_activity_type(domain="dom", name="act", version="1")
    return swf


def test_all_that_was_answered_outlives_a_kill(tmp_path: Path) -> None:
    """Open tasks, waiting ones, settings, histories; tokens stay good; the port is kept."""
    db = tmp_path / "engine.db"
    with engine_process(db) as (process, url):
        swf = prepared(url)
        run_id = swf.start(tagList=["t"])
        swf.step(
            schedule("a1"), schedule("a2"), schedule("a3", taskPriority="1"), executionContext="c"
        )
        held = [swf.activity(), swf.activity()]
        before = swf.history("w", run_id)
        described = swf.describe("w", run_id)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with engine_process(db) as (process, again):
        assert again == url
        assert swf.history("w", run_id) == before
        now = swf.describe("w", run_id)
        for part in ("executionInfo", "openCounts", "latestExecutionContext"):
            assert now[part] == described[part]
        assert [task["activityId"] for task in held] == ["a3", "a1"]
        for task in held:
            swf.api.respond_activity_task_completed(taskToken=task["taskToken"])
        assert swf.activity()["activityId"] == "a2"
        swf.step(decide("CompleteWorkflowExecution"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_what_no_call_shows_outlives_a_kill_too(tmp_path: Path) -> None:
    """Heartbeats, wishes to cancel, a sticky list and its time, news behind a decision, kinship."""
    db = str(tmp_path / "engine.db")
    to_children = {**RUN, "taskList": {"name": "children"}}
    kind = {"name": "flow", "version": "1"}
    child = decide("StartChildWorkflowExecution", workflowType=kind, workflowId="c", **to_children)
    with engine_beside(db=db, clock="virtual", options=["--poll-hold", "0.1"]) as engine:
        swf = prepared(engine.url)
        run_id = swf.start(childPolicy="REQUEST_CANCEL")
        sticky = {"taskList": {"name": "host1"}, "taskListScheduleToStartTimeout": "70"}
        swf.step(schedule("beats", heartbeatTimeout="20"), schedule("wished"), child, **sticky)
        beats, wished = swf.activity()["taskToken"], swf.activity()["taskToken"]
        swf.api.record_activity_task_heartbeat(taskToken=beats, details="half")
        swf.answer(swf.decision("host1"), decide("RequestCancelActivityTask", activityId="wished"))
        swf.answer(
            swf.decision("children"), decide("ContinueAsNewWorkflowExecution", **to_children)
        )
        swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
        held = swf.decision("host1")
        swf.api.signal_workflow_execution(domain="dom", workflowId="w", signalName="s")
        engine.process.kill()
        engine.process.wait()
    with engine_beside(db=db, clock="virtual", options=["--poll-hold", "0.1"]) as engine:
        swf = Swf(None, client(engine.url))  # type: ignore[arg-type]
        assert swf.api.record_activity_task_heartbeat(taskToken=wished)["cancelRequested"]
        assert not swf.decision("host1")["taskToken"]
        swf.answer(held)
        engine.skip(69)
        assert swf.last("w", run_id, "ActivityTaskTimedOut")["details"] == "half"
        assert "DecisionTaskTimedOut" not in swf.names("w", run_id)
        engine.skip(1)
        assert swf.last("w", run_id, "DecisionTaskTimedOut")["timeoutType"] == "SCHEDULE_TO_START"
        assert swf.decision()["previousStartedEventId"] == held["startedEventId"]
        swf.api.terminate_workflow_execution(domain="dom", workflowId="w")
        when = {"oldestDate": 0}
        (left,) = swf.api.list_open_workflow_executions(domain="dom", startTimeFilter=when)[
            "executionInfos"
        ]
        assert (left["execution"]["workflowId"], left["cancelRequested"]) == ("c", True)


def test_what_waited_longest_comes_first_after_a_restart_too(tmp_path: Path) -> None:
    """Activities and decisions of several runs, whichever began first."""
    db = str(tmp_path / "engine.db")
    names = ("old", "new")
    with engine_in_process(db=db, clock="virtual") as engine:
        swf = Swf.prepared(engine)
        for name in names:
            swf.start(name, taskList={"name": name})
        for name in reversed(names):
            engine.skip(1)
            swf.answer(swf.decision(name), schedule(name), taskList={"name": "decide"})
            engine.skip(1)
            signal_given = {"domain": "dom", "workflowId": name, "signalName": "s"}
            swf.api.signal_workflow_execution(**signal_given)
    with engine_in_process(db=db, clock="virtual") as engine:
        swf = Swf(engine, client(engine.url))
        assert [swf.activity()["activityId"] for _ in names] == ["new", "old"]
        found = [swf.decision()["workflowExecution"]["workflowId"] for _ in names]
        assert found == ["new", "old"]


def test_a_repeated_poll_gets_its_task_again_after_a_restart(tmp_path: Path) -> None:
    """The invocation id is kept with the start."""
    db = str(tmp_path / "engine.db")
    ids = iter(["i0", "i1", "i0"])

    def name_calls(swf: Swf) -> None:
        def set_id(request: Any, **_: Any) -> None:
            request.headers["amz-sdk-invocation-id"] = next(ids)

        swf.api.meta.events.register("before-send.swf.PollForActivityTask", set_id)

    with engine_in_process(db=db) as engine:
        swf = Swf.prepared(engine)
        swf.start()
        swf.step(schedule("a1"), schedule("a2"))
        name_calls(swf)
        first = swf.activity()
    with engine_in_process(db=db) as engine:
        swf = Swf(engine, client(engine.url))
        name_calls(swf)
        assert swf.activity()["activityId"] == "a2"
        again = swf.activity()
    assert again["taskToken"] == first["taskToken"]


def test_deadlines_that_fell_due_while_it_was_down_fire_at_the_start(tmp_path: Path) -> None:
    """Timers, activities and decisions alike; later ones still wait."""
    db = str(tmp_path / "engine.db")
    with engine_in_process(db=db, clock="virtual") as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(
            schedule("a1", startToCloseTimeout="60"),
            decide("StartTimer", timerId="soon", startToFireTimeout="60"),
            decide("StartTimer", timerId="late", startToFireTimeout="6000"),
        )
        swf.activity()
        other = swf.start("w2", taskList={"name": "x"})
        swf.decision("x")
    clock = VirtualClock()
    clock.move_to(clock.now_ms() + 600_000)
    with engine_in_process(db=db, clock=clock) as engine:
        swf = Swf(engine, client(engine.url))
        engine.skip(0)
        names = swf.names("w", run_id)
        assert sorted(names[-3:]) == ["ActivityTaskTimedOut", "DecisionTaskScheduled", "TimerFired"]
        assert swf.names("w2", other)[-2:] == ["DecisionTaskTimedOut", "DecisionTaskScheduled"]
        engine.skip(6000)
        assert swf.names("w", run_id)[-1] == "TimerFired"


def test_a_batch_that_cannot_be_kept_changes_nothing_and_its_callers_hear_so() -> None:
    """A full disk: InternalFailure, the token stays good, later calls succeed."""
    with engine_in_process(clock="virtual", poll_hold_s=0.1) as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(schedule(), schedule("a2"))
        task = swf.activity()
        before = swf.history("w", run_id)

        async def limit(statement: str) -> None:
            database = engine.server.world.database
            list(database.select(statement, []))

        engine.call(lambda: limit("PRAGMA max_page_count = 1"))
        big = "x" * 32_000
        code, _ = swf.refusal(
            "respond_activity_task_completed", taskToken=task["taskToken"], result=big
        )
        assert code == "InternalFailure"
        assert swf.history("w", run_id) == before
        assert swf.describe("w", run_id)["openCounts"]["openActivityTasks"] == 2
        engine.call(lambda: limit("PRAGMA max_page_count = 1000000"))
        swf.api.respond_activity_task_completed(taskToken=task["taskToken"], result=big)
        assert swf.activity()["activityId"] == "a2"


@pytest.mark.parametrize("broken", ["commit", "execution"])
def test_a_deadline_that_cannot_be_kept_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A disk that cannot be written, or read where the closed parent of a late child stands."""
    with engine_in_process(clock="virtual", poll_hold_s=0.1) as engine:
        swf = Swf.prepared(engine)
        swf.start("parent")
        kind = {"name": "flow", "version": "1"}
        child = {**RUN, "executionStartToCloseTimeout": "60", "taskList": {"name": "children"}}
        child_started = decide(
            "StartChildWorkflowExecution", workflowType=kind, workflowId="child", **child
        )
        swf.step(child_started)
        run_id = swf.decision("children")["workflowExecution"]["runId"]
        swf.step(decide("CompleteWorkflowExecution"))
        failures: list[str] = []

        def fail(*_: object) -> None:
            failures.append(broken)
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr(engine.server.world.database, broken, fail)
            engine.skip(60)
        assert failures
        engine.skip(2)
        assert swf.names("child", run_id)[-1] == "WorkflowExecutionTimedOut"


def test_one_bad_request_does_not_take_its_batch_along() -> None:
    """An act that breaks half-way is dropped alone; the others are kept."""
    import asyncio

    from garcon.engine.core import faults

    with engine_in_process(clock="virtual") as engine:
        swf = Swf.prepared(engine)
        swf.start()

        def breaks(batch: Any) -> None:
            state = batch.open_run("dom", "w")
            from garcon.engine.core import transitions

            batch.apply(transitions.signal(state, batch.now_ms, "half", None))
            raise RuntimeError("half-way")

        def works(batch: Any) -> str:
            state = batch.open_run("dom", "w")
            from garcon.engine.core import transitions

            batch.apply(transitions.signal(state, batch.now_ms, "whole", None))
            return "kept"

        async def both() -> list[Any]:
            kernel = engine.server.kernel
            futures = [kernel.submit(works), kernel.submit(breaks), kernel.submit(works)]
            return await asyncio.gather(*futures, return_exceptions=True)

        outcomes = engine.call(both)
        assert outcomes[0] == outcomes[2] == "kept"
        assert isinstance(outcomes[1], faults.Fault)
        task = swf.decision()
        signals = [
            event["workflowExecutionSignaledEventAttributes"]["signalName"]
            for event in task["events"]
            if event["eventType"] == "WorkflowExecutionSignaled"
        ]
        assert signals == ["whole", "whole"]


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, the log beside it too."""
    db = tmp_path / "engine.db"
    with engine_in_process(db=str(db)) as engine:
        Swf.prepared(engine)
        for path in tmp_path.iterdir():
            assert os.stat(path).st_mode & 0o077 == 0, path


def test_a_foreign_or_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """By its mark and its version."""
    foreign = tmp_path / "foreign.db"
    with contextlib.closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    before = foreign.read_bytes()
    with pytest.raises(SchemaError, match="another program"):
        Database(str(foreign))
    assert foreign.read_bytes() == before
    newer = tmp_path / "newer.db"
    Database(str(newer)).close()
    with contextlib.closing(sqlite3.connect(newer)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = newer.read_bytes()
    with pytest.raises(SchemaError, match=f"version {VERSION + 1}"):
        Database(str(newer))
    assert newer.read_bytes() == before


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_file_of_an_older_version_is_brought_forward(tmp_path: Path, version: int) -> None:
    """Its contents stay."""
    old = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as connection:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                connection.execute(statement)
        connection.execute("INSERT INTO domains VALUES ('d', 'REGISTERED', NULL, '5', '{}')")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    with engine_in_process(db=str(old)) as engine:
        swf = Swf(engine, client(engine.url))
        assert swf.api.describe_domain(name="d")["domainInfo"]["status"] == "REGISTERED"
        swf.api.register_workflow_type(domain="d", name="flow", version="1")
        Swf(engine, swf.api, "d").start(**RUN)


def test_an_engine_may_open_as_many_files_as_its_machine_allows(tmp_path: Path) -> None:
    """A thousand waiting polls are a thousand connections; the usual soft bound is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = [sys.executable, "-m", "garcon.engine", "--db", str(tmp_path / "engine.db")]
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *command],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")
        soft, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))
    finally:
        process.kill()
        process.communicate()


def test_a_second_engine_on_a_file_says_who_has_it(tmp_path: Path) -> None:
    """And leaves with an error instead of waiting for ever."""
    db = tmp_path / "engine.db"
    with engine_process(db) as (_, url):
        command = [sys.executable, "-m", "garcon.engine", "--db", str(db)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert url in second.stderr


def test_an_engine_on_demand_is_shared_and_leaves_when_nobody_comes(tmp_path: Path) -> None:
    """Started once, found again, gone after its idle time; the next one keeps the port."""
    db = tmp_path / "engine.db"
    url = ensure_engine(db, idle_exit_s=1)
    assert ensure_engine(db, idle_exit_s=1) == url
    prepared(url).start()
    # The lease is free only when the engine has gone.
    Lease.acquire(db, wait_s=60).release()
    with engine_process(db) as (_, again):
        assert again == url
        assert Swf(None, client(again)).decision()["taskToken"]  # type: ignore[arg-type]


def test_an_engine_that_is_terminated_frees_its_stdout(tmp_path: Path) -> None:
    """A starter that reads a pipe to its end is not kept waiting by anything left behind."""
    with engine_process(tmp_path / "engine.db") as (process, _):
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert (output, process.returncode) == ("", 0)


def test_an_idle_engine_leaves_only_with_the_starting_lock_in_its_hands(tmp_path: Path) -> None:
    """Whoever is starting keeps it; whoever comes while it leaves has to wait for its end."""

    class Idle:
        """A server that nobody has asked for ten seconds."""

        def idle_s(self) -> float:
            return 10.0

    lease = Lease.acquire(tmp_path / "engine.db")
    server: Any = Idle()
    starting = lease.files.starting
    with contextlib.ExitStack() as held:
        assert not _may_leave(server, lease, 20.0, held)
        starter = take_lock(starting, 0.0)
        assert starter is not None
        assert not _may_leave(server, lease, 5.0, held)
        os.close(starter)
        assert _may_leave(server, lease, 5.0, held)
        assert take_lock(starting, 0.0) is None
    lease.release()
    free = take_lock(starting, 0.0)
    assert free is not None
    os.close(free)

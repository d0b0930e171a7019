"""The tools for other people's tests: virtual time, the plugin, an engine beside."""

from __future__ import annotations

import asyncio
import configparser
import http.client
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from garcon.engine import pytest_plugin
from garcon.engine.http.server import EngineServer, Settings
from garcon.engine.lease import Lease, LeaseTaken
from garcon.engine.service import skipping
from garcon.engine.testing import Engine, engine_beside, engine_in_process
from tests.contract.clients import hung_up
from tests.contract.engine.swf import Swf, client, decide, schedule
from tests.contract.engine.test_polls import eventually, pollers


def test_skipping_lets_clients_react_to_each_deadline_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A decider that sets a new timer at each firing gets through half a day of them."""
    # Any client takes longer to answer than the moment without requests that means "settled".
    monkeypatch.setattr(skipping, "_QUIET_S", 0.0)
    hourly = decide("StartTimer", timerId="t", startToFireTimeout="3600")
    done = threading.Event()

    def decide_for_ever(swf: Swf) -> None:
        while not done.is_set():
            task = swf.decision()
            if task["taskToken"]:
                swf.answer(task, hourly)

    with engine_in_process(clock="virtual") as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(hourly)
        decider = threading.Thread(target=decide_for_ever, args=(swf,))
        decider.start()
        eventually(lambda: pollers(swf) == 1)
        engine.skip(12 * 3600 + 60)
        fired = swf.names("w", run_id).count("TimerFired")
        done.set()
    decider.join()
    assert fired == 12


def test_a_jump_brings_everything_due_at_its_end(engine: Engine) -> None:
    """All deadlines on the way carry the last instant."""
    swf = Swf.prepared(engine)
    run_id = swf.start()
    swf.step(*[decide("StartTimer", timerId=f"t{n}", startToFireTimeout=f"{n}") for n in (5, 50)])
    engine.skip(100, now=True)
    events = swf.history("w", run_id)
    fired = [event for event in events if event["eventType"] == "TimerFired"]
    assert len({event["eventTimestamp"] for event in fired}) == 1
    begun = events[0]["eventTimestamp"]
    assert (fired[0]["eventTimestamp"] - begun).total_seconds() == 100


def test_time_can_also_be_skipped_over_the_wire(engine: Engine) -> None:
    """For clients in other processes; an engine on real time refuses."""
    swf = Swf.prepared(engine)
    run_id = swf.start()
    swf.step(schedule(scheduleToStartTimeout="60"))

    def skip(url: str, seconds: object) -> int:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        body = json.dumps({"seconds": seconds})
        connection.request("POST", "/", body, {"X-Amz-Target": "GarconEngine.Skip"})
        status = connection.getresponse().status
        connection.close()
        return status

    assert skip(engine.url, 60) == 200
    assert "ActivityTaskTimedOut" in swf.names("w", run_id)
    assert skip(engine.url, "x") == skip(engine.url, -1) == skip(engine.url, True) == 400
    with engine_in_process() as real:
        assert skip(real.url, 60) == 400


def test_an_engine_beside_the_test_keeps_virtual_time_too(tmp_path: Path) -> None:
    """It is killed and begun again like any engine; one on real time cannot skip."""
    db = str(tmp_path / "engine.db")
    with engine_beside(db=db, clock="virtual") as beside:
        swf = Swf(None, client(beside.url))  # type: ignore[arg-type]
        swf.api.register_domain(name="dom", workflowExecutionRetentionPeriodInDays="1")
        swf.api.register_workflow_type(domain="dom", name="flow", version="1")
        run_id = swf.start(executionStartToCloseTimeout="60")
        beside.skip(59)
        assert swf.names("w", run_id)[-1] == "DecisionTaskScheduled"
        beside.skip(1)
        assert swf.names("w", run_id)[-1] == "WorkflowExecutionTimedOut"
    with engine_beside() as real, pytest.raises(RuntimeError, match="machine's clock"):
        real.skip(1)
    with pytest.raises(RuntimeError, match="ended with"), engine_beside(options=["--nonsense"]):
        pass


def test_pytest_finds_the_plugin_under_the_name_of_its_module() -> None:
    """Another name would load it twice where somebody names it by hand as well."""
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[3] / "setup.cfg")
    (line,) = setup["options.entry_points"]["pytest11"].split("\n")[1:]
    name, _, module = line.partition(" = ")
    assert name == module == pytest_plugin.__name__


def test_the_plugin_gives_a_fixture_and_loads_nothing_before_it_is_used(tmp_path: Path) -> None:
    """One test without it finds no engine imported, one with it skips an hour."""
    (tmp_path / "test_mine.py").write_text(
        "import sys\n"
        "def test_without():\n"
        "    assert 'garcon.engine.http.server' not in sys.modules\n"
        "    assert 'aiohttp' not in sys.modules\n"
        "def test_with(swf_engine):\n"
        "    assert swf_engine.url.startswith('http://127.0.0.1:')\n"
        "    swf_engine.skip(3600)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "garcon.engine.pytest_plugin"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_virtual_time_never_goes_back_over_a_restart(tmp_path: Path) -> None:
    """It goes on from the file's newest event, so that histories and timers stay in order."""
    db = str(tmp_path / "engine.db")
    with engine_in_process(db=db, clock="virtual", poll_hold_s=0.1) as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(
            decide("StartTimer", timerId="hour", startToFireTimeout="3600"),
            decide("StartTimer", timerId="two", startToFireTimeout="7200"),
        )
        engine.skip(3600)
    with engine_in_process(db=db, clock="virtual", poll_hold_s=0.1) as engine:
        swf = Swf(engine, client(engine.url))
        swf.step()
        engine.skip(3599)
        assert swf.names("w", run_id).count("TimerFired") == 1
        engine.skip(1)
        assert swf.names("w", run_id).count("TimerFired") == 2
        times = [event["eventTimestamp"] for event in swf.history("w", run_id)]
        assert times == sorted(times)


def test_a_file_is_served_by_one_engine_in_a_test_too(tmp_path: Path) -> None:
    """Whoever else wants it, here or in another process, is refused; afterwards it is free."""
    db = str(tmp_path / "new" / "engine.db")
    with engine_in_process(db=db):
        with pytest.raises(LeaseTaken, match="served by another engine"), engine_in_process(db=db):
            pass
        with pytest.raises(LeaseTaken):
            Lease.acquire(db)
    with engine_in_process(db=db) as engine:
        Swf.prepared(engine)


@pytest.mark.parametrize("turns", range(6))
def test_an_engine_that_stops_leaves_no_client_behind(turns: int) -> None:
    """In whichever turn of the loop a client comes, it is let go; nothing waits for it."""

    async def scenario() -> None:
        server = EngineServer(Settings(db=":memory:"))
        await server.start()
        assert server._listener is not None
        address = server._listener.sockets[0].getsockname()
        with socket.create_connection(address) as early:
            await asyncio.sleep(0.01)
            with socket.create_connection(address) as late:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await server.stop()
                assert hung_up(early)
                assert hung_up(late)

    asyncio.run(scenario())


def test_an_engine_that_stops_waits_for_no_client_that_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its answer is larger than any socket's buffer; what it has not taken by then is lost."""
    monkeypatch.setattr("garcon.engine.http.server._END_S", 0.1)
    size = 32_000_000

    async def scenario() -> None:
        server = EngineServer(Settings(db=":memory:"))
        server._headers["X-Large"] = "x" * size
        await server.start()
        assert server._listener is not None
        with socket.create_connection(server._listener.sockets[0].getsockname()) as deaf:
            deaf.settimeout(30.0)
            deaf.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.to_thread(deaf.recv, 1)
            await server.stop()
            assert await asyncio.to_thread(_taken_to_the_end, deaf) < size

    asyncio.run(scenario())


def _taken_to_the_end(client: socket.socket) -> int:
    """Read until the other side has closed; return how many bytes that were."""
    taken = 0
    while part := client.recv(1 << 20):
        taken += len(part)
    return taken

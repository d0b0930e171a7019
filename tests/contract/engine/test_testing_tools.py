"""The tools for other people's tests: virtual time, the plugin, an engine beside."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from pathlib import Path

from garcon.engine.testing import Engine, engine_in_process
from tests.contract.engine.swf import Swf, decide, schedule


def test_skipping_lets_clients_react_to_each_deadline_on_the_way(engine: Engine) -> None:
    """A decider that sets a new timer at each firing gets through a whole day of them."""
    swf = Swf.prepared(engine)
    run_id = swf.start()
    hourly = decide("StartTimer", timerId="t", startToFireTimeout="3600")
    swf.step(hourly)
    done = threading.Event()

    def decide_for_ever() -> None:
        while not done.is_set():
            task = swf.decision()
            if task["taskToken"]:
                swf.answer(task, hourly)

    decider = threading.Thread(target=decide_for_ever)
    decider.start()
    engine.skip(12 * 3600 + 60)
    done.set()
    decider.join()
    assert swf.names("w", run_id).count("TimerFired") == 12


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

"""What an operator sees of a pool: its status, figures, log, and words to the service manager."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request

import pytest

from tests.acceptance.harness import wait_until

GATED = "tests.acceptance.flows_ok.gated"
#: What is said where no pool is found.
NONE = "garcon: found no running pool{} that answers\n"
COMMAND = "import sys; from garcon.cli import main; main()"


@pytest.fixture
def runtime(place, monkeypatch):
    """Give the pools of this test a runtime folder of their own."""
    folder = place.folder / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder / "garcon"


@pytest.fixture
def data(place):
    """Return the input of a run of two tasks that wait for `open_gate`."""
    return {"folder": str(place.folder), "tasks": 2}


def status(place, *words):
    """Run `garcon status` to its end; return exit code, stdout and stderr."""
    command = place.start("-c", COMMAND, "status", *words)
    return command.wait(), command.out(), command.err()


def wait_for_busy(place, count):
    """Return the only pool's document once so many workers are busy."""

    def seen():
        _, out, _ = status(place, "--json")
        documents = [json.loads(line) for line in out.splitlines()]
        busy = [one for one in documents[0]["workers"] if one["tasks"]] if documents else []
        return documents[0] if len(busy) == count else None

    return wait_until(seen, f"{count} busy workers")


def test_status_shows_who_runs_what(place, runtime, data):
    """For people and for programs, by flow and by process id, and nothing once it is over."""
    pool = place.start_pool(GATED, data=data)
    document = wait_for_busy(place, 2)

    assert (pool.pid, GATED, "serving") == (document["pid"], document["flow"], document["state"])
    assert f"local, {place.db}" == document["engine"]
    busy, idle = (
        [one for one in document["workers"] if one["state"] == state] for state in ("busy", "idle")
    )
    assert (2, 2) == (len(busy), len(idle))
    task = busy[0]["tasks"][0]
    assert ("work", True) == (task["activity"], task["id"].startswith("gated_work-"))
    assert busy[0]["pid"] in place.pool_pids()
    assert {"gated_work", "gated"} == set(document["backlog"])

    code, text, _ = status(place, GATED)
    assert 0 == code
    later = {one["slot"]: one["tasks"] for one in wait_for_busy(place, 2)["workers"]}
    assert later[busy[0]["slot"]][0]["for_s"] > task["for_s"]
    assert f"{GATED}  serving  pid {pool.pid}" in text
    assert 2 == text.count(" of gated-")
    assert f"pid {pool.pid}" in status(place, str(pool.pid))[1]
    code, out, err = status(place, "flows.metrics")
    assert (1, "", NONE.format(" with flow or pid 'flows.metrics'")) == (code, out, err)

    (place.folder / "gate").touch()
    assert 0 == pool.wait(), pool.err()
    assert (1, "", NONE.format("")) == status(place)
    assert [] == [path.name for path in runtime.iterdir() if path.suffix != ".journal"]


def test_status_is_watched_until_it_is_interrupted(place, runtime):
    """Each look is one more line; Ctrl-C is no failure. Another flow's pool is not shown."""
    pool = place.start_pool(GATED)
    pool.wait_for_text("event=pool.ready")
    words = ("status", GATED, "--watch", "--every", "0.2", "--json")
    watching = place.start("-c", COMMAND, *words)
    wait_until(lambda: len(watching.out().splitlines()) >= 3, "three looks")

    os.kill(watching.pid, signal.SIGINT)

    assert 0 == watching.wait(), watching.err()
    looks = [json.loads(line) for line in watching.out().splitlines()]
    assert {pool.pid} == {one["pid"] for one in looks}
    assert looks[0]["uptime_s"] < looks[1]["uptime_s"] < looks[2]["uptime_s"]


def test_status_after_a_kill_forgets_the_pool(place, runtime):
    """Its socket is still there, and nobody listens."""
    pool = place.start_pool(GATED)
    pool.wait_for_text("event=pool.ready")
    assert 1 == len(list(runtime.glob("*.sock")))

    os.kill(pool.pid, signal.SIGKILL)
    pool.wait()

    assert 1 == status(place)[0]
    assert [] == list(runtime.glob("*.sock"))


def test_prometheus_is_served_what_tasks_took(place, runtime, data):
    """The address stands in the log; what has ended is on the page."""
    (place.folder / "gate").touch()
    pool = place.start_pool(GATED, "--metrics", "127.0.0.1:0")
    pool.wait_for_text("event=metrics.served")
    url = pool.lines_with("event=metrics.served")[0].rpartition("url=")[2].strip('"')

    def page():
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    with place.client() as client:
        client.start_workflow_execution(
            domain="garcon-tests",
            workflowId="by-hand",
            workflowType={"name": "gated", "version": "1.0"},
            taskList={"name": "gated"},
            input=json.dumps(data),
            executionStartToCloseTimeout="600",
            taskStartToCloseTimeout="30",
            childPolicy="TERMINATE",
        )
    wait_until(lambda: 'garcon_tasks_total{outcome="completed"} 2.0' in page(), "two ended tasks")

    assert 'garcon_task_seconds_count{activity="work",outcome="completed"} 2.0' in page()
    os.kill(pool.pid, signal.SIGTERM)
    assert 0 == pool.wait()


def test_a_port_that_is_taken_ends_the_command_at_once(place, runtime):
    """Exit code 2 and one line; no worker is left."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        pool = place.start_pool(GATED, "--metrics", f"127.0.0.1:{port}")

        assert 2 == pool.wait(), pool.err()

    assert f"garcon: --metrics 127.0.0.1:{port}: cannot listen there" in pool.err()
    assert [] == place.pool_pids()


def test_the_service_manager_is_told(place, runtime, monkeypatch):
    """READY when the workers are up, WATCHDOG all the while, STOPPING at the stop."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.folder / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place.folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        pool = place.start_pool(GATED)

        said = []

        def wait_for(word):
            while not (said and said[-1].startswith(word)):
                said.append(manager.recv(1000).decode())

        wait_for("READY=1")
        wait_for("WATCHDOG=1")
        os.kill(pool.pid, signal.SIGTERM)
        wait_for("STOPPING=1")

    assert 0 == pool.wait(), pool.err()


def test_a_json_log_is_json_to_its_last_line(place, runtime, data):
    """Events, notes, a task's own lines and its failure: each line an object with flow and time."""
    (place.folder / "gate").touch()
    pool = place.start_pool(GATED, "--log-format", "json", "--log-level", "debug", data=data)
    assert 0 == pool.wait(), pool.err()

    lines = [json.loads(line) for line in pool.err().splitlines()]
    assert {GATED} == {line["flow"] for line in lines}
    done = [line for line in lines if line.get("event") == "task.done"]
    assert 2 == len(done)
    assert {
        "workflow",
        "run",
        "activity",
        "id",
        "attempt",
        "outcome",
        "seconds",
        "cpu_s",
        "peak_kb",
    } <= set(done[0])
    assert f"engine: local, {place.db}" in {line.get("text") for line in lines}
    assert "pool.ready" in {line.get("event") for line in lines}


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_input_heartbeat_or_result_stands_in_the_log(place, runtime, form):
    """Neither on stderr nor in the file, whatever becomes of a task: done, failed or lost."""
    file = place.folder / "pool.log"
    log = ("--log-format", form, "--log-level", "info", "--log-file", str(file))
    data = {"folder": str(place.folder), "password": "open-sesame"}
    pool = place.start_pool("tests.acceptance.flows_ok.secretive", *log, data=data)
    assert 1 == pool.wait(), pool.err()

    told = file.read_text(encoding="utf-8")
    assert {"task.lost", "task.failed"} <= set(re.findall(r"task\.\w+", told))
    assert "a line of the task's own" in told
    assert "the store is closed" in told
    assert "open-sesame" not in told
    assert "open-sesame" not in pool.err()


def test_only_the_chosen_activities_are_served(place, runtime, data):
    """A name that the flow does not have is a usage error that names those it has."""
    pool = place.start_pool(GATED, "--activities", "wrok", data=data)

    assert 2 == pool.wait()
    assert "--activities: flow gated has no activity 'wrok' (known: work)" in pool.err()

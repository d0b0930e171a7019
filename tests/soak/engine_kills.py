"""Kill a loaded engine again and again: nothing that was acknowledged may be lost or run twice.

    python -m tests.soak.engine_kills [--kills 200]

Deciders, workers and starters go on over the kills, as clients do: what got no answer is asked
again. At the end every history is read and compared with what the clients were told.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

RUN = {
    "workflowType": {"name": "flow", "version": "1"},
    "taskList": {"name": "decide"},
    "executionStartToCloseTimeout": "86400",
    "taskStartToCloseTimeout": "600",
    "childPolicy": "TERMINATE",
}
ACTIVITY = {
    "activityType": {"name": "act", "version": "1"},
    "taskList": {"name": "work"},
    "scheduleToStartTimeout": "NONE",
    "scheduleToCloseTimeout": "NONE",
    "startToCloseTimeout": "NONE",
    "heartbeatTimeout": "NONE",
}
LOST = (OSError, http.client.HTTPException, ValueError)
WORKERS, DECIDERS, STARTERS = 4, 2, 1


class Told:
    """What clients were told, shared by their threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.starts: dict[str, str] = {}
        self.completed: set[tuple[str, int]] = set()
        self.errors: list[str] = []

    def wrong(self, text: str) -> None:
        """Note a broken promise."""
        with self.lock:
            self.errors.append(text)


class Client:
    """One connection that is made anew when it breaks; knows the engine's port only."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None
        self._calls = 0
        self._name = f"{random.getrandbits(48):x}"

    def call(self, operation: str, *, patient: bool = True, **given: Any) -> Any:
        """Make a call; repeated with its invocation id until it is answered.

        Returns the body, or the fault's name as text.
        """
        self._calls += 1
        headers = {
            "X-Amz-Target": f"SimpleWorkflowService.{operation}",
            "amz-sdk-invocation-id": f"{self._name}-{self._calls}",
        }
        body = json.dumps(given).encode()
        until_s = time.monotonic() + 60
        while True:
            try:
                return self._try(headers, body)
            except LOST:
                self._connection = None
                if not patient or time.monotonic() > until_s:
                    raise
                time.sleep(0.02)

    def _try(self, headers: dict[str, str], body: bytes) -> Any:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=75)
        self._connection.request("POST", "/", body, headers)
        response = self._connection.getresponse()
        text = response.read()
        answer = json.loads(text) if text else {}
        return answer if response.status == 200 else answer["__type"].rpartition("#")[2]


def starter(client: Client, told: Told) -> None:
    """Start runs, never more than twenty at a time."""
    number = 0
    since = {"oldestDate": 0}
    while not told.stop.is_set():
        counted = client.call("CountOpenWorkflowExecutions", domain="dom", startTimeFilter=since)
        if counted["count"] >= 20:
            told.stop.wait(0.05)
            continue
        number += 1
        name = f"w{number}"
        answer = client.call("StartWorkflowExecution", domain="dom", workflowId=name, **RUN)
        if isinstance(answer, dict):
            with told.lock:
                told.starts[name] = answer["runId"]


def decider(client: Client, told: Told) -> None:
    """Schedule five activities in a new run, complete it when all are done."""
    while not told.stop.is_set():
        task = client.call("PollForDecisionTask", domain="dom", taskList={"name": "decide"})
        if not task["taskToken"]:
            continue
        kinds = Counter(event["eventType"] for event in task["events"])
        decisions: list[dict[str, Any]] = []
        if not kinds["ActivityTaskScheduled"]:
            decisions = [
                {
                    "decisionType": "ScheduleActivityTask",
                    "scheduleActivityTaskDecisionAttributes": {**ACTIVITY, "activityId": f"a{n}"},
                }
                for n in range(5)
            ]
        elif kinds["ActivityTaskCompleted"] == 5:
            decisions = [{"decisionType": "CompleteWorkflowExecution"}]
        token = task["taskToken"]
        client.call("RespondDecisionTaskCompleted", taskToken=token, decisions=decisions)


def worker(client: Client, told: Told) -> None:
    """Complete activities; one that was acknowledged must not come again."""
    while not told.stop.is_set():
        task = client.call("PollForActivityTask", domain="dom", taskList={"name": "work"})
        if not task["taskToken"]:
            continue
        where = (task["workflowExecution"]["runId"], int(task["activityId"][1:]))
        if where in told.completed:
            told.wrong(f"{where} was handed out after its completion was acknowledged")
        answer = client.call("RespondActivityTaskCompleted", taskToken=task["taskToken"])
        # A repeated answer is refused when the first one was kept though its reply was lost.
        if answer in ({}, "UnknownResourceFault"):
            with told.lock:
                told.completed.add(where)
        else:
            told.wrong(f"{where}: {answer}")


def start_engine(db: Path, port: int = 0) -> tuple[subprocess.Popen[str], int, float]:
    """Start the engine; returns the process, its port and how long it took, seconds."""
    begun_s = time.monotonic()
    command = [sys.executable, "-m", "garcon.engine", "--db", str(db), "--port", str(port)]
    command += ["--poll-hold", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    return process, int(url.rpartition(":")[2]), time.monotonic() - begun_s


def verify(client: Client, told: Told) -> None:
    """Compare every history with what was acknowledged."""
    for name, run_id in told.starts.items():
        execution = {"workflowId": name, "runId": run_id}
        history = client.call("GetWorkflowExecutionHistory", domain="dom", execution=execution)
        if not isinstance(history, dict):
            told.wrong(f"{name}: acknowledged start is lost ({history})")
            continue
        ids = {}
        ends: Counter[int] = Counter()
        for number, event in enumerate(history["events"], 1):
            if event["eventId"] != number:
                told.wrong(f"{name}: a gap at {number}")
            if event["eventType"] == "ActivityTaskScheduled":
                given = event["activityTaskScheduledEventAttributes"]
                ids[event["eventId"]] = int(given["activityId"][1:])
            if event["eventType"] == "ActivityTaskCompleted":
                given = event["activityTaskCompletedEventAttributes"]
                ends[ids[given["scheduledEventId"]]] += 1
        for activity in range(5):
            if ends[activity] > 1:
                told.wrong(f"{name}: activity {activity} completed {ends[activity]} times")
            if (run_id, activity) in told.completed and not ends[activity]:
                told.wrong(f"{name}: acknowledged completion of {activity} is lost")


def main() -> None:
    """Load, kill, restart; then judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    kills = parser.parse_args().kills
    told = Told()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "engine.db"
        process, port, _ = start_engine(db)
        first = Client(port)
        first.call("RegisterDomain", name="dom", workflowExecutionRetentionPeriodInDays="1")
        first.call("RegisterWorkflowType", domain="dom", name="flow", version="1")
        first.call("RegisterActivityType", domain="dom", name="act", version="1")
        jobs = [starter] * STARTERS + [decider] * DECIDERS + [worker] * WORKERS
        threads = [threading.Thread(target=job, args=(Client(port), told)) for job in jobs]
        for thread in threads:
            thread.start()
        for number in range(kills):
            time.sleep(random.uniform(0.05, 0.8))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process, _, took_s = start_engine(db, port)
            slowest_s = max(slowest_s, took_s)
            print(f"\rkill {number + 1}/{kills}: {len(told.completed)} done", end="", flush=True)
        told.stop.set()
        for thread in threads:
            thread.join()
        verify(first, told)
        process.kill()
        process.wait()
    print(f"\n{len(told.starts)} runs, {len(told.completed)} activities acknowledged")
    print(f"slowest start {slowest_s:.2f} s")
    for text in told.errors[:20]:
        print(text)
    sys.exit(1 if told.errors else 0)


if __name__ == "__main__":
    main()

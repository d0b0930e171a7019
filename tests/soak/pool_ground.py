"""What the pool's soaks share: pools of one engine, executions one after the other, their end.

Law: a soak ends within its own time limit, with 0 or with the first thing that did not hold; what
it started does not outlive it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance.harness import Command, Place, grandchildren_of, of_type
from tests.soak import pool_flow

FLOW = "tests.soak.pool_flow"

#: What an execution may take at most, seconds.
RUN_S = 3600


class Ground:
    """An engine, its pools and their executions, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.folder = folder
        self._tasks = 0
        self._client: Any = None

    @property
    def client(self) -> Any:
        """boto3's client of the engine."""
        if self._client is None:
            with self.place.client() as client:
                self._client = client
        return self._client

    def pool(self, *options: str, procs: int = 16, wait: bool = True) -> Command:
        """Start a pool that serves; return it once all its workers are up."""
        pool = self.place.start_pool(FLOW, *options, procs=procs)
        if wait:
            pool.wait_for_text("event=pool.ready")
        return pool

    def start(self, kind: str, tasks: int, **data: Any) -> dict[str, str]:
        """Start an execution of so many instances of one kind (`works`, `holds`, `leaks`)."""
        first, self._tasks = self._tasks, self._tasks + tasks
        defaults = {"seconds": 0.1, "programs": 0, "deaf": False, "size": 0}
        document = {"folder": str(self.folder), "first": first, kind: tasks, **defaults, **data}
        workflow_id = f"{kind}-{first}"
        answer = self.client.start_workflow_execution(
            domain=pool_flow.domain,
            workflowId=workflow_id,
            workflowType={"name": pool_flow.name, "version": "1.0"},
            taskList={"name": pool_flow.name},
            input=json.dumps(document),
            executionStartToCloseTimeout=str(RUN_S),
            taskStartToCloseTimeout="30",
            childPolicy="TERMINATE",
        )
        return {"workflowId": workflow_id, "runId": answer["runId"]}

    def status(self, run: dict[str, str]) -> str:
        """Return OPEN, or how a run has closed."""
        told = self.client.describe_workflow_execution(domain=pool_flow.domain, execution=run)
        info = told["executionInfo"]
        return str(info.get("closeStatus", info["executionStatus"]))

    def wait_closed(self, run: dict[str, str], deadline_s: float) -> str:
        """Return how a run has closed."""
        until_s = time.monotonic() + deadline_s
        while (status := self.status(run)) == "OPEN":
            if time.monotonic() > until_s:
                last = [str(event) for event in self.events(run)[-10:]]
                raise AssertionError(
                    f"{run['workflowId']} is still open after {deadline_s:g} s; it ends with\n"
                    + "\n".join(last)
                )
            time.sleep(0.2)
        return status

    def cancel(self, run: dict[str, str]) -> None:
        """Ask for a run's cancel."""
        self.client.request_cancel_workflow_execution(domain=pool_flow.domain, **run)

    def notes(self, file: str) -> list[list[str]]:
        """Return the lines that tasks wrote into a file, as words."""
        path = self.folder / file
        text = path.read_text(encoding="ascii") if path.exists() else ""
        return [line.split() for line in text.splitlines()]

    def events(self, run: dict[str, str]) -> list[dict[str, Any]]:
        """Return the history of a run."""
        pages = self.client.get_paginator("get_workflow_execution_history").paginate(
            domain=pool_flow.domain, execution=run, maximumPageSize=1000
        )
        return [event for page in pages for event in page["events"]]

    @property
    def tasks(self) -> int:
        """Instances started so far."""
        return self._tasks


def family_of(pool: Command) -> list[psutil.Process]:
    """Return zygotes, workers and deciders of a pool; its guards are nobody's children."""
    try:
        zygotes = [
            one
            for one in psutil.Process(pool.pid).children()
            if "garcon.pool.zygote" in one.cmdline()
        ]
    except psutil.NoSuchProcess:
        return []
    return [*zygotes, *grandchildren_of(pool)]


def failures_of(events: list[dict[str, Any]]) -> Counter[str]:
    """Return how often attempts ended otherwise than well, by the kind of their end."""
    found: Counter[str] = Counter()
    for failed in of_type(events, "ActivityTaskFailed"):
        details = failed.get("details") or ""
        found[json.loads(details)["kind"] if details.startswith("{") else "other"] += 1
    for late in of_type(events, "ActivityTaskTimedOut"):
        found[f"timed out: {late['timeoutType']}"] += 1
    found["decision timed out"] = len(list(of_type(events, "DecisionTaskTimedOut")))
    return +found


def completed_twice(events: list[dict[str, Any]]) -> list[str]:
    """Return the activity ids that SWF has seen completed more than once."""
    names = {
        event["eventId"]: event["activityTaskScheduledEventAttributes"]["activityId"]
        for event in events
        if event["eventType"] == "ActivityTaskScheduled"
    }
    ended = Counter(
        names[one["scheduledEventId"]] for one in of_type(events, "ActivityTaskCompleted")
    )
    return [name for name, count in ended.items() if count > 1]


def reason_of(events: list[dict[str, Any]]) -> str:
    """Return what the history tells of a run's failure."""
    return "; ".join(str(one.get("reason")) for one in of_type(events, "WorkflowExecutionFailed"))


@contextmanager
def ground() -> Iterator[Ground]:
    """Give a ground and clear it, whatever happens."""
    # `timeout` and a service manager send TERM; what was started here must not stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        one = Ground(Path(folder))
        try:
            yield one
        finally:
            one.place.clear()
            for (pid,) in one.notes("programs"):
                if _is_deaf(int(pid)):
                    psutil.Process(int(pid)).kill()


def _is_deaf(pid: int) -> bool:
    """Tell whether this is a program that a task has started, and not its pid's next owner."""
    try:
        return pool_flow.DEAF in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def living_programs(one: Ground) -> list[int]:
    """Return the programs of tasks that still run."""
    return [int(pid) for (pid,) in one.notes("programs") if _is_deaf(int(pid))]


def run_soak(name: str, soak: Callable[[], str], limit_s: float) -> int:
    """Run a soak for so long at most, say how it went, and return its exit code."""

    def give_up(*_: Any) -> None:
        raise AssertionError(f"it was not over within {limit_s:.0f} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    began_s = time.monotonic()
    try:
        told = soak()
    except AssertionError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    print(f"{name}: {told}, in {time.monotonic() - began_s:.0f} s")
    return 0


def words_of(doc: str | None, **options: tuple[Any, str]) -> argparse.Namespace:
    """Return the words of a soak's command line; each option is a default and a help text."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    for option, (default, text) in options.items():
        parser.add_argument(
            f"--{option.replace('_', '-')}",
            type=type(default),
            default=default,
            help=f"{text}  [default: {default}]",
        )
    return parser.parse_args()

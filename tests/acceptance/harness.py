"""Runs the pool as a user does, in a folder of its own, and looks at what comes of it.

Every process that a `Place` starts, and every one that those start, carries a mark in its
environment, so that the tests find them all, engine and children included, and leave none behind.
Law: nothing here waits a fixed time; `wait_until` looks for something that can be seen, with a
deadline.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import psutil
from botocore.config import Config

from garcon.engine.ensure import ensure_engine

ROOT = Path(__file__).resolve().parents[2]
MARK = "GARCON_TEST_RUN"

#: Bound of everything that has no bound of its own in the contract, seconds. Generous: a slow
#: machine must not fail a test; what is meant to be quick is measured by the benchmarks.
DEADLINE_S = 60.0


def wait_until(
    condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S, pause_s: float = 0.02
) -> Any:
    """Return the first true value of `condition`.

    Args:
        condition: looked at again and again.
        what: what is being waited for, for the failure.
        deadline_s: when to give up, seconds.
        pause_s: between two looks, seconds.
    Raises:
        AssertionError: it stayed false.
    """
    until_s = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until_s, f"not within {deadline_s:g} s: {what}"
        time.sleep(pause_s)


@dataclass
class Command:
    """One started command.

    Attributes:
        process: the command's own process; of a pool, the supervisor.
        stdout_path: what it wrote for people.
        stderr_path: all else it wrote.
    """

    process: subprocess.Popen[bytes]
    stdout_path: Path
    stderr_path: Path

    @property
    def pid(self) -> int:
        """Process id of the command."""
        return self.process.pid

    def out(self) -> str:
        """Return what came on stdout so far."""
        return self.stdout_path.read_text(encoding="utf-8", errors="replace")

    def err(self) -> str:
        """Return what came on stderr so far."""
        return self.stderr_path.read_text(encoding="utf-8", errors="replace")

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Return the exit code; fail with what it said if it does not end."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {deadline_s:g} s:\n{self.err()}") from None

    def wait_for_text(self, text: str, deadline_s: float = DEADLINE_S) -> str:
        """Return stderr once it holds `text`; fail at once if the command ends without it."""

        def said() -> str | None:
            over = self.process.poll() is not None
            err = self.err()
            if text in err:
                return err
            assert not over, f"ended with {self.process.returncode}, never said {text!r}:\n{err}"
            return None

        return str(wait_until(said, f"{text!r} on stderr", deadline_s))

    def lines_with(self, *texts: str) -> list[str]:
        """Return the lines of stderr that hold all of `texts`."""
        return [line for line in self.err().splitlines() if all(text in line for text in texts)]


@dataclass
class Place:
    """A folder with an engine file of its own, and all that runs for it.

    Attributes:
        folder: working folder of the commands.
        mark: in the environment of everything started here.
    """

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    _commands: list[Command] = field(default_factory=list)

    @property
    def db(self) -> Path:
        """The engine's file."""
        return self.folder / "engine.db"

    def environment(self, **more: str) -> dict[str, str]:
        """Return what the commands see: the project importable, the mark, no colours."""
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            MARK: self.mark,
            **more,
        }

    def start(self, *arguments: str, **environment: str) -> Command:
        """Start `python ARGUMENTS` here, with stdin closed and its output in files."""
        number = len(self._commands)
        stdout_path = self.folder / f"command-{number}.out"
        stderr_path = self.folder / f"command-{number}.err"
        with stdout_path.open("wb") as out, stderr_path.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        command = Command(process, stdout_path, stderr_path)
        self._commands.append(command)
        return command

    def start_pool(
        self,
        flow: str,
        *options: str,
        data: Mapping[str, Any] | None = None,
        procs: int = 4,
        engine: str | None = None,
    ) -> Command:
        """Start a pool; with `data`, for one execution with that input."""
        arguments = ["-m", "garcon.pool", flow, "--procs", str(procs)]
        arguments += ["--engine", engine or f"local:{self.db}", *options]
        if data is not None:
            arguments += ["--input", json.dumps(data)]
        return self.start(*arguments)

    # What runs.

    def processes(self) -> list[psutil.Process]:
        """Return all living processes that carry this place's mark."""
        return [one for one in psutil.process_iter() if self._is_ours(one)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get(MARK) == self.mark
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False

    def engine_pids(self) -> list[int]:
        """Return the engine's process, if it runs."""
        return [one.pid for one in self.processes() if is_engine(one)]

    def pool_pids(self) -> list[int]:
        """Return supervisors, zygotes, workers and deciders: all but the engine."""
        return [one.pid for one in self.processes() if not is_engine(one)]

    def kill_engine(self) -> int:
        """Kill the engine and return its former process id."""
        (pid,) = self.engine_pids()
        kill(pid)
        return pid

    def clear(self) -> None:
        """Kill all that still runs here, the engine last so that no pool starts another."""
        for _ in range(100):
            left = self.pool_pids() or self.engine_pids()
            if not left:
                break
            for pid in left:
                kill(pid)
            for command in self._commands:
                command.process.poll()
            time.sleep(0.01)
        for command in self._commands:
            command.process.wait(DEADLINE_S)

    # What it left.

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Give a boto3 client of the engine here, which is started again if it has left."""
        with mock.patch.dict(os.environ, {MARK: self.mark}):
            url = ensure_engine(self.db)
        with closing(swf_client(url)) as client:
            yield client

    def histories(self, domain: str) -> list[list[dict[str, Any]]]:
        """Return the histories of all executions of `domain`, by start."""
        with self.client() as client:
            runs = list_runs(client, domain)
            return [read_history(client, domain, run) for run in runs]


def is_engine(process: psutil.Process) -> bool:
    """Tell whether a process is an embedded engine."""
    try:
        return "garcon.engine" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def workers_of(supervisor: Command) -> list[int]:
    """Return the workers of a pool, by the name that the kernel keeps of a process.

    A child is forked from the zygote, so its command line is the zygote's; where it has given
    itself no name of its own either, any child of the zygote is returned.
    """
    children = grandchildren_of(supervisor)
    named = [one.pid for one in children if "worker" in one.name()]
    return named or [one.pid for one in children]


def grandchildren_of(supervisor: Command) -> list[psutil.Process]:
    """Return workers and deciders: the children of the supervisor's zygotes."""
    try:
        zygotes = psutil.Process(supervisor.pid).children()
        return [child for zygote in zygotes for child in zygote.children()]
    except psutil.NoSuchProcess:
        return []


def kill(pid: int) -> None:
    """SIGKILL one process, which may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@cache
def _session() -> boto3.session.Session:
    """Return the session of all clients: another reads SWF's description anew, a quarter second."""
    return boto3.session.Session()


def swf_client(url: str) -> Any:
    """Return a plain boto3 SWF client for an engine's URL."""
    return _session().client(
        "swf",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 5}, read_timeout=30),
    )


def list_runs(client: Any, domain: str) -> list[dict[str, str]]:
    """Return all executions of a domain, open and closed, oldest first."""
    since = {"oldestDate": datetime.now(timezone.utc) - timedelta(days=1)}
    found: list[dict[str, Any]] = []
    for operation in ("list_open_workflow_executions", "list_closed_workflow_executions"):
        pages = client.get_paginator(operation).paginate(domain=domain, startTimeFilter=since)
        for page in pages:
            found += page["executionInfos"]
    return [one["execution"] for one in sorted(found, key=lambda one: one["startTimestamp"])]


def read_history(client: Any, domain: str, run: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return all events of one execution."""
    pages = client.get_paginator("get_workflow_execution_history").paginate(
        domain=domain, execution=dict(run), maximumPageSize=1000
    )
    return [event for page in pages for event in page["events"]]


def of_type(events: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    """Yield the attributes of the events of one type."""
    name = f"{kind[0].lower()}{kind[1:]}EventAttributes"
    return (event[name] for event in events if event["eventType"] == kind)


def count_rows(path: Path) -> int:
    """Return how many rows of `flows.metrics` a result file holds; 0 before it is made."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM metrics").fetchone()[0])
    except sqlite3.OperationalError:  # made this moment, without its tables yet
        return 0

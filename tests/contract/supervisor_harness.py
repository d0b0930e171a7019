"""A whole pool inside a test: a real supervisor on the test's loop, real children and engine."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from garcon.log import LogSettings
from garcon.pool.config import PoolConfig
from garcon.pool.display import Display
from garcon.pool.mission import Mission
from garcon.pool.slots import ChildKind
from garcon.pool.supervisor import Supervisor
from garcon.pool.watch import SingleRun, Wanted
from tests.acceptance.harness import list_runs, read_history, swf_client

ROOT = Path(__file__).resolve().parents[2]
GATED = "tests.acceptance.flows_ok.gated"

#: A wait that takes longer than this means that what was waited for will not come, seconds.
PATIENCE_S = 60.0
LOOK_S = 0.01

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class House:
    """One pool and all that can be seen of it.

    Attributes:
        supervisor: the pool.
        running: its `run`, as a task of the test's loop.
        out: what it wrote as results.
        err: what it told.
        told: the names of the events it logged, each with its line.
    """

    def __init__(self, config: PoolConfig, mission: Mission | None) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.told: list[str] = []
        self.supervisor = Supervisor(config, Display(self.out, self.err), mission)
        self.running = asyncio.ensure_future(self.supervisor.run())

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Return the first true value of `condition`; fail when the pool ends without it."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + PATIENCE_S
        while not (found := condition()):
            assert loop.time() < deadline_s, f"not within {PATIENCE_S:g} s: {what}\n{self.story}"
            assert not self.running.done(), f"it ended before {what}\n{self.story}"
            await asyncio.sleep(LOOK_S)
        return found

    async def until_told(self, text: str, times: int = 1) -> None:
        """Wait until the log holds so many lines with `text`."""
        await self.until(lambda: len(self.lines_with(text)) >= times, f"{text!r} in the log")

    def lines_with(self, text: str) -> list[str]:
        """Return the log's lines that hold `text`."""
        return [line for line in self.told if text in line]

    async def ended(self) -> int:
        """Return the exit code, or raise what the pool ended with."""
        await asyncio.wait({self.running}, timeout=PATIENCE_S)
        assert self.running.done(), f"it did not end\n{self.story}"
        return self.running.result()

    @property
    def story(self) -> str:
        """All that the pool said, for a failure."""
        return "\n".join([self.out.getvalue(), self.err.getvalue(), *self.told])

    @property
    def zygotes(self) -> list[int]:
        """Pids of the zygotes."""
        return [one.pid for one in self.supervisor._nurseries.values() if one.pid]

    def children(self, kind: ChildKind = ChildKind.WORKER) -> list[int]:
        """Return the pids of the children of this kind, by slot."""
        nurseries = self.supervisor._nurseries.values()
        found = {slot: one for house in nurseries for slot, one in house.children.items()}
        return [found[slot].pid for slot in sorted(found) if found[slot].kind is kind]

    def busy(self) -> int:
        """Return how many workers have a task."""
        work = self.supervisor._service.work
        return len(work.dispatcher.busy) if work else 0

    def workers_up(self) -> int:
        """Return how many workers may be given tasks."""
        work = self.supervisor._service.work
        return work.dispatcher.count_workers()[1] if work else 0

    def has_decider(self) -> bool:
        """Whether a decider is up."""
        work = self.supervisor._service.work
        return work is not None and bool(work.deciding._usable())


class _Told(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage())


def config(engine: str, flow: str = GATED, folder: Path = ROOT, **more: Any) -> PoolConfig:
    """Return the words of a small pool."""
    words = {"procs": 2, "drain_timeout_s": 20.0, "log": LogSettings(process="supervisor")}
    return PoolConfig(flow=flow, engine=engine, folder=folder, **{**words, **more})


@asynccontextmanager
async def a_house(words: PoolConfig, data: dict[str, Any] | None = None) -> AsyncIterator[House]:
    """Run a pool; with `data`, for one execution with that input."""
    with _kept(words.folder):
        house = House(words, None if data is None else SingleRun(Wanted(data)))
        handler, logger = _Told(house.told), logging.getLogger("garcon")
        logger.addHandler(handler)
        level = logger.level
        logger.setLevel(logging.DEBUG)
        try:
            yield house
        finally:
            house.running.cancel()
            await asyncio.wait({house.running}, timeout=PATIENCE_S)
            logger.setLevel(level)
            logger.removeHandler(handler)
    assert house.running.done(), house.story


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Look for flows in `folder` as a command there would, and take all back at the end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(number: signal.Signals) -> None:
    """Send a signal to the supervisor: this very process."""
    os.kill(os.getpid(), number)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def write_flow(folder: Path, code: str, name: str = "the_flow") -> str:
    """Write a module into `folder` and return its name as a flow's."""
    (folder / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    return name


class Histories:
    """What the engine holds, read with plain boto3 in the test's own thread."""

    def __init__(self, url: str, domain: str = "garcon-tests") -> None:
        self.client, self._domain = swf_client(url), domain

    def runs(self) -> list[dict[str, str]]:
        """Return all executions, oldest first."""
        return list_runs(self.client, self._domain)

    def events(self, run: int = 0) -> list[dict[str, Any]]:
        """Return the events of one execution."""
        return read_history(self.client, self._domain, self.runs()[run])

    def kinds(self, run: int = 0) -> list[str]:
        """Return the types of the events of one execution."""
        return [event["eventType"] for event in self.events(run)]

    def failures(self, run: int = 0) -> list[str]:
        """Return of what kind the failed activities were, as their details tell."""
        name = "activityTaskFailedEventAttributes"
        details = [event[name]["details"] for event in self.events(run) if name in event]
        return [json.loads(text)["kind"] for text in details]

    def start(self, flow: str, data: dict[str, Any], *, decision_timeout: int = 30) -> None:
        """Start an execution as another program would."""
        self.client.start_workflow_execution(
            domain=self._domain,
            workflowId="started-by-hand",
            workflowType={"name": flow, "version": "1.0"},
            taskList={"name": flow},
            input=json.dumps(data),
            executionStartToCloseTimeout="3600",
            taskStartToCloseTimeout=str(decision_timeout),
            childPolicy="TERMINATE",
        )


def gated(tmp_path, tasks: int = 2) -> dict:
    """Return the input of a run of so many tasks that wait for the gate."""
    return {"folder": str(tmp_path), "tasks": tasks}


async def busy(house: House, count: int) -> None:
    """Wait until so many workers have a task."""
    await house.until(lambda: house.busy() == count, f"{count} busy workers")

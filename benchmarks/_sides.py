"""The sides of a comparison, each started, run and cleared: what they share, and garcon's own.

A side has its own folder and marks all its processes, so that their CPU and memory are known and
none is left. Time counts from the submission of the first instance to the final step; a run in
which an instance is missing, or the final step did not run once at the end, is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from benchmarks import _bodies
from benchmarks._report import RESULTS, ROOT
from tests.acceptance.harness import (
    Place,
    grandchildren_of,
    is_engine,
    wait_until,
)

SLOTS = 16
MB = 2**20

#: That of the flows in this folder.
DOMAIN = "garcon-benchmarks"

#: How long a run may take; what takes longer has failed. In seconds.
LIMIT_S = 120.0

#: Memory is looked at half-way, at the end, and as often as this, seconds: a look costs CPU.
LOOK_S = 5.0


@dataclass(frozen=True)
class Figures:
    """What one run took.

    Attributes:
        seconds: from the first submission to the final step.
        rate: instances a second.
        cpu_ms: CPU milliseconds of all processes for an instance.
        memory_mb: proportional set size of all processes, MB; the highest of each kind.
        parts: CPU milliseconds for an instance and peak MB, by kind of process; garcon only.
    """

    seconds: float
    rate: float
    cpu_ms: float
    memory_mb: float
    parts: dict[str, tuple[float, float]]


class Side:
    """One of those that are compared."""

    name = ""
    #: What it needs in an environment of its own; nothing for none.
    packages: tuple[str, ...] = ()

    def __init__(self, place: Place) -> None:
        self.place = place
        self.spawned: list[subprocess.Popen[bytes]] = []
        self.ledger = place.folder / "ledger"
        self.ledger.touch()

    def environment(self) -> dict[str, str]:
        """Return what its processes see."""
        paths = [str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "_peers"), str(ROOT)]
        return {
            **self.place.environment(),
            "PYTHONPATH": os.pathsep.join(paths),
            _bodies.LEDGER: str(self.ledger),
        }

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Return the versions of what takes part besides this package's own."""
        return dict(one.split("==") for one in cls.packages)

    def spawn(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a process of this side; its output is kept in its folder."""
        with (self.place.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                arguments,
                cwd=self.place.folder,
                env={**self.environment(), **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.spawned.append(process)
        return process

    def start(self) -> None:
        """Start what serves; nothing for most."""

    def submit(self, kind: str, count: int) -> Callable[[], float]:
        """Begin with the work; return what tells when the first instance was submitted."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise a RuntimeError where what serves is gone."""

    def kind_of(self, process: psutil.Process) -> str:
        """Return what a process is called in the figures."""
        del process
        return "all"

    # -- one run ------------------------------------------------------------------------------

    def prepare(self, kind: str, count: int) -> None:
        """Do what comes before the clock starts; nothing for most."""

    def run(self, kind: str, count: int, limit_s: float = LIMIT_S) -> Figures:
        """Run `count` instances of a body.

        Raises:
            RuntimeError: something did not run, or not once, or not in time.
        """
        self.prepare(kind, count)
        before = self._cpu()
        began = self.submit(kind, count)
        memory = self._watch(count, limit_s)
        after = self._cpu()
        seconds = self._finished_s(count) - began()
        parts = {
            name: (1e3 * (used - before.get(name, 0.0)) / count, memory.get(name, 0.0))
            for name, used in after.items()
        }
        total_ms = sum(used for used, _ in parts.values())
        return Figures(seconds, count / seconds, total_ms, sum(memory.values()), parts)

    def _watch(self, count: int, limit_s: float) -> dict[str, float]:
        """Wait for the final step; return the highest memory of each kind meanwhile."""
        highest: dict[str, float] = {}
        is_half, looked_s = False, time.monotonic()
        until_s = looked_s + limit_s
        while not is_over(lines := self.ledger.read_bytes()):
            if time.monotonic() > until_s:
                raise RuntimeError(f"{lines.count(10):,} of {count:,} in {limit_s:g} s")
            time.sleep(0.05)
            self.check()
            passes_half = not is_half and lines.count(10) >= count // 2
            if passes_half or time.monotonic() - looked_s > LOOK_S:
                self._look(highest)
                is_half, looked_s = is_half or passes_half, time.monotonic()
        self._look(highest)
        return highest

    def _look(self, highest: dict[str, float]) -> None:
        for name, found in self._memory().items():
            highest[name] = max(highest.get(name, 0.0), found)

    def _finished_s(self, count: int) -> float:
        """Return when the final step ran, as monotonic seconds, if all is right."""
        lines = self.ledger.read_text().split("\n")[:-1]
        finals = [line for line in lines if line.startswith("final")]
        ran = set(lines) - set(finals)
        if len(finals) != 1 or lines[-1] != finals[0] or ran != {str(i) for i in range(count)}:
            raise RuntimeError(f"{len(ran):,} of {count:,} ran, the final step {len(finals)} times")
        if len(lines) != count + 1:
            raise RuntimeError(f"{len(lines) - 1 - count:,} instances ran twice")
        return float(finals[0].split()[1])

    def _each(self) -> Iterator[tuple[str, psutil.Process]]:
        # Who writes its own name (redis-server) writes over its mark.
        marked = {one.pid: one for one in self.place.processes()}
        for one in self.spawned:
            if one.poll() is None:
                marked.setdefault(one.pid, psutil.Process(one.pid))
        for process in marked.values():
            try:
                yield self.kind_of(process), process
            except psutil.Error:
                continue

    def _cpu(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, process in self._each():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            used = times.user + times.system + times.children_user + times.children_system
            found[name] = found.get(name, 0.0) + used
        return found

    def _memory(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, process in self._each():
            try:
                found[name] = found.get(name, 0.0) + process.memory_full_info().pss / MB
            except psutil.Error:
                continue
        return found


class Garcon(Side):
    """This package: its pool of 16 workers, its engine on a file."""

    name = "garcon"
    flow = "benchmarks._flow"
    _decider_pid = 0

    def start(self) -> None:
        """Start pool and engine."""
        with mock.patch.dict(os.environ, {_bodies.LEDGER: str(self.ledger)}):
            self.pool = self.place.start_pool(self.flow, procs=SLOTS)
        self.pool.wait_for_text(f"event=pool.ready workers={SLOTS}")

    def submit(self, kind: str, count: int) -> Callable[[], float]:
        """Start one execution."""
        began_s = self.start_run("w", {"kind": kind, "n": count})
        return lambda: began_s

    def check(self) -> None:
        """Raise where the pool has ended, or has said that the execution failed."""
        told = self.pool.err()
        if self.pool.process.poll() is not None or 'note="failed: ' in told:
            raise RuntimeError(f"the pool ended, or failed the execution: {told[-300:]}")

    def start_run(self, workflow_id: str, data: dict[str, object]) -> float:
        """Start an execution of the flow; return when, as monotonic seconds."""
        with self.place.client() as client:
            return start_run(client, workflow_id, data)

    def kind_of(self, process: psutil.Process) -> str:
        """Tell the parts apart; deciders are forked after the workers."""
        if is_engine(process):
            return "engine"
        if process.pid == self.pool.pid:
            return "supervisor"
        if process.ppid() == self.pool.pid:
            return "zygote"
        return "decider" if process.pid == self._decider() else "workers"

    def _decider(self) -> int:
        """Return its process id: it is the child that was forked last."""
        if not self._decider_pid:
            children = grandchildren_of(self.pool)
            self._decider_pid = max(children, key=lambda one: (one.create_time(), one.pid)).pid
        return self._decider_pid


def start_run(client: Any, workflow_id: str, data: dict[str, object]) -> float:
    """Start an execution; return when the call began, as monotonic seconds."""
    began_s = time.monotonic()
    client.start_workflow_execution(
        domain=DOMAIN,
        workflowId=workflow_id,
        workflowType={"name": "bench", "version": "1.0"},
        taskList={"name": "bench"},
        executionStartToCloseTimeout="86400",
        taskStartToCloseTimeout="30",
        childPolicy="TERMINATE",
        input=json.dumps(data),
    )
    return began_s


class GarconThreads(Garcon):
    """The same, with eight threads a worker."""

    name = "garcon, threads=8"
    flow = "benchmarks._flow_threads"


class Empty(Side):
    """Limit (a): the real dispatcher and workers before a server that keeps and decides nothing."""

    name = "garcon on an empty server"

    def start(self) -> None:
        """Start that server, and a pool before it."""
        url = self.place.folder / "url"
        self.spawn(sys.executable, "-m", "benchmarks._empty_server", str(url))
        wait_until(lambda: url.exists() and url.read_text(), "the empty server")
        with mock.patch.dict(os.environ, {_bodies.LEDGER: str(self.ledger)}):
            self.pool = self.place.start_pool(
                "benchmarks._flow", procs=SLOTS, engine=url.read_text()
            )
        self.pool.wait_for_text(f"event=pool.ready workers={SLOTS}")
        self._url = url.read_text()

    def submit(self, kind: str, count: int) -> Callable[[], float]:
        """Have it give out the tasks."""
        began_s = time.monotonic()
        body = json.dumps({"kind": kind, "n": count}).encode()
        urllib.request.urlopen(urllib.request.Request(self._url, body, {"X-Amz-Target": "a.Go"}))
        return lambda: began_s


def is_over(lines: bytes) -> bool:
    """Whether a ledger's last whole line is that of the final step."""
    return b"final" in lines[-40:] and lines.endswith(b"\n")


@contextmanager
def started(side: type[Side]) -> Iterator[Side]:
    """Start a side in a folder of its own; nothing of it is left."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        place = Place(Path(folder))
        one = side(place)
        try:
            one.start()
            yield one
        finally:
            for process in one.spawned:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
            place.clear()


def measure(side: type[Side], kind: str, count: int, limit_s: float = LIMIT_S) -> Figures:
    """Run a body `count` times on a side that was started for it."""
    with started(side) as one:
        return one.run(kind, count, limit_s)

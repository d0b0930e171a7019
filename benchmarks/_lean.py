"""Clients that do nothing but write and read, and servers for them: the engine, moto's, and an
empty one of the same library, whose rate is the most that an engine could reach.

Law: all servers get the same requests, from the same client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from garcon.client import Engine
from garcon.pool.dataplane import DataPlane

#: It knows nothing but what a poll and a completion are answered with: as many bytes as the
#: engine's answers have, so that the clients read, parse and send back the same.
EMPTY = """
import asyncio, json
from aiohttp import web
TASK = json.dumps({
    "taskToken": "AAAAKgAAAAFhAAAAAAAAAAEAAAAFAAADiQAAAAA=",
    "activityId": "a100",
    "startedEventId": 905,
    "workflowExecution": {"workflowId": "run", "runId": "22" + 44 * "x"},
    "activityType": {"name": "act", "version": "1"},
    "input": '{"day": "2026-01-01", "country": "DE"}',
}, separators=(",", ":")).encode()
async def answer(request):
    await request.read()
    body = TASK if "Poll" in request.headers["X-Amz-Target"] else b""
    response = web.Response(body=body, content_type="application/x-amz-json-1.0")
    response.headers["x-amzn-RequestId"] = "01234567-0123-4567-a123-0123456789ab"
    return response
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

#: Open activities of one run, below SWF's bound of 1,000.
OPEN = 900

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


def request(url: str, operation: str, given: dict[str, Any]) -> bytes:
    """Return a request; moto wants to find the region in it."""
    body = json.dumps(given)
    return (
        f"POST / HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n"
        f"X-Amz-Target: SimpleWorkflowService.{operation}\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/swf/aws4_request\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def head_of(lines: list[bytes]) -> tuple[bool, int, bool]:
    """Return whether all went well, the body's length, and whether the connection stays."""
    length, stays = 0, lines[0].startswith(b"HTTP/1.1")
    for line in lines[1:]:
        name, _, value = line.lower().partition(b":")
        if name == b"content-length":
            length = int(value)
        elif name == b"connection":
            stays = stays and value.strip() != b"close"
    return b" 200 " in lines[0], length, stays


class Refused(RuntimeError):
    """Raised when a server answers with a fault."""


class Lean:
    """One client on one kept connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connect()

    def _connect(self) -> None:
        host, _, port = self.url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def call(self, operation: str, **given: Any) -> Any:
        """Make one call; returns the parsed body."""
        self._socket.sendall(request(self.url, operation, given))
        lines = list(iter(self._file.readline, b"\r\n"))
        is_good, length, stays = head_of(lines)
        text = self._file.read(length)
        if not stays:
            self._connect()
        if not is_good:
            raise Refused(f"{operation}: {lines[0]!r} {text!r}")
        return json.loads(text) if text else None


def work(url: str, count: int) -> float:
    """Poll and complete activities from one client; returns how many a second."""
    client = Lean(url)
    begun_s = time.perf_counter()
    for _ in range(count):
        task = client.call("PollForActivityTask", domain="dom", taskList={"name": "work"})
        client.call("RespondActivityTaskCompleted", taskToken=task["taskToken"], result="{}")
    return count / (time.perf_counter() - begun_s)


def work_as_pool(url: str, count: int) -> float:
    """Poll and complete activities through the pool's own client; returns how many a second."""
    return asyncio.run(_work_as_pool(url, count))


async def _work_as_pool(url: str, count: int) -> float:
    where = {"domain": "dom", "taskList": {"name": "work"}}
    async with DataPlane(Engine("url", url=url)) as plane:
        begun_s = time.perf_counter()
        for _ in range(count):
            task = json.loads(await plane.poll("PollForActivityTask", where))
            done = {"taskToken": task["taskToken"], "result": "{}"}
            await plane.answer("RespondActivityTaskCompleted", done, deadline_s=math.inf)
        return count / (time.perf_counter() - begun_s)


class _Crowded:
    """One client of several that share a loop."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def connect(self) -> None:
        host, _, port = self.url.removeprefix("http://").partition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))

    async def call(self, operation: str, **given: Any) -> Any:
        self._writer.write(request(self.url, operation, given))
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        is_good, length, stays = head_of(lines)
        text = await self._reader.readexactly(length)
        if not stays:
            self._writer.close()
            await self.connect()
        if not is_good:
            raise Refused(f"{operation}: {lines[0]!r} {text!r}")
        return json.loads(text) if text else None


def work_together(url: str, count: int, clients: int) -> float:
    """Poll and complete activities from several clients at once; returns how many a second.

    Only what was completed counts: moto's threads give one task to two pollers now and then.
    """
    return asyncio.run(_work_together(url, count, clients))


async def _work_together(url: str, count: int, clients: int) -> float:
    left = iter(range(count))
    completed = 0
    crowd = [_Crowded(url) for _ in range(clients)]
    await asyncio.gather(*(one.connect() for one in crowd))

    async def serve(client: _Crowded) -> None:
        nonlocal completed
        for _ in left:
            task = await client.call("PollForActivityTask", domain="dom", taskList={"name": "work"})
            token = task["taskToken"]
            with contextlib.suppress(Refused):
                await client.call("RespondActivityTaskCompleted", taskToken=token, result="{}")
                completed += 1

    begun_s = time.perf_counter()
    await asyncio.gather(*(serve(one) for one in crowd))
    return completed / (time.perf_counter() - begun_s)


def prepare(url: str) -> None:
    """Register what the runs need."""
    client = Lean(url)
    client.call("RegisterDomain", name="dom", workflowExecutionRetentionPeriodInDays="30")
    client.call("RegisterWorkflowType", domain="dom", name="flow", version="1")
    client.call("RegisterActivityType", domain="dom", name="act", version="1")


def schedule(url: str, name: str, count: int) -> None:
    """Schedule activities, in as many runs as they need."""
    client = Lean(url)
    for number in range(math.ceil(count / OPEN)):
        client.call("StartWorkflowExecution", domain="dom", workflowId=f"{name}.{number}", **RUN)
        task = client.call("PollForDecisionTask", domain="dom", taskList={"name": "decide"})
        decisions = [
            {
                "decisionType": "ScheduleActivityTask",
                "scheduleActivityTaskDecisionAttributes": {**ACTIVITY, "activityId": f"a{one}"},
            }
            for one in range(number * OPEN, min(count, (number + 1) * OPEN))
        ]
        token = task["taskToken"]
        client.call("RespondDecisionTaskCompleted", taskToken=token, decisions=decisions)


def close(url: str) -> None:
    """Complete the one run that waits for a decision."""
    client = Lean(url)
    where = {"domain": "dom", "taskList": {"name": "decide"}}
    token = client.call("PollForDecisionTask", maximumPageSize=1, **where)["taskToken"]
    decision = {"decisionType": "CompleteWorkflowExecution"}
    client.call("RespondDecisionTaskCompleted", taskToken=token, decisions=[decision])


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
        url = cast(Any, process.stdout).readline().strip()
        if not url:
            raise RuntimeError(f"{command[0]} does not start; moto's needs 'moto[server,swf]'")
        yield url, process.pid
    finally:
        process.kill()
        process.communicate()


def engine(db: Path | str) -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Run the engine on a file."""
    return served("-m", "garcon.engine", "--db", str(db))

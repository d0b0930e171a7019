"""A server that speaks like an engine and is none: it keeps nothing and decides nothing.

    python -m benchmarks._empty_server FILE

Writes its URL to FILE. Told to `Go`, it answers polls with so many tasks, then with the final one;
answers are agreed to. What is left is the cost of the supervisor and its workers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

TYPE = "application/x-amz-json-1.0"


class Empty:
    """Its tasks, given out and answered."""

    def __init__(self) -> None:
        self._kind, self._count = "", 0
        self._given = self._answered = 0
        self._polls: list[tuple[str, asyncio.Future[bytes]]] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        data = await request.read()
        if operation == "PollForActivityTask":
            task_list = json.loads(data)["taskList"]["name"]
            answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._polls.append((task_list, answer))
            self._give()
            return web.Response(body=await answer, content_type=TYPE)
        if operation == "PollForDecisionTask":
            await asyncio.sleep(50)
        elif operation == "ReleasePolls":
            for _, answer in self._polls:
                answer.set_result(b"{}")
            self._polls.clear()
        elif operation == "RespondActivityTaskCompleted":
            self._answered += 1
            self._give()
        elif operation == "Go":
            body = json.loads(data)
            self._kind, self._count = body["kind"], body["n"]
            self._give()
        return web.Response(body=b'{"count":0}', content_type=TYPE)

    def _give(self) -> None:
        waiting = []
        for task_list, answer in self._polls:
            task = None
            if not answer.done():
                task = self._next(task_list)
                if task is not None:
                    answer.set_result(json.dumps(task).encode())
            if task is None and not answer.done():
                waiting.append((task_list, answer))
        self._polls = waiting

    def _next(self, task_list: str) -> dict[str, Any] | None:
        is_final = task_list.endswith("final")
        is_over = self._given > self._count or not self._count
        if is_over or is_final != (self._given == self._count):
            return None
        if is_final and self._answered < self._count:
            return None
        self._given += 1
        data = {"kind": self._kind, "day": self._given - 1, "country": 0}
        return {
            "taskToken": f"{self._given:0120}",
            "activityId": f"{self._given:040}",
            "startedEventId": self._given,
            "workflowExecution": {"workflowId": "w", "runId": "r" * 46},
            "activityType": {"name": task_list, "version": "1.0"},
            "input": json.dumps(data),
        }


async def main(path: Path) -> None:
    """Serve until killed."""
    home = web.Server(Empty().handle, access_log=None, keepalive_timeout=300)
    server = await asyncio.get_running_loop().create_server(home, "127.0.0.1", 0)
    path.write_text(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

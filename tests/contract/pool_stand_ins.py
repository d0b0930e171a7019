"""Stand-ins for what surrounds dispatcher and deciding: an engine's line, and children."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from garcon.errors import ServiceError
from garcon.pool.frames import FrameStream
from garcon.pool.nursery import Child
from garcon.pool.slots import ChildKind

DEADLINE_S = 30.0


class ScriptedPlane:
    """A data plane that gives the tasks it is told and keeps what it is answered."""

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
        self.answered: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, ServiceError] = {}
        self.replies: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        self.changed = asyncio.Condition()

    async def poll(self, operation: str, body: dict[str, Any], **_: Any) -> bytes:
        """Return the next task of the list, or wait for one for ever."""
        task = await self.tasks[f"{operation}:{body['taskList']['name']}"].get()
        return json.dumps(task).encode()

    async def call(self, operation: str, body: Any, **_: Any) -> bytes:
        """Return the reply that was set for the operation, or raise its fault."""
        return await self._reply(operation, body)

    async def answer(self, operation: str, body: Any, **_: Any) -> bytes:
        """Note the answer."""
        return await self._reply(operation, body)

    async def _reply(self, operation: str, body: Any) -> bytes:
        told = json.loads(body) if isinstance(body, bytes) else dict(body)
        async with self.changed:
            self.answered.append((operation, told))
            self.changed.notify_all()
        if operation in self.faults:
            raise self.faults[operation]
        reply = self.replies.get(operation)
        return json.dumps(reply(told) if reply else {}).encode()

    async def wait_answers(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Wait until so many calls were answered, and return them."""
        async with self.changed:
            await asyncio.wait_for(
                self.changed.wait_for(lambda: len(self.answered) >= count), DEADLINE_S
            )
        return self.answered


class Peer:
    """The far end of a child's socketpair, played by the test."""

    def __init__(self, child: Child, stream: FrameStream) -> None:
        self.child = child
        self.stream = stream

    @classmethod
    async def open(cls, slot: int, kind: ChildKind, pid: int = 4711) -> Peer:
        """Return a child and its far end."""
        ours, theirs = socket.socketpair()
        child = Child(slot, kind, pid, 1, await FrameStream.open(ours))
        return cls(child, await FrameStream.open(theirs))

    async def receive(self) -> Any:
        """Return what the child was sent next."""
        return await asyncio.wait_for(self.stream.receive(), DEADLINE_S)

    def close(self) -> None:
        """Close both ends."""
        self.stream.close()
        self.child.stream.close()


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline_s, "the condition never came true"
        await asyncio.sleep(0)

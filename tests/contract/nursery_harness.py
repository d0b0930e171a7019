"""A nursery with everything that it tells kept, and ways to wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import AsyncIterator
from typing import Any

from garcon.pool.frames import Frame
from garcon.pool.lifecycle import ChildKind
from garcon.pool.nursery import Child, ChildExited, Nursery, NurseryFact

FLOWS = "tests.contract.nursery_flows"

#: A wait that takes longer than this means that what was waited for will not come, seconds.
PATIENCE_S = 30.0


class House:
    """A nursery, its facts and its output."""

    def __init__(self, flow: str, **options: Any) -> None:
        self.facts: list[NurseryFact] = []
        self.lines: list[tuple[str, str]] = []
        self._news = asyncio.Event()
        self.nursery = Nursery(
            f"{FLOWS}.{flow}", 1, on_fact=self._on_fact, on_output=self._on_output, **options
        )

    def _on_fact(self, fact: NurseryFact) -> None:
        self.facts.append(fact)
        self._news.set()

    def _on_output(self, stream: str, line: str) -> None:
        self.lines.append((stream, line))
        self._news.set()

    async def worker(self, slot: int = 1, kind: ChildKind = ChildKind.WORKER) -> Child:
        """Return a child that has said ready."""
        child = await self.nursery.fork(slot, kind)
        frame = await hear(child)
        assert frame is not None
        assert "ready" == frame.kind
        return child

    async def wait_fact(self, kind: type, count: int = 1) -> Any:
        """Return the last of `count` facts of this kind, as soon as there are as many."""
        found = await self._wait(
            lambda: [one for one in self.facts if isinstance(one, kind)], count
        )
        return found[count - 1]

    async def wait_exit(self, child: Child) -> ChildExited:
        """Return how this child ended."""
        found = await self._wait(
            lambda: [
                one for one in self.facts if isinstance(one, ChildExited) and one.pid == child.pid
            ],
            1,
        )
        return found[0]

    async def wait_line(self, text: str) -> tuple[str, str]:
        """Return the stream and the line that holds this text."""
        found = await self._wait(lambda: [one for one in self.lines if text in one[1]], 1)
        return found[0]

    async def _wait(self, look: Any, count: int) -> Any:
        async def wait() -> Any:
            while len(found := look()) < count:
                self._news.clear()
                await self._news.wait()
            return found

        return await asyncio.wait_for(wait(), PATIENCE_S)


@contextlib.asynccontextmanager
async def house(flow: str = "plain", **options: Any) -> AsyncIterator[House]:
    """Give a house whose zygote is ready, and take it down."""
    one = House(flow, **options)
    await one.nursery.start()
    try:
        yield one
    finally:
        for child in one.nursery.children.values():
            child.stream.close()
        await one.nursery.close()


async def hear(child: Child) -> Frame | None:
    """Return the child's next frame."""
    return await asyncio.wait_for(child.stream.receive(), PATIENCE_S)


async def order(
    child: Child, activity: str, body: bytes = b"{}", task: int = 1, **head: Any
) -> None:
    """Have a worker run an activity."""
    about = {"workflow_id": "w", "run_id": "r", "domain": "tests", **head}
    await child.stream.send(
        "run", body, task=task, activity=activity, activity_id=f"{activity}-1", **about
    )


async def said(child: Child, task: int = 1, place: int = 0, words: str | None = None) -> str:
    """Return what a task says of itself, as soon as it says something, or these very words."""
    assert child.slate is not None

    async def look() -> str:
        while True:
            found = child.slate.read(child.slot, place, task)
            if found is not None and words in (None, found):
                return found
            await asyncio.sleep(0.005)

    return await asyncio.wait_for(look(), PATIENCE_S)


async def answer(child: Child, task: int = 1) -> Frame:
    """Return the next frame of a worker that is no timing; it is to be about this task."""
    frame = await answer_any(child)
    assert task == frame.head["task"]
    return frame


async def answer_any(child: Child) -> Frame:
    """Return the next frame of a worker that is no timing, whatever its task."""
    while True:
        frame = await hear(child)
        assert frame is not None
        if frame.kind != "timing":
            return frame


async def wait_end(child: Child) -> None:
    """Read what a dying child still says."""
    while await hear(child) is not None:
        pass


async def wait_gone(pids: list[int], within_s: float) -> list[int]:
    """Return those of `pids` that still live after so many seconds."""
    return await asyncio.get_running_loop().run_in_executor(None, gone, pids, within_s)


def gone(pids: list[int], within_s: float) -> list[int]:
    """Return those of `pids` that still live after so many seconds; waits for their ends."""
    return [pid for pid in pids if not _is_gone(pid, within_s)]


def _is_gone(pid: int, within_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)

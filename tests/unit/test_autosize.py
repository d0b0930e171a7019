"""The watch over an automatic pool's size, with machine, engine and workers scripted."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

import pytest

from garcon.errors import EngineUnreachable
from garcon.pool import autosize, sizing
from garcon.pool.autosize import AutoSize, first_size

PATIENCE_S = 30.0


class Machine:
    """Four CPUs, of which nothing is used."""

    def cpus(self) -> int:
        return 4

    def sample(self) -> Any:
        return SimpleNamespace(busy=0.1, memory_limit=16 << 30, memory_free=12 << 30)


class Workers:
    """Workers that are all busy, unless `idle` says otherwise."""

    def __init__(self, *lists: str, idle: int = 0) -> None:
        self.task_lists = list(lists)
        self.idle = idle
        self.busy = frozenset(range(1, 5))
        self.has_in_hand = False


class Plane:
    """Answers counts of pending tasks and notes which list was asked for."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def call(self, _operation: str, body: Any, **_: Any) -> bytes:
        self.asked.append(body["taskList"]["name"])
        if isinstance(self.answer, Exception):
            raise self.answer
        return bytes(self.answer)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Let no look wait, and let workers settle at once."""
    monkeypatch.setattr(autosize, "LOOK_S", 0.0)
    monkeypatch.setattr(sizing, "SETTLE_S", 0.01)


def watch(
    plane: Plane,
    workers: Workers,
    until: Any,
    max_procs: int | None = None,
    memory: tuple[int, ...] = (),
) -> list[int]:
    """Return the sizes that were wanted until `until` came true."""
    wanted: list[int] = []

    async def scenario() -> None:
        size = AutoSize(Machine(), max_procs, lambda count, _: wanted.append(count))
        size.note_memory(memory)
        running = asyncio.ensure_future(size.run(plane, workers, "dev"))
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not until(wanted) and not running.done():
            assert asyncio.get_running_loop().time() < deadline_s
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            raise AssertionError from running.exception()

    asyncio.run(scenario())
    return wanted


def test_a_pool_whose_workers_are_all_busy_grows_while_work_waits():
    """The engine's own count of what waits is what makes it grow, up to the cap."""
    workers = Workers("a", "b")

    wanted = watch(Plane(b'{"count":3,"truncated":false}'), workers, lambda sizes: 6 in sizes, 6)

    assert wanted[0] > first_size(Machine(), 6)
    assert max(wanted) <= 6


def test_a_pool_grows_by_as_many_workers_as_the_memory_holds():
    """Measured by the largest of those there are: of 12 GiB a tenth of 16 stays free."""
    counted = Plane(b'{"count":99}')

    wanted = watch(counted, Workers("a"), bool, 64, memory=(1 << 30, 6 << 30))

    assert wanted[0] == first_size(Machine(), 64) + 1


def test_a_look_that_finds_no_descriptor_free_changes_nothing(monkeypatch):
    """The machine's figures are files; the next look may read them."""
    counted, sample = Plane(b'{"count":99}'), Machine.sample
    looks = iter([OSError(errno.EMFILE, "Too many open files")] * 3)

    def see(machine: Machine) -> Any:
        if error := next(looks, None):
            raise error
        return sample(machine)

    monkeypatch.setattr(Machine, "sample", see)

    assert 6 in watch(counted, Workers("a"), lambda sizes: 6 in sizes, 6)
    assert next(looks, None) is None


def test_what_workers_were_seen_to_use_is_forgotten_slowly():
    """Who takes the place of a large one may be given the same work; for ever it says nothing."""
    size = AutoSize(Machine(), 64, lambda *_: None)
    size.note_memory([6 << 30])
    size.note_memory([1 << 20])
    assert size._worker_memory > 5 << 30

    for _ in range(2000):
        size.note_memory([1 << 20])
    assert size._worker_memory == 1 << 20


def test_each_list_has_its_turn_and_a_reload_s_new_lists_as_well():
    """One question a second for the whole pool, whatever the lists are called by now."""
    workers, plane = Workers("a", "b"), Plane(b'{"count":0}')

    def until(_: list[int]) -> bool:
        if len(plane.asked) == 4:
            workers.task_lists = ["c"]
        return len(plane.asked) >= 7

    watch(plane, workers, until)

    assert plane.asked[:4] == ["b", "a", "b", "a"]
    assert set(plane.asked[4:]) == {"c"}


def test_the_engine_is_not_asked_while_somebody_is_idle():
    """The answer is known: nothing waits."""
    plane, looks = Plane(b"{}"), []

    watch(plane, Workers("a", idle=1), lambda _: looks.append(1) or len(looks) > 50)

    assert plane.asked == []


@pytest.mark.parametrize("answer", [EngineUnreachable("away"), b"<html>", b"{}"])
def test_an_answer_that_tells_nothing_is_no_reason_to_grow_or_to_end(answer):
    """The next look asks again."""
    plane = Plane(answer)

    assert watch(plane, Workers("a"), lambda _: len(plane.asked) > 5, 16) == []

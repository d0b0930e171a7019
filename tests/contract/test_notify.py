"""Words to the service manager, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from garcon.pool.config import PoolConfig
from garcon.pool.notify import Notifier
from garcon.pool.observatory import STUCK_S, Observatory

DEADLINE_S = 30.0


@pytest.fixture
def manager(tmp_path) -> Iterator[socket.socket]:
    """Return the socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(DEADLINE_S)
        yield sock


async def several_turns() -> None:
    """Let the loop go round."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_each_word_is_one_datagram(manager):
    """As sd_notify(3) says."""
    notifier = Notifier(manager.getsockname())
    notifier.ready("16 workers up")
    notifier.status("31/s")
    notifier.beat()
    notifier.stopping()
    notifier.close()

    words = [manager.recv(1000).decode() for _ in range(4)]
    assert words == [
        "READY=1\nSTATUS=16 workers up",
        "STATUS=31/s",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=draining",
    ]


@pytest.mark.skipif(not os.path.exists("/proc/net/unix"), reason="abstract addresses are Linux's")
def test_an_abstract_address_begins_with_an_at():
    """In the environment; on the socket it is a NUL."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"garcon-test-{os.getpid()}"
        sock.bind("\0" + name)
        sock.settimeout(DEADLINE_S)
        notifier = Notifier("@" + name)
        notifier.beat()
        notifier.close()

        assert sock.recv(100) == b"WATCHDOG=1"


def test_the_environment_says_whom_to_tell_and_children_do_not_see_it():
    """A third of the watchdog's time passes between two beats."""
    environ = {
        "NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()), "HOME": "/root",
    }  # fmt: skip

    assert Notifier.from_environment(environ).beat_every_s == 10.0
    assert environ == {"HOME": "/root"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/run/notify"},
        {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_of_its_own_nothing_is_beaten(environ):
    """Nobody waits for it, or somebody waits for another process."""
    assert Notifier.from_environment(dict(environ)).beat_every_s is None


def test_a_manager_that_is_gone_or_full_costs_nothing(tmp_path):
    """No error, no waiting: the socket of this one takes a few datagrams and nobody reads."""
    for nobody in (None, str(tmp_path / "nobody")):
        notifier = Notifier(nobody)
        notifier.beat()
        notifier.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        notifier = Notifier(str(tmp_path / "full"))
        for _ in range(10_000):
            notifier.beat()
        notifier.close()


def test_the_watchdog_is_beaten_only_while_the_work_goes_round(monkeypatch):
    """A loop that turns without working must not look alive."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    service = SimpleNamespace(helper=None, work=None, on_end=None)

    async def scenario() -> None:
        observatory = Observatory(PoolConfig("flow"), service, lambda: None)
        now_s = asyncio.get_running_loop().time()
        assert observatory._gets_on(), "there is no work yet"

        service.work = SimpleNamespace(dispatcher=SimpleNamespace(ticked_s=now_s))
        assert observatory._gets_on()
        service.work.dispatcher.ticked_s = now_s - STUCK_S
        assert not observatory._gets_on()

        beats: list[str] = []
        observatory._notifier = SimpleNamespace(beat=lambda: beats.append("beat"))
        beating = asyncio.ensure_future(observatory._beat(0.0))
        await several_turns()
        assert beats == []
        service.work.dispatcher.ticked_s = asyncio.get_running_loop().time()
        await several_turns()
        assert beats
        beating.cancel()

    asyncio.run(scenario())

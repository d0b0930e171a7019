"""What every forked child does before and after its work.

It makes itself independent of the zygote that it was a copy of: dies with it, has its own process
group, its own randomness and its own log, and answers no signal but the stack dump.
Law: a child leaves by `os._exit`; nothing of the zygote's own clean-up may run in it.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from garcon.description import FlowDescription
from garcon.errors import BootError, GarconError
from garcon.flow import activities_by_name, check_flow, describe, load_flow
from garcon.log import LogSettings, configure
from garcon.pool import decider_child, prctl, worker
from garcon.pool.frames import READY, Channel
from garcon.pool.slate import Slate
from garcon.pool.slots import ChildKind

#: Exit code of a child that garcon's own code, or the flow's import, has thrown out.
CRASHED = 1

#: Signals meant for the supervisor that reach everyone of a terminal's or container's group.
_OVERHEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How much likelier than the supervisor the kernel is to choose a child when memory runs out.
_OOM_SCORE = b"500"


@dataclass(frozen=True)
class Loaded:
    """A flow and what children need of it, found once so that they need not touch it again."""

    flow: Any
    described: FlowDescription
    activities: Mapping[str, Any]


@dataclass(frozen=True)
class Post:
    """What a child is to be.

    Attributes:
        slot: its place in the pool.
        kind: what it does.
        flow_name: name of the flow.
        slate: where its tasks write how far they are.
        log: where this child logs to.
        loaded: the flow as the zygote imported it; None where the child has to.
    """

    slot: int
    kind: ChildKind
    flow_name: str
    slate: Slate
    log: LogSettings
    loaded: Loaded | None


def overhear(_signo: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler rather than SIG_IGN, which a task's own programs would inherit."""


def deafen() -> None:
    """Let the signals pass by that a terminal or service manager sends to everyone.

    Children inherit it from the zygote, as they do the dump of all stacks at SIGUSR1.
    """
    for signo in _OVERHEARD:
        signal.signal(signo, overhear)
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def load(name: str) -> Loaded:
    """Import, check and describe the flow of this name.

    Raises:
        GarconError: it cannot run, in one line.
    """
    try:
        flow = load_flow(name)
        check_flow(flow)
        return Loaded(flow, describe(flow), activities_by_name(flow))
    except GarconError:
        raise
    except BaseException as error:
        kind = type(error).__name__
        raise BootError(f"flow {name!r} cannot be imported: {kind}: {error}") from error


def settle(zygote_pid: int) -> None:
    """Cut the ties that a fork leaves; to be called first in the child."""
    prctl.die_with_parent(zygote_pid)
    attempt(os.setpgid, 0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Python's own random reseeds itself after a fork, numpy's does not.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    attempt(_volunteer)
    gc.enable()


def _volunteer() -> None:
    """Be the one whom the kernel chooses, rather than the supervisor, when memory runs out."""
    # No file object: every page that a child touches is a page it no longer shares.
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(descriptor, _OOM_SCORE)
    os.close(descriptor)


def attempt(call: Callable[..., None], *arguments: Any) -> None:
    """Make a call that may be refused without harm."""
    try:
        call(*arguments)
    except OSError:
        # Not Linux, or the zygote was faster: nothing that a child depends on.
        return


def run(post: Post, sock: socket.socket) -> int:
    """Do the work of this post over this socket; return the exit code."""
    loaded = post.loaded or _load_own(post.flow_name)
    channel = Channel(sock)
    channel.send_encoded(READY)
    first = channel.receive()
    # Not before there is something to do: what an idle child has not touched, it shares. And not
    # in the zygote: a log file's handler must not be shared by two processes.
    configure(post.log)
    if post.kind is ChildKind.WORKER:
        return worker.main(channel, loaded.activities, post.slot, post.slate, first)
    return decider_child.main(channel, loaded.flow, loaded.described, first)


def _load_own(name: str) -> Loaded:
    loaded = load(name)
    deafen()  # the import may have set handlers of its own
    return loaded


def flushed(code: int) -> int:
    """Write out what Python still holds for stdout, stderr and the log; return `code`."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        # The reader may be gone; then there is nobody left to tell.
        with suppress(OSError, ValueError):
            stream.flush()
    return code


def leave(code: int) -> NoReturn:
    """End this process without the zygote's exit handlers."""
    os._exit(flushed(code))

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
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, NoReturn

from garcon.description import FlowDescription
from garcon.errors import BootError, GarconError
from garcon.flow import check_flow, describe, load_flow
from garcon.log import LogSettings, configure
from garcon.pool import decider_child, prctl, worker
from garcon.pool.frames import Channel
from garcon.pool.slots import ChildKind

#: Exit code of a child that garcon's own code, or the flow's import, has thrown out.
CRASHED = 1

#: Signals meant for the supervisor that reach everyone of a terminal's or container's group.
_OVERHEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How much likelier than the supervisor the kernel is to choose a child when memory runs out.
_OOM_SCORE = 500


@dataclass(frozen=True)
class Post:
    """What a child is to be.

    Attributes:
        slot: its place in the pool.
        kind: what it does.
        flow_name: name of the flow.
        log: where the pool logs to.
        flow: the flow as the zygote imported it; None where the child has to.
        described: the flow's description.
    """

    slot: int
    kind: ChildKind
    flow_name: str
    log: LogSettings
    flow: Any
    described: FlowDescription


def overhear(_signo: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler rather than SIG_IGN, which a task's own programs would inherit."""


def deafen() -> None:
    """Let the signals pass by that a terminal or service manager sends to everyone."""
    for signo in _OVERHEARD:
        signal.signal(signo, overhear)


def load(name: str) -> tuple[Any, FlowDescription]:
    """Import, check and describe the flow of this name.

    Raises:
        GarconError: it cannot run, in one line.
    """
    try:
        flow = load_flow(name)
        check_flow(flow)
        return flow, describe(flow)
    except GarconError:
        raise
    except BaseException as error:
        kind = type(error).__name__
        raise BootError(f"flow {name!r} cannot be imported: {kind}: {error}") from error


def settle(zygote_pid: int) -> None:
    """Cut the ties that a fork leaves; to be called first in the child."""
    prctl.die_with_parent(zygote_pid)
    with suppress(OSError):
        os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    deafen()
    # Python's own random reseeds itself after a fork, numpy's does not.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(_OOM_SCORE))
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    gc.enable()


def run(post: Post, sock: socket.socket) -> int:
    """Do the work of this post over this socket; return the exit code."""
    configure(replace(post.log, queued=False, process=f"{post.kind.value}-{post.slot}"))
    channel = Channel(sock)
    flow = post.flow if post.flow is not None else load(post.flow_name)[0]
    if post.kind is ChildKind.WORKER:
        return worker.main(channel, flow, post.slot)
    return decider_child.main(channel, flow, post.described)


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

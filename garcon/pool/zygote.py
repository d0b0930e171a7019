"""The zygote: `python -m garcon.pool.zygote ORDER`, from which all children of a pool are forked.

It imports the flow once, freezes the garbage collector's view of it, tells the supervisor what the
flow is, and from then on forks on request and reports every death. It has one thread, runs no
task, holds no connection, and obeys its control socket alone: signals of a terminal or a service
manager pass it by.
Law: a child's process group is killed before the child is reaped, so nothing that a task has
started outlives its worker, and no pid is given away while the supervisor may still use it. When
the supervisor goes, everything goes.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import select
import signal
import socket
import stat
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from garcon.errors import GarconError
from garcon.log import configure
from garcon.pool import child, prctl
from garcon.pool.frames import Frame, FrameError, Parser, encode
from garcon.pool.guard import say_farewell
from garcon.pool.order import Order
from garcon.pool.slate import Slate
from garcon.pool.slots import ChildKind

TRACEBACK_MAX = 8_000  # characters; the tail is what tells
_RECEIVE_BYTES = 64 * 1024
#: macOS has waitid from Python 3.13 on; before, a group is killed just after its leader is reaped.
_PEEKS = hasattr(os, "waitid")

_FDS_A_MESSAGE = 4  # a fork frame brings one; room for what the kernel joins


class Control:
    """The zygote's end of the control socket: frames in, with descriptors, and frames out."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._parser = Parser()
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self._socket.fileno()

    def send(self, kind: str, **head: Any) -> None:
        """Send one frame; a supervisor that is gone is noticed by the next receive."""
        with suppress(OSError):
            self._socket.sendall(encode(kind, **head))

    def receive(self) -> list[tuple[Frame, int | None]] | None:
        """Read once; return the whole frames with the descriptor each brought, None at the end.

        The kernel delivers descriptors in the order of the bytes that they came with, so the
        next `fork` frame owns the next descriptor.
        """
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, _RECEIVE_BYTES, _FDS_A_MESSAGE)
        except ConnectionError:
            return None
        if not data:
            return None
        self._descriptors.extend(fds)
        self._parser.feed(data)
        frames: list[tuple[Frame, int | None]] = []
        while (frame := self._parser.take()) is not None:
            takes = frame.kind == "fork" and self._descriptors
            frames.append((frame, self._descriptors.popleft() if takes else None))
        return frames

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Zygote:
    """A forking loop over one flow."""

    def __init__(
        self,
        order: Order,
        control: Control,
        wakeup: tuple[socket.socket, socket.socket],
        loaded: child.Loaded | None,
    ) -> None:
        """Fork children of a flow; with None for it each child imports it by itself."""
        self._order = order
        self._log = replace(order.log_settings, queued=False)
        self._control = control
        self._slate = Slate(order.slate_fd)
        self._wakeup, self._waker = wakeup
        self._loaded = loaded
        self._pid = os.getpid()
        self._children: dict[int, int] = {}  # pid -> slot

    def run(self) -> None:
        """Serve until the supervisor closes the control socket, then take everyone along."""
        try:
            while self._serve_once():
                pass
        except FrameError as error:
            # Nothing but a mistake of garcon's own; without a readable order there is no service.
            self._control.send("notice", text=f"the zygote cannot go on: {error}")
        finally:
            signal.set_wakeup_fd(-1)
            for pid in self._children:
                _kill_group(pid, signal.SIGKILL)
            say_farewell(self._order.guard_fd)

    def _serve_once(self) -> bool:
        ready, _, _ = select.select([self._control.fileno(), self._wakeup.fileno()], [], [])
        if self._wakeup.fileno() in ready:
            with suppress(BlockingIOError):
                self._wakeup.recv(4096)
            self._reap()
        if self._control.fileno() not in ready:
            return True
        frames = self._control.receive()
        for frame, descriptor in frames or ():
            self._obey(frame, descriptor)
        return frames is not None

    def _obey(self, frame: Frame, descriptor: int | None) -> None:
        if frame.kind == "fork":
            self._fork(int(frame.head["slot"]), ChildKind(frame.head["role"]), descriptor)
        elif frame.kind == "signal" and frame.head["pid"] in self._children:
            # Asked of us rather than sent by the supervisor: only we know it is not reaped yet.
            send = os.kill if frame.head.get("alone") else _kill_group
            send(int(frame.head["pid"]), int(frame.head["signo"]))
            if frame.head["signo"] == signal.SIGKILL:
                self._control.send("killed", pid=int(frame.head["pid"]))

    def _fork(self, slot: int, kind: ChildKind, descriptor: int | None) -> None:
        if descriptor is None:
            self._control.send("unforked", slot=slot, text="no descriptor came along")
            return
        # Made before the fork: what a child writes to, it no longer shares with its siblings.
        log = replace(self._log, process=f"{kind.value}-{slot}")
        post = child.Post(slot, kind, self._order.flow, self._slate, log, self._loaded)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor) as sock:
            try:
                pid = os.fork()
            except OSError as error:
                self._control.send("unforked", slot=slot, text=f"fork: {error.strerror}")
                return
            if pid == 0:
                self._become_child(post, sock)
        # Both sides set it: whichever comes first, a kill of the group finds it.
        child.attempt(os.setpgid, pid, pid)
        self._children[pid] = slot
        self._control.send("forked", slot=slot, pid=pid)

    def _become_child(self, post: child.Post, sock: socket.socket) -> NoReturn:
        code = child.CRASHED
        try:
            child.settle(self._pid)
            self._wakeup.close()
            self._waker.close()
            self._control.close()
            os.close(self._order.guard_fd)
            code = child.run(post, sock)
        except BaseException:
            # Whatever it is, it must not climb back into the zygote's own loop.
            traceback.print_exc()
        finally:
            child.leave(code)

    def _reap(self) -> None:
        for pid, slot in list(self._children.items()):
            if _PEEKS:
                # Looked at without reaping: until its group is killed, the pid stays its own.
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                _kill_group(pid, signal.SIGKILL)
            reaped, status, usage = os.wait4(pid, os.WNOHANG)
            if not reaped:
                continue
            if not _PEEKS:
                _kill_group(pid, signal.SIGKILL)
            del self._children[pid]
            self._control.send("exited", slot=slot, pid=pid, **_ending(status, usage))


def _ending(status: int, usage: Any) -> dict[str, Any]:
    """Return how a process ended and what it used, as the `exited` frame tells it."""
    scale = 1024 if sys.platform == "darwin" else 1  # ru_maxrss: bytes there, kB elsewhere
    killed = os.WIFSIGNALED(status)
    return {
        "exit_code": None if killed else os.WEXITSTATUS(status),
        "signo": os.WTERMSIG(status) if killed else None,
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_kb": usage.ru_maxrss // scale,
    }


def _kill_group(pid: int, signo: int) -> None:
    try:
        os.killpg(pid, signo)
    except ProcessLookupError:
        # The group is not made yet (its child sets it in its first breath), or is empty.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signo)
    except PermissionError:
        # macOS says so for a group of nothing but zombies.
        return


def _listen_for_deaths() -> tuple[socket.socket, socket.socket]:
    """Return a socket that becomes readable when a child ends, and the end that is written to."""
    inner, outer = socket.socketpair()
    inner.setblocking(False)
    outer.setblocking(False)
    signal.signal(signal.SIGCHLD, child.overhear)
    signal.set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
    return inner, outer


def _refusal(error: GarconError) -> dict[str, Any]:
    cause = error.__cause__ or error
    tail = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
    text = " ".join(str(error).split())
    return {"text": text, "exit_code": error.exit_code, "traceback": tail[-TRACEBACK_MAX:]}


def _open_sockets() -> frozenset[int]:
    """Return the descriptors that are connected sockets."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as sock:
                    sock.getpeername()
                    found.add(int(name))
    return frozenset(found)


def _unforkable(sockets_before: frozenset[int]) -> str:
    """Return what the import has left that a fork would break, empty where nothing is."""
    main = threading.main_thread()
    threads = sorted(thread.name for thread in threading.enumerate() if thread is not main)
    left = [f"thread {name!r}" for name in threads]
    sockets = len(_open_sockets() - sockets_before)
    if sockets:
        left.append(f"{sockets} connected socket{'s' if sockets > 1 else ''}")
    return ", ".join(left)


def _start_bare(order: Order) -> NoReturn:
    """Become a zygote that has not imported the flow; requests wait in the socket meanwhile."""
    for descriptor in order.descriptors:
        os.set_inheritable(descriptor, True)
    text = replace(order, bare=True).to_text()
    os.execv(sys.executable, [sys.executable, "-m", "garcon.pool.zygote", text])


def _load(order: Order, control: Control) -> child.Loaded:
    """Import the flow and tell the supervisor what it is.

    Raises:
        GarconError: the flow cannot run.
    """
    sockets = _open_sockets()
    loaded = child.load(order.flow)
    left = _unforkable(sockets)
    if left:
        control.send(
            "notice",
            text=f"importing {order.flow!r} leaves {left}: each child imports it by itself, which "
            "is slow; make such things on first use",
        )
    control.send("described", description=loaded.described.to_json())
    if left:
        _start_bare(order)
    return loaded


def serve(order: Order) -> int:
    """Be the zygote of this order until its supervisor is gone; return the exit code."""
    control = Control(socket.socket(fileno=order.control_fd))
    for descriptor in order.descriptors:
        os.set_inheritable(descriptor, False)
    # A supervisor that dies during a slow import must not leave us importing.
    guarded = prctl.die_with_parent(order.parent)
    child.deafen()
    configure(replace(order.log_settings, file=None, queued=False, process="zygote"))
    try:
        loaded = None if order.bare else _load(order, control)
    except GarconError as error:
        control.send("refused", **_refusal(error))
        return error.exit_code
    # From here on the end of the control socket tells it, which leaves time to take all along.
    prctl.outlive_parent()
    if not guarded and not order.bare:
        control.send("notice", text="this system has no PDEATHSIG: children notice the end of "
                     "their supervisor by their sockets alone")  # fmt: skip
    # The flow may have set handlers of its own.
    child.deafen()
    wakeup = _listen_for_deaths()
    gc.collect()
    # No collection here, none over what was imported there: pages stay shared.
    gc.disable()
    gc.freeze()
    Zygote(order, control, wakeup, loaded).run()
    return 0


def main() -> int:
    """Run the zygote that the command line orders."""
    order = Order.from_text(sys.argv[1])
    if order.path:
        sys.path[:] = order.path
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A pipe would be block-buffered: what a task prints is to appear when it prints it. And
        # PYTHONUNBUFFERED, common in containers, writes a line's end apart from the line: two
        # workers that print at once would tear each other's lines.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    if order.log.get("file"):
        # Before the fork, once: it takes a tenth of a second.
        importlib.import_module("concurrent_log_handler")
    return serve(order)


if __name__ == "__main__":
    os._exit(child.flushed(main()))

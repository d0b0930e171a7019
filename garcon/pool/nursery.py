"""The supervisor's side of one zygote: starting it, forking through it, hearing of every end.

One `Nursery` is one generation of the flow's code. It lives on the supervisor's loop, blocks it
nowhere and waits for nothing without a deadline.
Law: every child that `fork` returned is reported as exited, exactly once and before its zygote is,
however it or the zygote ended, and after what it had still sent could be read.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import garcon
from garcon.description import FlowDescription
from garcon.errors import BootError, GarconError
from garcon.log import LogSettings
from garcon.pool.descriptors import is_shortage
from garcon.pool.frames import Frame, FrameError, FrameStream, encode, read_frame
from garcon.pool.guard import Guard
from garcon.pool.order import Order
from garcon.pool.output import OutputRelay
from garcon.pool.resources import Machine, OomWatch
from garcon.pool.slate import Slate
from garcon.pool.slots import ChildKind

#: How long a zygote may take to import the flow, and to fork one child.
READY_TIMEOUT_S = 60.0
FORK_TIMEOUT_S = 10.0

#: What comes of a message that another version of garcon, or a broken child, has written.
UNREADABLE = (ValueError, LookupError, TypeError)

#: How long an exit is held back for frames that the child sent before it.
LINGER_S = 1.0

_KILLED_WAIT_S = 5.0
_RETRY_S = 0.01


class FlowRefused(GarconError):
    """The zygote cannot serve the flow.

    Attributes:
        exit_code: what the pool ends with.
        traceback: tail of the traceback of what the import raised.
    """

    def __init__(self, text: str, exit_code: int, traceback: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.traceback = traceback


class ZygoteKilled(BootError):
    """The zygote was killed while it imported the flow, or there was no room for a process.

    By somebody, or by the kernel for want of memory: it says nothing of the flow.
    """


class ForkError(GarconError):
    """No child came: no memory, no pids, or the zygote is dead or stuck."""


@dataclass(frozen=True)
class Child:
    """A live child.

    Attributes:
        slot: its place in the pool.
        kind: what it does.
        pid: its process, and its process group.
        generation: the zygote it came from.
        stream: frames to and from it; whoever got the child reads it to its end.
        slate: where its tasks write how far they are.
    """

    slot: int
    kind: ChildKind
    pid: int
    generation: int
    stream: FrameStream
    slate: Slate | None = None


@dataclass(frozen=True)
class ChildExited:
    """A child is no more.

    Attributes:
        status: in words, such as `killed by SIGSEGV`.
        exit_code: None where a signal ended it, or nobody saw.
        signal: the signal's name, None for an exit.
        cpu_s: CPU seconds of the process and what it waited for.
        peak_kb: its largest resident size.
        with_zygote: it only went down with its zygote.
        oom: the kernel killed for memory in this cgroup at that time.
    """

    generation: int
    slot: int
    pid: int
    status: str
    exit_code: int | None = None
    signal: str | None = None
    cpu_s: float = 0.0
    peak_kb: int = 0
    with_zygote: bool = False
    oom: bool = False


@dataclass(frozen=True)
class ZygoteExited:
    """The zygote is no more, and none of its children is."""

    generation: int
    status: str


@dataclass(frozen=True)
class Notice:
    """Something the zygote wants an operator to know."""

    generation: int
    text: str


NurseryFact = ChildExited | ZygoteExited | Notice


class _Request:
    """A fork that was asked for.

    Attributes:
        pid: what the zygote answers.
        settled: set when `fork` has returned or given up.
    """

    def __init__(self) -> None:
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.settled = asyncio.Event()

    def fail(self, text: str) -> None:
        if not self.pid.done():
            self.pid.set_exception(ForkError(text))


@dataclass
class _Born:
    """A child as the nursery keeps it.

    Attributes:
        request: what it was forked for, None where nobody waited for it any more.
        child: None until `fork` has returned it.
        leaving: its exit is being told.
        killing: ends a zygote that does not say in time that it has killed this child.
        condemned: the pool itself has it killed.
    """

    slot: int
    pid: int
    request: _Request | None
    child: Child | None = None
    leaving: bool = False
    killing: asyncio.TimerHandle | None = None
    condemned: bool = False


class Nursery:
    """One zygote and its children."""

    def __init__(
        self,
        flow: str,
        generation: int,
        *,
        on_fact: Callable[[NurseryFact], None],
        on_output: Callable[[str, str], None],
        log: LogSettings | None = None,
        chdir: str | None = None,
        machine: Machine | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
        fork_timeout_s: float = FORK_TIMEOUT_S,
    ) -> None:
        """Prepare; `start` starts.

        Args:
            flow: name of the flow.
            generation: number of this zygote.
            on_fact: gets every fact, on the loop; must not block.
            on_output: gets `stdout` or `stderr` and one line that zygote or children printed.
            log: where the children log to.
            chdir: folder that zygote and children work in; None for the present one.
            machine: tells whether the kernel killed for memory.
            ready_timeout_s: bound of the flow's import.
            fork_timeout_s: bound of one fork.
        """
        self.generation = generation
        self._flow = flow
        self._on_fact = on_fact
        self._on_output = on_output
        self._log = log or LogSettings()
        self._chdir = chdir
        self._ready_timeout_s = ready_timeout_s
        self._fork_timeout_s = fork_timeout_s
        self._born: dict[int, _Born] = {}  # by pid
        self._requests: dict[int, _Request] = {}  # by slot
        self._farewells: set[asyncio.Task[None]] = set()
        self._relays: list[OutputRelay] = []
        self._slate: Slate | None = None
        self._guard: Guard | None = None
        self._ooms = OomWatch((machine or Machine()).oom_kills)
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The zygote's process, None before it was started."""
        return self._process.pid if self._process else None

    @property
    def children(self) -> Mapping[int, Child]:
        """Children whose exit has not been reported, by slot."""
        return {one.slot: one.child for one in self._born.values() if one.child is not None}

    # -- life -----------------------------------------------------------------------------

    async def start(self) -> FlowDescription:
        """Start the zygote and wait for what it says of the flow.

        Raises:
            FlowRefused: the flow cannot run; one line, exit code and traceback.
            BootError: the zygote died, or was not ready in time.
        """
        try:
            reader = await self._spawn()
        except OSError as error:
            kind = ZygoteKilled if is_shortage(error) else BootError
            text = f"the process that imports flow {self._flow!r} cannot be started: {error}"
            raise kind(text) from error
        try:
            description = await asyncio.wait_for(
                self._wait_described(reader), self._ready_timeout_s
            )
        except asyncio.TimeoutError:
            await self._abandon()
            raise BootError(
                f"flow {self._flow!r} was not imported within {self._ready_timeout_s:g} s"
            ) from None
        except BaseException:
            await self._abandon()
            raise
        self._listening = asyncio.create_task(self._listen(reader))
        return description

    async def fork(self, slot: int, kind: ChildKind) -> Child:
        """Return a new child; it says `ready` over its stream when it can work.

        A zygote that does not answer in time is killed.

        Raises:
            ForkError: there is none, and why.
        """
        if self._listening is None or self._listening.done():
            raise ForkError("there is no zygote")
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise ForkError(f"no socket for it: {error}") from error
        request = self._requests[slot] = _Request()
        try:
            with theirs:
                asked = self._ask(request, encode("fork", slot=slot, role=kind.value), theirs)
                pid = await asyncio.wait_for(asked, self._fork_timeout_s)
            stream = await FrameStream.open(ours)
            born = self._born[pid]
            born.child = Child(slot, kind, pid, self.generation, stream, self._slate)
            return born.child
        except asyncio.TimeoutError:
            ours.close()
            self._kill_zygote()
            raise ForkError(f"the zygote did not fork within {self._fork_timeout_s:g} s") from None
        except OSError as error:
            ours.close()
            raise ForkError(f"no connection to it: {error}") from error
        except BaseException:
            # A child that was born meanwhile sees the end of its socket, and goes.
            ours.close()
            raise
        finally:
            del self._requests[slot]
            request.settled.set()

    def signal(self, child: Child, signo: signal.Signals, *, alone: bool = False) -> bool:
        """Send a signal to a child and, unless `alone`, to its whole process group.

        Returns:
            False where it is gone.
        """
        born = self._born.get(child.pid)
        if born is None or born.leaving:
            return False
        born.condemned |= signo == signal.SIGKILL
        if not self._post(encode("signal", pid=child.pid, signo=int(signo), alone=alone)):
            # The zygote is stuck or dead, so nobody has reaped this pid: it is still the child's.
            if alone:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signo)
            else:
                _kill_group(child.pid, signo)
        elif signo == signal.SIGKILL and born.killing is None:
            # Taken is not obeyed: it waits in the socket of a zygote that was stopped, and with it
            # the answer for what the child had in hand.
            loop = asyncio.get_running_loop()
            born.killing = loop.call_later(self._fork_timeout_s, self._kill_zygote)
        return True

    async def close(self, deadline_s: float = _KILLED_WAIT_S) -> None:
        """End the zygote and all its children, and wait for it, at most so many seconds."""
        if self._process is None:
            return
        if self._listening is None:
            # Still importing, where it hears nothing; it has no children to take along either.
            self._kill_zygote()
        else:
            self._shut()
            done, _ = await asyncio.wait({self._listening}, timeout=deadline_s)
            if not done:
                self._kill_zygote()
                await asyncio.wait({self._listening}, timeout=_KILLED_WAIT_S)
        await self._clear()

    # -- start ----------------------------------------------------------------------------

    async def _spawn(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        with ExitStack() as passed:  # the zygote's ends: not ours to keep, whatever happens
            passed.enter_context(theirs)
            try:
                await self._exec(theirs, passed)
            except BaseException:
                ours.close()
                self._kill_zygote()
                await self._clear()
                raise
        ours.setblocking(False)
        self._socket = ours
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        return reader

    async def _exec(self, theirs: socket.socket, passed: ExitStack) -> None:
        outputs = [await self._relay(stream, passed) for stream in ("stdout", "stderr")]
        self._slate = slate = Slate.make()
        guarding, guarded = os.pipe()
        passed.callback(os.close, guarding)
        passed.callback(os.close, guarded)
        order = Order(
            self._flow,
            theirs.fileno(),
            slate.descriptor,
            guarded,
            os.getpid(),
            tuple(_import_path()),
            asdict(self._log),
        )
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "garcon.pool.zygote", order.to_text(),
            stdin=asyncio.subprocess.DEVNULL, stdout=outputs[0], stderr=outputs[1],
            pass_fds=order.descriptors, start_new_session=True,
            cwd=self._chdir, env=_environment(),
        )  # fmt: skip
        self._guard = await Guard.post(self._process.pid, guarding)

    async def _relay(self, stream: str, passed: ExitStack) -> int:
        """Return the descriptor to which the zygote writes `stream`."""
        relay, writing = await OutputRelay.open(lambda line: self._on_output(stream, line))
        self._relays.append(relay)
        passed.callback(os.close, writing)
        return writing

    async def _wait_described(self, reader: asyncio.StreamReader) -> FlowDescription:
        while (frame := await read_frame(reader)) is not None:
            if frame.kind == "described":
                return FlowDescription.from_json(frame.head["description"])
            if frame.kind == "refused":
                head = frame.head
                raise FlowRefused(head["text"], int(head["exit_code"]), head["traceback"])
            self._on_frame(frame)
        status = await self._wait_status()
        killed = self._process is not None and self._process.returncode == -signal.SIGKILL
        kind = ZygoteKilled if killed else BootError
        raise kind(f"the process that imports flow {self._flow!r} {status}")

    async def _abandon(self) -> None:
        self._kill_zygote()
        await self._wait_status()
        await self._clear()

    # -- hearing --------------------------------------------------------------------------

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while (frame := await read_frame(reader)) is not None:
                self._on_frame(frame)
        except (FrameError, *UNREADABLE) as error:
            # A newer garcon, say, that a reload has started: without a zygote that can be
            # understood there is none, and its end has to be told like any other's.
            text = f"the zygote says what nobody can read, and is ended: {error!r}"
            self._on_fact(Notice(self.generation, text))
            self._kill_zygote()
        status = await self._wait_status()
        for born in list(self._born.values()):
            self._note_obeyed(born)
            # PDEATHSIG has ended the child; what its task had started is still to go.
            _kill_group(born.pid, signal.SIGKILL)
            if not born.leaving:
                text = f"went down with its zygote, which {status}"
                self._say_farewell(
                    born, ChildExited(self.generation, born.slot, born.pid, text, with_zygote=True)
                )
        if self._farewells:
            await asyncio.wait(self._farewells)
        self._on_fact(ZygoteExited(self.generation, status))
        # Last: what the exits have told lets forks be asked for, up to this very moment.
        for request in self._requests.values():
            request.fail(f"the zygote {status}")

    def _on_frame(self, frame: Frame) -> None:
        head = frame.head
        if frame.kind == "forked":
            self._note_fork(int(head["slot"]), int(head["pid"]))
        elif frame.kind == "unforked":
            request = self._requests.get(int(head["slot"]))
            if request is not None:
                request.fail(str(head["text"]))
        elif frame.kind == "killed":
            self._note_obeyed(self._born.get(int(head["pid"])))
        elif frame.kind == "exited":
            born = self._born.get(int(head["pid"]))
            if born is not None:
                self._note_obeyed(born)
                self._say_farewell(born, self._exit_of(born, head))
        elif frame.kind == "notice":
            self._on_fact(Notice(self.generation, str(head["text"])))

    def _note_fork(self, slot: int, pid: int) -> None:
        request = self._requests.get(slot)
        self._born[pid] = _Born(slot, pid, request)
        if request is not None and not request.pid.done():
            request.pid.set_result(pid)

    @staticmethod
    def _note_obeyed(born: _Born | None) -> None:
        """Note that the zygote is well: a child that outlives its kill (a dead disk) is not it."""
        if born is not None and born.killing is not None:
            born.killing.cancel()
            born.killing = None

    def _exit_of(self, born: _Born, head: Mapping[str, Any]) -> ChildExited:
        signo = head["signo"]
        now_s = asyncio.get_running_loop().time()
        self._ooms.look(now_s)
        by_others = signo == signal.SIGKILL and not born.condemned
        oom = by_others and self._ooms.explains(now_s)
        status = _status(head["exit_code"], signo)
        return ChildExited(
            self.generation,
            born.slot,
            born.pid,
            f"{status} (out of memory, by the kernel)" if oom else status,
            exit_code=head["exit_code"],
            signal=signal.Signals(signo).name if signo is not None else None,
            cpu_s=float(head["cpu_s"]),
            peak_kb=int(head["peak_kb"]),
            oom=oom,
        )

    def _say_farewell(self, born: _Born, fact: ChildExited) -> None:
        born.leaving = True
        task = asyncio.create_task(self._farewell(born, fact))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _farewell(self, born: _Born, fact: ChildExited) -> None:
        """Tell of an exit once the child's last frames were read: its answer may be among them."""
        if born.request is not None:
            # It may have died before `fork` came to return it.
            await born.request.settled.wait()
        if born.child is not None:
            await born.child.stream.wait_ended(LINGER_S)
        del self._born[born.pid]
        if born.child is not None:
            self._on_fact(fact)
            born.child.stream.close()

    # -- acting ---------------------------------------------------------------------------

    async def _ask(self, request: _Request, data: bytes, theirs: socket.socket) -> int:
        while not request.pid.done() and not self._post(data, theirs.fileno()):
            await asyncio.sleep(_RETRY_S)
        return await request.pid

    def _post(self, data: bytes, *descriptors: int) -> bool:
        """Send to the zygote without waiting; False where it does not take it now.

        Frames are far smaller than the socket's buffer, so the kernel takes one whole or not.
        """
        if self._socket is None:
            return False
        try:
            socket.send_fds(self._socket, [data], list(descriptors))
        except OSError:
            return False
        return True

    def _kill_zygote(self) -> None:
        if self._process is not None and self._process.returncode is None:
            _kill_group(self._process.pid, signal.SIGKILL)

    def _shut(self) -> None:
        """Say that nothing more will be asked: the zygote takes its children along and ends."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.write_eof()

    async def _wait_status(self) -> str:
        """Return how the zygote ended; it has closed its socket, so it has no time left."""
        if self._process is None:
            return "was not started"
        try:
            code = await asyncio.wait_for(self._process.wait(), _KILLED_WAIT_S)
        except asyncio.TimeoutError:
            self._kill_zygote()
            return "closed its socket and did not end"
        return _status(code, None) if code >= 0 else _status(None, -code)

    async def _clear(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._socket = None
        if self._guard is not None:
            await self._guard.close(LINGER_S)
            self._guard = None
        if self._slate is not None:
            self._slate.close()
            self._slate = None
        await asyncio.gather(*(relay.close(LINGER_S) for relay in self._relays))


def _status(exit_code: int | None, signo: int | None) -> str:
    if signo is not None:
        return f"was killed by {signal.Signals(signo).name}"
    return f"ended with exit code {exit_code}"


def _kill_group(pid: int, signo: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signo)


def _import_path() -> list[str]:
    return [path or os.getcwd() for path in sys.path]


def _environment() -> dict[str, str]:
    """Return the environment in which `-m garcon...` finds this very garcon.

    Installed it is found anyway; from a source tree only while the working folder is that tree.
    """
    environment = dict(os.environ)
    home = str(Path(garcon.__file__).resolve().parent.parent)
    if Path(home).name not in {"site-packages", "dist-packages"}:
        paths = [home, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment

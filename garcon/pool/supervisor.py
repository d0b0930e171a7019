"""The pool's one loop: what happens to its processes becomes facts, what follows is performed.

The supervisor owns the zygote, the children and the signals; the service beside it owns the work.
It never imports the flow. Law: signals, exits and replies only put facts into a queue; `step`
decides, and `_perform` is the one place that acts on processes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from typing import Any

from garcon.description import FlowDescription
from garcon.errors import BootError, FlowError, GarconError, Interrupted
from garcon.log import log_event
from garcon.pool import lifecycle
from garcon.pool.autosize import AutoSize, first_size
from garcon.pool.config import PoolConfig
from garcon.pool.descriptors import Shortage, is_shortage
from garcon.pool.display import Display
from garcon.pool.facts import (
    Action,
    Booted,
    Drain,
    Exited,
    Fact,
    Finish,
    Fork,
    Forked,
    ForkFailed,
    Kill,
    KillAsked,
    ReloadAsked,
    Resized,
    RetireZygote,
    StartZygote,
    StopAsked,
    Tell,
    ZygoteGone,
    ZygoteReady,
)
from garcon.pool.frames import FrameError
from garcon.pool.jobs import Jobs
from garcon.pool.mission import Mission
from garcon.pool.nursery import (
    READY_TIMEOUT_S,
    UNREADABLE,
    Child,
    ChildExited,
    FlowRefused,
    ForkError,
    Notice,
    Nursery,
    ZygoteExited,
    ZygoteKilled,
)
from garcon.pool.observatory import Observatory
from garcon.pool.resources import Machine
from garcon.pool.service import Service
from garcon.pool.slots import ChildKind, Pool, Rules, State
from garcon.pool.stacks import Stacks
from garcon.pool.vitals import Vital

logger = logging.getLogger("garcon.pool")

#: What ends the pool by an accident of garcon's own.
BROKEN = 1

#: How long a pool that was stopped waits for a look at an execution that has just closed, seconds.
LAST_LOOK_S = 5.0

#: How long a pool that was told to stop at once still waits for its last answers, seconds.
LAST_ANSWERS_S = 2.0

#: How long the ends of zygotes are waited for at the pool's own end, seconds.
ENDINGS_S = 15.0

#: A child that no longer speaks, and does not end by itself either, is killed after so long.
SILENT_S = 5.0

#: When it is told that a flow is still being imported, seconds from the import's begin. Not sooner:
#: many a sound import takes some seconds.
SLOW_IMPORT_S = (10.0, 20.0, 40.0)

#: Events of the processes' life that nobody has to be told of; all others are warnings.
QUIET_EVENTS = {"slot.left": logging.DEBUG}

#: A child that overran its time has this long for its stacks and for SIGTERM, seconds.
OVERDUE_GRACE_S = 1.0


class Supervisor:
    """One pool, from the command to its exit code."""

    def __init__(
        self, config: PoolConfig, display: Display, mission: Mission | None = None
    ) -> None:
        """Run what `config` says, and show it on `display`.

        Args:
            config: the command's words.
            display: shows what happens.
            mission: what to run before it leaves; None for a pool that serves until it is stopped.
        """
        self._config = config
        self._mission = mission
        self._display = display
        # One for all zygotes: to make another takes a descriptor, which may not be there.
        self._machine = Machine()
        workers = config.procs or first_size(self._machine, config.max_procs)
        rules = Rules(drain_timeout_s=config.drain_timeout_s)
        self._pool = Pool.of(workers, config.deciders, rules)
        self._facts: asyncio.Queue[Fact] = asyncio.Queue()
        self._jobs = Jobs()
        self._endings = Jobs()  # of zygotes: begun, they are not cut off
        self._nurseries: dict[int, Nursery] = {}
        self._stacks = Stacks(
            self._ask_stacks,
            display.output,
            is_logged=config.log.json or config.log.file is not None,
        )
        autosize = None
        if config.procs is None:
            autosize = AutoSize(self._machine, config.max_procs, self._on_size)
        self._service = Service(
            config, display, self._on_overdue, autosize, mission, on_fact=self._facts.put_nowait
        )
        self._observatory = Observatory(config, self._service, lambda: self._pool)
        if autosize is not None:
            sized = autosize
            self._observatory.vitals.on_look.append(
                lambda seen, _: sized.note_memory(self._memory_of_workers(seen))
            )
        self._observatory.vitals.on_look.append(self._end_stopped)
        self._stopped_pids: frozenset[int] = frozenset()
        self._described = asyncio.Event()
        self._flow: FlowDescription | None = None
        self._starting: dict[int, asyncio.Task[Any]] = {}
        self._serving: asyncio.Task[Any] | None = None
        self._stop_now = asyncio.Event()
        self._stopping = False
        self._stop_signals = 0
        self._shortage = Shortage()
        self._told_ready = False
        self._finish: Finish | None = None
        self._closed_with: int | None = None
        self._failure: GarconError | None = None

    async def run(self) -> int:
        """Keep the pool until it is stopped or its execution has closed; return the exit code.

        Raises:
            GarconError: why it could not do what it was asked; with its own exit code.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_accident)
        self._install_signals()
        self._serving = self._jobs.spawn(self._serve())
        try:
            await self._live()
            self._note_stop()
            await self._leave(self._serving)
        finally:
            self._serving.cancel()
            await self._observatory.close()
            await self._close()
            self._ignore_signals()
        return self._verdict()

    async def _live(self) -> None:
        """Step until the life of the processes is over."""
        loop = asyncio.get_running_loop()
        facts: list[Fact] = []
        while not self._pool.finished:
            self._pool, actions = lifecycle.step(self._pool, facts, loop.time())
            for action in actions:
                self._perform(action)
            self._tell_ready()
            if not self._pool.finished:
                facts = await self._observe()

    async def _observe(self) -> list[Fact]:
        """Wait for facts, or for the next deadline."""
        loop = asyncio.get_running_loop()
        wake_s = lifecycle.next_wake_s(self._pool)
        timeout_s = None if wake_s is None else max(0.0, wake_s - loop.time())
        facts: list[Fact] = []
        if self._facts.empty():
            # Only then: with no time left `wait_for` would take nothing, whatever is there.
            try:
                facts.append(await asyncio.wait_for(self._facts.get(), timeout_s))
            except asyncio.TimeoutError:
                return []
        while not self._facts.empty():
            facts.append(self._facts.get_nowait())
        if any(isinstance(fact, StopAsked) for fact in facts):
            self._note_stop()
        if any(isinstance(fact, ReloadAsked) for fact in facts):
            log_event(logger, logging.INFO, "pool.reloading")
        return facts

    def _note_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        log_event(logger, logging.INFO, "pool.stopping")
        self._observatory.tell_stopping()
        if self._serving is not None and self._service.work is None:
            # It has not begun: nothing is in hand, and nothing is to be taken any more.
            self._serving.cancel()
        self._service.stop_taking()

    def _ask_stop(self) -> None:
        """Have the pool drain, unless it does already."""
        if not self._stopping:
            self._facts.put_nowait(StopAsked())

    def _on_stop_signal(self) -> None:
        """The first signal drains; the second one, and only a signal, does not wait."""
        self._stop_signals += 1
        if self._stop_signals == 1:
            have_s = f"running tasks have {self._config.drain_timeout_s:g} s to end"
            left = have_s if self._service.work else "no task was taken yet"
            self._display.note(f"stopping: {left}; a second signal stops at once")
            self._ask_stop()
        elif self._stop_signals == 2:
            self._display.note("stopping at once: running tasks go back to SWF as lost")
            self._stop_now.set()
            self._facts.put_nowait(StopAsked(now=True))

    # -- the work -----------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Begin the service, run the execution if one was asked for, and ask for the stop."""
        try:
            await self._observatory.open()
            engine = await self._service.prepare()
            await self._described.wait()
            assert self._flow is not None
            await self._service.begin(self._flow, engine)
            self._tell_ready()
            if self._mission is not None:
                self._closed_with = await self._service.run_mission()
                self._ask_stop()
        except GarconError as error:
            self._failure = error
            self._ask_stop()

    async def _leave(self, serving: asyncio.Task[Any]) -> None:
        """Wait until nothing is in this pool's hands, unless it is told not to wait."""
        drained = self._jobs.spawn(self._service.drain(self._config.drain_timeout_s))
        hurried = self._jobs.spawn(self._stop_now.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not drained.done():
            await self._service.settle(LAST_ANSWERS_S)
        for job in (drained, hurried):
            job.cancel()
        if self._service.is_closing and not serving.done():
            # It closed while the pool was stopping: the exit code tells so.
            await asyncio.wait({serving}, timeout=LAST_LOOK_S)

    async def _close(self) -> None:
        try:
            await self._service.close()
            await self._endings.wait_all(ENDINGS_S)
            await self._jobs.cancel()
            # Last: with the jobs cancelled nobody closes or starts one beside us.
            await asyncio.gather(*(one.close() for one in list(self._nurseries.values())))
        finally:
            self._display.close()

    def _verdict(self) -> int:
        if self._failure is not None:
            raise self._failure
        assert self._finish is not None
        if self._finish.exit_code:
            kind = FlowError if self._finish.exit_code == FlowError.exit_code else BootError
            raise kind(self._finish.text)
        if self._mission is None:
            return 0
        if self._closed_with is None:
            raise Interrupted(
                "stopped before the execution closed; the same command goes on with it"
            )
        return self._closed_with

    # -- actions ------------------------------------------------------------------------------

    def _perform(self, action: Action) -> None:
        if isinstance(action, StartZygote):
            starting = self._jobs.spawn(self._start_zygote(action.generation))
            self._starting[action.generation] = starting
        elif isinstance(action, RetireZygote):
            self._endings.spawn(self._retire_zygote(action.generation))
        elif isinstance(action, Fork):
            self._jobs.spawn(self._fork(action))
        elif isinstance(action, Drain):
            self._retire(action.slot)
            self._jobs.spawn(self._dismiss(action.slot))
        elif isinstance(action, Kill):
            self._retire(action.slot)
            self._signal(action.slot, signal.Signals[action.signal])
        elif isinstance(action, Tell):
            level = QUIET_EVENTS.get(action.event, logging.WARNING)
            log_event(logger, level, action.event, **action.fields)
        elif isinstance(action, Finish):
            self._finish = action

    async def _start_zygote(self, generation: int) -> None:
        nursery = Nursery(
            self._config.flow,
            generation,
            on_fact=self._on_nursery_fact,
            on_output=self._stacks.output,
            log=self._config.log,
            chdir=str(self._config.folder),
            machine=self._machine,
        )
        self._nurseries[generation] = nursery
        telling = self._jobs.spawn(self._tell_slow_import(nursery))
        try:
            description = await nursery.start()
            telling.cancel()
            await self._adopt(description)
        except (GarconError, OSError, *UNREADABLE) as error:
            code = error.exit_code if isinstance(error, GarconError) else None
            text = f"another garcon than the pool's? {error!r}" if code is None else str(error)
            if isinstance(error, FlowRefused) and code == BootError.exit_code:
                tail = error.traceback
                log_event(logger, logging.ERROR, "import.failed", why=text, traceback=tail)
            # Told before the nursery can tell of the end that we give it.
            killed = isinstance(error, ZygoteKilled)
            self._facts.put_nowait(ZygoteGone(generation, text, code, killed))
            await nursery.close()
            self._nurseries.pop(generation, None)
        else:
            self._facts.put_nowait(ZygoteReady(generation))
        finally:
            telling.cancel()
            self._starting.pop(generation, None)

    async def _tell_slow_import(self, nursery: Nursery) -> None:
        """Say at times that a flow is still being imported: nothing else is seen to happen."""
        waited_s = 0.0
        for seconds in SLOW_IMPORT_S:
            await asyncio.sleep(seconds - waited_s)
            waited_s = seconds
            log_event(
                logger,
                logging.WARNING,
                "import.slow",
                flow=self._config.flow,
                pid=nursery.pid,
                seconds=seconds,
                limit_s=READY_TIMEOUT_S,
            )

    async def _adopt(self, description: FlowDescription) -> None:
        """Take what a zygote says of the flow: at first, and after each reload.

        Raises:
            GarconError: a reload cannot be served; the pool goes on as it was.
        """
        before, self._flow = self._flow, description
        self._described.set()
        try:
            await self._service.adopt(description)
        except GarconError:
            self._flow = before
            raise

    async def _retire_zygote(self, generation: int) -> None:
        starting = self._starting.get(generation)
        if starting is not None:
            starting.cancel()
            await asyncio.wait({starting})
        await self._bury(generation)

    async def _bury(self, generation: int) -> None:
        """End a zygote, or close what is left of a dead one: its pipes, its guard, its slate."""
        nursery = self._nurseries.get(generation)
        if nursery is not None:
            await nursery.close()
            self._nurseries.pop(generation, None)

    async def _fork(self, action: Fork) -> None:
        nursery = self._nurseries.get(action.generation)
        if nursery is None:
            gone = ForkFailed(action.slot, "its zygote is gone", action.generation)
            self._facts.put_nowait(gone)
            return
        try:
            child = await nursery.fork(action.slot, action.kind)
        except ForkError as error:
            self._facts.put_nowait(ForkFailed(action.slot, str(error), action.generation))
            return
        self._facts.put_nowait(Forked(action.slot, child.pid))
        self._jobs.spawn(self._listen(child))

    async def _listen(self, child: Child) -> None:
        """Take what the child says until it has nothing more to say; its exit is told apart."""
        try:
            while (frame := await child.stream.receive()) is not None:
                if frame.kind == "ready":
                    self._employ(child)
                else:
                    await self._service.on_frame(child, frame)
        except (FrameError, *UNREADABLE) as error:
            log_event(
                logger, logging.ERROR, "child.torn", slot=child.slot, pid=child.pid, why=error
            )
        await self._end_silent(child)

    def _employ(self, child: Child) -> None:
        """Give work to a child that is ready, but not to one whose end was told before."""
        if self._child(child.slot) is child:
            self._service.add(child)
            self._facts.put_nowait(Booted(child.slot, child.pid))

    async def _end_silent(self, child: Child) -> None:
        """End a child that nobody can speak to any more, should it not end by itself."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + SILENT_S
        while self._child(child.slot) is child and loop.time() < deadline_s:
            await asyncio.sleep(SILENT_S / 50)
        if self._child(child.slot) is child:
            log_event(logger, logging.WARNING, "child.silent", slot=child.slot, pid=child.pid)
            self._facts.put_nowait(KillAsked(child.slot))

    async def _dismiss(self, slot: int) -> None:
        child = self._child(slot)
        if child is None:
            return
        try:
            await child.stream.send("stop")
        except FrameError:
            # It is on its way out already, or deaf: the drain's deadline ends it.
            log_event(logger, logging.DEBUG, "child.deaf", slot=slot, pid=child.pid)

    def _retire(self, slot: int) -> None:
        """Give the child in this slot nothing more.

        It may have gone while the order was on its way; kept for the slot, the order would then
        meet its successor, which would stand idle for ever.
        """
        if self._child(slot) is not None:
            self._service.retire(slot)

    def _signal(self, slot: int, number: signal.Signals) -> None:
        child = self._child(slot)
        if child is not None:
            self._nurseries[child.generation].signal(child, number)

    def _child(self, slot: int) -> Child | None:
        for nursery in self._nurseries.values():
            child = nursery.children.get(slot)
            if child is not None:
                return child
        return None

    # -- facts --------------------------------------------------------------------------------

    def _on_nursery_fact(self, fact: ChildExited | ZygoteExited | Notice) -> None:
        if isinstance(fact, Notice):
            self._display.note(fact.text)
        elif isinstance(fact, ZygoteExited):
            self._facts.put_nowait(ZygoteGone(fact.generation, fact.status))
            self._endings.spawn(self._bury(fact.generation))
        else:
            self._on_exit(fact)

    def _on_exit(self, fact: ChildExited) -> None:
        busy = self._service.is_busy(fact.slot)
        why = lifecycle.why_killed(self._pool, fact.slot)
        status = f"{fact.status}: {why}" if why else fact.status
        used = {
            "worker": fact.slot,
            "pid": fact.pid,
            "signal": fact.signal,
            "cpu_s": fact.cpu_s,
            "peak_kb": fact.peak_kb,
        }
        self._service.remove(fact.slot, status, used, with_zygote=fact.with_zygote)
        self._facts.put_nowait(
            Exited(fact.slot, fact.pid, status, fact.signal, busy, fact.with_zygote)
        )

    def _on_size(self, workers: int, busy: frozenset[int]) -> None:
        self._facts.put_nowait(Resized(workers, busy))

    def _memory_of_workers(self, seen: Mapping[int, Vital]) -> list[int]:
        slots = self._pool.slots.values()
        pids = [slot.pid for slot in slots if slot.kind is ChildKind.WORKER]
        return [seen[pid].memory for pid in pids if pid is not None and pid in seen]

    def _end_stopped(self, seen: Mapping[int, Vital], _: float) -> None:
        """Replace children that were stopped by a signal, which is an end that nobody tells of.

        An idle one would be given the next task, and hold it for all of its time. One that has not
        taken what it was sent was given it as it stood already; it has until the next look. But a
        task that was begun keeps its time: somebody may want to look at it.
        """
        stopped = frozenset(pid for pid, vital in seen.items() if vital.is_stopped)
        again, self._stopped_pids = stopped & self._stopped_pids, stopped
        for slot in self._pool.slots.values():
            child = self._child(slot.number)
            if child is None or child.pid not in stopped or slot.state is State.KILLING:
                continue
            never_began = child.pid in again and child.stream.has_untaken()
            if never_began or not self._service.is_busy(slot.number):
                log_event(logger, logging.WARNING, "child.stopped", slot=slot.number, pid=child.pid)
                self._retire(slot.number)  # before the fact is read it could be given a task
                self._facts.put_nowait(KillAsked(slot.number))

    def _on_overdue(self, slot: int) -> None:
        """Have a child that overran its time write where it hangs, and end it."""
        child = self._child(slot)
        if child is not None:
            self._stacks.dump(child)
        self._facts.put_nowait(KillAsked(slot, OVERDUE_GRACE_S))

    def _on_accident(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A mistake of garcon's own: written with its traceback, then the pool stops."""
        error = context.get("exception")
        text = context["message"]
        if is_shortage(error) and "socket" in context:
            # Somebody wants to look at the pool, and there is no descriptor to let him in by. The
            # loop tries again by itself; those who are in, and the work, go on.
            self._shortage.note(error, loop.time())
            return
        log_event(logger, logging.ERROR, "pool.accident", exc_info=error, text=text)
        if self._failure is None and error is not None:
            self._failure = GarconError(f"{type(error).__name__}: {error} (see the log)")
            self._ask_stop()

    def _install_signals(self) -> None:
        """Have signals put facts into the queue.

        Not by `loop.add_signal_handler`: closing the loop would give INT and TERM their deadly
        meaning back while the last answers are being written.
        """
        loop = asyncio.get_running_loop()

        def on(number: signal.Signals, act: Callable[[], None]) -> None:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))

        on(signal.SIGTERM, self._on_stop_signal)
        on(signal.SIGINT, self._on_stop_signal)
        on(signal.SIGHUP, lambda: self._facts.put_nowait(ReloadAsked()))
        on(signal.SIGUSR1, self._dump_stacks)

    def _ignore_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)

    def _dump_stacks(self) -> None:
        found = (self._child(slot) for slot in sorted(self._pool.slots))
        self._jobs.spawn(self._stacks.dump_all([child for child in found if child is not None]))

    def _ask_stacks(self, child: Child) -> None:
        nursery = self._nurseries.get(child.generation)
        if nursery is not None:
            # To the child alone: what its task has started would die of this signal.
            nursery.signal(child, signal.SIGUSR1, alone=True)

    def _tell_ready(self) -> None:
        """Say once that every worker is up and the service has begun."""
        if self._told_ready or self._service.dispatcher is None:
            return
        workers = [one for one in self._pool.slots.values() if one.kind is ChildKind.WORKER]
        up = sum(one.state is State.UP for one in workers)
        if workers and up == len(workers):
            self._told_ready = True
            log_event(logger, logging.INFO, "pool.ready", workers=up)
            self._observatory.tell_ready(up)

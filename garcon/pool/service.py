"""What a pool does for its flow: engine, types, tasks, decisions, the execution it was asked for.

The supervisor gives it children and takes them away; the service gives them work. It begins when
the flow's description is known. Law: whatever the engine counts as this pool's is answered, handed
back or journalled before the service ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from garcon import client
from garcon.description import FlowDescription
from garcon.errors import EngineUnreachable, FlowError
from garcon.log import log_event
from garcon.pool.autosize import AutoSize
from garcon.pool.choice import choose_activities
from garcon.pool.config import PoolConfig
from garcon.pool.dataplane import DataPlane
from garcon.pool.deciding import Deciding
from garcon.pool.descriptors import make_room
from garcon.pool.dispatcher import Dispatcher
from garcon.pool.display import Display
from garcon.pool.facts import Fact
from garcon.pool.frames import Frame
from garcon.pool.helper import HelperThreads
from garcon.pool.jobs import Jobs
from garcon.pool.journal import Journal, OwnList
from garcon.pool.mission import Desk, Mission
from garcon.pool.nursery import Child
from garcon.pool.pace import AWS_RATE_PER_S, Pace
from garcon.pool.recovery import answer_for_the_dead
from garcon.pool.registration import RETENTION_DAYS, ensure_types
from garcon.pool.slots import ChildKind
from garcon.pool.tally import TaskEnd

logger = logging.getLogger("garcon.pool")

#: Between attempts of a call that found no engine, seconds.
CONTROL_PAUSES_S = (0.2, 1.0, 3.0)

#: AWS does not know ReleasePolls: its polls are waited for, they last 60 s.
POLLS_END_S = 65.0

#: How often waiting polls are called off: one that was on its way is not there the first time.
CALL_OFF_S = 0.5

#: Polls over a line that is cut are waited for so long, once nothing else is left, seconds.
CUT_POLLS_S = 5.0

#: Between two looks at what is still unanswered, seconds.
SETTLE_LOOK_S = 0.02

#: One call of a mission at a time, and beside it names, credentials, the start of an engine.
HELPERS = 2


@dataclass(frozen=True)
class Work:
    """What a service that has begun works with, for those who look at it."""

    engine: client.Engine
    flow: FlowDescription
    plane: DataPlane
    dispatcher: Dispatcher
    deciding: Deciding


class Service:
    """The pool's work between its children and the engine."""

    def __init__(
        self,
        config: PoolConfig,
        display: Display,
        on_overdue: Callable[[int], None],
        autosize: AutoSize | None = None,
        mission: Mission | None = None,
        on_fact: Callable[[Fact], None] = lambda _: None,
    ) -> None:
        """Serve as `config` says.

        Args:
            config: the command's words.
            display: shows the execution.
            on_overdue: told the slot of a child that has to be killed: it overran its time.
            autosize: watches the number of workers; None where it is fixed.
            mission: what to run; None for a pool that only serves.
            on_fact: told which workers are to be replaced, or killed at once.
        """
        self._on_fact = on_fact
        self._autosize = autosize
        self._config = config
        self._display = display
        self._on_overdue = on_overdue
        self.helper = self._helper = HelperThreads(HELPERS)
        self._jobs = Jobs()
        self._beginning = asyncio.Lock()
        self._is_stopping = False
        self._is_closed = False
        self._cut_since_s = 0.0
        self._mission = mission
        #: Whether a run of the mission has probably closed; only the mission's look can tell.
        self.is_closing = False
        #: Whether the engine could not be reached when it was last called.
        self.is_line_lost = False
        #: Told how each task ended; set before it begins.
        self.on_end: Callable[[TaskEnd], None] | None = None
        #: What it works with, None before it has begun.
        self.work: Work | None = None
        self._desk: Desk | None = None
        self._plane: DataPlane | None = None
        self._journal: Journal | None = None
        self._dispatcher: Dispatcher | None = None
        self._deciding: Deciding | None = None
        self._waiting: dict[int, Child] = {}
        self._retired: set[int] = set()

    # -- begin --------------------------------------------------------------------------------

    async def prepare(self) -> client.Engine | None:
        """Start what needs no flow: return the engine if the command's words name one.

        Raises:
            UsageError: the words name no engine.
            EngineError: it cannot be started.
        """
        named = self._config.engine or self._config.environ.get("GARCON_ENGINE")
        if not named:
            return None
        engine = self._resolve(None)
        await self._control(client.ensure, engine)
        return engine

    async def begin(self, flow: FlowDescription, engine: client.Engine | None) -> None:
        """Connect, register the flow's types, answer for dead pools, and take work.

        Raises:
            UsageError: the command names activities that the flow does not have.
            EngineError: the engine is unreachable or refuses.
        """
        choose_activities(flow, self._config.activities)
        async with self._beginning:
            engine = engine or self._resolve(flow)
            self._display.note(engine.describe(flow.domain))
            await self._control(client.ensure, engine)
            await self._register(engine, flow)
            later = asyncio.get_running_loop().call_soon
            self._journal = Journal(engine.key, later=later)
            plane = DataPlane(
                engine,
                connections=self._connections(flow),
                on_connection=self._on_connection,
                polls=self._journal,
                helper=self._helper,
            )
            await plane.__aenter__()
            self._plane = plane
            self._go(engine, plane, self._journal, flow)

    def _go(
        self, engine: client.Engine, plane: DataPlane, journal: Journal, flow: FlowDescription
    ) -> None:
        """Begin to take work."""
        self._jobs.spawn(answer_for_the_dead(plane, engine.key, self._inherit))
        dispatcher = self._dispatcher = self._new_dispatcher(plane, journal, flow)
        deciding = self._deciding = self._new_deciding(engine, plane, journal, flow)
        self._desk = Desk(
            flow,
            engine,
            lambda: client.swf_client(engine),
            self._control,
            self._display,
            dispatcher.count_workers,
            deciding.forget,
        )
        self.work = Work(engine, flow, plane, dispatcher, deciding)
        for child in self._waiting.values():
            self._employ(child)
        self._waiting.clear()
        self._jobs.spawn(dispatcher.run())
        self._jobs.spawn(deciding.run())
        if self._autosize is not None:
            self._jobs.spawn(self._autosize.run(plane, dispatcher, flow.domain))

    def _new_dispatcher(
        self, plane: DataPlane, journal: Journal, flow: FlowDescription
    ) -> Dispatcher:
        return Dispatcher(
            plane,
            journal,
            flow,
            self._config.identity,
            on_overdue=self._on_overdue,
            activities=self._config.activities,
            cancel_grace_s=self._config.cancel_grace_s,
            share=self._config.share,
            on_end=self.on_end,
            on_fact=self._on_fact,
        )

    def _new_deciding(
        self, engine: client.Engine, plane: DataPlane, journal: Journal, flow: FlowDescription
    ) -> Deciding:
        assert self._dispatcher is not None
        ends_polls = engine.kind != "aws"
        return Deciding(
            plane,
            journal,
            flow,
            self._config.identity,
            on_overdue=self._on_overdue,
            on_closing=self._on_closing,
            on_ending_tasks=self._dispatcher.ask_after,
            stays=lambda: ends_polls and self.held > 0,
            pace=self._pace(engine),
        )

    def _inherit(self, own: OwnList) -> None:
        assert self._deciding is not None
        self._jobs.spawn(self._deciding.inherit(own))

    async def adopt(self, flow: FlowDescription) -> None:
        """Serve what the flow has become after a reload; before the begin there is nothing to do.

        Raises:
            FlowError: it has moved to another domain.
            UsageError: it has lost an activity that the command names.
            EngineError: its new types cannot be registered.
        """
        async with self._beginning:
            work = self.work
            if work is None or work.flow == flow:
                return
            if flow.domain != work.flow.domain:
                raise FlowError(
                    f"the flow has moved from domain {work.flow.domain!r} to {flow.domain!r}; "
                    "start a new pool for it"
                )
            choose_activities(flow, self._config.activities)
            await self._register(work.engine, flow)
            work.dispatcher.adopt(flow)
            work.deciding.adopt(flow)
            self.work = replace(work, flow=flow)

    async def _register(self, engine: client.Engine, flow: FlowDescription) -> None:
        days = RETENTION_DAYS[engine.kind]

        def register() -> list[str]:
            return ensure_types(client.swf_client(engine), flow, retention_days=days)

        for name in await self._control(register):
            log_event(logger, logging.INFO, "type.registered", name=name)

    def _connections(self, flow: FlowDescription) -> int:
        """Enough for every poll, and for an answer and a heartbeat of every worker beside it."""
        workers = self._autosize.cap if self._autosize is not None else self._config.procs or 1
        connections = 4 * workers + len(flow.activities) + 10
        make_room(connections, workers + self._config.deciders)
        return connections

    async def run_mission(self) -> int:
        """Run what the command asks for, and return the exit code.

        Raises:
            GarconError: it could not be started, joined or watched to its end.
        """
        assert self._mission is not None
        assert self._desk is not None
        return await self._mission.run(self._desk)

    # -- children -----------------------------------------------------------------------------

    def add(self, child: Child) -> None:
        """Give work to a child that is ready, unless it was told to leave before it was."""
        if self._is_closed or child.slot in self._retired:
            return
        if self._dispatcher is None:
            self._waiting[child.slot] = child
        else:
            self._employ(child)

    def retire(self, slot: int) -> None:
        """Give this child nothing more."""
        self._waiting.pop(slot, None)
        self._retired.add(slot)
        if self._dispatcher is not None and self._deciding is not None:
            self._dispatcher.retire_worker(slot)
            self._deciding.retire_decider(slot)

    def remove(
        self, slot: int, status: str, facts: Mapping[str, Any], *, with_zygote: bool = False
    ) -> None:
        """Take note of a child's end, and answer for what it had in hand."""
        self._waiting.pop(slot, None)
        self._retired.discard(slot)
        if self._is_closed:
            return  # its token stays in the journal
        if self._dispatcher is not None and self._deciding is not None:
            self._dispatcher.remove_worker(slot, status, facts)
            self._deciding.remove_decider(slot, status, with_zygote=with_zygote)

    def is_busy(self, slot: int) -> bool:
        """Whether the child in this slot has a task in hand."""
        if self._dispatcher is None or self._deciding is None:
            return False
        return self._dispatcher.is_busy(slot) or self._deciding.is_busy(slot)

    @property
    def dispatcher(self) -> Dispatcher | None:
        """The way of activity tasks, None before the service has begun."""
        return self._dispatcher

    async def on_frame(self, child: Child, frame: Frame) -> None:
        """Act on what a child says."""
        if self._is_closed or self._dispatcher is None or self._deciding is None:
            return
        if child.kind is ChildKind.WORKER:
            await self._dispatcher.on_frame(child, frame)
        else:
            await self._deciding.on_frame(child, frame)

    def _employ(self, child: Child) -> None:
        assert self._dispatcher is not None
        assert self._deciding is not None
        if child.kind is ChildKind.WORKER:
            self._dispatcher.add_worker(child)
        else:
            self._deciding.add_decider(child)

    # -- end ----------------------------------------------------------------------------------

    def stop_taking(self) -> None:
        """Take no further work; running tasks go on. The polls that wait are called off."""
        if self._is_stopping or self._dispatcher is None or self._deciding is None:
            return
        self._is_stopping = True
        self._dispatcher.stop_taking()
        self._deciding.stop_taking()
        self._jobs.spawn(self._call_polls_off())

    @property
    def held(self) -> int:
        """Tasks that the engine counts as this pool's."""
        return self.work.dispatcher.held + self.work.deciding.held if self.work else 0

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything in hand is answered and no poll waits, at most `timeout_s`.

        At least as long as an engine that cannot call polls off may take to end them.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + max(timeout_s, POLLS_END_S)
        while self.work is not None and not self._is_drained(self.work, loop.time()):
            if loop.time() >= deadline_s:
                return
            until_s = min(deadline_s, loop.time() + CALL_OFF_S)
            await self.work.deciding.drain(until_s)
            await self.work.dispatcher.drain(until_s)

    async def settle(self, timeout_s: float) -> None:
        """Wait until everything in hand is answered, whatever the polls do, so long at most."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.held and loop.time() < deadline_s:
            await asyncio.sleep(SETTLE_LOOK_S)

    def _is_drained(self, work: Work, now_s: float) -> bool:
        if not work.dispatcher.under_way and not work.deciding.under_way:
            return True
        # What a lost engine gave to a poll it tells whoever asks again under the poll's id, which
        # the journal keeps.
        is_cut = self.is_line_lost and now_s - self._cut_since_s >= CUT_POLLS_S
        return is_cut and not self.held

    async def close(self) -> None:
        """Drop what is still under way and close the connections; tokens stay journalled."""
        self._is_closed = True
        await self._jobs.cancel()
        if self._deciding is not None and self._dispatcher is not None:
            await self._deciding.abort()
            await self._dispatcher.abort()
        if self._plane is not None:
            await self._plane.__aexit__(None, None, None)
        if self._journal is not None:
            self._journal.close()
        self._helper.shutdown(wait=False, cancel_futures=True)

    async def _call_polls_off(self) -> None:
        """Ask the engine to end this pool's polls, until there are none."""
        assert self.work is not None
        while True:
            await self.work.plane.release_polls(self._config.identity)
            if self.work.engine.kind == "aws":
                return  # it does not know the call
            await asyncio.sleep(CALL_OFF_S)

    # -- helpers ------------------------------------------------------------------------------

    def _resolve(self, flow: FlowDescription | None) -> client.Engine:
        return client.resolve_engine(
            self._config.engine,
            environ=self._config.environ,
            cwd=self._config.folder,
            flow_endpoint=flow.client_endpoint if flow else None,
            flow_region=flow.client_region if flow else None,
        )

    async def _control(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking call in the helper thread.

        A local engine that dies under it is started again by the next attempt: each one asks for
        its client anew.
        """
        loop = asyncio.get_running_loop()
        for attempt, pause_s in enumerate(CONTROL_PAUSES_S):
            try:
                return await loop.run_in_executor(self._helper, call, *args)
            except EngineUnreachable as error:
                # Once the work has begun its own calls tell of a line that is lost.
                is_news = attempt == 0 and self.work is None
                level = logging.WARNING if is_news else logging.INFO
                left = len(CONTROL_PAUSES_S) - attempt
                log_event(logger, level, "control.again", why=error, again_s=pause_s, left=left)
            await asyncio.sleep(pause_s)
        return await loop.run_in_executor(self._helper, call, *args)

    def _pace(self, engine: client.Engine) -> Pace | None:
        """Return what bounds the schedules of this pool, None where nothing does."""
        rate = self._config.schedule_rate
        if rate == "auto":
            rate = AWS_RATE_PER_S if engine.kind == "aws" else None
        return None if rate is None else Pace(rate, asyncio.get_running_loop().time())

    def _on_closing(self, run_id: str) -> None:
        if self._mission is not None:
            self.is_closing = True
            self._mission.hurry(run_id)

    def _on_connection(self, lost: bool, text: str) -> None:
        self.is_line_lost = lost
        self._cut_since_s = asyncio.get_running_loop().time()
        level = logging.WARNING if lost else logging.INFO
        log_event(logger, level, "engine.lost" if lost else "engine.back", text=text)

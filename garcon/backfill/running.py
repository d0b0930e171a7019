"""From the words of `run` and `resume` to an exit code: with a pool, or by watching alone.

It neither starts nor judges an execution itself; `garcon.backfill.run` does. Law: what is wrong
with the words is told before a pool is started for them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from garcon.backfill.place import find_place
from garcon.backfill.run import Backfill
from garcon.backfill.show import JsonShow, QuietShow, Show
from garcon.backfill.terminal import TerminalShow
from garcon.backfill.words import Words, read_words
from garcon.client import resolve_engine
from garcon.errors import Interrupted
from garcon.pool.command import configure_pool, supervise
from garcon.pool.config import PoolConfig
from garcon.pool.display import Display
from garcon.pool.mission import Desk, Mission
from garcon.pool.registration import RETENTION_DAYS, ensure_types

#: Events of the log that the summary tells better: a mail with each failed attempt is not read.
SUMMED_UP = frozenset({"task.failed"})


def run_backfill(told: Mapping[str, Any], out: TextIO, err: TextIO) -> int:
    """Run what the words say; return the exit code.

    Raises:
        GarconError: why it could not be done, with its own exit code.
    """
    words = read_words(told)
    if words.engine:
        # A slip of the pen is told before a pool is started for it.
        resolve_engine(words.engine, environ=os.environ, cwd=words.folder)
    if told["no_workers"]:
        return _watch_only(words, told, make_show(told, out, err))

    def make(results: TextIO, all_else: TextIO) -> tuple[Display, Mission | None]:
        show = make_show(told, results, all_else)
        return show, Backfill(words, show, priority=told["priority"])

    return supervise(_pool_config(told), make, out, err, SUMMED_UP)


def _pool_config(told: Mapping[str, Any]) -> PoolConfig:
    # The folder has been entered, and what to run is the mission's matter.
    level = told["log_level"] or ("info" if told["log_file"] else "warning")
    own = {"input_text": None, "workflow_id": None, "chdir": None, "log_level": level}
    return configure_pool({**told, **own})


def make_show(told: Mapping[str, Any], out: TextIO, err: TextIO) -> Show:
    """Return what shows a backfill the way that the words and the streams ask for."""
    if told.get("as_json"):
        return JsonShow(out, err)
    if told.get("quiet"):
        return QuietShow(out, err)
    return TerminalShow(out, err) if err.isatty() else Show(out, err)


def _watch_only(words: Words, told: Mapping[str, Any], show: Show) -> int:
    """Start and watch what other pools work on."""
    try:
        place = find_place(words.flow, words.engine)
        engine, flow = place.engine, place.description
        show.note(engine.describe(flow.domain))
        ensure_types(place.connect(), flow, retention_days=RETENTION_DAYS[engine.kind])
        mission = Backfill(words, show, priority=told["priority"])
        return asyncio.run(_alone(mission, Desk(flow, engine, place.connect, _in_thread, show)))
    finally:
        show.close()


async def _in_thread(call: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call, *args)


async def _alone(mission: Mission, desk: Desk) -> int:
    """Run the mission until it is over or a signal ends it.

    Raises:
        Interrupted: a signal came first.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(mission.run(desk))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        raise Interrupted(
            "stopped before everything closed; what was started goes on, the same command watches"
        ) from None

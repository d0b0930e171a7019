"""From the words of `garcon pool` to a running supervisor and its exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from garcon.errors import UsageError
from garcon.log import LogSettings, configure, make_formatter, set_level
from garcon.pool.batch import run_as_batch
from garcon.pool.config import (
    PoolConfig,
    check_execution_words,
    check_sizes,
    check_workflow_id,
    parse_activities,
    parse_address,
    parse_input,
    parse_share,
)
from garcon.pool.display import Display, JsonDisplay, TerminalDisplay
from garcon.pool.json_log import JsonLines
from garcon.pool.mission import Mission
from garcon.pool.streams import BackgroundStream, is_same
from garcon.pool.supervisor import Supervisor
from garcon.pool.watch import SingleRun, Wanted

#: How long a command waits at its end for who reads its output, seconds.
LAST_WORDS_S = 10.0

#: New objects after which cycles are looked for.
GC_OBJECTS = 50_000


def run_pool(words: Mapping[str, Any], out: TextIO, err: TextIO) -> int:
    """Run the pool that `words` (the command line's options) describe; return the exit code.

    Raises:
        GarconError: why it could not do what was asked, with its own exit code.
    """
    check_execution_words(words["input_text"], words["workflow_id"], words["priority"])
    config = configure_pool(words)
    mission = None
    if config.input is not None:
        mission = SingleRun(Wanted(config.input, config.workflow_id, config.priority))

    def make(results: TextIO, all_else: TextIO) -> tuple[Display, Mission | None]:
        return make_display(config, results, all_else), mission

    return supervise(config, make, out, err)


def supervise(
    config: PoolConfig,
    make: Callable[[TextIO, TextIO], tuple[Display, Mission | None]],
    out: TextIO,
    err: TextIO,
    untold: Container[str] = (),
) -> int:
    """Run the pool of `config` until its mission is over or it is stopped; return the exit code.

    Args:
        config: the checked words.
        make: returns what shows the pool on the streams for results and for all else, and what the
            pool runs before it leaves; None for a pool that serves.
        out: stdout.
        err: stderr.
        untold: events of the log that the display does not show.
    Raises:
        GarconError: why it could not do what was asked, with its own exit code.
    """
    # Before the first thread and the first process, which take after this one.
    run_as_batch()
    # One writer where both lead to one place, so that lines come in the order of their writing.
    behind = [BackgroundStream(stream) for stream in ([out] if is_same(out, err) else [out, err])]
    results, all_else = (cast(TextIO, stream) for stream in (behind[0], behind[-1]))
    if config.log.json:
        all_else = cast(TextIO, JsonLines(all_else, config.log))
    display, mission = make(results, all_else)
    shown = _show_log(config.log, display, untold)
    written = configure(config.log) if config.log.file else None
    # Its objects die by their counts; looking for cycles after every 700 of them costs 10 % of it.
    gc.set_threshold(GC_OBJECTS, 20, 50)
    try:
        return asyncio.run(Supervisor(config, display, mission).run())
    finally:
        logging.getLogger().removeHandler(shown)
        if written is not None:
            written.close()
        until_s = time.monotonic() + LAST_WORDS_S
        for stream in behind:
            stream.close(max(0.0, until_s - time.monotonic()))


def configure_pool(words: Mapping[str, Any]) -> PoolConfig:
    """Return the checked form of the command's words.

    Raises:
        UsageError: one of them is wrong.
    """
    # Before the folder changes: @FILE means the folder that the user typed it in.
    data = parse_input(words["input_text"]) if words["input_text"] is not None else None
    workflow_id = words["workflow_id"]
    check_sizes(words["procs"], words["max_procs"])
    if workflow_id is not None:
        check_workflow_id(workflow_id)
    log_file = words["log_file"]
    # Who waits for one execution watches its progress; a pool that serves is read in its log.
    level = words["log_level"] or ("info" if data is None or log_file else "warning")
    settings = LogSettings(
        level=level.upper(),
        file=check_log_file(Path(log_file).absolute()) if log_file else None,
        json=words["log_format"] == "json",
        process="supervisor",
        flow=words["flow"],
        queued=True,
    )
    return PoolConfig(
        flow=words["flow"],
        procs=words["procs"],
        max_procs=words["max_procs"],
        deciders=words["deciders"],
        engine=words["engine"],
        input=data,
        workflow_id=workflow_id,
        priority=words["priority"],
        schedule_rate=words["schedule_rate"],
        drain_timeout_s=words["drain_timeout"],
        activities=parse_activities(words["activities"]),
        cancel_grace_s=words["cancel_grace"],
        share=parse_share(words["max_tasks"], words["max_age"], words["max_memory"]),
        metrics=parse_address(words["metrics"]),
        json=words["as_json"],
        folder=enter_folder(words["chdir"]),
        log=settings,
    )


def check_log_file(path: Path) -> str:
    """Return the path of a log file that can be written.

    Raises:
        UsageError: it cannot.
    """
    try:
        path.open("a").close()
    except OSError as error:
        raise UsageError(f"--log-file {path} cannot be written: {error.strerror}") from error
    return str(path)


def enter_folder(folder: str | None) -> Path:
    """Make `folder` the working folder, and the first place where modules are looked for."""
    if folder:
        os.chdir(folder)
    here = Path.cwd()
    if sys.path[:1] != [str(here)]:
        sys.path.insert(0, str(here))
    return here


def make_display(config: PoolConfig, out: TextIO, err: TextIO) -> Display:
    """Return the display that fits the streams and the command's words."""
    if config.json:
        return JsonDisplay(out, err)
    is_screen = err.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}
    return TerminalDisplay(out, err) if is_screen else Display(out, err)


class _ToDisplay(logging.Handler):
    """Shows log lines where the notes are, so that bars and lines do not run into each other."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.note(self.format(record))


def _show_log(settings: LogSettings, display: Display, untold: Container[str]) -> logging.Handler:
    """Show the supervisor's log but `untold`: all of it, or warnings where a file has the rest."""
    handler = _ToDisplay(display)
    handler.addFilter(lambda record: _event_of(record) not in untold)
    handler.setFormatter(make_formatter(settings))
    handler.setLevel(logging.WARNING if settings.file else settings.level)
    root = logging.getLogger()
    root.addHandler(handler)
    set_level(settings.level)
    return handler


def _event_of(record: logging.LogRecord) -> str | None:
    told = getattr(record, "garcon_event", None)
    return told["event"] if told else None

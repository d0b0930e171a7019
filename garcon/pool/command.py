"""From the words of `garcon pool` to a running supervisor and its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from garcon.log import LogSettings, configure
from garcon.pool.config import PoolConfig, check_workflow_id, parse_input
from garcon.pool.display import Display, JsonDisplay, TerminalDisplay
from garcon.pool.supervisor import Supervisor


def run_pool(words: Mapping[str, Any], out: TextIO, err: TextIO) -> int:
    """Run the pool that `words` (the command line's options) describe; return the exit code.

    Raises:
        GarconError: why it could not do what was asked, with its own exit code.
    """
    config = configure_pool(words)
    display = _display(config, out, err)
    logs = configure(config.log)
    try:
        return asyncio.run(_supervise(config, display))
    finally:
        logs.close()


async def _supervise(config: PoolConfig, display: Display) -> int:
    return await Supervisor(config, display, config.procs or 1).run()


def configure_pool(words: Mapping[str, Any]) -> PoolConfig:
    """Return the checked form of the command's words.

    Raises:
        UsageError: one of them is wrong.
    """
    # Before the folder changes: @FILE means the folder that the user typed it in.
    data = parse_input(words["input_text"]) if words["input_text"] is not None else None
    workflow_id = words["workflow_id"]
    if workflow_id is not None:
        check_workflow_id(workflow_id)
    log_file = words["log_file"]
    settings = LogSettings(
        level=words["log_level"].upper(),
        file=str(Path(log_file).absolute()) if log_file else None,
        process="supervisor",
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
        drain_timeout_s=words["drain_timeout"],
        json=words["as_json"],
        folder=_enter(words["chdir"]),
        log=settings,
    )


def _enter(folder: str | None) -> Path:
    if folder:
        os.chdir(folder)
    here = Path.cwd()
    if sys.path[:1] != [str(here)]:
        sys.path.insert(0, str(here))
    return here


def _display(config: PoolConfig, out: TextIO, err: TextIO) -> Display:
    if config.json:
        return JsonDisplay(out, err)
    return TerminalDisplay(out, err) if err.isatty() else Display(out, err)


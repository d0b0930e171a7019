"""The options of a pool, for every command that has one: `garcon pool`, `garcon backfill ... run`.

Law: an option means the same wherever it stands. What the words mean is `garcon.pool.command`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]

PROCS_MAX = 1000

#: SWF's range of a task priority.
PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1


def options(*chosen: Option[Any]) -> Option[Any]:
    """Return a decorator that gives a command these options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


class Finite(click.FloatRange):
    """A number of a range, but neither `nan` nor `inf`, which click lets pass."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number.

        Raises:
            click.BadParameter: it is none, or outside of the range.
        """
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to count with", param, ctx)
        return number


def _procs(_context: click.Context, _option: click.Parameter, value: str) -> int | None:
    """Return the number of processes that `--procs` says, None for `auto`."""
    if value == "auto":
        return None
    is_number = value.isascii() and value.isdecimal()
    if not is_number or not 1 <= int(value) <= PROCS_MAX:
        raise click.BadParameter(f"{value!r} is neither 'auto' nor a number from 1 to {PROCS_MAX}")
    return int(value)


def _schedule_rate(
    _context: click.Context, _option: click.Parameter, value: str
) -> float | Literal["auto"] | None:
    """Return the number that `--schedule-rate` says, None for `none`."""
    if value == "none":
        return None
    if value == "auto":
        return "auto"
    try:
        rate = float(value)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise click.BadParameter(f"{value!r} is neither 'auto', 'none' nor a number above 0")
    return rate


SIZE = options(
    click.option(
        "--procs", callback=_procs, default="auto", show_default=True, metavar="N|auto",
        help="Worker processes; auto sizes them from CPUs, backlog, load and free memory.",
    ),
    click.option(
        "--max-procs", type=click.IntRange(1, PROCS_MAX), metavar="N",
        help="Bound of --procs auto.  [default: 4 for each CPU]",
    ),
    click.option(
        "--deciders", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
        help="Decider processes.",
    ),
)  # fmt: skip

ENGINE = click.option(
    "--engine", metavar="ENGINE",
    help="aws, an http:// URL, local or local:PATH.  [default: GARCON_ENGINE, the flow's own "
    "client, AWS where a region is configured, else local]",
)  # fmt: skip

PRIORITY = click.option(
    "--priority", type=click.IntRange(PRIORITY_MIN, PRIORITY_MAX), metavar="N",
    help="SWF's task priority of what is started; a higher number goes first.",
)  # fmt: skip

WORK = options(
    click.option(
        "--schedule-rate", callback=_schedule_rate, default="auto", show_default=True,
        metavar="N|auto|none",
        help="Activities that this pool may schedule in a second; auto is 180 on AWS, "
        "none elsewhere.",
    ),
    click.option(
        "--drain-timeout", type=Finite(0), default=75.0, show_default=True, metavar="S",
        help="Seconds that running tasks may go on after a stop.",
    ),
    click.option(
        "--activities", metavar="A,B",
        help="Serve these activities only.  [default: all that are not external]",
    ),
    click.option(
        "--cancel-grace", type=Finite(0), default=30.0, show_default=True, metavar="S",
        help="Seconds that a canceled task has to end by itself; 1 where it never calls heartbeat.",
    ),
    click.option(
        "--max-tasks", type=click.IntRange(1), metavar="N",
        help="Replace each worker after N tasks, some up to a tenth earlier.",
    ),
    click.option(
        "--max-age", type=Finite(0, min_open=True), metavar="S",
        help="Replace each worker, after its task, once it is S seconds old.",
    ),
    click.option(
        "--max-memory", type=Finite(0, min_open=True), metavar="MB",
        help="Replace a worker, after its task, once it has grown by MB megabytes; a task that "
        "takes it past twice as much is killed and fails.",
    ),
    click.option(
        "--metrics", metavar="HOST:PORT",
        help="Serve figures for Prometheus there; :PORT means every address of this machine.",
    ),
)  # fmt: skip

JSON = click.option("--json", "as_json", is_flag=True, help="Results as JSON lines on stdout.")

CHDIR = click.option(
    "--chdir", type=click.Path(exists=True, file_okay=False), metavar="DIR",
    help="Working folder, where the flow is looked for first.",
)  # fmt: skip

LOG = options(
    click.option(
        "--log-file", type=click.Path(dir_okay=False), metavar="FILE",
        help="All processes log to this file, which rotates; without it to stderr.",
    ),
    click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="Lines for people, or one JSON object a line.",
    ),
    click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
        help="Lowest level that is logged.  [default: info; warning where executions are watched "
        "and no --log-file is given]",
    ),
)  # fmt: skip

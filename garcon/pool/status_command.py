"""`garcon status`: what the running pools of this user do. It returns the exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import click

#: Exit code where no pool runs, or none of the name that was given, or none answers.
NONE_RUNS = 1

#: Moves a terminal's cursor home and clears what is below.
_HOME = "\x1b[H\x1b[J"

_EPILOG = """\b
Exit codes:
  0  at least one pool has answered    1  none runs, or none answers    2  usage

\b
Examples:
  garcon status                   all running pools of this user
  garcon status flows.metrics --watch
  garcon status 4120 --json
"""


@click.command(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("which", metavar="[FLOW|PID]", required=False)
@click.option("--watch", is_flag=True, help="Show it again and again, until interrupted.")
@click.option(
    "--every", type=click.FloatRange(0.2), default=2.0, show_default=True, metavar="S",
    help="Seconds between two looks of --watch.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a pool and line.")
def status(which: str | None, watch: bool, every: float, as_json: bool) -> int:
    """Show what the running pools of this user do.

    That is processes, tasks, rates and backlog. FLOW, as the pool's command names it, or PID, of
    its supervisor, shows that one alone.
    """
    try:
        found = _look(which, as_json, clear=watch and sys.stdout.isatty())
        while watch:
            time.sleep(every)
            found = _look(which, as_json, clear=sys.stdout.isatty())
    except (KeyboardInterrupt, BrokenPipeError):
        # Whoever watched has seen enough.
        return 0
    if not found:
        named = f" with flow or pid {which!r}" if which else ""
        sys.stderr.write(f"garcon: found no running pool{named} that answers\n")
    return 0 if found else NONE_RUNS


def _look(which: str | None, as_json: bool, *, clear: bool) -> bool:
    """Show the pools that are meant; return whether one of them has answered."""
    from garcon.pool.status_socket import ask_all

    documents = [one for one in ask_all() if _is_meant(one, which)]
    _show(sys.stdout, documents, as_json=as_json, clear=clear)
    return any("error" not in one for one in documents)


def _is_meant(document: Mapping[str, Any], which: str | None) -> bool:
    if which is None or which in (str(document["pid"]), document.get("flow")):
        return True
    # One that does not answer does not say its flow either: it may be the one that is looked for.
    return "error" in document and not which.isdigit()


def _show(out: TextIO, documents: list[dict[str, Any]], *, as_json: bool, clear: bool) -> None:
    from garcon.pool.status_view import pool_lines

    if as_json:
        lines = [json.dumps(one, ensure_ascii=False) for one in documents]
    else:
        lines = [line for one in documents for line in (*pool_lines(one), "")]
        lines = lines[:-1] or (["no pool runs"] if clear else [])
    out.write((_HOME if clear and not as_json else "") + "".join(f"{line}\n" for line in lines))
    out.flush()

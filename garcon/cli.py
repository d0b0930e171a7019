"""`garcon VERB ...`: every command of the package, and the only place that prints or exits.

`python -m garcon.pool` is the verb `pool`, and so on: the same code. A command ends with garcon's
one-line error and its exit code, never with a bare traceback. Law: nothing is imported for a verb
that was not asked for, since the first thing a user feels is the start.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TextIO

import click

from garcon import __version__
from garcon.engine.usage import INTERRUPTED, OneLineErrors
from garcon.errors import GarconError
from garcon.pool import options

_POOL_EPILOG = """\b
Signals: TERM and INT let running tasks end, a second one stops at once; HUP loads the flow anew;
USR1 writes every child's stacks to the log.

\b
Exit codes:
  0  completed, or a serving pool stopped as asked
  1  the execution closed otherwise than completed
  2  usage    3  workers cannot boot    4  engine unreachable or refuses
  5  the workflow id is open with another input, or what is to be resumed is open
  6  interrupted before the execution closed: the same line goes on with it

\b
Examples:
  garcon pool flows.metrics                          serve until stopped
  garcon pool flows.metrics --procs 16 --engine local \\
      --input '{"start": "2026-01-01", "end": "2026-01-07"}'
  garcon pool flows.coffee:workflow --engine aws --input @order.json --json
"""

_NO_WINDOWS = (
    "garcon: does not run on Windows itself; run it in WSL, the Windows Subsystem for Linux"
    " (in a terminal: wsl --install)"
)

_STDOUT, _STDERR = 1, 2

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


#: Verbs that stand in modules of their own, imported when they are asked for.
_ELSEWHERE = {
    "backfill": "garcon.backfill.commands:backfill",
    "doctor": "garcon.backfill.commands:doctor",
    "history": "garcon.backfill.commands:history",
    "replay": "garcon.replay_command:replay_command",
    "report": "garcon.backfill.commands:report",
    "try": "garcon.backfill.commands:try_",
    "status": "garcon.pool.status_command:status",
}


class _Verbs(OneLineErrors):
    """The verbs, those in other modules included."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line, where that is possible at all."""
        if sys.platform == "win32":
            # Said here, before anything that Windows does not have (fcntl, fork) is imported.
            click.echo(_NO_WINDOWS, err=True)
            sys.exit(2)
        super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs."""
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb of this name, None where there is none."""
        if cmd_name in _ELSEWHERE and cmd_name not in self.commands:
            module_name, _, attribute = _ELSEWHERE[cmd_name].partition(":")
            command = getattr(importlib.import_module(module_name), attribute)
            _end_with_exit_codes(command)
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)


def _end_with_exit_codes(command: click.Command) -> None:
    """Have a command of another module, which returns its exit code, end with it."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _end_with_exit_codes(one)
        return
    run = command.callback
    assert run is not None

    @functools.wraps(run)
    def ending(*words: Any, **options: Any) -> None:
        _ends_with_exit_code(lambda: run(*words, **options))

    command.callback = ending


@click.group(cls=_Verbs, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="garcon")
def main() -> None:
    """Run generator-heavy batch flows on Amazon SWF, or on the engine that comes with garcon."""


@main.command(epilog=_POOL_EPILOG, context_settings=_CONTEXT)
@click.argument("flow")
@options.SIZE
@options.ENGINE
@click.option(
    "--input", "input_text", metavar="JSON|@FILE",
    help="Run one execution with this input and leave; without it the pool serves until stopped.",
)  # fmt: skip
@click.option(
    "--workflow-id", metavar="ID",
    help="Id of that execution.  [default: the flow's name and a digest of the input]",
)  # fmt: skip
@options.PRIORITY
@options.WORK
@options.JSON
@options.CHDIR
@options.LOG
def pool(**words: Any) -> None:
    """Run the activities and decisions of FLOW on many processes.

    FLOW is a module such as flows.metrics, or module:attribute such as flows.coffee:workflow.
    """
    from garcon.pool.command import run_pool

    _ends_with_exit_code(lambda: run_pool(words, sys.stdout, sys.stderr))


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def engine(words: tuple[str, ...]) -> None:
    """Serve SWF's protocol from one SQLite file."""
    from garcon.engine.__main__ import main as engine_main

    engine_main(args=list(words), prog_name="garcon engine")


def run_verb(verb: str) -> None:
    """Run `python -m garcon.<verb>`: the same as `garcon <verb>`."""
    main(args=[verb, *sys.argv[1:]], prog_name="garcon")


def _open_closed_streams() -> None:
    """Have somewhere to write to in a command that was started with `>&-`.

    Python leaves such a stream out; and the next file to be opened would take its descriptor, for
    every child to write to.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # For as long as the process lives, as those in whose place they stand.
    sys.stdout = sys.stdout or os.fdopen(_STDOUT, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def _ends_with_exit_code(run: Callable[[], int]) -> None:
    _open_closed_streams()
    try:
        code = run()
    except GarconError as error:
        with suppress(OSError):  # nobody to tell it to
            click.echo(f"garcon: {error}", err=True)
        code = error.exit_code
    except KeyboardInterrupt:
        # Before the pool's own handlers stand, or after they were taken down.
        code = INTERRUPTED
    _flush(sys.stdout)
    _flush(sys.stderr)
    sys.exit(code)


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        # The reader is gone; Python would say so once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

"""What a command says when its words are wrong: one line, and an exit code.

It stands with the engine, which imports nothing of the rest of garcon; `garcon.cli` takes it from
here. Law: an error that click finds is told as garcon tells its own; an accident keeps its
traceback.
"""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

#: What a shell calls a command that ended by Ctrl-C.
INTERRUPTED = 130

#: What a stream raises whose disk is full.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OneLineErrors(click.Group):
    """A command line whose errors are one line each."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line and end with its exit code."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.Abort:
            code = INTERRUPTED
        except click.ClickException as error:
            code = _tell(error)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            code = _tell(click.ClickException(f"the output cannot be written: {error.strerror}"))
        sys.exit(code if isinstance(code, int) else 0)


def _tell(error: click.ClickException) -> int:
    """Write what is wrong; return the exit code."""
    context = getattr(error, "ctx", None)
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # the whole help: nothing was asked for
        return error.exit_code
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[:1].lower() + text[1:] if isinstance(error, click.UsageError) else text
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    with suppress(OSError):  # nobody to tell it to
        click.echo(f"garcon: {text}{hint}", err=True)
    return error.exit_code

"""``python -m garcon.engine``: one engine on one file, until it is told to leave.

It ties options, signals and the lease to the server, and does nothing else. Law: whatever a user
can get wrong ends as one line on stderr, never as a traceback.
"""

from __future__ import annotations

import sys

import click

if sys.platform == "win32":
    # Said here, before anything that Windows does not have (fcntl, resource) is imported.
    click.echo(
        "garcon: does not run on Windows itself; run it in WSL, the Windows Subsystem for Linux"
        " (in a terminal: wsl --install)",
        err=True,
    )
    raise SystemExit(2)

import asyncio
import contextlib
import datetime
import gc
import logging
import math
import os
import resource
import signal
import sqlite3
from pathlib import Path
from typing import Any

from garcon.engine.http.guard import Credentials, is_loopback
from garcon.engine.http.server import EngineServer, Settings
from garcon.engine.lease import Lease, LeaseTaken
from garcon.engine.service.clock import Clock, SystemClock, VirtualClock
from garcon.engine.service.lambdas import parse_functions
from garcon.engine.service.throttle import load_rates
from garcon.engine.store.schema import SchemaError
from garcon.engine.upkeep import Stats
from garcon.engine.upkeep import prune as prune_file
from garcon.engine.upkeep import stats as file_stats
from garcon.engine.usage import OneLineErrors

DEFAULT_DB = ".garcon/engine.db"
SECRET = "GARCON_ENGINE_SECRET_KEY"

#: Files the engine wants to be allowed to open: a connection is one, a waiting poll has one.
_OPEN_FILES = 65_536

_OPERATIONAL = (LeaseTaken, SchemaError, sqlite3.Error, OSError, ValueError)

# New objects after which cycles are looked for.
_GC_OBJECTS = 50_000


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_EPILOG = """\b
It leaves on TERM or INT: waiting polls get their empty answer first.

\b
Exit codes:
  0  left as it was asked to
  1  the file or the address cannot be used: served by another engine, no database, taken
  2  usage

\b
Examples:
  garcon engine --db orders.db --port 8042
  garcon engine --db :memory:                        keeps nothing, for tests
  garcon engine --throttle aws --sync full
  garcon engine stats --db orders.db
  garcon engine prune --db orders.db --days 30
"""


def _number(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Return seconds or days that can be counted: click takes `nan` for a number."""
    if value is not None and math.isnan(value):
        raise click.BadParameter(f"{value} is no number to count with")
    return value


def _file(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Return the path of a file, or of one that can be made there."""
    if not value:
        raise click.BadParameter("it is empty; name a file, or :memory:")
    if os.path.isdir(value):
        raise click.BadParameter(f"{value} is a folder; name a file in it")
    if os.path.exists(value) and not os.path.isfile(value):
        raise click.BadParameter(f"{value} is a device, a pipe or the like; name a file")
    return value


@click.group(
    cls=OneLineErrors, invoke_without_command=True, context_settings=_CONTEXT, epilog=_EPILOG
)
@click.option("--db", metavar="PATH", default=DEFAULT_DB, show_default=True, callback=_file,
              help="The file, or :memory:.")  # fmt: skip
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True,
              help="Where to listen.")  # fmt: skip
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default=True,
    help="0 keeps the file's last port, or takes a free one.",
)
@click.option(
    "--sync",
    type=click.Choice(["normal", "full"]),
    default="normal",
    show_default=True,
    help="full: answers survive a power cut as well.",
)
@click.option(
    "--throttle",
    default="none",
    show_default=True,
    metavar="none|aws|FILE",
    help="Hold clients to AWS's default rates, or to those of a JSON file.",
)
@click.option(
    "--poll-hold",
    type=click.FloatRange(0),
    callback=_number,
    metavar="S",
    default=60.0,
    show_default=True,
    help="Seconds an empty poll waits.",
)
@click.option(
    "--idle-exit",
    type=click.FloatRange(0),
    callback=_number,
    metavar="S",
    help="Leave after so many seconds without a request.  [default: never]",
)
@click.option(
    "--clock",
    type=click.Choice(["system", "virtual"]),
    default="system",
    show_default=True,
    help="virtual: for tests, time stands still until GarconEngine.Skip moves it.",
)
@click.option(
    "--lambda",
    "functions",
    multiple=True,
    metavar="NAME=MODULE:FUNCTION",
    help="Run this Python callable for the Lambda function NAME; may be repeated.",
)
@click.option(
    "--access-key",
    metavar="ID",
    help=f"Verify every request's signature; the secret is in {SECRET}.",
)
def main(**options: Any) -> None:
    """Serve SWF's protocol from one SQLite file.

    The URL is printed once it answers.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        _run(options)
    except _OPERATIONAL as error:
        raise click.ClickException(_line(options["db"], error)) from error


def _line(db: str, error: Exception) -> str:
    """What is wrong, with the file's name where the error itself has none."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or db}: {error.strerror}"
    nameless = isinstance(error, (SchemaError, sqlite3.Error))
    return f"{db}: {error}" if nameless else str(error)


def _run(options: dict[str, Any]) -> None:
    try:
        credentials = _credentials(options["host"], options["access_key"])
        rates = load_rates(options["throttle"])
        functions = parse_functions(options["functions"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _make_room()
    db = options["db"]
    lease = None
    if db != ":memory:":
        Path(db).absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lease = Lease.acquire(Path(db), wait_s=5.0)
    try:
        settings = Settings(
            db=db,
            host=options["host"],
            port=options["port"],
            preferred_port=lease.last_port() if lease else None,
            full_sync=options["sync"] == "full",
            poll_hold_s=options["poll_hold"],
            credentials=credentials,
            rates=rates,
            functions=functions,
        )
        clock = VirtualClock() if options["clock"] == "virtual" else SystemClock()
        # Its objects die by their counts; looking for cycles after every 700 costs 8 % of its CPU.
        gc.set_threshold(_GC_OBJECTS, 20, 50)
        asyncio.run(_serve(settings, clock, lease, options["idle_exit"]))
    finally:
        if lease is not None:
            lease.release()


def _make_room() -> None:
    """Raise the soft bound on open files, which is 1,024 or 256, as far as the hard one lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS refuses what its kernel does not have, whatever the hard bound says.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _credentials(host: str, access_key: str | None) -> Credentials | None:
    """The key pair to ask for; required on anything but loopback.

    Raises:
        ValueError: A part of it is missing.
    """
    if access_key is None:
        if is_loopback(host):
            return None
        raise ValueError(f"--host {host} is open to others: give --access-key and {SECRET}")
    # Taken out: functions run as processes of this one, and what they print is in the log.
    secret = os.environ.pop(SECRET, None)
    if not secret:
        raise ValueError(f"--access-key needs the secret key in {SECRET}")
    return Credentials(access_key, secret)


async def _serve(
    settings: Settings, clock: Clock, lease: Lease | None, idle_exit_s: float | None
) -> None:
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    server = EngineServer(settings, clock=clock, nonce=lease.nonce if lease else None)
    try:
        url = await server.start()
    except BaseException as error:
        await server.stop()
        if not isinstance(error, OSError):
            raise
        where = f"{settings.host}:{settings.port}" if settings.port else settings.host
        code = error.errno or 0  # below 0: a name that is not known
        why = os.strerror(code) if code > 0 else error.strerror
        raise click.ClickException(f"cannot listen at {where}: {why}") from error
    # What is loaded by now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    with contextlib.ExitStack() as held:
        try:
            if lease is not None:
                lease.publish(url)
            click.echo(url)
            sys.stdout.flush()
            while not leave.is_set() and not _may_leave(server, lease, idle_exit_s, held):
                wait_s = None if idle_exit_s is None else max(0.05, idle_exit_s - server.idle_s())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(leave.wait(), wait_s)
        finally:
            await server.stop()
            if lease is not None:
                lease.release()


def _may_leave(
    server: EngineServer, lease: Lease | None, idle_exit_s: float | None, held: contextlib.ExitStack
) -> bool:
    """Whether the engine has idled long enough and no starter is about to use it.

    The starting lock is then kept in ``held`` until the engine is gone.
    """
    if idle_exit_s is None or server.idle_s() < idle_exit_s:
        return False
    return lease is None or held.enter_context(lease.starting())


def _file_or_engines(context: click.Context, option: click.Parameter, value: str | None) -> str:
    """Return the file of a verb: its own `--db`, or the one before the verb."""
    named = value if value is not None else context.parent and context.parent.params.get("db")
    return _file(context, option, named or DEFAULT_DB)


_its_file = click.option(
    "--db", metavar="PATH", callback=_file_or_engines,
    help=f"The engine's file.  [default: {DEFAULT_DB}]",
)  # fmt: skip


@main.command(context_settings=_CONTEXT)
@_its_file
def stats(db: str) -> None:
    """Say what a file holds, also while an engine serves it."""
    try:
        found = file_stats(Path(db))
    except _OPERATIONAL as error:
        raise click.ClickException(_line(db, error)) from error
    for line in _stat_lines(found):
        click.echo(line)


def _stat_lines(found: Stats) -> list[str]:
    lines = []
    for name, value in zip(found._fields, found, strict=True):
        shown = f"{value:,}" if value is not None else "-"
        if name == "oldest_close_ms" and value is not None:
            moment = datetime.datetime.fromtimestamp(value / 1000, tz=datetime.timezone.utc)
            shown = moment.isoformat(timespec="seconds")
        lines.append(f"{name.removesuffix('_ms').replace('_', ' '):<20} {shown}")
    return lines


@main.command(context_settings=_CONTEXT)
@_its_file
@click.option("--days", metavar="N", type=click.FloatRange(0), required=True, callback=_number,
              help="Keep what closed within so many days.")  # fmt: skip
def prune(db: str, days: float) -> None:
    """Remove closed executions from a file that no engine serves.

    It does so now, whatever their domain's retention says.
    """
    try:
        removed = prune_file(Path(db), days)
    except _OPERATIONAL as error:
        raise click.ClickException(_line(db, error)) from error
    click.echo(f"removed {removed} executions")


if __name__ == "__main__":
    main()

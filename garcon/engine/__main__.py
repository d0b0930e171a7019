"""``python -m garcon.engine``: one engine on one file, until it is told to leave.

What it never does: anything but wire options, signals and the lease to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sqlite3
import sys
from pathlib import Path

import click

from garcon.engine.http.server import EngineServer, Settings
from garcon.engine.lease import Lease, LeaseTaken
from garcon.engine.store.schema import SchemaError


@click.command()
@click.option("--db", default=".garcon/engine.db", show_default=True, help="File, or :memory:.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=0, show_default=True, help="0 keeps the last or takes a free one.")
@click.option("--sync", type=click.Choice(["normal", "full"]), default="normal", show_default=True)
@click.option("--poll-hold", default=60.0, show_default=True, help="Seconds an empty poll waits.")
@click.option("--idle-exit", type=float, help="Leave after so many seconds without a client.")
def main(
    db: str, host: str, port: int, sync: str, poll_hold: float, idle_exit: float | None
) -> None:
    """Serve SWF's protocol from one SQLite file and print the URL once it answers."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lease = None
    try:
        if db != ":memory:":
            Path(db).absolute().parent.mkdir(parents=True, exist_ok=True)
            lease = Lease.acquire(Path(db), wait_s=5.0)
        settings = Settings(
            db=db,
            host=host,
            port=port,
            preferred_port=lease.last_port() if lease else None,
            full_sync=sync == "full",
            poll_hold_s=poll_hold,
        )
        asyncio.run(_serve(settings, lease, idle_exit))
    except (LeaseTaken, SchemaError, sqlite3.Error, OSError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        if lease is not None:
            lease.release()


async def _serve(settings: Settings, lease: Lease | None, idle_exit_s: float | None) -> None:
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    server = EngineServer(settings, nonce=lease.nonce if lease else None)
    url = await server.start()
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


if __name__ == "__main__":
    main()

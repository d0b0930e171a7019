"""`report`, and `--report` of the other verbs: reads histories and writes the page.

Law: the file is there whole or not at all, and holds everything it shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO

from garcon.backfill.histories import read_told
from garcon.backfill.locate import locate
from garcon.backfill.page import render
from garcon.backfill.paint import Shown
from garcon.backfill.ranges import Seen
from garcon.backfill.status import tell, title_of, write
from garcon.description import FlowDescription
from garcon.errors import UsageError
from garcon.pool.command import enter_folder


def run_report(told: Mapping[str, Any], out: TextIO, err: TextIO) -> int:
    """Write the report of one execution; return the exit code."""
    path = told["output"] or f"report-{told['workflow_id'].replace(os.sep, '_')[:200]}.html"
    target = Path(path).absolute()
    enter_folder(told["chdir"])
    found = locate(told["workflow_id"], told["run_id"], told["domain"], told["engine"])
    tell(err, [found.engine.describe(found.domain)])
    shown = show_of(found.connect, found.domain, found.seen, None)
    write_page(target, f"{shown.workflow_id} {shown.title}", [shown])
    write(out, [str(target)])
    return 0


def show_of(
    connect: Callable[[], Any], domain: str, seen: Seen, flow: FlowDescription | None
) -> Shown:
    """Return what a page shows of an execution.

    Raises:
        ServiceError: the engine refuses.
    """
    told = read_told(connect, domain, seen.run, flow, follow=True)
    run = seen.run
    return Shown(title_of(seen), run.workflow_id, run.run_id, told, seen.started, seen.closed)


def write_page(path: Path, title: str, shown: Sequence[Shown]) -> None:
    """Write the page of some executions.

    Raises:
        UsageError: it cannot be written there.
    """
    folder = files("garcon.backfill")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    text = render(title, shown, style, script, datetime.now(timezone.utc))
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}") from error

"""Finds an execution by its workflow id alone, for commands that know no flow.

Law: it only lists; a domain that is not named is looked for among all that the engine has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garcon import client
from garcon.backfill.asking import Connect, ask, ask_pages, is_unknown
from garcon.backfill.finding import EVER, seen_of
from garcon.backfill.ranges import Seen
from garcon.client import Engine
from garcon.errors import ServiceError, UsageError
from garcon.pool.execution import Run


@dataclass(frozen=True)
class Located:
    """An execution and where it is.

    Attributes:
        domain: SWF's domain.
        seen: the execution as the engine lists it.
        engine: whom to ask for its history.
    """

    domain: str
    seen: Seen
    engine: Engine

    @property
    def run(self) -> Run:
        """Its ids."""
        return self.seen.run

    @property
    def connect(self) -> Connect:
        """Returns a boto3 client of the engine."""
        return lambda: client.swf_client(self.engine)


def locate(
    workflow_id: str, run_id: str | None, domain: str | None, engine_word: str | None
) -> Located:
    """Return the newest execution of this id, or the one of this run id.

    Args:
        workflow_id: SWF's workflow id.
        run_id: SWF's run id; None for the newest.
        domain: SWF's domain; None for wherever it is.
        engine_word: the `--engine` option.
    Raises:
        UsageError: there is none, or it is in several domains.
        EngineError: the engine cannot be asked.
    """
    engine = client.resolve_engine(engine_word, environ=os.environ, cwd=Path.cwd())

    def connect() -> Any:
        return client.swf_client(engine)

    found: dict[str, Seen] = {}
    for name in [domain] if domain else _domains(connect):
        runs = [*_runs(connect, name, workflow_id)]
        runs = [one for one in runs if run_id in (None, one.run.run_id)]
        if runs:
            found[name] = max(runs, key=lambda one: (one.status is None, one.started))
    if not found:
        which = f" with run id {run_id}" if run_id else ""
        where = f"domain {domain}" if domain else "any domain"
        raise UsageError(
            f"no execution {workflow_id!r}{which} in {where} of {engine.describe()}; "
            "`garcon backfill FLOW list` shows what there is"
        )
    if len(found) > 1:
        raise UsageError(
            f"execution {workflow_id!r} is in several domains ({', '.join(sorted(found))}); "
            "say which with --domain"
        )
    ((name, seen),) = found.items()
    return Located(name, seen, engine)


def _domains(connect: Connect) -> Iterator[str]:
    words = {"registrationStatus": "REGISTERED"}
    for info in ask_pages(connect, "list_domains", "domainInfos", **words):
        yield info["name"]


def _runs(connect: Connect, domain: str, workflow_id: str) -> Iterator[Seen]:
    words = {
        "domain": domain,
        "startTimeFilter": EVER,
        "executionFilter": {"workflowId": workflow_id},
    }
    for kind in ("open", "closed"):
        try:
            answer = ask(connect, f"list_{kind}_workflow_executions", **words)
        except ServiceError as error:
            if is_unknown(error, "domain"):
                return
            raise
        yield from map(seen_of, answer["executionInfos"])

"""Finds an execution by its workflow id alone, for commands that know no flow.

Law: it only lists; a domain that is not named is looked for among all that the engine has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from garcon import client
from garcon.backfill.finding import EVER, is_unknown_domain, seen_of
from garcon.backfill.ranges import Seen
from garcon.client import Engine, as_service_error
from garcon.errors import UsageError
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
    def connect(self) -> Callable[[], Any]:
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
    connected = client.swf_client(engine)
    found: dict[str, Seen] = {}
    for name in [domain] if domain else _domains(connected):
        runs = [*_runs(connected, name, workflow_id)]
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


def _domains(connected: Any) -> Iterator[str]:
    words: dict[str, Any] = {"registrationStatus": "REGISTERED"}
    while True:
        try:
            answer = connected.list_domains(**words)
        except ClientError as error:
            raise as_service_error(error) from error
        yield from (one["name"] for one in answer["domainInfos"])
        if not answer.get("nextPageToken"):
            return
        words["nextPageToken"] = answer["nextPageToken"]


def _runs(connected: Any, domain: str, workflow_id: str) -> Iterator[Seen]:
    for listing in (
        connected.list_open_workflow_executions,
        connected.list_closed_workflow_executions,
    ):
        try:
            answer = listing(
                domain=domain,
                startTimeFilter=EVER,
                executionFilter={"workflowId": workflow_id},
            )
        except ClientError as error:
            told = as_service_error(error)
            if is_unknown_domain(told):
                return
            raise told from error
        yield from map(seen_of, answer["executionInfos"])

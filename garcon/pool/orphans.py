"""Shards that must not outlive their execution: they are terminated before it closes.

SWF applies the child policy only to an execution that is terminated or times out; one that closes
by a decision leaves its children running, for nobody. Law: what fails here is told in the log and
keeps no execution from closing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from garcon.errors import EngineError, ServiceError
from garcon.log import log_event
from garcon.outcome import cut
from garcon.pool.answers import read_answer
from garcon.pool.dataplane import DataPlane

logger = logging.getLogger("garcon.pool")

#: For all calls about one execution together, seconds; its decision waits meanwhile.
PATIENCE_S = 5.0

#: Shards that are listed; an execution has fewer open.
SHARDS_MAX = 1_000

TAG_MAX = 256  # characters; SWF's limit for an execution's tag

REASON = "its execution closes"


async def terminate(
    plane: DataPlane, domain: str, shards: Iterable[tuple[str, str]], deadline_s: float
) -> None:
    """Terminate executions by workflow id and run id; those that have closed are passed over.

    Args:
        plane: the calls.
        domain: SWF's domain.
        shards: workflow ids and run ids; an empty run id means the open run.
        deadline_s: loop time after which it is not tried again.
    """
    until_s = min(deadline_s, asyncio.get_running_loop().time() + PATIENCE_S)
    await asyncio.gather(*(_terminate(plane, domain, shard, until_s) for shard in shards))


async def terminate_shards_of(
    plane: DataPlane, domain: str, workflow_id: str, run_id: str, deadline_s: float
) -> None:
    """Terminate the open shards of an execution of which nothing more is known.

    Args:
        plane: the calls.
        domain: SWF's domain.
        workflow_id: of the execution that started them; their tag names it.
        run_id: of the same.
        deadline_s: loop time after which it is not tried again.
    """
    body = {
        "domain": domain,
        "startTimeFilter": {"oldestDate": 0},
        "tagFilter": {"tag": cut(f"root={workflow_id}", TAG_MAX)},
        "maximumPageSize": SHARDS_MAX,
    }
    until_s = min(deadline_s, asyncio.get_running_loop().time() + PATIENCE_S)
    try:
        page = await plane.answer("ListOpenWorkflowExecutions", body, deadline_s=until_s)
        found = read_answer(page).get("executionInfos", ())
    except EngineError as error:
        log_event(
            logger, logging.WARNING, "shards.unknown", workflow=workflow_id, run=run_id, why=error
        )
        return
    own = [one["execution"] for one in found if one.get("parent", {}).get("runId") == run_id]
    await terminate(plane, domain, [(one["workflowId"], one["runId"]) for one in own], deadline_s)


async def _terminate(
    plane: DataPlane, domain: str, shard: tuple[str, str], deadline_s: float
) -> None:
    workflow_id, run_id = shard
    body = {
        "domain": domain,
        "workflowId": workflow_id,
        **({"runId": run_id} if run_id else {}),
        "reason": REASON,
        "childPolicy": "TERMINATE",
    }
    try:
        await plane.answer("TerminateWorkflowExecution", body, deadline_s=deadline_s)
    except EngineError as error:
        if not (isinstance(error, ServiceError) and error.is_unknown_resource):
            log_event(logger, logging.WARNING, "shard.left", workflow=workflow_id, why=error)

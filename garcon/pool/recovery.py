"""What a pool does first: answer for the pools of this host that left something behind.

Their journals say what they held. An activity task is failed as lost, so that its instance is
scheduled anew at once; a decision task gets the 0-second timer, so that the run is decided again;
a poll that was under way is asked again under its own id, since the engine may have given it a
task that nobody has seen, and that goes back unrun; and the list that was its alone is polled, or
the runs that come there would each wait for its schedule-to-start. Law: a journal is removed only
after everything in it was answered; an answer that comes too late or twice changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from garcon.errors import EngineError, EngineUnreachable, ServiceError
from garcon.log import log_event
from garcon.outcome import Failure, Kind, encode_failure
from garcon.pool.answers import read_answer
from garcon.pool.dataplane import DataPlane
from garcon.pool.journal import Holdings, OrphanedTasks, OwnList, PollUnderWay, find_orphaned
from garcon.pool.replies import ask_again

logger = logging.getLogger("garcon.pool")

#: How long one answer for a dead pool is tried, seconds.
ANSWER_S = 30.0

#: How often, and after how many seconds each, the dead pool's polls are called off.
ROUNDS = 20
ROUND_S = 0.5

REASON = "the pool that had it died (its host's next pool says so)"


async def answer_for_the_dead(
    plane: DataPlane, engine_key: str, inherit: Callable[[OwnList], None]
) -> None:
    """Answer everything that dead pools of this host held at this engine.

    Args:
        plane: the calls.
        engine_key: whose tokens can be answered.
        inherit: told the lists that only a dead pool has polled.
    """
    for orphan in find_orphaned(engine_key):
        try:
            await _answer(plane, orphan, inherit)
        except (EngineError, OSError) as error:
            # The journal stays for the next pool.
            log_event(logger, logging.WARNING, "journal.kept", path=orphan.path, why=error)
        else:
            orphan.discard()
        finally:
            orphan.release()


async def _answer(
    plane: DataPlane, orphan: OrphanedTasks, inherit: Callable[[OwnList], None]
) -> None:
    holdings = orphan.holdings
    # A list alone is also left by a pool that was stopped in order, beside others.
    died = holdings.activities or holdings.decisions or holdings.polls
    log_event(
        logger,
        logging.WARNING if died else logging.INFO,
        "journal.found",
        path=orphan.path,
        activities=len(holdings.activities),
        decisions=len(holdings.decisions),
        polls=len(holdings.polls),
        lists=len(holdings.lists),
    )
    for own in holdings.lists:
        # First: a decision that is asked for again below comes over it at once.
        inherit(own)
    answers = [_fail_activity(plane, token) for token in holdings.activities]
    answers += [_ask_again(plane, token) for token in holdings.decisions]
    for found in await asyncio.gather(*answers, return_exceptions=True):
        if found is not None:
            raise found
    await _ask_polls_again(plane, holdings)


async def _fail_activity(plane: DataPlane, token: str, kind: Kind = Kind.LOST) -> None:
    reason, details = encode_failure(Failure(kind, REASON))
    body = {"taskToken": token, "reason": reason, "details": details}
    await _say(plane, "RespondActivityTaskFailed", body)


async def _ask_again(plane: DataPlane, token: str) -> None:
    body = ask_again({"taskToken": token}, blames_run=True)
    await _say(plane, "RespondDecisionTaskCompleted", body)


async def _say(plane: DataPlane, operation: str, body: dict[str, str] | bytes) -> None:
    deadline_s = asyncio.get_running_loop().time() + ANSWER_S
    try:
        await plane.answer(operation, body, deadline_s=deadline_s)
    except ServiceError as error:
        # Unknown: it timed out, or was answered before the death. Nothing else is in our power.
        log_event(logger, logging.INFO, "journal.refused", operation=operation, why=error)


async def _ask_polls_again(plane: DataPlane, holdings: Holdings) -> None:
    """Fetch what the dead pool's polls were given; on AWS a poll cannot be asked again."""
    polls = [(poll, _body(poll)) for poll in holdings.polls]
    identities = {str(body["identity"]) for _, body in polls if "identity" in body}
    if not identities or not await _ends_polls(plane, min(identities), polls[0][1]):
        return
    again = [asyncio.ensure_future(_ask_poll_again(plane, poll)) for poll in holdings.polls]
    try:
        for _ in range(ROUNDS):
            # Those that were given nothing wait now under the dead pool's name: call them off.
            _, waiting = await asyncio.wait(again, timeout=ROUND_S)
            if not waiting:
                await asyncio.gather(*again)
                return
            for identity in identities:
                await plane.release_polls(identity)
        raise EngineUnreachable("the dead pool's polls could not be asked again")
    finally:
        # Also where this pool ends meanwhile: its own journal has them then.
        for one in again:
            one.cancel()
        await asyncio.gather(*again, return_exceptions=True)


async def _ends_polls(plane: DataPlane, identity: str, body: Mapping[str, Any]) -> bool:
    """Have the engine end polls; return False where it does not know the call, such as AWS.

    Raises:
        EngineUnreachable: it does not answer at all, so that nothing is known.
    """
    if await plane.release_polls(identity):
        return True
    where = {name: body[name] for name in ("domain", "taskList") if name in body}
    with suppress(ServiceError):
        await plane.call("CountPendingDecisionTasks", where, timeout_s=ANSWER_S)
    return False


async def _ask_poll_again(plane: DataPlane, poll: PollUnderWay) -> None:
    try:
        answer = read_answer(
            await plane.poll(poll.operation, poll.body, invocation_id=poll.invocation_id)
        )
    except ServiceError as error:
        log_event(logger, logging.INFO, "journal.refused", operation=poll.operation, why=error)
        return
    token = answer.get("taskToken")
    if not token:
        return
    if poll.operation == "PollForDecisionTask":
        await _ask_again(plane, token)
    else:
        # Its answer was never taken in, so no worker has begun it.
        await _fail_activity(plane, token, Kind.HANDED_BACK)


def _body(poll: PollUnderWay) -> dict[str, Any]:
    """Return what a poll was sent with; nothing where a broken disk has garbled it."""
    try:
        body = json.loads(poll.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}

"""The way of a decision task through the supervisor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from garcon.description import FlowDescription
from garcon.errors import ServiceError
from garcon.pool import deciding as deciding_module
from garcon.pool.deciding import BLAMES_MAX
from tests.contract.deciding_harness import (
    POLL,
    RESPOND,
    SHARD_POLL,
    a_pool,
    a_task,
    failure_of,
    is_again,
    task_of,
)
from tests.contract.pool_stand_ins import wait_until

# -- the plain way --------------------------------------------------------------------------------


def test_pages_go_down_unread_and_the_answer_goes_up_with_the_token(tmp_path):
    """What the engine said is passed on byte by byte; the token is journalled in between."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(a_task())
            told = await peer.receive()
            page = await peer.receive()
            assert told.kind == "task"
            assert (told.head["workflow_id"], told.head["run_id"]) == ("w", "r")
            assert (told.head["started"], told.head["pages"]) == (3, 1)
            assert json.loads(page.body) == a_task()
            assert pool.held_in_journal() == ("token-1",)

            await pool.answer(peer, told.head["task"], closes=True)

            (response,) = await pool.responses(1)
            assert response == {"taskToken": "token-1", "decisions": [{"decisionType": "X"}]}
            await wait_until(lambda: pool.deciding.held == 0)
            assert pool.held_in_journal() == ()
            assert pool.closing == ["r"]

    asyncio.run(scenario())


def test_shards_are_decided_beside_the_flow_s_own_executions(tmp_path):
    """They have a list of their own, which is polled as well."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.plane.tasks[SHARD_POLL].put_nowait(a_task("of a shard"))

            await pool.answer(peer, await task_of(peer))

            assert (await pool.responses(1))[0]["taskToken"] == "of a shard"

    asyncio.run(scenario())


def test_all_pages_of_a_poll_are_fetched_and_sent_in_their_order(tmp_path):
    """A decider sees a whole history or none."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            further = {"second": "third", "third": None}

            def page(body: dict) -> dict:
                token = body["nextPageToken"]
                rest = {"nextPageToken": further[token]} if further[token] else {}
                return a_task(page=token, **rest)

            pool.plane.replies["PollForDecisionTask"] = page
            peer = await pool.decider()
            pool.offer(a_task(nextPageToken="second"))

            told = await peer.receive()
            pages = [json.loads((await peer.receive()).body) for _ in range(told.head["pages"])]

            assert [one.get("page") for one in pages] == [None, "second", "third"]

    asyncio.run(scenario())


def test_older_pages_are_served_newest_first_down_to_the_first(tmp_path):
    """The decider asks page by page; each tells what the next one is asked for with."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            asked: list[dict] = []

            def older(body: dict) -> dict:
                asked.append(body)
                page = {"events": [{"eventId": 9 - len(asked)}]}
                return page if len(asked) == 2 else {**page, "nextPageToken": "more"}

            pool.plane.replies["GetWorkflowExecutionHistory"] = older
            peer = await pool.decider()
            pool.offer(a_task())
            task = await task_of(peer)

            await pool.need(peer, task)
            first = await peer.receive()
            await pool.need(peer, task, first.head["next"])
            second = await peer.receive()
            await pool.answer(peer, task)

            assert [(one.kind, one.head["task"]) for one in (first, second)] == 2 * [("page", task)]
            assert [one.head["next"] for one in (first, second)] == ["more", ""]
            assert all(body["reverseOrder"] for body in asked)
            assert [body.get("nextPageToken") for body in asked] == [None, "more"]
            assert not is_again((await pool.responses(1))[0])

    asyncio.run(scenario())


def test_a_run_goes_to_the_decider_that_knows_it_however_many_come_and_go(tmp_path):
    """A decider that leaves moves its own runs alone."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peers = {slot: await pool.decider(slot) for slot in (1, 2, 3)}
            runs = [f"run-{number}" for number in range(12)]
            before = {run: pool.deciding._choose(run).child.slot for run in runs}

            pool.deciding.remove_decider(2)
            after = {run: pool.deciding._choose(run).child.slot for run in runs}

            assert set(before.values()) == {1, 2, 3}
            assert all(after[run] == slot for run, slot in before.items() if slot != 2)
            assert peers

    asyncio.run(scenario())


def test_a_decider_that_is_full_passes_its_runs_to_one_that_is_not(tmp_path):
    """Affinity saves time; a queue would cost more of it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peers = [await pool.decider(slot) for slot in (1, 2)]
            full = pool.deciding._choose("r").child.slot
            pool.offer(*(a_task(f"token-{number}") for number in range(3)))

            await wait_until(lambda: pool.deciding.held == 3)

            other = next(peer for peer in peers if peer.child.slot != full)
            assert (await other.receive()).kind == "task"

    asyncio.run(scenario())


def test_no_poll_is_sent_while_every_decider_has_its_fill(tmp_path):
    """A task that waits here could be decided by another host."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(*(a_task(f"token-{number}") for number in range(5)))
            task = await task_of(peer)
            await wait_until(lambda: pool.deciding.held == 2)
            assert pool.plane.tasks[POLL].qsize() == 3

            await pool.answer(peer, task)

            await wait_until(lambda: pool.plane.tasks[POLL].qsize() == 2)

    asyncio.run(scenario())


# -- holding --------------------------------------------------------------------------------------


def test_an_answer_is_held_until_the_pool_stops(tmp_path):
    """A hold ends at once when the pool is told to leave, and the token is kept meanwhile."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(a_task())
            await pool.answer(peer, await task_of(peer), hold_s=5.0)
            for _ in range(50):
                await asyncio.sleep(0)
            assert pool.plane.answered == []
            assert pool.held_in_journal() == ("token-1",)

            pool.deciding.stop_taking()

            assert len(await pool.responses(1)) == 1

    asyncio.run(scenario())


def test_no_hold_outlasts_the_decision_s_own_time(tmp_path):
    """A decider that asks for an hour is given a part of the decision's timeout."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (), decision_timeout_s=1)
        async with a_pool(tmp_path, flow) as pool:
            peer = await pool.decider()
            pool.offer(a_task())

            await pool.answer(peer, await task_of(peer), hold_s=3600.0)

            assert len(await pool.responses(1)) == 1

    asyncio.run(scenario())


# -- deciders that fail ---------------------------------------------------------------------------


def test_the_task_of_a_decider_that_dies_gets_one_timer_at_once(tmp_path):
    """The run is decided again immediately; the task is answered once."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(a_task())
            await task_of(peer)

            pool.deciding.remove_decider(1, "was killed by SIGKILL")

            (response,) = await pool.responses(1)
            assert is_again(response)
            assert response["taskToken"] == "token-1"
            await wait_until(lambda: pool.deciding.held == 0)
            assert pool.held_in_journal() == ()

    asyncio.run(scenario())


def test_a_decider_that_dies_while_older_events_are_fetched_is_answered_for_at_once(tmp_path):
    """Nobody waits for a page that nobody will read."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            asked, never = asyncio.Event(), asyncio.Event()

            async def call(*_, **__) -> bytes:
                asked.set()
                await never.wait()
                return b"{}"

            pool.plane.call = call
            peer = await pool.decider()
            pool.offer(a_task())
            await pool.need(peer, await task_of(peer))
            await asked.wait()

            pool.deciding.remove_decider(1, "was killed by SIGKILL")

            assert is_again((await pool.responses(1))[0])

    asyncio.run(scenario())


def test_a_queued_task_does_not_wait_for_a_decider_that_is_gone(tmp_path):
    """Both the task in its hands and the one behind it are asked again."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(a_task("first"), a_task("second"))
            await task_of(peer)
            await wait_until(lambda: pool.deciding.held == 2)

            pool.deciding.remove_decider(1, "was killed by SIGKILL")

            responses = await pool.responses(2)
            assert sorted(one["taskToken"] for one in responses) == ["first", "second"]
            assert all(map(is_again, responses))

    asyncio.run(scenario())


def test_an_overdue_decider_is_ended_and_gets_nothing_more(tmp_path):
    """Its task gets the timer; the engine's next try waits for another decider."""

    async def scenario() -> None:
        flow = FlowDescription("dev", "flow", "1.0", (), decision_timeout_s=1)
        async with a_pool(tmp_path, flow) as pool:
            peer = await pool.decider(slot=7)
            pool.offer(a_task())
            await task_of(peer)

            assert is_again((await pool.responses(1))[0])
            assert pool.overdue == [7]
            # One poll was under way: what it brings goes back, and no further one is sent.
            pool.offer(a_task("again"), a_task("later"))
            assert is_again((await pool.responses(2))[1])
            for _ in range(50):
                await asyncio.sleep(0)
            assert pool.plane.tasks[POLL].qsize() == 1

            pool.deciding.remove_decider(7, "was killed by SIGKILL")
            fresh = await pool.decider(slot=7)
            await pool.answer(fresh, await task_of(fresh))
            assert not is_again((await pool.responses(3))[2])

    asyncio.run(scenario())


def test_a_decider_that_takes_nothing_is_ended(tmp_path):
    """A stopped process with a full pipe is of no use to the next task either."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider(slot=7)
            peer.child.stream.send_timeout_s = 0.05
            pool.offer(a_task(filler="x" * 4_000_000))

            assert is_again((await pool.responses(1))[0])
            assert pool.overdue == [7]

    asyncio.run(scenario())


def test_a_run_that_kills_its_deciders_is_failed_with_the_reason(tmp_path, caplog):
    """Three in a row are enough; the timer would loop for ever."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            for attempt in range(BLAMES_MAX):
                peer = await pool.decider()
                pool.offer(a_task(f"token-{attempt}"))
                await task_of(peer)
                pool.deciding.remove_decider(1, "was killed by SIGSEGV")
                await pool.responses(attempt + 1)

            responses = await pool.responses(BLAMES_MAX)
            assert all(map(is_again, responses[:-1]))
            assert "3 decisions in a row" in failure_of(responses[-1])
            told = [one.garcon_event for one in caplog.records]
            again = [one for one in told if one["event"] == "decision.again"]
            assert [(one["in_a_row"], one["pid"]) for one in again] == [(1, 4711), (2, 4711)]
            assert "killed by SIGSEGV" in failure_of(responses[-1])

    asyncio.run(scenario())


def test_a_run_whose_deciders_go_down_with_their_zygote_is_not_blamed(tmp_path):
    """Nothing that it did has killed them, however often it happens."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            for attempt in range(BLAMES_MAX + 1):
                peer = await pool.decider()
                pool.offer(a_task(f"token-{attempt}"))
                await task_of(peer)
                pool.deciding.remove_decider(1, "went down with its zygote", with_zygote=True)
                responses = await pool.responses(attempt + 1)

            assert {"garcon.anew"} == {
                one["startTimerDecisionAttributes"]["timerId"]
                for response in responses
                for one in response["decisions"]
            }

    asyncio.run(scenario())


def test_a_decision_that_comes_forgives_the_run_its_failures(tmp_path):
    """Only failures in a row count."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            for attempt in range(2 * BLAMES_MAX):
                pool.offer(a_task(f"token-{attempt}"))
                task = await task_of(peer)
                if attempt % BLAMES_MAX == BLAMES_MAX - 1:
                    await pool.answer(peer, task)
                else:
                    await pool.say(peer, "gave_up", task=task, text="ValueError: no")
                await pool.responses(attempt + 1)

            kinds = [one["decisions"][0]["decisionType"] for one in await pool.responses(6)]
            assert kinds == 2 * ["StartTimer", "StartTimer", "X"]

    asyncio.run(scenario())


# -- the engine's side ----------------------------------------------------------------------------


def _refuse(error: Exception) -> Callable[[dict], dict]:
    def reply(_: dict) -> dict:
        raise error

    return reply


def test_a_decider_whose_history_cannot_be_read_is_told_and_serves_the_next_task(tmp_path):
    """Left waiting for the page, it would take the next task's frames for it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            refusal = ServiceError("ValidationException", "bad token")
            pool.plane.replies["GetWorkflowExecutionHistory"] = _refuse(refusal)
            peer = await pool.decider()
            pool.offer(a_task("first"))
            task = await task_of(peer)

            await pool.need(peer, task)
            gone = await peer.receive()
            assert (gone.kind, gone.head["task"]) == ("gone", task)
            assert is_again((await pool.responses(1))[0])

            pool.offer(a_task("second"))
            await pool.answer(peer, await task_of(peer))
            assert (await pool.responses(2))[1]["taskToken"] == "second"
            assert pool.overdue == []

    asyncio.run(scenario())


def test_refused_decisions_fail_the_execution_with_the_engine_s_text(tmp_path):
    """Asked again they would be the same."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            refusals = [ServiceError("ValidationException", "too long at decisions.1")]

            def respond(_: dict) -> dict:
                if refusals:
                    raise refusals.pop()
                return {}

            pool.plane.replies[RESPOND] = respond
            peer = await pool.decider()
            pool.offer(a_task())
            await pool.answer(peer, await task_of(peer), closes=True)

            responses = await pool.responses(2)
            assert "too long at decisions.1" in failure_of(responses[1])
            assert pool.closing == ["r"]

    asyncio.run(scenario())


def test_keys_that_expired_fail_no_execution(tmp_path):
    """What the engine refuses is the caller, not the decisions."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pool.plane.faults[RESPOND] = ServiceError("ExpiredTokenException", "expired")
            peer = await pool.decider()
            pool.offer(a_task())
            await pool.answer(peer, await task_of(peer))
            await wait_until(lambda: pool.deciding.held == 0)

            assert len(await pool.responses(1)) == 1

    asyncio.run(scenario())


def test_a_decision_that_the_engine_no_longer_waits_for_is_let_go(tmp_path):
    """It timed out or its run was closed: one answer, no failure after it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pool.plane.faults[RESPOND] = ServiceError("UnknownResourceFault", "Unknown decision")
            peer = await pool.decider()
            pool.offer(a_task())
            await pool.answer(peer, await task_of(peer))
            await wait_until(lambda: pool.deciding.held == 0)

            assert len(await pool.responses(1)) == 1
            assert pool.held_in_journal() == ()

    asyncio.run(scenario())


def test_an_answer_that_is_not_swf_s_ends_nothing(tmp_path):
    """A proxy's page with a good status costs a pause; then the next poll brings its task."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            pages = [b"<html>Please log in</html>", b'["no", "object"]', b'{"taskToken":"t"}']
            poll = pool.plane.poll

            async def first_the_pages(*args, **words) -> bytes:
                return pages.pop() if pages else await poll(*args, **words)

            pool.plane.poll = first_the_pages
            peer = await pool.decider()
            pool.offer(a_task())

            assert (await peer.receive()).kind == "task"

    asyncio.run(scenario())


def test_an_answer_that_lacks_what_a_task_has_ends_nothing_and_is_not_held(tmp_path, monkeypatch):
    """Held by its token alone it would never be answered, and no stop would end before its time."""
    monkeypatch.setattr(deciding_module, "REST_FIRST_S", 0.0)
    begun = {"eventType": "DecisionTaskStarted", "eventId": 3, "eventTimestamp": "at noon"}
    odd = [
        {"taskToken": "t"},
        a_task() | {"workflowExecution": None},
        a_task() | {"events": [begun]},
        a_task() | {"events": 7},
    ]

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(*odd, a_task("good"))

            await pool.answer(peer, await task_of(peer))

            (response,) = await pool.responses(1)
            assert response["taskToken"] == "good"
            await wait_until(lambda: pool.deciding.held == 0)
            assert pool.held_in_journal() == ()

    asyncio.run(scenario())


# -- leaving --------------------------------------------------------------------------------------


def test_a_stop_waits_for_the_poll_under_way_and_gives_its_task_back(tmp_path):
    """An aborted poll would lose the task that the engine may have given it."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            await pool.decider()
            await wait_until(lambda: pool.deciding.under_way == 2)
            loop = asyncio.get_running_loop()
            drained = asyncio.ensure_future(pool.deciding.drain(loop.time() + 30))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not drained.done()

            pool.offer(a_task())
            pool.plane.tasks[SHARD_POLL].put_nowait({"taskToken": ""})

            await asyncio.wait_for(drained, 30)
            assert is_again((await pool.responses(1))[0])
            assert pool.held_in_journal() == ()

    asyncio.run(scenario())


def test_a_retired_decider_ends_its_task_and_gets_no_other(tmp_path):
    """After a reload it has old code: what comes next is for its successor."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            old = await pool.decider(slot=1)
            pool.offer(a_task("first"))
            task = await task_of(old)

            pool.deciding.retire_decider(1)
            new = await pool.decider(slot=2)
            pool.offer(a_task("second"), a_task("third"))
            tasks = [await task_of(new)]
            await pool.answer(new, tasks[0])
            tasks.append(await task_of(new))
            await pool.answer(old, task)

            responses = await pool.responses(2)
            assert {one["taskToken"] for one in responses} >= {"first"}
            assert not any(map(is_again, responses))

    asyncio.run(scenario())


def test_a_stop_that_does_not_wait_leaves_its_tokens_to_the_next_pool(tmp_path):
    """A decision that was cut off stays in the journal."""

    async def scenario() -> None:
        async with a_pool(tmp_path) as pool:
            peer = await pool.decider()
            pool.offer(a_task())
            await task_of(peer)

            await pool.deciding.abort()

            assert pool.held_in_journal() == ("token-1",)

    asyncio.run(scenario())

"""Workers and deciders as real processes: what goes in as a frame, what comes out as one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest

from garcon.outcome import Kind, decode_failure
from garcon.pool.frames import Frame
from garcon.pool.lifecycle import ChildKind
from garcon.pool.slate import HEARING_PLACE
from tests.contract.nursery_harness import answer, hear, house, order, said, wait_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run_all(*orders: tuple[str, bytes], flow: str = "plain") -> list[Frame]:
    """Return the answers of one worker to these activities, one after the other."""

    async def run() -> list[Frame]:
        async with house(flow) as one:
            child = await one.worker(3)
            answers = []
            for number, (activity, body) in enumerate(orders, 1):
                await order(child, activity, body, task=number)
                answers.append(await answer(child, task=number))
            return answers

    return asyncio.run(run())


def failure_of(frame: Frame) -> tuple[str, dict[str, Any]]:
    """Return reason and facts of a failed answer."""
    assert "failed" == frame.kind
    told = json.loads(frame.body)
    failure = decode_failure(told["reason"], told["details"])
    assert Kind.FAILED is failure.kind
    return failure.reason, {**failure.facts, "errors": failure.errors, "tail": failure.traceback}


def test_a_result_comes_back_as_json_text_with_what_it_cost() -> None:
    """The supervisor passes it on unread."""
    (frame,) = run_all(("add", b'{"n": 41}'))

    assert ("done", b'{"n":42}') == (frame.kind, frame.body)
    assert frame.head["cpu_s"] >= 0
    assert frame.head["peak_kb"] > 1000


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="a kernel that forgets no peak"
)
def test_what_a_task_is_told_to_have_used_is_its_own() -> None:
    """The memory of the task before it is not the next one's."""
    large, small = run_all(("swell", b'{"bytes": 90000000}'), ("add", b'{"n": 1}'))

    assert large.head["peak_kb"] > small.head["peak_kb"] + 60_000


def test_a_task_that_raises_fails_with_class_traceback_and_worker_and_the_worker_goes_on() -> None:
    """Even where its text cannot be encoded."""
    failed, after = run_all(("fail", b"{}"), ("add", b'{"n": 1}'))

    reason, facts = failure_of(failed)
    assert reason.startswith("ValueError: no such country: ")
    assert ("ValueError", "Exception", "BaseException") == facts["errors"]
    assert "in fail" in facts["tail"]
    assert 3 == facts["worker"]
    assert facts["pid"] > 1
    assert "done" == after.kind


@pytest.mark.parametrize(
    ("activity", "name"), [("leave", "SystemExit: 3"), ("interrupt", "KeyboardInterrupt")]
)
def test_a_task_cannot_end_its_worker_by_an_exception(activity: str, name: str) -> None:
    """sys.exit and its like are failures of the task."""
    failed, after = run_all((activity, b"{}"), ("add", b'{"n": 1}'))

    assert name == failure_of(failed)[0]
    assert "done" == after.kind


def test_a_forked_copy_of_a_worker_ends_before_it_answers() -> None:
    """Else one task would be answered twice, and two processes would read one socket."""
    split, after = run_all(("split", b"{}"), ("add", b'{"n": 1}'))

    assert b'{"parent":true}' == split.body
    assert b'{"n":2}' == after.body


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "the activity's input is no JSON: "),
        (b"[1]", "the activity's input is no JSON object but list"),
        (b"\xff", "the activity's input is no JSON: "),
    ],
)
def test_an_input_that_is_no_json_object_fails_with_that_text(body: bytes, text: str) -> None:
    """Inputs may come from other programs."""
    (frame,) = run_all(("add", body))

    assert failure_of(frame)[0].startswith(f"FlowError: {text}")


def test_an_unknown_activity_fails_and_names_the_known_ones() -> None:
    """A worker of another version of the code, mostly."""
    (frame,) = run_all(("brew", b"{}"))

    assert "FlowError: the flow has no activity 'brew' (known: add, beat," in failure_of(frame)[0]


def test_a_task_may_say_itself_how_it_ended() -> None:
    """As flows written for garcon 1.x do."""
    done, failed = run_all(("own_words", b"{}"), ("own_words", b'{"fails": true}'))

    assert b'{"own":1}' == done.body
    assert "on my own account" == failure_of(failed)[0]


def test_a_worker_is_a_process_of_its_own() -> None:
    """Own group, first for the OOM killer, no input, one socket, signals as new programs expect."""
    about, handlers = run_all(("surroundings", b"{}"), ("handlers", b"{}"))

    assert {"group_is_own": True, "oom": "500", "stdin": "/dev/null", "sockets": 1} == json.loads(
        about.body
    )
    assert {"term_is_default": "True", "chld_is_default": True} == json.loads(handlers.body)


def test_times_that_depend_on_the_input_are_told_before_the_task_begins() -> None:
    """The supervisor beats for the task and ends it in time; those of plain tasks it knows."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "chosen", b'{"times": 3}')
            frame = await hear(child)
            assert frame is not None
            told = (frame.kind, frame.head["heartbeat_s"], frame.head["start_to_close_s"])
            assert ("timing", 9, 150) == told
            assert "done" == (await answer(child)).kind

            await order(child, "quick")
            frame = await hear(child)
            assert frame is not None
            assert "done" == frame.kind

    asyncio.run(run())


def test_the_last_words_of_a_task_are_never_lost() -> None:
    """However fast it says them, however it goes on: they are there to be read."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "burst", task=3)
            await said(child, task=3, words="499")
            assert "done" == (await answer(child, task=3)).kind
            assert child.slate is not None
            assert child.slate.read(child.slot, 0, 4) is None

    asyncio.run(run())


@pytest.mark.parametrize(("activity", "asks"), [("hang", True), ("doze", False)])
def test_it_is_told_whether_a_task_heartbeats_by_itself(activity: str, asks: bool) -> None:
    """What its runner asks between two tasks does not count."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, activity, task=7)
            await said(child, 7, HEARING_PLACE) if asks else await answer(child, task=7)
            assert child.slate is not None
            assert asks == (child.slate.read(child.slot, HEARING_PLACE, 7) is not None)

    asyncio.run(run())


def test_a_failure_tells_how_far_the_task_was() -> None:
    """Whoever repairs it reads that in the history."""
    (failed,) = run_all(("stumble", b"{}"))

    assert "half way" == failure_of(failed)[1]["heartbeat"]


def test_a_cancel_ends_the_task_at_its_next_heartbeat_and_the_worker_goes_on() -> None:
    """Answered as canceled, not as failed."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "beat", task=5)
            await said(child, task=5)
            await child.stream.send("cancel", task=4)  # of a task long gone: passed over
            await child.stream.send("cancel", task=5)
            assert "canceled" == (await answer(child, task=5)).kind
            await order(child, "add", b'{"n": 1}', task=6)
            assert "done" == (await answer(child, task=6)).kind

    asyncio.run(run())


def test_a_stop_during_a_task_lets_it_finish() -> None:
    """The drain: the answer first, then a clean exit."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker()
            await order(child, "burst")
            await child.stream.send("stop")
            assert "done" == (await answer(child)).kind
            await wait_end(child)
            assert 0 == (await one.wait_exit(child)).exit_code

    asyncio.run(run())


@pytest.mark.parametrize("kind", list(ChildKind))
def test_an_idle_child_leaves_when_it_is_told_to(kind: ChildKind) -> None:
    """With exit code 0."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker(1, kind)
            await child.stream.send("stop")
            await wait_end(child)
            assert 0 == (await one.wait_exit(child)).exit_code

    asyncio.run(run())


# -- deciders -----------------------------------------------------------------------------------


def started_events() -> list[dict[str, Any]]:
    """Return the first three events of an execution of the plain flow."""
    return [
        {
            "eventId": 1,
            "eventTimestamp": 1_700_000_000.0,
            "eventType": "WorkflowExecutionStarted",
            "workflowExecutionStartedEventAttributes": {
                "input": '{"times": 1}',
                "taskList": {"name": "plain"},
                "workflowType": {"name": "plain", "version": "1.0"},
                "executionStartToCloseTimeout": "2592000",
                "taskStartToCloseTimeout": "30",
                "childPolicy": "TERMINATE",
                "parentInitiatedEventId": 0,
            },
        },
        {
            "eventId": 2,
            "eventTimestamp": 1_700_000_000.1,
            "eventType": "DecisionTaskScheduled",
            "decisionTaskScheduledEventAttributes": {
                "taskList": {"name": "plain"},
                "startToCloseTimeout": "30",
            },
        },
        {
            "eventId": 3,
            "eventTimestamp": 1_700_000_000.2,
            "eventType": "DecisionTaskStarted",
            "decisionTaskStartedEventAttributes": {"scheduledEventId": 2},
        },
    ]


def task_head(pages: int) -> dict[str, Any]:
    """Return the head of a decision task's frame."""
    return {
        "task": 8, "domain": "tests", "workflow_id": "w", "run_id": "r", "workflow_type": "plain",
        "version": "1.0", "started": 3, "previous": 0, "pages": pages, "allowance": None,
    }  # fmt: skip


def test_a_decider_answers_raw_pages_with_decisions() -> None:
    """The first decision of a run schedules what requires nothing."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker(1, ChildKind.DECIDER)
            page = json.dumps({"events": started_events()}).encode()
            await child.stream.send("task", **task_head(pages=1))
            await child.stream.send("page", page, task=8)
            frame = await hear(child)
            assert frame is not None
            assert ("answer", 8) == (frame.kind, frame.head["task"])
            decisions = json.loads(frame.body)["decisions"]
            assert frame.head["count"] == len(decisions) > 0
            assert {"ScheduleActivityTask"} <= {one["decisionType"] for one in decisions}

    asyncio.run(run())


def test_a_decider_asks_for_older_pages_and_gives_up_when_there_are_none() -> None:
    """Never a decision on a part of a history."""

    async def run() -> None:
        async with house() as one:
            child = await one.worker(1, ChildKind.DECIDER)
            page = json.dumps({"events": started_events()[2:]}).encode()
            for last_word in ("gone", "page"):
                await child.stream.send("task", **task_head(pages=1))
                await child.stream.send("page", page, task=8)
                need = await hear(child)
                assert need is not None
                assert ("need", 8) == (need.kind, need.head["task"])
                rest = json.dumps({"events": started_events()[::-1]}).encode()
                await child.stream.send(last_word, rest, task=8, next="")
                frame = await hear(child)
                assert frame is not None
                assert ("gave_up" if last_word == "gone" else "answer") == frame.kind

    asyncio.run(run())

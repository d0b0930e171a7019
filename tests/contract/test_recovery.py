"""What a pool does for one that died on its host, against a real engine."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from garcon.client import Engine
from garcon.engine.testing import engine_in_process
from garcon.pool import deciding, recovery
from garcon.pool.dataplane import DataPlane
from garcon.pool.journal import Journal, OwnList
from tests.acceptance.harness import read_history, swf_client
from tests.contract.supervisor_harness import Histories, a_house, config, gated

DOMAIN, LIST = "garcon-tests", "work"
RUN = {"workflowId": "w"}
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    """Return the folder of journals of this test alone."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "garcon"


class Place:
    """An engine with one execution, and a pool that dies over it."""

    def __init__(self, url: str) -> None:
        self.client = swf_client(url)
        self.engine = Engine("url", url=url)
        self.client.register_domain(name=DOMAIN, workflowExecutionRetentionPeriodInDays="1")
        self.client.register_workflow_type(domain=DOMAIN, name="flow", version="1")
        self.client.register_activity_type(domain=DOMAIN, name="fetch", version="1")
        started = self.client.start_workflow_execution(
            domain=DOMAIN,
            workflowId="w",
            workflowType={"name": "flow", "version": "1"},
            taskList={"name": LIST},
            executionStartToCloseTimeout="3600",
            taskStartToCloseTimeout="3600",
            childPolicy="TERMINATE",
        )
        self.run = {**RUN, "runId": started["runId"]}

    def poll_decision(self) -> str:
        """Take the decision task as the dead pool did; return its token."""
        answer = self.client.poll_for_decision_task(domain=DOMAIN, taskList={"name": LIST})
        return str(answer["taskToken"])

    def schedule(self, count: int) -> None:
        """Have so many activities scheduled."""
        timeouts = {
            f"{name}Timeout": "3600"
            for name in ("scheduleToClose", "scheduleToStart", "startToClose", "heartbeat")
        }
        decisions = [
            {
                "decisionType": "ScheduleActivityTask",
                "scheduleActivityTaskDecisionAttributes": {
                    "activityType": {"name": "fetch", "version": "1"},
                    "activityId": f"fetch-{number}",
                    "taskList": {"name": LIST},
                    **timeouts,
                },
            }
            for number in range(count)
        ]
        self.client.respond_decision_task_completed(
            taskToken=self.poll_decision(), decisions=decisions
        )

    def poll_activity(self) -> str:
        """Take an activity task as the dead pool did; return its token."""
        answer = self.client.poll_for_activity_task(domain=DOMAIN, taskList={"name": LIST})
        return str(answer["taskToken"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the execution's events of this type."""
        events = read_history(self.client, DOMAIN, self.run)
        return [event for event in events if event["eventType"] == kind]

    def failures(self) -> list[str]:
        """Return of what kind the failed activities were."""
        name = "activityTaskFailedEventAttributes"
        found = self.events("ActivityTaskFailed")
        return [json.loads(event[name]["details"])["kind"] for event in found]

    def recover(self) -> list[OwnList]:
        """Start the next pool, as far as it looks after the dead; return the lists it takes on."""
        lists: list[OwnList] = []

        async def scenario() -> None:
            async with DataPlane(self.engine) as plane:
                await asyncio.wait_for(
                    recovery.answer_for_the_dead(plane, self.engine.key, lists.append), PATIENCE_S
                )

        asyncio.run(scenario())
        return lists


def dead_pool(engine: Engine, hold: Callable[[Journal], None]) -> None:
    """Leave a journal as a pool does that is killed."""
    journal = Journal(engine.key)
    hold(journal)
    os.close(journal._file)


def poll_body(identity: str = "host:1") -> bytes:
    """Return the body of a poll for activities."""
    words = {"domain": DOMAIN, "taskList": {"name": LIST}, "identity": identity}
    return json.dumps(words).encode()


def ask(place: Place, call: Callable[[DataPlane], Coroutine[Any, Any, bytes]]) -> bytes:
    """Make one call of the data plane."""

    async def scenario() -> bytes:
        async with DataPlane(place.engine) as plane:
            return await call(plane)

    return asyncio.run(scenario())


def test_activities_of_a_dead_pool_fail_as_lost_and_its_journal_goes(runtime):
    """They are scheduled anew at once instead of after a timeout."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        place.schedule(2)
        tokens = [place.poll_activity(), place.poll_activity()]
        dead_pool(place.engine, lambda journal: [journal.hold_activity(one) for one in tokens])

        place.recover()

        assert place.failures() == ["lost", "lost"]
        assert list(runtime.iterdir()) == []


def test_a_decision_of_a_dead_pool_is_asked_again_at_once(runtime):
    """One timer of no seconds: the next decider need not wait for the decision's timeout."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        token = place.poll_decision()
        dead_pool(place.engine, lambda journal: journal.hold_decision(token))

        place.recover()

        assert len(place.events("TimerStarted")) == 1
        assert place.poll_decision() not in ("", token)
        assert list(runtime.iterdir()) == []


def test_a_task_that_nobody_has_seen_goes_back_unrun(runtime):
    """The engine gave it to a poll whose pool died before it read the answer."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        place.schedule(1)
        poll = ("the-poll", "PollForActivityTask", poll_body())
        ask(place, lambda plane: plane.poll(poll[1], poll[2], invocation_id=poll[0]))
        dead_pool(place.engine, lambda journal: journal.poll_begun(*poll))

        place.recover()

        assert place.failures() == ["handed_back"]
        assert list(runtime.iterdir()) == []


def test_polls_that_were_given_nothing_are_called_off(runtime):
    """Asked again they would wait for a minute, and take work that nobody would do."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        dead_pool(
            place.engine,
            lambda journal: [
                journal.poll_begun(f"poll-{number}", "PollForActivityTask", poll_body())
                for number in range(5)
            ],
        )

        place.recover()

        assert list(runtime.iterdir()) == []
        pending = place.client.count_pending_activity_tasks(domain=DOMAIN, taskList={"name": LIST})
        assert pending["count"] == 0


def test_a_poll_that_a_broken_disk_has_garbled_keeps_nobody_from_the_others(runtime):
    """Nor does it end the pool that found it, and each one after it."""
    with engine_in_process() as engine:
        place = Place(engine.url)

        def holdings(journal):
            journal.poll_begun("poll-1", "PollForActivityTask", b'{"domain": ')
            journal.poll_begun("poll-2", "PollForActivityTask", poll_body())

        dead_pool(place.engine, holdings)

        place.recover()

        assert list(runtime.iterdir()) == []


def test_the_list_of_a_dead_pool_alone_is_taken_on(runtime, caplog):
    """With nothing else in its hands as well, which is no accident: decisions come there."""
    caplog.set_level(logging.INFO, "garcon")
    with engine_in_process() as engine:
        place = Place(engine.url)
        own = OwnList("flow.mark", DOMAIN, LIST)
        dead_pool(place.engine, lambda journal: journal.hold_list(own))

        assert place.recover() == [own]

        (record,) = (one for one in caplog.records if "journal.found" in one.getMessage())
        assert record.levelname == "INFO"
        assert list(runtime.iterdir()) == []
        assert place.recover() == []


def test_polls_are_kept_for_the_next_pool_while_the_engine_is_away(runtime):
    """What they were given nobody else can ask for."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        poll = ("the-poll", "PollForActivityTask", poll_body())
        dead_pool(place.engine, lambda journal: journal.poll_begun(*poll))

    place.recover()

    assert len(list(runtime.iterdir())) == 1


def test_an_engine_that_cannot_end_polls_is_not_asked_them_again(runtime, caplog):
    """Such as AWS: what they were given is found by its timeout."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        poll = ("the-poll", "PollForActivityTask", poll_body())
        dead_pool(place.engine, lambda journal: journal.poll_begun(*poll))

        async def refuse(*_: Any, **__: Any) -> bool:
            return False

        async def scenario() -> None:
            async with DataPlane(place.engine) as plane:
                plane.release_polls = refuse  # type: ignore[method-assign]
                await asyncio.wait_for(
                    recovery.answer_for_the_dead(plane, place.engine.key, pytest.fail), PATIENCE_S
                )

        asyncio.run(scenario())

    assert list(runtime.iterdir()) == []
    assert "journal.kept" not in caplog.text


def test_a_pool_that_ends_while_it_asks_polls_again_leaves_none_of_them_behind(runtime):
    """Each would end by an error that nobody looks at; its own journal has them."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        poll = ("the-poll", "PollForActivityTask", poll_body())
        dead_pool(place.engine, lambda journal: journal.poll_begun(*poll))

        async def scenario() -> None:
            async with DataPlane(place.engine) as plane:
                asked = asyncio.Event()

                async def wait(*_: Any, **__: Any) -> bytes:
                    asked.set()
                    await asyncio.Event().wait()
                    return b""

                plane.poll = wait  # type: ignore[method-assign]
                before = asyncio.all_tasks()
                recovering = asyncio.ensure_future(
                    recovery.answer_for_the_dead(plane, place.engine.key, pytest.fail)
                )
                await asyncio.wait_for(asked.wait(), PATIENCE_S)
                recovering.cancel()
                await asyncio.wait({recovering})
                assert asyncio.all_tasks() == before

        asyncio.run(scenario())

    assert len(list(runtime.iterdir())) == 1


def test_what_was_answered_before_the_death_changes_nothing(runtime):
    """A journal may be older than the truth: the engine's refusal is the end of it."""
    with engine_in_process() as engine:
        place = Place(engine.url)
        place.schedule(1)
        token = place.poll_activity()
        place.client.respond_activity_task_completed(taskToken=token, result="{}")
        dead_pool(place.engine, lambda journal: journal.hold_activity(token))

        place.recover()

        assert place.failures() == []
        assert len(place.events("ActivityTaskCompleted")) == 1
        assert list(runtime.iterdir()) == []


def test_a_journal_stays_while_the_engine_is_away_and_is_answered_by_the_next_pool(
    runtime, tmp_path, monkeypatch
):
    """Nothing is forgotten because a start came at a bad time."""
    monkeypatch.setattr(recovery, "ANSWER_S", 0.2)
    db = str(tmp_path / "engine.db")
    with engine_in_process(db=db) as engine:
        place = Place(engine.url)
        place.schedule(1)
        token = place.poll_activity()
        dead_pool(place.engine, lambda journal: journal.hold_activity(token))

    place.recover()
    assert len(list(runtime.iterdir())) == 1

    with engine_in_process(db=db) as engine:
        # Back at another port: for this test the same engine all the same.
        (journal,) = runtime.iterdir()
        old, new = place.engine.key, Engine("url", url=engine.url).key
        journal.write_bytes(journal.read_bytes().replace(old.encode(), new.encode()))
        place.engine, place.client = Engine("url", url=engine.url), swf_client(engine.url)
        place.recover()

        assert place.failures() == ["lost"]
        assert list(runtime.iterdir()) == []


def leave_a_run(url: str, tmp_path) -> Histories:
    """Start a run whose decision waits on the list of a dead pool alone, for an hour."""
    histories = Histories(url)
    client = histories.client
    client.register_domain(name=DOMAIN, workflowExecutionRetentionPeriodInDays="1")
    client.register_workflow_type(domain=DOMAIN, name="gated", version="1.0")
    histories.start("gated", gated(tmp_path))
    task = client.poll_for_decision_task(domain=DOMAIN, taskList={"name": "gated"})
    client.respond_decision_task_completed(
        taskToken=task["taskToken"],
        taskList={"name": "gated.dead"},
        taskListScheduleToStartTimeout="3600",
    )
    client.signal_workflow_execution(domain=DOMAIN, workflowId="started-by-hand", signalName="s")
    own = OwnList("gated.dead", DOMAIN, "gated")
    dead_pool(Engine("url", url=url), lambda journal: journal.hold_list(own))
    return histories


def test_a_run_that_came_to_a_dead_pool_alone_goes_on_at_once(tmp_path):
    """Its decision waits on a list that only the dead one polled: here for an hour."""
    (tmp_path / "gate").touch()
    with engine_in_process() as engine:
        leave_a_run(engine.url, tmp_path)

        async def scenario() -> None:
            async with a_house(config(engine.url)) as house:
                await house.until((tmp_path / "started-0").exists, "its first task")
                os.kill(os.getpid(), signal.SIGTERM)
                assert await house.ended() == 0

        asyncio.run(scenario())


def test_a_run_is_given_back_by_a_pool_that_is_stopped_long_before_its_task_ends(
    tmp_path, monkeypatch, runtime
):
    """The decision upon that end comes to this pool alone: it is taken as the pool leaves."""
    monkeypatch.setattr(deciding, "LAST_POLL_S", 0.0)
    polled: list[str] = []
    poll = deciding.Deciding._poll

    async def noted(self: deciding.Deciding, task_list: str) -> bool:
        polled.append(task_list)
        return await poll(self, task_list)

    monkeypatch.setattr(deciding.Deciding, "_poll", noted)
    with engine_in_process() as engine:
        histories = leave_a_run(engine.url, tmp_path)

        async def scenario() -> None:
            async with a_house(config(engine.url)) as house:
                await house.until((tmp_path / "started-0").exists, "its first task")
                await house.until((tmp_path / "started-1").exists, "its second task")
                before = len(polled)
                os.kill(os.getpid(), signal.SIGTERM)
                await house.until(lambda: len(polled) > before + 2, "polls of its own list")
                (tmp_path / "gate").touch()
                assert await house.ended() == 0

        asyncio.run(scenario())

        events = histories.events()
        names = [
            event["decisionTaskScheduledEventAttributes"]["taskList"]["name"]
            for event in events
            if event["eventType"] == "DecisionTaskScheduled"
        ]
        assert len({*names, "gated", "gated.dead"}) == 3, "one list is the pool's own"
        assert names[-1] == "gated", names
        assert "DecisionTaskTimedOut" not in [event["eventType"] for event in events]
        assert list(runtime.iterdir()) == []

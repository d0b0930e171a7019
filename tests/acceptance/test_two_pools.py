"""Two pools that decide the same flow: a run stays with one of them, and outlives it."""

from __future__ import annotations

import re
import signal

import pytest

from garcon.pool.sticky import WAIT_S
from tests.acceptance.harness import Place, kill, of_type, read_history, wait_until
from tests.acceptance.legal import assert_legal_history

FLOW, DOMAIN = "tests.acceptance.flows_ok.stubborn", "garcon-tests"
RUN = {"domain": DOMAIN, "workflowId": "only-run"}

#: Beyond the time that a decision waits for a pool that is gone: a slow machine's, seconds.
SLACK_S = 15.0


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give a folder of its own, and leave nothing behind."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = Place(tmp_path)
    yield found
    found.clear()


def two_pools(place):
    """Start two pools of the flow, and return them once both are up."""
    pools = []
    for _ in range(2):
        pools.append(place.start_pool(FLOW, "--log-level", "info", procs=1))
        pools[-1].wait_for_text("event=pool.ready")
    return pools


class Work:
    """The run, and the program that does its one activity."""

    def __init__(self, client):
        self.client = client
        started = client.start_workflow_execution(
            **RUN,
            workflowType={"name": "stubborn", "version": "1.0"},
            taskList={"name": "stubborn"},
            input="{}",
            executionStartToCloseTimeout="3600",
            taskStartToCloseTimeout="30",
            childPolicy="TERMINATE",
        )
        self.run = {"workflowId": RUN["workflowId"], "runId": started["runId"]}
        wait_until(lambda: self.scheduled(), "the first attempt")
        self.list = self.scheduled()[0]["taskList"]

    def events(self):
        """Return the history."""
        return read_history(self.client, DOMAIN, self.run)

    def scheduled(self):
        """Return the attributes of all attempts' schedules."""
        return list(of_type(self.events(), "ActivityTaskScheduled"))

    def take(self):
        """Wait for the next attempt and return its token."""
        return self.client.poll_for_activity_task(domain=DOMAIN, taskList=self.list)["taskToken"]

    def fail(self, attempts):
        """Fail so many attempts, each of which is a decision."""
        for _ in range(attempts):
            self.client.respond_activity_task_failed(taskToken=self.take(), reason="once more")

    def complete(self):
        """Complete the next attempt and wait for the end of the run."""
        self.client.respond_activity_task_completed(taskToken=self.take())
        wait_until(
            lambda: "WorkflowExecutionCompleted" == self.events()[-1]["eventType"], "the end"
        )
        return self.events()


def deciders_of(events):
    """Return the pids of the pools that began the decisions, in order."""
    started = of_type(events, "DecisionTaskStarted")
    return [int(one["identity"].rpartition(":")[2]) for one in started]


def test_a_run_stays_with_one_of_two_pools_and_its_history_is_read_once(place):
    """Only at first is it decided here and there; deciders are given little more than it."""
    pools = two_pools(place)
    with place.client() as client:
        work = Work(client)
        work.fail(200)
        events = work.complete()

    turns = deciders_of(events)
    assert {pool.pid for pool in pools} >= set(turns)
    assert 1 == len(set(turns[20:])), turns
    assert not list(of_type(events, "DecisionTaskTimedOut"))
    assert_legal_history(events)
    for pool in pools:
        pool.process.send_signal(signal.SIGTERM)
    assert [0, 0] == [pool.wait() for pool in pools]
    told = "\n".join(pool.err() for pool in pools)
    fetched = [int(number) for number in re.findall(r"events_(?:polled|read)=(\d+)", told)]
    assert 4 == len(fetched)
    assert sum(fetched) <= 1.2 * len(events), (fetched, turns)


def test_a_run_goes_on_when_the_pool_that_kept_it_is_killed(place):
    """Its decision waits a few seconds for the dead one; the other pool has it then."""
    pools = two_pools(place)
    with place.client() as client:
        work = Work(client)
        work.fail(30)
        token = work.take()
        turns = deciders_of(work.events())
        assert len(set(turns)) == 2, "the pools never took turns"
        keeper = next(pool for pool in pools if pool.pid == turns[-1])
        kill(keeper.pid)
        keeper.wait()

        client.respond_activity_task_failed(taskToken=token, reason="once more")
        attempts = len(work.scheduled())
        wait_until(lambda: len(work.scheduled()) > attempts, "it goes on", WAIT_S + SLACK_S)
        work.fail(5)
        events = work.complete()

    assert ["SCHEDULE_TO_START"] == [
        one["timeoutType"] for one in of_type(events, "DecisionTaskTimedOut")
    ]
    assert keeper.pid not in deciders_of(events)[len(turns) :]
    assert_legal_history(events)


def test_a_pool_that_is_stopped_gives_its_runs_back(place):
    """A decision that waits for it then is given to the other one at once."""
    pools = two_pools(place)
    with place.client() as client:
        work = Work(client)
        work.fail(30)
        turns = deciders_of(work.events())
        keeper = next(pool for pool in pools if pool.pid == turns[-1])
        keeper.process.send_signal(signal.SIGTERM)
        assert 0 == keeper.wait()
        work.fail(5)
        events = work.complete()

    assert len(list(of_type(events, "DecisionTaskTimedOut"))) <= 1
    assert keeper.pid not in deciders_of(events)[-6:]


def test_the_next_pool_of_the_host_takes_a_run_that_a_stopped_one_could_not_give_back(place):
    """Its decision was not there yet when that one left, and nobody else polls that list."""
    pools = two_pools(place)
    with place.client() as client:
        work = Work(client)
        work.fail(30)
        token = work.take()
        turns = deciders_of(work.events())
        assert len(set(turns)) == 2, "the pools never took turns"
        keeper = next(pool for pool in pools if pool.pid == turns[-1])
        keeper.process.send_signal(signal.SIGTERM)
        assert 0 == keeper.wait()
        heir = place.start_pool(FLOW, "--log-level", "info", procs=1)
        heir.wait_for_text("event=journal.found")
        heir.wait_for_text("event=pool.ready")

        client.respond_activity_task_failed(taskToken=token, reason="once more")
        events = work.complete()

    assert not list(of_type(events, "DecisionTaskTimedOut"))
    assert heir.pid in deciders_of(events)[len(turns) :]

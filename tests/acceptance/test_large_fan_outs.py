"""Fan-outs in shards as users meet them: frozen once, failed by name, gone on with when mended."""

from __future__ import annotations

from garcon.flow import describe
from garcon.pool.execution import Executions, Run
from garcon.pool.status_socket import ask_all
from tests.acceptance.flows_ok import fickle
from tests.acceptance.flows_ok.fickle import FREE
from tests.acceptance.harness import kill, list_runs, of_type, read_history, wait_until
from tests.acceptance.legal import assert_legal_history, attributes

FLOWS = "tests.acceptance.flows_ok"
DOMAIN = "garcon-tests"

#: After a kill the run has to be over within this time, seconds.
RECOVERY_S = 90.0


def notes_of(place):
    """Return what the tasks noted."""
    path = place.folder / "notes"
    return path.read_text(encoding="ascii").split() if path.exists() else []


def deciders_of(pool):
    """Return the processes that decide for a pool."""
    told = next((one for one in ask_all() if one["pid"] == pool.pid), {})
    return [one["pid"] for one in told.get("deciders", ()) if one["pid"]]


def scheduled_in(histories):
    """Return the activity ids that were scheduled, each as often as it was."""
    return [
        one["activityId"]
        for events in histories
        for one in of_type(events, "ActivityTaskScheduled")
    ]


def seen_done(place):
    """Return how many instances of the fickle run a look at it counts as done."""
    with place.client() as client:
        executions = Executions(lambda: client, describe(fickle))
        for run in list_runs(client, DOMAIN):
            if run_of(read_history(client, DOMAIN, run)) is None:
                look = executions.look(Run(run["workflowId"], run["runId"]))
                return look.counts["notes"].done if "notes" in look.counts else 0
    return 0


def run_of(events):
    """Return the run id of a history that a child or its parent tells of."""
    return attributes(events[0]).get("parentWorkflowExecution")


def test_a_generator_that_never_repeats_itself_gives_one_fan_out(place):
    """Asked once, over the deaths of deciders and of the whole pool: each instance runs once."""
    data = {"folder": str(place.folder)}
    first = place.start_pool(f"{FLOWS}.fickle", data=data)
    wait_until(lambda: len(notes_of(place)) > 10, "the first notes")
    for pid in deciders_of(first):
        kill(pid)
    wait_until(lambda: len(notes_of(place)) >= FREE, "more notes")
    # More than its closed shards have done: the open ones tell as well.
    wait_until(lambda: seen_done(place) >= FREE - 6, "the progress of open shards")
    kill(first.pid)
    first.wait()
    (place.folder / "gate").touch()

    second = place.start_pool(f"{FLOWS}.fickle", data=data)

    assert 0 == second.wait(RECOVERY_S), second.err()
    histories = place.histories(DOMAIN)
    assert len(histories) > 2
    for events in histories:
        assert_legal_history(events)
    (root,) = (events for events in histories if run_of(events) is None)
    (frozen,) = of_type(root, "MarkerRecorded")
    count = int(frozen["details"].split('"n":')[1].split(",")[0])
    assert count == len(set(scheduled_in(histories))) == len(set(notes_of(place)))


def test_an_instance_that_fails_for_good_is_named_and_runs_alone_after_the_mend(place):
    """Its siblings complete; resumed, exactly one activity runs."""
    data = {"folder": str(place.folder), "tasks": 60}
    broken = place.start_pool(f"{FLOWS}.mended", data=data)

    assert 1 == broken.wait(), broken.err()
    before = place.histories(DOMAIN)
    completed = sum(len(list(of_type(events, "ActivityTaskCompleted"))) for events in before)
    assert (59, 62) == (completed, len(scheduled_in(before)))
    (failure,) = (one for events in before for one in of_type(events, "WorkflowExecutionFailed"))
    assert "1 of 60 instances of loads failed" in failure["reason"]
    assert '{"number":17} after 3 attempts' in failure["reason"]
    assert "no source for number 17" in failure["reason"]

    (place.folder / "mended").touch()
    with place.client() as client:
        listed = client.list_closed_workflow_executions(
            domain=DOMAIN, startTimeFilter={"oldestDate": 0}, tagFilter={"tag": "garcon"}
        )
    (run,) = (
        {"workflow_id": one["execution"]["workflowId"], "run_id": one["execution"]["runId"]}
        for one in listed["executionInfos"]
        if "parent" not in one
    )
    mended = place.start_pool(f"{FLOWS}.mended", data={**data, "garcon.resume": run})

    assert 0 == mended.wait(), mended.err()
    after = place.histories(DOMAIN)
    assert 63 == len(scheduled_in(after))


def test_a_cancel_reaches_every_shard_and_leaves_nothing_open(place):
    """What runs is ended, what waits never starts, and the root closes last."""
    data = {"folder": str(place.folder), "tasks": 1_100}
    pool = place.start_pool(f"{FLOWS}.gated", "--cancel-grace", "1", data=data)
    wait_until(lambda: len(list(place.folder.glob("started-*"))) >= 4, "busy workers")
    with place.client() as client:
        runs = list_runs(client, DOMAIN)
        (root,) = (run for run in runs if run_of(read_history(client, DOMAIN, run)) is None)

        client.request_cancel_workflow_execution(domain=DOMAIN, **root)

        assert 1 == pool.wait(RECOVERY_S), pool.err()
        open_now = client.count_open_workflow_executions(
            domain=DOMAIN, startTimeFilter={"oldestDate": 0}
        )
    assert 0 == open_now["count"]
    histories = place.histories(DOMAIN)
    ends = [events[-1]["eventType"] for events in histories]
    assert len(ends) > 2
    assert {"WorkflowExecutionCanceled"} == set(ends)
    assert 1_100 > len(scheduled_in(histories))
    last = max(histories, key=lambda events: events[-1]["eventTimestamp"])
    assert run_of(last) is None

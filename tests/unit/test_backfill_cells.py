"""Where each instance is, by the histories of an execution, its shards and those it resumes."""

from __future__ import annotations

from itertools import count

import pytest

from garcon.backfill.cells import Mark, failed_of
from garcon.backfill.histories import read_told
from garcon.backfill.tail import Tail
from garcon.flow import describe
from garcon.outcome import Failure, Kind, encode_failure
from garcon.pool.execution import Run
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, decide, play_world
from tests.unit.world_client import WorldClient

ROOT = Run("workflow", "run")


def days_by_items(days=3, items=10, **options):
    """Return a flow of days x items, and an end."""
    return flow_of(
        each={"generators": [numbers(days, "day"), numbers(items, "item")], **options},
        end={"requires": ["each"]},
    )


def failing(*pairs, reason="ValueError: no"):
    """Return the work of workers with whom these days and items always fail."""

    def work(swf, one):
        if (one.input.get("day"), one.input.get("item")) in pairs:
            swf.fail(one, *encode_failure(Failure(Kind.FAILED, reason)))
        else:
            swf.complete(one)

    return work


def told_of(*worlds, flow=None, run=ROOT, **options):
    """Return what the histories of the worlds say of an execution."""
    client = WorldClient(*worlds)
    return read_told(lambda: client, "domain", run, flow and describe(flow), **options)


def resumed(world, number):
    """Return a new world that resumes the root of another one."""
    before = world.root
    name = {"workflow_id": before.workflow_id, "run_id": before.run_id}
    root = Swf({"garcon.resume": name}, workflow_id=f"workflow {number}", run_id=f"run {number}")
    return World(root, dict(world.runs))


@pytest.mark.parametrize("shard_size", [None, 7])
def test_what_failed_is_told_with_its_keys_and_its_reason(shard_size):
    """In one history or spread over shards."""
    flow = days_by_items(retry=1)
    world = World(Swf())
    play_world(world, decider_of(flow, shard_size=shard_size), failing((1, 3), (2, 9)))

    told = told_of(world, flow=flow)

    assert "FAILED" == told.status
    (grid,) = told.grids.values()
    assert {"done": 28, "failed": 2, "running": 0, "waiting": 0, "missing": 0} == grid.counts()
    found = [
        (one.context(index), cell.attempts, cell.reason) for one, index, cell in failed_of([grid])
    ]
    assert [
        ({"day": 1, "item": 3}, 2, "ValueError: no"),
        ({"day": 2, "item": 9}, 2, "ValueError: no"),
    ] == found
    assert (5 if shard_size else 0) == told.shards
    assert told.events == sum(len(one.events) for one in world.runs.values())


def test_an_open_execution_has_instances_in_every_state():
    """Also some that wait for their next attempt, which have not failed for good."""
    flow = days_by_items(retry=1, retry_delay=1_000)
    world = World(Swf())
    decide(world.root, decider_of(flow, retry_delay_s=1_000.0))
    first, second, third, *_ = world.root.start(5)
    world.root.complete(first)
    world.root.fail(second)
    world.root.fail(third)

    (grid,) = told_of(world, flow=flow).grids.values()

    assert {"done": 1, "failed": 0, "running": 2, "waiting": 27, "missing": 0} == grid.counts()
    assert [3, 4] == list(grid.indexes(Mark.RUNNING))


def test_what_was_under_way_when_an_execution_ended_is_missing():
    """It was never done; only what failed before has failed."""
    world = World(Swf())
    decide(world.root, decider_of(days_by_items()))
    first, second, *_ = world.root.start(5)
    world.root.complete(first)
    world.root.fail(second)
    world.root.terminate()

    (grid,) = told_of(world).grids.values()

    assert {"done": 1, "failed": 1, "running": 0, "waiting": 0, "missing": 28} == grid.counts()


def test_instances_tell_how_long_their_last_attempt_took():
    """From being taken to the end, not from being scheduled."""
    world = World(Swf())
    flow = flow_of(only={"retry": 1})
    decide(world.root, decider_of(flow))
    world.root.now_s += 100
    (task,) = world.root.start()
    world.root.now_s += 5
    world.root.fail(task)
    decide(world.root, decider_of(flow))
    (task,) = world.root.start()
    world.root.now_s += 2.5
    world.root.complete(task)

    (grid,) = told_of(world).grids.values()

    assert pytest.approx(2.5) == grid.cells[0].seconds
    assert 2 == grid.cells[0].attempts


def test_a_resumed_execution_counts_what_it_took_over():
    """And tells how that was done where the earlier history is followed."""
    flow = days_by_items()
    first = World(Swf())
    play_world(first, decider_of(flow), failing((1, 3)))
    second = resumed(first, 2)
    play_world(second, decider_of(flow))
    run = Run("workflow 2", "run 2")

    alone = told_of(second, run=run).grids["each", ""]
    followed = told_of(second, first, run=run, follow=True).grids["each", ""]

    assert 30 == alone.counts()["done"] == followed.counts()["done"]
    assert 1 == sum(cell.attempts > 0 for cell in alone.cells.values())
    assert all(cell.attempts and cell.began_s for cell in followed.cells.values())


def test_a_fan_out_that_a_resumed_execution_never_came_to_is_as_it_was_left():
    """It was ended before its first decision."""
    first = World(Swf())
    play_world(first, decider_of(days_by_items()), failing((1, 3)))
    second = resumed(first, 2)
    second.root.terminate()

    told = told_of(second, first, run=Run("workflow 2", "run 2"), follow=True)

    assert 29 == told.grids["each", ""].counts()["done"]
    assert "TERMINATED" == told.status


def test_a_history_that_is_gone_is_done_without():
    """Older executions and shards fall to the engine's retention."""
    flow = days_by_items()
    first = World(Swf())
    play_world(first, decider_of(flow), failing((1, 3)))
    second = resumed(first, 2)
    play_world(second, decider_of(flow))
    alone = World(second.root)

    told = told_of(alone, run=Run("workflow 2", "run 2"), follow=True)

    assert 30 == told.grids["each", ""].counts()["done"]


@pytest.mark.parametrize("shard_size", [None, 7])
def test_a_tail_knows_at_every_moment_what_the_whole_histories_say(shard_size):
    """And reads of each only what is new."""
    flow = days_by_items(items=40, retry=1)
    world = World(Swf())
    client = WorldClient(world, page=20)
    tail = Tail(lambda: client, describe(flow), ROOT)
    told, works = [], count()

    def look():
        client.runs = {(run.workflow_id, run.run_id): run for run in world.runs.values()}
        told.append((tail.look().grids, told_of(world, flow=flow).grids))

    def work(swf, one):
        if one.input.get("item") == 7:
            swf.fail(one)
        else:
            swf.complete(one)
        if next(works) % 10 == 0:
            look()

    play_world(world, decider_of(flow, shard_size=shard_size), work, workers=5)
    look()

    assert len(told) > 5
    for ours, theirs in told:
        assert {key: grid.cells for key, grid in theirs.items()} == {
            key: grid.cells for key, grid in ours.items()
        }
    client.asked.clear()
    tail.look()
    assert ["history"] == client.asked

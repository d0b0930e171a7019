"""What `plan` says, against what then runs."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import pytest

from garcon.backfill.forecast import forecast
from garcon.backfill.foresee import foresee
from garcon.backfill.place import Place
from garcon.backfill.plan import code_of, plain, plan_lines, plan_range
from garcon.backfill.ranges import make_ranges
from garcon.backfill.steps import Act
from garcon.backfill.words import read_words
from garcon.client import Engine
from garcon.flow import describe
from garcon.manifest import Manifest
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, decide, play_world
from tests.unit.world_client import WorldClient

INPUT = {"start": "2026-01-01", "end": "2026-01-04"}


class PlayedPlace(Place):
    """A place whose engine is played."""

    def __init__(self, flow, *worlds, **options):
        """Know the executions of `worlds`."""
        described = describe(flow)
        activities = tuple(replace(one, **options) for one in described.activities)
        super().__init__(flow, replace(described, activities=activities), Engine("local"))
        self.__dict__["client"] = WorldClient(*worlds)

    @property
    def connect(self):
        """Return what gives the client."""
        return lambda: self.__dict__["client"]


def words_of(**told):
    """Return the words of `plan --days 2026-01-01..2026-01-04`."""
    return read_words({"flow": "flow", "days": "2026-01-01..2026-01-04", **told})


def the_range():
    """Return the range of those days."""
    return words_of().ranges("flow", [])[0]


def days_by_items(**options):
    """Return prepare, days x items, end."""
    return flow_of(
        prepare={},
        each={
            "requires": ["prepare"],
            "generators": [numbers(4, "day"), numbers(15, "item")],
            **options,
        },
        end={"requires": ["each"]},
    )


def a_run(number=1, **more):
    """Return an execution of the range."""
    one = the_range()
    return World(
        Swf(
            {**one.input, **more},
            workflow_id=one.workflow_id,
            run_id=f"run {number}",
            now_s=1.7e9 + number * 10_000,
        )
    )


def ids_of(planned):
    """Return the activity ids that a plan says would run."""
    found = []
    for activity in planned.activities:
        name = f"flow_{activity.name}"
        for context in activity.to_run:
            lists = ((dict(context),),) if context else None
            found.append(Manifest(activity.name, name, lists, 1).activity_id(0))
    return found


def scheduled(*runs):
    """Return the activity ids that were scheduled."""
    return [one["activityId"] for run in runs for one in run.kinds("ActivityTaskScheduled")]


def random_state(random, shard_size):
    """Return a world that was left in some state: failed, terminated or open."""
    world = a_run()
    share, left = random.choice([0, 0.1, 0.5]), random.randrange(70)

    def work(swf, one):
        nonlocal left
        left -= 1
        if left < 0:
            # An engine that was stopped: whatever is open was terminated with the root.
            for run in world.open_runs:
                run.terminate()
        elif random.random() < share:
            swf.fail(one)
        else:
            swf.complete(one)

    play_world(world, decider_of(days_by_items(), shard_size=shard_size), work, workers=7)
    return world


def played_on(flow, *earlier, shard_size=None, number=2, **only):
    """Return the execution that resumes the last of `earlier`, played to its end."""
    before = earlier[-1].root
    name = {"workflow_id": before.workflow_id, "run_id": before.run_id, **only}
    world = World(a_run(number, **{"garcon.resume": name}).root)
    known = {(run.workflow_id, run.run_id): run for one in earlier for run in one.runs.values()}

    def fetch_run(workflow_id, run_id):
        own = {(run.workflow_id, run.run_id): run for run in world.runs.values()}
        return {**known, **own}[workflow_id, run_id].older()

    world.fetch_run = fetch_run
    play_world(world, decider_of(flow, shard_size=shard_size))
    return world


@pytest.mark.parametrize("shard_size", [None, 9])
@pytest.mark.parametrize("seed", range(10))
def test_a_plan_is_what_then_runs(seed, shard_size):
    """Instance by instance, for whatever an earlier execution left."""
    flow = days_by_items()
    first = random_state(Random(seed), shard_size)
    place = PlayedPlace(flow, first, shard_size=shard_size)
    planned = plan_range(place, words_of(), the_range())
    if first.root.status == "WorkflowExecutionCompleted":
        assert Act.DONE is planned.step.act
        return
    assert Act.RESUME is planned.step.act
    second = played_on(flow, first, shard_size=shard_size)

    assert "WorkflowExecutionCompleted" == second.root.status
    assert sorted(ids_of(planned)) == sorted(scheduled(*second.runs.values()))
    told = plain(planned)
    assert len(ids_of(planned)) == sum(one["run"] for one in told["activities"])
    assert len(ids_of(planned)) == told["forecast"]["instances"]


@pytest.mark.parametrize("shard_size", [None, 9])
@pytest.mark.parametrize("seed", range(10))
def test_a_narrowed_plan_is_what_then_runs_and_the_rest_is_left(seed, shard_size):
    """Whatever the selection; a plain run afterwards runs all that is still left."""
    flow = days_by_items()
    random = Random(seed)
    first = random_state(random, shard_size)
    if first.root.status == "WorkflowExecutionCompleted":
        return
    told = random.choice(
        [
            {"only_failed": True},
            {"selected": ["each"]},
            {"keys": ["day=2", "day=3,item=5"]},
            {"only_failed": True, "keys": ["day=1"]},
            {"selected": ["end", "prepare"]},
        ]
    )
    words = words_of(**told)
    planned = plan_range(PlayedPlace(flow, first, shard_size=shard_size), words, the_range())

    second = played_on(flow, first, shard_size=shard_size, only=words.selection.plain())

    assert sorted(ids_of(planned)) == sorted(scheduled(*second.runs.values()))
    if second.root.status == "WorkflowExecutionFailed":
        assert second.root.kinds("WorkflowExecutionFailed")[0]["reason"].startswith("not asked")
    place = PlayedPlace(flow, first, second, shard_size=shard_size)
    rest = plan_range(place, words_of(), the_range())
    third = played_on(flow, first, second, shard_size=shard_size, number=3)
    assert "WorkflowExecutionCompleted" == third.root.status
    if rest.step.act is not Act.DONE:
        assert sorted(ids_of(rest)) == sorted(scheduled(*third.runs.values()))


def test_what_failed_before_a_narrowed_resume_has_still_failed_after_it():
    """`--only-failed` means it, however often that is said."""
    flow = days_by_items()
    first = a_run()

    def work(swf, one):
        if one.input.get("item") in (3, 4):
            swf.fail(one)
        else:
            swf.complete(one)

    play_world(first, decider_of(flow), work)
    part = words_of(keys=["item=3"]).selection.plain()
    second = played_on(flow, first, only=part)
    place = PlayedPlace(flow, first, second)
    planned = plan_range(place, words_of(only_failed=True), the_range())
    third = played_on(flow, first, second, number=3, only={"failed": True})

    assert 4 == len(scheduled(second.root)) == len(scheduled(third.root))
    assert sorted(ids_of(planned)) == sorted(scheduled(third.root))
    reason = third.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "not asked to run: 1 of 1 instances of end" == reason


def test_a_selection_that_cannot_be_read_fails_the_execution():
    """It would otherwise run more than was meant."""
    flow = days_by_items()
    first = random_state(Random(3), None)

    second = played_on(flow, first, only={"days": 3})

    reason = second.root.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "'only' of garcon.resume" in reason
    assert [] == scheduled(second.root)


def test_a_plan_from_nothing_is_what_then_runs():
    """Every instance of every activity, and nothing else."""
    flow = days_by_items()
    planned = plan_range(PlayedPlace(flow), words_of(), the_range())
    world = a_run()

    play_world(world, decider_of(flow))

    assert Act.START is planned.step.act
    assert sorted(ids_of(planned)) == sorted(scheduled(world.root))


def test_a_plan_of_an_open_execution_is_what_it_has_left():
    """Running, waiting and never scheduled ones alike; what failed for good is over."""
    flow = days_by_items()
    world = a_run()
    decider = decider_of(flow)
    decide(world.root, decider)
    world.root.complete(*world.root.start())
    decide(world.root, decider)
    first, second, *_ = world.root.start(10)
    world.root.complete(first)
    world.root.fail(second)

    planned = plan_range(PlayedPlace(flow, world), words_of(), the_range())

    assert Act.JOIN is planned.step.act
    (prepare, each, end) = planned.activities
    assert (0, 58, 1) == (len(prepare.to_run), len(each.to_run), len(end.to_run))
    assert {"done": 1, "failed": 1, "running": 8} == {
        mark: each.counts[mark] for mark in ("done", "failed", "running")
    }
    assert 0 == plain(planned)["forecast"]["executions"]


def test_a_plan_starts_nothing():
    """It asks for lists and histories only."""
    flow = days_by_items()
    world = random_state(Random(3), None)
    place = PlayedPlace(flow, world)

    plan_range(place, words_of(), the_range())

    assert {"list", "history", "describe"} >= set(place.connect().asked)


def test_a_plan_tells_both_ends_and_the_numbers():
    """For people, and as JSON."""
    flow = days_by_items()
    planned = plan_range(PlayedPlace(flow), words_of(), the_range())

    lines = plan_lines([planned])

    assert "2026-01-01..2026-01-04: would be started" == lines[0]
    assert "would run 60: day=0,item=0 .. day=3,item=14" in lines[2]
    assert "forecast: 1 execution and 0 shards" in lines[-1]
    document = json.loads(json.dumps(plain(planned)))
    assert ("day=0,item=0", "day=3,item=14", 60) == tuple(
        document["activities"][1][key] for key in ("first", "last", "run")
    )
    assert 62 == document["forecast"]["instances"]
    assert ["nothing to do"] == plan_lines([])


# What cannot be known yet.


def an_activity(generator):
    """Return an activity with this generator."""
    return flow_of(first={}, second={"requires": ["first"], "generators": [generator]}).second


def test_a_fan_out_that_waits_for_results_is_unknown():
    """Its generator looks for a key that only a result can bring."""
    for generator in (
        lambda context: [{"n": one} for one in context["files"]],
        lambda context: [{"n": one} for one in context.get("files", [])],
        lambda context: [{"n": one} for one in context if one.startswith("file.")],
        lambda context: [{"n": one} for one in {**context} if one.startswith("file.")],
        lambda context: [{"n": len(context)}],
    ):
        found = foresee(an_activity(generator), {"start": 1}, is_waiting=True)

        assert found.manifest is None
        assert "waits for results" in found.problem
        assert not found.is_error


def test_what_a_generator_looked_for_in_vain_is_an_assumption():
    """Its number holds if no result sets the key."""
    found = foresee(
        an_activity(lambda context: [{"n": context["start"], "m": context.get("limit", 5)}]),
        {"start": 1},
        is_waiting=True,
    )

    assert 1 == found.manifest.count
    assert ("limit",) == found.assumes


def test_a_fan_out_that_waits_for_nothing_is_known():
    """Whatever it looks for is there by now, or never will be."""
    found = foresee(
        an_activity(lambda context: [{"n": one} for one in context.get("files", [])]), {}, False
    )

    assert 0 == found.manifest.count
    assert () == found.assumes


def test_a_generator_that_raises_is_said_to():
    """`run` would fail of it, so `plan` does not end well."""

    def broken(context):
        raise ValueError("no such day")

    flow = flow_of(only={"generators": [broken]})
    planned = plan_range(PlayedPlace(flow), words_of(), the_range())

    assert "its generators raise ValueError: no such day" in plan_lines([planned])[1]
    assert 1 == code_of(planned)


def test_generators_cannot_change_what_the_next_one_sees():
    """Each gets a copy."""

    def greedy(context):
        context.clear()
        context["files"] = [1]
        return [{"a": 1}]

    activity = flow_of(only={"generators": [greedy, lambda c: [{"b": c["start"]}]]}).only

    assert {"a": 1, "b": 7} == foresee(activity, {"start": 7}, False).manifest.local_context(0)


def test_a_flow_that_decides_by_itself_is_unknown_before_it_has_begun():
    """And known afterwards, as far as it has come."""
    flow = days_by_items()
    flow.decider = lambda schedule: None
    planned = plan_range(PlayedPlace(flow), words_of(), the_range())

    assert all("own decider" in line for line in plan_lines([planned])[1:4])


def test_overlap_fail_is_seen_in_the_plan():
    """With the exit code that `run` would have."""
    flow = days_by_items()
    world = a_run()
    decide(world.root, decider_of(flow))

    planned = plan_range(PlayedPlace(flow, world), words_of(overlap="fail"), the_range())

    assert 5 == code_of(planned)
    assert "would be refused" in plan_lines([planned])[0]


# Forecasts.


def test_a_forecast_counts_shards_as_the_planner_cuts_them():
    """What exceeds a shard's size together with what came before it."""
    flow = PlayedPlace(days_by_items(), shard_size=1_000).description
    small = forecast(flow, {"prepare": 1, "each": 900}, {"prepare": 1, "each": 900}, "local", True)
    large = forecast(
        flow, {"prepare": 1, "each": 91_250}, {"prepare": 1, "each": 91_250}, "aws", True
    )
    rest = forecast(flow, {"each": 1_500}, {"prepare": 1, "each": 91_250}, "aws", True)

    assert (0, 92, 2) == (small.shards, large.shards, rest.shards)
    assert 300_000 < large.events < 310_000
    assert 456 == round(large.seconds)


def test_a_forecast_heeds_the_flows_own_rate():
    """Ten a minute are slower than any engine."""
    flow = PlayedPlace(days_by_items(), rate_per_s=10 / 60).description

    assert 360 == round(forecast(flow, {"each": 60}, {"each": 60}, "local", True).seconds)


def test_a_range_is_known_by_its_input():
    """As `run` would start it."""
    (one,) = make_ranges("flow", [the_range().days], {})

    assert INPUT == one.input

"""Laws of deciding that hold for any flow and any luck: random flows over a played SWF.

The suite plays the same ones each time; GARCON_EXAMPLES=1000 plays so many others.
"""

from __future__ import annotations

import os
import random
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garcon.deciding.kept import settle_owed
from garcon.history import RunState
from garcon.outcome import Failure, Kind, encode_failure
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, play_world

EXAMPLES = int(os.environ.get("GARCON_EXAMPLES", "120"))

FLOWS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5), max_size=2),  # requires, as places before
        st.lists(st.integers(0, 9), max_size=2),  # lengths of generators
        st.integers(0, 2),  # retry
    ),
    min_size=1,
    max_size=5,
)

LOST = encode_failure(Failure(Kind.LOST, "worker died"))
HANDED_BACK = encode_failure(Failure(Kind.HANDED_BACK, "not now"))


def build(shape):
    """Return a flow of this shape, and its instances by activity."""
    declared, counts = {}, {}
    for place, (requires, lengths, retry) in enumerate(shape):
        name = f"a{place}"
        declared[name] = {
            "requires": sorted({f"a{one}" for one in requires if one < place}),
            "generators": [numbers(length, f"k{n}") for n, length in enumerate(lengths)],
            "retry": retry,
        }
        count = 1
        for length in lengths:
            count *= length
        counts[name] = count
    return flow_of(**declared), counts


def worker(seed, bad):
    """Return the work of workers who are out of luck in `bad` of 100 attempts.

    The luck of an attempt depends on what it is and not on when it runs, so that two plays with the
    same decisions are the same play.
    """

    def work(swf, one):
        dice = random.Random(f"{seed} {one.activity_id} {one.scheduled_event_id}")
        if dice.random() * 100 >= bad:
            swf.complete(one, {one.activity_id: dice.randint(0, 9)})
        else:
            dice.choice(
                [
                    lambda: swf.fail(one),
                    lambda: swf.fail(one, *LOST),
                    lambda: swf.fail(one, *HANDED_BACK),
                    lambda: swf.time_out(one),
                    lambda: swf.time_out(one, "HEARTBEAT"),
                    lambda: swf.time_out(one, "SCHEDULE_TO_START"),
                ]
            )()

    return work


def scheduled(world):
    """Return how often each instance was scheduled, by activity and id."""
    found = Counter()
    for run in world.runs.values():
        for one in run.kinds("ActivityTaskScheduled"):
            found[one["activityType"]["name"].removeprefix("flow_"), one["activityId"]] += 1
    return found


def ended_well(world):
    """Return how many instances of each activity have completed."""
    found = Counter()
    for run in world.runs.values():
        types = {
            event["eventId"]: event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
            for event in run.events
            if event["eventType"] == "ActivityTaskScheduled"
        }
        for one in run.kinds("ActivityTaskCompleted"):
            found[types[one["scheduledEventId"]].removeprefix("flow_")] += 1
    return found


def folded(run, fetch_run, *pieces):
    """Return the state of a run whose history came in these pieces."""
    state = RunState("domain", run.workflow_id, run.run_id)
    for piece in pieces:
        state.fold(piece)
        settle_owed(state, fetch_run)
    return state


def assert_folds_alike(run, seed, fetch_run):
    """A history folds to the same state whole, event by event, and cut anywhere."""
    events = run.events
    whole = folded(run, fetch_run, events)
    cut = random.Random(seed).randrange(len(events))
    assert whole == folded(run, fetch_run, *([event] for event in events))
    assert whole == folded(run, fetch_run, events[:cut], events[cut:])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="GARCON_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    FLOWS,
    st.sampled_from([None, 3, 7, 20]),
    st.sampled_from([0, 5, 30, 90]),
    st.integers(0, 10**6),
    st.integers(1, 40),
)
def test_whatever_happens_the_laws_hold(shape, shard_size, bad, seed, workers):
    """Cold equals warm; each instance once but for retries; no barrier opens early; it ends."""
    flow, counts = build(shape)
    work = worker(seed, bad)
    barriers = []

    def watched(swf, one):
        name = one.type_name.removeprefix("flow_")
        place = int(name[1:])
        for required in {f"a{number}" for number in shape[place][0] if number < place}:
            barriers.append(ended_well(warm)[required] == counts[required])
        work(swf, one)

    warm, cold = World(Swf({"a": 1})), World(Swf({"a": 1}))
    decider = decider_of(flow, shard_size=shard_size)
    play_world(warm, decider, watched if len(shape) < 4 else work, workers)
    play_world(cold, lambda: decider_of(flow, shard_size=shard_size), work, workers)

    # Cold deciders decide as warm ones, in every run.
    assert {name: run.responses for name, run in warm.runs.items()} == {
        name: run.responses for name, run in cold.runs.items()
    }
    assert all(barriers)
    for run in warm.runs.values():
        assert_folds_alike(run, seed, warm.fetch_run)
    found = scheduled(warm)
    by_activity = Counter(name for name, _ in found)
    assert all(by_activity[name] <= counts[name] for name in counts)
    for run in warm.runs.values():
        assert run.status in ("WorkflowExecutionCompleted", "WorkflowExecutionFailed")
        assert len(run.events) < 20_100
    if warm.root.status == "WorkflowExecutionCompleted":
        assert {name: count for name, count in counts.items() if count} == dict(by_activity)
        assert ended_well(warm) == by_activity
    if bad == 0:
        assert "WorkflowExecutionCompleted" == warm.root.status
        assert set(found.values()) <= {1}

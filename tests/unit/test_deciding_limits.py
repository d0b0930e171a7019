"""Delays of retries, what ends early, and what bounds a fan-out: over a played SWF."""

from __future__ import annotations

import heapq
import json

import pytest

from garcon.description import ActivityDescription, FlowDescription
from garcon.outcome import Failure, Kind, encode_failure
from garcon.planning.pacing import rate_room
from garcon.planning.verdict import failures_allowed, jitter
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide, play


def ids(swf):
    """Return the activity ids of the scheduled events."""
    return [found["activityId"] for found in swf.kinds("ActivityTaskScheduled")]


def moments(swf):
    """Return when activities were scheduled, seconds after the first."""
    found = [
        one["eventTimestamp"] for one in swf.events if one["eventType"] == "ActivityTaskScheduled"
    ]
    return [one - found[0] for one in found]


def test_retries_wait_longer_each_time_up_to_the_longest():
    """10 s, 20 s, 40 s, then 45 s, each within a quarter; one timer at a time."""
    swf = Swf()
    decider = decider_of(flow_of(only={"retry": 4}), retry_delay_s=10.0, retry_max_delay_s=45.0)

    play(swf, decider, lambda swf, one: swf.fail(one))

    waits = [b - a for a, b in zip(moments(swf), moments(swf)[1:], strict=False)]
    assert 4 == len(waits)
    for wait, meant in zip(waits, (10, 20, 40, 45), strict=True):
        assert 0.75 * meant <= wait <= 1.25 * meant + 1.5
    assert {"garcon.due"} == {found["timerId"] for found in swf.kinds("TimerStarted")}
    assert 4 == len(swf.kinds("TimerStarted"))


def test_waiting_retries_hold_one_timer_for_the_next_due_time():
    """However many wait; and they keep their places in the window."""
    swf = Swf()
    decider = decider_of(
        flow_of(many={"generators": [numbers(400)], "retry": 5}), retry_delay_s=100.0
    )
    decide(swf, decider)
    swf.advance(0)
    decide(swf, decider)
    for one in swf.start(50):
        swf.fail(one)
        swf.now_s += 0.5
    decide(swf, decider)

    # The window of 50 completions is 150: 50 wait for their retry, so 100 may be open.
    assert 100 == len(swf.tasks)
    timers = [one for one in swf.timers if one == "garcon.due"]
    assert 1 == len(timers)


def test_jitter_is_the_same_for_the_same_attempt_and_spreads():
    """A cold decider computes the same moment; a hundred do not come at once."""
    factors = [jitter(f"flow_many-{number}", 1) for number in range(100)]

    assert factors == [jitter(f"flow_many-{number}", 1) for number in range(100)]
    assert min(factors) >= 0.75
    assert max(factors) <= 1.25
    assert len(set(factors)) == 100


@pytest.mark.parametrize("listed", [("NoSuchCountry",), ("LookupError", "Other")])
def test_errors_that_no_retry_mends_end_the_instance(listed):
    """By the class's own name, or by that of a base."""
    swf = Swf()
    failure = Failure(
        Kind.FAILED, "NoSuchCountry: xx", ("NoSuchCountry", "LookupError", "Exception")
    )

    play(
        swf,
        decider_of(flow_of(only={"retry": 3}), no_retry=listed),
        lambda swf, one: swf.fail(one, *encode_failure(failure)),
    )

    assert 1 == len(ids(swf))
    assert "after 1 attempt: NoSuchCountry" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_lost_workers_are_replaced_at_once_whatever_the_delay():
    """Nothing about the work says that waiting would help."""
    swf = Swf()
    lost = encode_failure(Failure(Kind.LOST, "worker died"))

    def work(swf, one):
        if len(ids(swf)) == 1:
            swf.fail(one, *lost)
        else:
            swf.complete(one)

    play(swf, decider_of(flow_of(only={"retry": 1}), retry_delay_s=100.0), work)

    assert moments(swf)[-1] < 1


def stopping(swf, bad, **options):
    """Play a fan-out of 400 whose first `bad` instances fail."""

    def work(swf, one):
        if one.cancel_requested:
            swf.cancel(one)
        elif one.input["number"] < bad:
            swf.fail(one, "ValueError: no")
        else:
            swf.complete(one)

    play(swf, decider_of(flow_of(many={"generators": [numbers(400)]}), **options), work)


def test_fail_fast_stops_the_execution_at_the_first_failure():
    """What waits is canceled, what is left is not run, and the text says so."""
    swf = Swf()

    stopping(swf, 1, fail_fast=True)

    (failed,) = swf.kinds("WorkflowExecutionFailed")
    assert "1 of 400 instances of many failed" in failed["reason"]
    assert "instances were not run" in failed["details"]
    assert len(set(ids(swf))) < 250
    assert swf.kinds("ActivityTaskCanceled")


@pytest.mark.parametrize(
    ("limit", "bad", "runs_all"), [("5%", 20, True), ("5%", 21, False), (3, 3, True), (3, 4, False)]
)
def test_max_failures_stops_above_its_share_of_the_whole_manifest(limit, bad, runs_all):
    """At the limit all others run to their end; the execution fails all the same."""
    swf = Swf()

    stopping(swf, bad, max_failures=limit)

    assert "WorkflowExecutionFailed" == swf.status
    assert runs_all is (len(set(ids(swf))) == 400)


def test_share_of_failures_counts_whole_instances():
    """5 % of 19 is none."""
    activity = ActivityDescription("a", "t", "1", "l", max_failures="5%")

    assert [0, 1, 87] == [failures_allowed(activity, count) for count in (19, 20, 1750)]


def test_max_open_holds_over_retries_and_waits():
    """Never more than three at once, and all of them run."""
    swf = Swf()
    most = []

    def work(swf, one):
        most.append(len(swf.tasks))
        if ids(swf).count(one.activity_id) == 1 and one.input["number"] % 3 == 0:
            swf.fail(one)
        else:
            swf.complete(one)

    flow = flow_of(many={"generators": [numbers(50)], "retry": 1})
    play(swf, decider_of(flow, max_open=3, retry_delay_s=2.0), work)

    assert "WorkflowExecutionCompleted" == swf.status
    assert 3 == max(most)
    assert 50 == len(set(ids(swf)))


@pytest.mark.parametrize("rate", [10.0, 2.5, 0.5])
def test_rate_bounds_the_schedules_of_every_second(rate):
    """Never more than one second's worth above the line, and it is not slow either."""
    swf = Swf()
    count = 40

    play(swf, decider_of(flow_of(many={"generators": [numbers(count)]}), rate_per_s=rate))

    assert "WorkflowExecutionCompleted" == swf.status
    found = moments(swf)
    for number, at_s in enumerate(found, start=1):
        assert number <= max(1.0, rate) + at_s * rate + 1e-3
    assert found[-1] <= 2.5 * count / rate + 2


def test_rate_is_counted_from_the_schedules_in_the_history():
    """An empty bucket refills with time, and never above one second's worth."""
    assert 10 == rate_room([], 10.0, 100.0)
    assert 0 == rate_room([(100.0, 10)], 10.0, 100.0)
    assert 5 == rate_room([(100.0, 10)], 10.0, 100.5)
    assert 10 == rate_room([(100.0, 10)], 10.0, 900.0)
    assert 1 == rate_room([(100.0, 1)], 0.5, 102.0)
    assert 0 == rate_room([(100.0, 1)], 0.5, 101.0)


def test_many_free_workers_are_noticed_before_the_first_task_ends():
    """Starts wake no decider: it looks again while the window is emptied as fast as filled."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(2_000)]}), shard_size=None)

    for _ in range(60):
        if swf.has_decision_task:
            decide(swf, decider)
        swf.start(300)
        swf.advance(1)

    assert 900 >= len(swf.tasks) >= 400


def test_few_busy_workers_are_not_looked_at_again():
    """The window is full of waiting tasks: only an end brings news."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(2_000)]}), shard_size=None)

    for _ in range(600):
        if swf.has_decision_task:
            decide(swf, decider)
        running = [one for one in swf.tasks.values() if one.started_event_id]
        swf.start(16 - len(running))
        swf.advance(1)

    assert len(swf.responses) <= 6


def timed_run(count, workers, task_s, latency_s=0.005, decision_timeout_s=30):
    """Play a fan-out in virtual time, answers held; return the run, its time, idle time, holds."""
    swf = Swf(decision_timeout_s=decision_timeout_s)
    decider = decider_of(flow_of(many={"generators": [numbers(count)]}))
    begin_s, idle_s, holds = swf.now_s, 0.0, []
    ends: list[tuple[float, int]] = []
    answer, due_s = None, 0.0
    while swf.status is None:
        running = [one for one in swf.tasks.values() if one.started_event_id]
        for one in swf.start(workers - len(running)):
            heapq.heappush(ends, (swf.now_s + task_s, one.scheduled_event_id))
        if answer is None and swf.has_decision_task:
            answer = decider.decide(swf.poll(), swf.older)
            holds.append(answer.hold_s)
            due_s = swf.now_s + latency_s + answer.hold_s
        next_s = min([due_s] * (answer is not None) + [at_s for at_s, _ in ends[:1]])
        for timer_s, _ in swf.timers.values():
            next_s = min(next_s, timer_s)
        free = workers - len(ends)
        unscheduled = count - len(set(ids(swf)))
        idle_s += free * (next_s - swf.now_s) if unscheduled else 0.0
        swf.advance(max(0.0, next_s - swf.now_s))
        while ends and ends[0][0] <= swf.now_s:
            swf.complete(swf.tasks[heapq.heappop(ends)[1]])
        if answer is not None and due_s <= swf.now_s:
            swf.respond(answer.decisions, answer.execution_context)
            answer = None
    return swf, swf.now_s - begin_s, idle_s, holds


@pytest.mark.parametrize(
    ("workers", "task_s"), [(16, 0.1), (16, 0.01), (4, 0.02), (16, 2.0), (60, 0.3), (150, 1.0)]
)
def test_holding_saves_decisions_and_idles_no_worker(workers, task_s):
    """Nearly as fast as without, and with few events for each activity."""
    count = 700

    swf, took_s, idle_s, holds = timed_run(count, workers, task_s)

    assert "WorkflowExecutionCompleted" == swf.status
    assert idle_s <= 0.1 * workers * took_s + 2 * workers * 0.02
    assert took_s <= 1.15 * count * task_s / workers + 2 * task_s + 0.3
    assert len(swf.events) <= (3.6 if workers < 100 else 4.2) * count
    assert 0.0 == holds[0] == holds[-1]
    assert max(holds) <= 5.0


def test_an_answer_is_held_for_a_quarter_of_its_decision_s_own_time():
    """Whoever starts an execution may give its decisions less than the flow does."""
    _, _, _, usual = timed_run(400, workers=16, task_s=2.0)
    _, _, _, short = timed_run(400, workers=16, task_s=2.0, decision_timeout_s=8)

    assert 5.0 == max(usual)
    assert 2.0 == max(short)


def test_an_earlier_moment_takes_the_place_of_the_timer_that_waits():
    """One timer, for whatever is due first."""
    swf = Swf()
    flow = flow_of(slow={"retry": 1, "retry_delay": 100}, fast={"retry": 1, "retry_delay": 10})
    decider = decider_of(flow)
    decide(swf, decider)
    slow, fast = swf.start(2)
    swf.fail(slow)
    decide(swf, decider)
    swf.fail(fast)

    decide(swf, decider)

    assert ["garcon.due"] == [one["timerId"] for one in swf.kinds("TimerCanceled")]
    first, second = [int(one["startToFireTimeout"]) for one in swf.kinds("TimerStarted")]
    assert first > 70
    assert second < 14
    assert 1 == len(swf.timers)


def test_progress_is_told_with_every_answer():
    """Counts of each activity, as the module says."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(5)], "retry": 1}))
    decide(swf, decider)
    first, second = swf.start(2)
    swf.complete(first)
    swf.fail(second)
    decide(swf, decider)
    swf.signal("look")
    decide(swf, decider)

    assert {
        "garcon": 1,
        "activities": {
            "many": {"n": 5, "done": 1, "failed": 0, "running": 0, "open": 4, "retries": 1}
        },
    } == json.loads(swf.execution_context)


def test_description_survives_json_with_all_its_options():
    """The supervisor gets it as JSON."""
    activity = ActivityDescription(
        "a", "t", "1", "l", ("b",), no_retry=("X",), max_failures="5%", max_open=3, rate_per_s=0.5
    )
    flow = FlowDescription("d", "f", "1", (activity,))

    assert flow == FlowDescription.from_json(json.loads(json.dumps(flow.to_json())))


def test_a_decision_that_the_pace_cuts_short_waits_for_company():
    """Asked at once, it would only find the allowance used up once more."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(300)]}))

    first = decide(swf, decider, allowance=20)
    assert 20 == len(ids(swf))
    assert 0.0 == first.hold_s
    assert [("garcon.due", "1")] == [
        (one["timerId"], one["startToFireTimeout"]) for one in swf.kinds("TimerStarted")
    ]

    swf.complete(swf.start()[0])
    assert 0.5 == decide(swf, decider, allowance=0).hold_s
    assert 20 == len(ids(swf))


def test_a_refusal_for_the_rate_is_told_once():
    """By the decision that sees it, so that the pool slows down, and by none after it."""
    swf = Swf()
    swf.refuse = ("ACTIVITY_CREATION_RATE_EXCEEDED", 1)
    decider = decider_of(flow_of(many={"generators": [numbers(50)]}))

    told = []
    for _ in range(4):
        told.append(decide(swf, decider).throttled)
        swf.complete(swf.start()[0])

    assert [False, True, False, False] == told

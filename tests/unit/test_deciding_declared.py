"""Flows without a decider of their own, from start to close, over a played SWF."""

from __future__ import annotations

import json

import pytest

from garcon import task
from garcon.outcome import Failure, Kind, encode_failure
from garcon.runner import Sync
from tests.unit.deciding import days_by_countries, decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide, play


def metrics(days=7, countries=10, **options):
    """Return the flow of the main job: prepare, days x countries, summary."""
    return days_by_countries(days, countries, **{"retry": 3, **options})


def ids(swf, kind="ActivityTaskScheduled"):
    """Return the activity ids of the scheduled events."""
    return [found["activityId"] for found in swf.kinds(kind)]


def counts(swf):
    """Return the progress that the last response told."""
    return json.loads(swf.execution_context)["activities"]


def test_every_instance_runs_once_and_the_execution_completes():
    """Seven days of 250 countries: 1,752 schedules, each id once, under SWF's quotas."""
    swf = Swf({"start": "2026-01-01"})

    play(swf, decider_of(metrics(7, 250), shard_size=None))

    assert "WorkflowExecutionCompleted" == swf.status
    assert 1_752 == len(ids(swf)) == len(set(ids(swf)))
    assert len(swf.events) < 3.5 * 1_752
    assert {"n": 1750, "done": 1750, "failed": 0, "running": 0, "open": 0, "retries": 0} == counts(
        swf
    )["country_day"]


def test_the_next_activity_starts_after_the_last_instance():
    """The barrier is the manifest: it never opens on those that happen to be scheduled."""
    swf = Swf()

    play(swf, decider_of(metrics(30, 20)))

    last_end = max(
        event["eventId"]
        for event in swf.events
        if event["eventType"] == "ActivityTaskCompleted" and event["eventId"] < _summary_id(swf)
    )
    ended = sum(
        event["eventType"] == "ActivityTaskCompleted" and event["eventId"] <= last_end
        for event in swf.events
    )
    assert 601 == ended


def _summary_id(swf):
    return next(
        event["eventId"]
        for event in swf.events
        if event["eventType"] == "ActivityTaskScheduled"
        and event["activityTaskScheduledEventAttributes"]["activityId"] == "flow_summary-1"
    )


def test_a_cold_decider_plans_what_a_warm_one_plans():
    """A new decider for every decision gives the same responses as one for all."""
    warm, cold = Swf({"a": 1}), Swf({"a": 1})
    flow = metrics(5, 30)

    play(warm, decider_of(flow))
    play(cold, lambda: decider_of(flow))

    assert warm.responses == cold.responses


def test_first_fill_is_a_hundred_and_the_window_follows_what_runs():
    """A run never buries another one: open = running + 100, or 3 x completions, at most 900."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(2_000)]}), shard_size=None)

    decide(swf, decider)
    assert 98 - 1 == len(swf.tasks)  # one marker, and room for two timers
    swf.advance(0)
    decide(swf, decider)
    assert 100 == len(swf.tasks)

    started = swf.start(40)
    swf.complete(started[0])
    decide(swf, decider)
    assert 39 + 100 == len(swf.tasks)


def test_open_activities_stay_under_900():
    """However many workers there are, SWF's limit of 1,000 stays away."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(4_000)]}), shard_size=None)
    most = 0
    decide(swf, decider)
    for _ in range(60):
        swf.advance(1)
        swf.start(1_000)
        if not swf.has_decision_task:
            swf.complete(next(iter(swf.tasks.values())))
        decide(swf, decider)
        most = max(most, len(swf.tasks))

    assert 900 == most


def test_full_response_asks_for_another_decision_with_one_timer():
    """Behind a full response stands a 0-second timer, and never two of them."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(500)]}))

    answer = decide(swf, decider)
    swf.complete(swf.start(1)[0])
    decide(swf, decider)

    assert answer.decisions[-1]["startTimerDecisionAttributes"] == {
        "timerId": "garcon.more",
        "startToFireTimeout": "0",
    }
    assert 1 == len(swf.kinds("TimerStarted"))
    assert 0.0 == answer.hold_s


def test_responses_stay_within_bytes_as_well_as_number():
    """Large inputs make a response full before the hundred."""
    swf = Swf({"text": "é" * 5_000})
    decider = decider_of(flow_of(many={"generators": [numbers(100)]}))

    answer = decide(swf, decider)

    assert len(json.dumps(answer.decisions)) < 900_000
    assert 20 < len(swf.tasks) < 35
    play(swf, decider)
    assert "WorkflowExecutionCompleted" == swf.status


def test_generators_run_once_even_if_their_answer_changes():
    """What was frozen counts, over restarts of the decider as well."""
    calls = []

    def shifting(context):
        calls.append(context)
        return [{"number": number + 1_000 * len(calls)} for number in range(300)]

    flow = flow_of(many={"generators": [shifting]})
    swf = Swf()

    play(swf, lambda: decider_of(flow))

    assert "WorkflowExecutionCompleted" == swf.status
    assert 1 == len(calls)
    assert 300 == len(set(ids(swf)))


def test_inputs_follow_the_context_as_it_was_when_frozen():
    """What a sibling brings into the context later changes no instance of a running fan-out."""

    @task.decorate()
    def read(activity, seen, number):
        """Declare what the input has to hold."""

    run = Sync(read.fill(seen="seen", number="number"))
    flow = flow_of(first={}, many={"generators": [numbers(150)], "requires": ["first"], "run": run})
    swf = Swf({"seen": "input"})

    def work(swf, one):
        swf.complete(one, {"seen": one.activity_id})

    play(swf, lambda: decider_of(flow), work)

    inputs = [json.loads(found["input"]) for found in swf.kinds("ActivityTaskScheduled")][1:]
    assert {"flow_first-1"} == {found["seen"] for found in inputs}
    assert set(range(150)) == {found["number"] for found in inputs}


def test_an_empty_fan_out_opens_its_barrier_at_once():
    """No instances: the next activity is scheduled in the same response."""
    swf = Swf()

    decide(swf, decider_of(flow_of(many={"generators": [numbers(0)]}, last={"requires": ["many"]})))

    assert ["flow_last-1"] == ids(swf)


def test_a_run_without_any_instance_completes():
    """Nothing to do is done."""
    swf = Swf()

    decide(swf, decider_of(flow_of(many={"generators": [numbers(0)]})))

    assert "WorkflowExecutionCompleted" == swf.status


def test_failed_instance_is_retried_alone():
    """retry=3: two failures and a success are three attempts, its siblings run once."""
    swf = Swf()

    def work(swf, one):
        fails = one.input.get("day") == 2 and one.input.get("country") == 3
        if fails and ids(swf).count(one.activity_id) < 3:
            swf.fail(one)
        else:
            swf.complete(one)

    play(swf, decider_of(metrics(3, 4)), work)

    assert "WorkflowExecutionCompleted" == swf.status
    assert 12 + 2 + 2 == len(ids(swf))
    assert 2 == counts(swf)["country_day"]["retries"]


def test_used_up_retries_fail_the_execution_after_the_siblings_ended():
    """The text names how many, which and why; what runs beside it is not cut off."""
    swf = Swf()

    def work(swf, one):
        if one.input.get("day") == 0 and one.input.get("country", 9) < 2:
            details = encode_failure(Failure(Kind.FAILED, "", ("ValueError",), "Traceback: here"))
            swf.fail(one, "ValueError: no rate", details[1])
        else:
            swf.complete(one)

    play(swf, decider_of(metrics(10, 30)), work)

    assert "WorkflowExecutionFailed" == swf.status
    (failed,) = swf.kinds("WorkflowExecutionFailed")
    assert failed["reason"].startswith(
        "2 of 300 instances of country_day failed; first country_day"
    )
    assert '"day":0' in failed["reason"]
    assert "after 4 attempts: ValueError: no rate" in failed["reason"]
    assert "Traceback: here" in failed["details"]
    assert 298 + 1 == len(swf.kinds("ActivityTaskCompleted"))
    assert 2 == counts(swf)["country_day"]["failed"]


def test_independent_activities_go_on_beside_a_failure():
    """Only what requires the failed activity stays undone."""
    flow = flow_of(bad={}, after_bad={"requires": ["bad"]}, good={}, after={"requires": ["good"]})
    swf = Swf()

    def work(swf, one):
        (swf.fail if one.type_name == "flow_bad" else swf.complete)(one)

    play(swf, decider_of(flow), work)

    assert "WorkflowExecutionFailed" == swf.status
    assert {"flow_bad-1", "flow_good-1", "flow_after-1"} == set(ids(swf))
    assert "bad after 1 attempt: boom" == swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_lost_workers_draw_on_their_own_budget():
    """Three lost workers cost no retry; the fourth ends the instance, naming it as the killer."""
    lost = encode_failure(Failure(Kind.LOST, "worker 3 died of signal 9"))

    def run(deaths):
        swf = Swf()

        def work(swf, one):
            if ids(swf).count(one.activity_id) <= deaths:
                swf.fail(one, *lost)
            else:
                swf.complete(one)

        play(swf, decider_of(flow_of(only={"retry": 0})), work)
        return swf

    assert "WorkflowExecutionCompleted" == run(3).status
    reason = run(4).kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "it kills its workers (4 lost)" in reason
    assert "signal 9" in reason


@pytest.mark.parametrize("kind", ["START_TO_CLOSE", "SCHEDULE_TO_CLOSE"])
def test_timeouts_of_the_work_draw_on_retry(kind):
    """A timed-out activity is tried again, as often as retry says."""
    swf = Swf()

    play(swf, decider_of(flow_of(only={"retry": 1})), lambda swf, one: swf.time_out(one, kind))

    assert "WorkflowExecutionFailed" == swf.status
    assert 2 == len(ids(swf))
    assert kind in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_missing_heartbeats_draw_on_the_lost_budget():
    """HEARTBEAT says that nobody is there any more, not that the work failed."""
    swf = Swf()

    play(
        swf, decider_of(flow_of(only={"retry": 0})), lambda swf, one: swf.time_out(one, "HEARTBEAT")
    )

    assert 4 == len(ids(swf))


def test_tasks_handed_back_draw_on_nothing_and_slow_down():
    """What never ran is scheduled again; after three times with a growing pause."""
    swf = Swf()
    handed_back = encode_failure(Failure(Kind.HANDED_BACK, "the pool stops"))
    begin_s = swf.now_s

    def work(swf, one):
        if len(ids(swf)) < 8:
            swf.fail(one, *handed_back)
        else:
            swf.complete(one)

    play(swf, decider_of(flow_of(only={"retry": 0})), work)

    assert "WorkflowExecutionCompleted" == swf.status
    assert 2 + 4 + 8 + 16 <= swf.now_s - begin_s < 40


def test_a_canceled_instance_ends_without_a_retry():
    """Somebody wanted it to end."""
    swf = Swf()

    play(swf, decider_of(flow_of(only={"retry": 3})), lambda swf, one: swf.cancel(one))

    assert "WorkflowExecutionFailed" == swf.status
    assert 1 == len(ids(swf))
    assert "canceled" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_news_during_the_closing_decision_are_taken_and_it_closes_again():
    """UNHANDLED_DECISION is an invitation to look again."""
    swf = Swf()
    decider = decider_of(flow_of(only={}))
    decide(swf, decider)
    swf.complete(swf.start(1)[0])
    task_ = swf.poll()
    answer = decider.decide(task_, swf.older)
    swf.signal("hello")
    swf.respond(answer.decisions)
    assert 1 == len(swf.kinds("CompleteWorkflowExecutionFailed"))

    decide(swf, decider)

    assert "WorkflowExecutionCompleted" == swf.status


@pytest.mark.parametrize(
    "cause", ["OPEN_ACTIVITIES_LIMIT_EXCEEDED", "ACTIVITY_CREATION_RATE_EXCEEDED"]
)
def test_limits_are_waited_for_with_a_timer(cause):
    """A refused schedule makes a decision at once; answering it at once would fill the history."""
    swf = Swf()
    swf.refuse = (cause, 200)
    begin_s = swf.now_s

    play(swf, decider_of(flow_of(many={"generators": [numbers(60)]})))

    assert "WorkflowExecutionCompleted" == swf.status
    assert 60 == len(set(ids(swf)))
    assert 4 == len(
        {found["decisionTaskCompletedEventId"] for found in swf.kinds("ScheduleActivityTaskFailed")}
    )
    assert 1 + 2 + 4 + 8 <= swf.now_s - begin_s < 20
    assert len(swf.responses) < 20


def test_an_unknown_activity_type_fails_the_execution_with_its_name():
    """Waiting would not help; the text says what would."""
    swf = Swf(unknown_types=frozenset({"flow_only"}))

    play(swf, decider_of(flow_of(only={})))

    reason = swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "flow_only" in reason
    assert "not registered" in reason


def test_fan_out_that_cannot_fit_one_history_is_refused_at_once_with_the_numbers():
    """Before a single instance has run."""
    swf = Swf()

    flow = flow_of(many={"generators": [numbers(100, "a"), numbers(60, "b")], "shard_size": None})
    play(swf, decider_of(flow))

    reason = swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "6,000 instances" in reason
    assert "20,000" in reason
    assert [] == ids(swf)


def test_a_run_past_its_events_fails_with_the_numbers():
    """A task that is handed back for ever ends its run before SWF's 25,000 do."""
    swf = Swf()
    flow = flow_of(many={"generators": [numbers(2)], "retry": 100_000})
    decider = decider_of(flow, shard_size=None)

    play(swf, decider, lambda swf, one: swf.fail(one))

    assert "WorkflowExecutionFailed" == swf.status
    assert 20_000 < len(swf.events) < 20_020
    assert "20,0" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


@pytest.mark.parametrize("text", ["", "[1]", "not json", '"x"', "7"])
def test_input_that_is_no_json_object_fails_the_execution(text):
    """No input at all is an empty one."""
    swf = Swf(text)

    play(swf, decider_of(flow_of(only={})))

    if text == "":
        assert "WorkflowExecutionCompleted" == swf.status
    else:
        assert "not a JSON object" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def raising(context):
    """Fail as users' generators fail."""
    yield {"day": 1}
    raise KeyError("start")


def exiting(context):
    """End the process, if nobody minds."""
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("generator", "text"),
    [
        (raising, "generator raising of activity 'many' raised KeyError: 'start'"),
        (exiting, "SystemExit: 3"),
        (lambda context: None, "returned None"),
        (lambda context: [1], "yielded int as entry 1"),
        (lambda context: {"a": 1}, "yielded str"),
        (lambda context: [{"when": object()}], "when is a object"),
    ],
)
def test_generator_errors_fail_the_execution_naming_the_generator(generator, text):
    """Never a traceback in the reason; it stands in the details."""
    swf = Swf()

    play(swf, decider_of(flow_of(many={"generators": [generator]})))

    (failed,) = swf.kinds("WorkflowExecutionFailed")
    assert text in failed["reason"]
    assert "Traceback" not in failed["reason"]
    assert "\n" not in failed["reason"]


def test_input_over_the_limit_fails_the_execution_with_the_mend():
    """SWF takes 32,768 characters; the text tells how to send less."""
    swf = Swf({"text": "x" * 32_700})

    play(swf, decider_of(flow_of(only={})))

    reason = swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "32,768" in reason
    assert "fill" in reason


def test_what_a_generator_does_to_its_context_reaches_nobody():
    """User code works on copies."""

    def greedy(context):
        context["days"].append("more")
        context.clear()
        return [{"n": 1}]

    swf = Swf({"days": ["one"]})

    play(swf, decider_of(flow_of(many={"generators": [greedy]}, last={"requires": ["many"]})))

    inputs = [json.loads(found["input"]) for found in swf.kinds("ActivityTaskScheduled")]
    assert [["one"], ["one"]] == [found["days"] for found in inputs]


def test_cancel_stops_what_runs_then_closes_as_canceled():
    """Waiting tasks end at once, running ones when they hear of it."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(300)]}))
    decide(swf, decider)
    running = swf.start(2)
    swf.request_cancel()

    decide(swf, decider)

    assert all(one.cancel_requested for one in running)
    assert 2 == len(swf.tasks)
    for one in running:
        swf.cancel(one)
    play(swf, decider)
    assert "WorkflowExecutionCanceled" == swf.status


def test_cancel_closes_after_the_grace_though_a_task_goes_on():
    """A task that never hears of it does not hold the execution for ever."""
    swf = Swf()
    decider = decider_of(flow_of(only={}))
    decide(swf, decider)
    swf.start(1)
    swf.request_cancel()
    requested_s = swf.now_s

    while swf.status is None:
        if swf.has_decision_task:
            decide(swf, decider)
        swf.advance(0 if swf.status else 10)

    assert "WorkflowExecutionCanceled" == swf.status
    assert 60 <= swf.now_s - requested_s <= 70


def test_priority_of_the_run_goes_with_every_task():
    """taskPriority of the start is passed on."""
    swf = Swf(task_priority="7")

    play(swf, decider_of(flow_of(only={})))

    assert "7" == swf.kinds("ActivityTaskScheduled")[0]["taskPriority"]


def test_a_lost_activity_fails_the_execution_by_name():
    """A deploy that removes an activity under a running execution is told, not waited out."""
    swf = Swf()
    decide(swf, decider_of(flow_of(old={})))
    swf.complete(swf.start(1)[0])
    swf2 = Swf()
    decide(swf2, decider_of(flow_of(old={})))
    swf2.fail(swf2.start(1)[0])

    play(swf2, decider_of(flow_of(new={})))

    assert "'old'" in swf2.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_the_allowance_bounds_the_schedules_of_a_decision():
    """What the pace forbids now is asked for again a second later."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(60)]}))

    decide(swf, decider, allowance=10)

    assert 10 == len(ids(swf))
    assert ["garcon.due"] == [found["timerId"] for found in swf.kinds("TimerStarted")]


def test_three_dead_deciders_in_a_row_fail_the_run():
    """Instead of a loop of timeouts until the execution's own."""
    swf = Swf()
    decider = decider_of(flow_of(first={}, second={"requires": ["first"]}))
    decide(swf, decider)
    swf.complete(swf.start(1)[0])
    for _ in range(3):
        swf.poll()
        swf.time_out_decision()

    decide(swf, decider)

    assert "3 decisions in a row" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_two_deaths_while_generators_are_due_name_the_activity():
    """They are what was running."""
    swf = Swf()
    for _ in range(2):
        swf.poll()
        swf.time_out_decision()

    decide(swf, decider_of(flow_of(many={"generators": [numbers(3)]})))

    assert "generators of 'many'" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_one_death_is_forgiven():
    """A killed decider costs one decision."""
    swf = Swf()
    swf.poll()
    swf.time_out_decision()

    play(swf, decider_of(flow_of(many={"generators": [numbers(3)]})))

    assert "WorkflowExecutionCompleted" == swf.status

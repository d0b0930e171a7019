"""Flows with a decider of their own, over a played SWF."""

from __future__ import annotations

import json

import pytest

from garcon import decider as decider_module
from garcon.activity import ActivityInstanceNotReadyException
from garcon.decider import ActivityFailedError
from garcon.errors import GarconError
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide, play


def ids(swf):
    """Return the activity ids of the scheduled events."""
    return [found["activityId"] for found in swf.kinds("ActivityTaskScheduled")]


def test_results_steer_the_next_step():
    """`schedule` returns a state whose result decides what is scheduled next."""

    def decider(schedule, context=None):
        order = schedule("order", flow.take)
        if order.result["milk"] == context["wish"]:
            schedule("froth", flow.make, requires=[order], input={"what": "froth"})
        schedule("brew", flow.make, requires=[order], input={"what": "coffee"})

    flow = flow_of(decider=decider, take={}, make={})
    swf = Swf({"wish": True})

    play(swf, decider_of(flow), lambda swf, one: swf.complete(one, {"milk": True}))

    assert "WorkflowExecutionCompleted" == swf.status
    assert ["flow_take-1-order", "flow_make-1-froth", "flow_make-1-brew"] == ids(swf)
    inputs = [json.loads(found["input"]) for found in swf.kinds("ActivityTaskScheduled")]
    assert ["froth", "coffee"] == [found["what"] for found in inputs[1:]]


def test_a_fan_out_of_a_custom_decider_is_frozen_and_is_a_barrier():
    """Generators run once, whatever they would say later, and `wait` waits for all instances."""
    calls = []

    def shifting(context):
        calls.append(1)
        return [{"n": number + 1_000 * len(calls)} for number in range(250)]

    def decider(schedule):
        many = schedule("all", flow.many)
        many.wait()
        schedule("end", flow.last)

    flow = flow_of(decider=decider, many={"generators": [shifting]}, last={})
    swf = Swf()

    play(swf, lambda: decider_of(flow), workers=40)

    assert "WorkflowExecutionCompleted" == swf.status
    assert 1 == len(calls)
    assert 251 == len(set(ids(swf)))
    assert "flow_last-1-end" == ids(swf)[-1]


def test_result_of_a_fan_out_merges_all_instances():
    """As in 1.x: one dict, later instances over earlier ones."""
    seen = []

    def decider(schedule):
        seen.append(schedule("all", flow.many).result)

    flow = flow_of(decider=decider, many={"generators": [numbers(3)]})
    swf = Swf()

    play(swf, decider_of(flow), lambda swf, one: swf.complete(one, {str(one.input["number"]): 1}))

    assert [{"0": 1, "1": 1, "2": 1}] == seen


def test_changing_a_result_changes_nothing_for_the_next_decision():
    """The decider gets copies."""
    seen = []

    def decider(schedule):
        first = schedule("one", flow.only).result
        seen.append(dict(first))
        first["a"] = 2
        schedule("two", flow.only).wait()

    flow = flow_of(decider=decider, only={})

    play(Swf(), decider_of(flow), lambda swf, one: swf.complete(one, {"a": 1}))

    assert [{"a": 1}, {"a": 1}] == seen


def test_same_activity_twice_needs_two_ids():
    """The schedule id tells the uses of one activity apart."""

    def decider(schedule):
        schedule("one", flow.only)
        schedule("two", flow.only)

    flow = flow_of(decider=decider, only={})
    swf = Swf()

    play(swf, decider_of(flow))

    assert ["flow_only-1-one", "flow_only-1-two"] == ids(swf)


def test_used_up_retries_raise_in_the_decider_and_fail_the_run_after_the_others():
    """What runs beside it ends first; the text names the activity and the reason."""

    def decider(schedule):
        schedule("slow", flow.slow)
        schedule("bad", flow.bad)

    flow = flow_of(decider=decider, slow={}, bad={"retry": 1})
    swf = Swf()
    worker = decider_of(flow)
    decide(swf, worker)
    slow, bad = swf.start(2)
    swf.fail(bad)
    decide(swf, worker)
    swf.fail(swf.start(1)[0], "ValueError: sour")
    decide(swf, worker)
    assert swf.status is None
    swf.complete(slow)

    decide(swf, worker)

    assert "WorkflowExecutionFailed" == swf.status
    assert (
        "bad (bad) after 2 attempts: ValueError: sour"
        == swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    )


def test_a_decider_may_catch_a_failure_and_go_on():
    """An activity that may fail does not fail the run of a decider that says so."""

    def decider(schedule):
        try:
            schedule("bad", flow.bad).wait()
        except ActivityFailedError:
            schedule("mend", flow.mend)

    flow = flow_of(decider=decider, bad={}, mend={})
    swf = Swf()

    def work(swf, one):
        (swf.fail if one.type_name == "flow_bad" else swf.complete)(one)

    play(swf, decider_of(flow), work)

    assert "WorkflowExecutionCompleted" == swf.status
    assert "flow_mend-1-mend" == ids(swf)[-1]
    assert issubclass(ActivityFailedError, GarconError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("cup"), "the decider raised KeyError: 'cup'"),
        (SystemExit(2), "the decider raised SystemExit: 2"),
    ],
)
def test_a_decider_that_raises_fails_the_run_with_its_text(error, text):
    """The traceback stands in the details."""

    def decider(schedule):
        raise error

    swf = Swf()

    play(swf, decider_of(flow_of(decider=decider, only={})))

    (failed,) = swf.kinds("WorkflowExecutionFailed")
    assert text == failed["reason"]
    assert "in decider" in failed["details"]


def test_schedule_takes_the_names_that_the_documented_function_has():
    """1.x bound its parameters by these names; without them the mend is said."""

    def decider(schedule):
        first = schedule(schedule_id="it", current_activity=flow.only)
        first.wait()
        schedule("more")

    flow = flow_of(decider=decider, only={})
    swf = Swf()

    play(swf, decider_of(flow))

    assert ["flow_only-1-it"] == ids(swf)
    assert (
        "schedule needs an id and an activity" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    )


def test_an_activity_that_the_flow_lists_is_scheduled():
    """`flow.activities` may hold those that are no attributes."""
    stranger = flow_of(stranger={}).stranger
    flow = flow_of(decider=lambda schedule: schedule("it", stranger), only={})
    flow.activities = [stranger]
    swf = Swf()

    play(swf, decider_of(flow))

    assert "WorkflowExecutionCompleted" == swf.status
    assert ["flow_stranger-1-it"] == ids(swf)


def test_an_activity_that_the_flow_does_not_list_is_refused_by_name():
    """Nobody would serve its tasks."""
    stranger = flow_of(stranger={}).stranger

    def decider(schedule):
        schedule("it", stranger)

    swf = Swf()

    play(swf, decider_of(flow_of(decider=decider, only={})))

    reason = swf.kinds("WorkflowExecutionFailed")[0]["reason"]
    assert "'flow_stranger'" in reason
    assert "only" in reason


def test_an_id_with_forbidden_characters_fails_the_run_naming_them():
    """SWF would refuse the whole response, again and again."""

    def decider(schedule):
        schedule("a:b", flow.only)

    flow = flow_of(decider=decider, only={})
    swf = Swf()

    play(swf, decider_of(flow))

    assert "':'" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_input_that_is_no_json_fails_the_run_naming_the_schedule():
    """What cannot be recorded cannot be scheduled."""

    def decider(schedule):
        schedule("it", flow.only, input={"when": object()})

    flow = flow_of(decider=decider, only={})
    swf = Swf()

    play(swf, decider_of(flow))

    assert "schedule 'it' is not JSON" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_a_run_begun_by_garcon_1_1_1_goes_on_with_its_own_ids():
    """Instances that were scheduled without a manifest keep their SHA-1 ids and their results."""
    flow = flow_of(many={"generators": [numbers(4)], "retry": 1}, last={"requires": ["many"]})
    swf = Swf()
    swf.poll()
    old = [
        {
            "decisionType": "ScheduleActivityTask",
            "scheduleActivityTaskDecisionAttributes": {
                "activityType": {"name": "flow_many", "version": "1.0"},
                "activityId": instance.legacy_id,
                "input": "{}",
            },
        }
        for instance in flow.many.instances({})
    ]
    swf.respond(old[:3])
    first, second, _ = swf.start(3)
    swf.complete(first)
    swf.time_out(second)

    play(swf, decider_of(flow))

    assert "WorkflowExecutionCompleted" == swf.status
    legacy = [one["scheduleActivityTaskDecisionAttributes"]["activityId"] for one in old]
    assert [*legacy[:3], legacy[1], legacy[3], "flow_last-1"] == ids(swf)


def test_signals_are_seen_in_their_order():
    """A decider may wait for somebody's word."""
    seen = []

    def decider(schedule):
        seen.append([(one.name, one.input) for one in schedule.signals])
        if len(schedule.signals) < 2:
            schedule("ask", flow.only)
            schedule.timer("patience", 3600).wait()
        schedule("go", flow.only)

    flow = flow_of(decider=decider, only={})
    swf = Swf()
    worker = decider_of(flow)
    decide(swf, worker)
    swf.complete(swf.start(1)[0])
    decide(swf, worker)
    swf.signal("yes", "1")
    swf.signal("no")
    decide(swf, worker)

    assert [("yes", "1"), ("no", None)] == seen[-1]
    assert ["flow_only-1-ask", "flow_only-1-go"] == ids(swf)


def test_a_timer_is_started_once_and_is_ready_when_it_has_fired():
    """It names its own time; a run that waits for it is not over."""

    def decider(schedule):
        schedule.timer("nap", 50).wait()
        schedule("go", flow.only)

    flow = flow_of(decider=decider, only={})
    swf = Swf()
    begin_s = swf.now_s

    play(swf, decider_of(flow))

    assert "WorkflowExecutionCompleted" == swf.status
    assert [("timer.nap", "50")] == [
        (found["timerId"], found["startToFireTimeout"]) for found in swf.kinds("TimerStarted")
    ]
    assert 50 <= swf.now_s - begin_s < 51


def test_a_run_that_waits_for_a_signal_stays_open():
    """Nothing runs, nothing failed: somebody else has the next word."""

    def decider(schedule):
        if not schedule.signals:
            schedule("ask", flow.only).wait()
            raise ActivityInstanceNotReadyException("no answer yet")

    flow = flow_of(decider=decider, only={})
    swf = Swf()
    worker = decider_of(flow)

    play(swf, worker)
    swf.signal("yes")
    decide(swf, worker)

    assert "WorkflowExecutionCompleted" == swf.status


def test_a_flow_that_imports_the_module_decider_has_none_of_its_own():
    """`from garcon import decider` in a flow's module makes an attribute of that name."""
    flow = flow_of(decider=decider_module, only={})
    swf = Swf()

    play(swf, decider_of(flow))

    assert "WorkflowExecutionCompleted" == swf.status
    assert ["flow_only-1"] == ids(swf)

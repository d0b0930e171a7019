"""What SWF refuses, and what no JSON can hold: waited for, or the end with a line that names it."""

from __future__ import annotations

import random
import string

import pytest

from garcon.planning.batch import start_timer
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, World, decide, play, play_world

DEEP = "[" * 100_000 + "]" * 100_000


def reason_of(swf):
    """Return why an execution failed."""
    return swf.kinds("WorkflowExecutionFailed")[0]["reason"]


class Refusing(Swf):
    """An SWF that refuses one kind of decision for one cause."""

    def refuse_all(self, kind, cause):
        """Refuse every decision of this kind, with no event before the refusal."""

        def refused(found, completed):
            about = {**found, "cause": cause, "initiatedEventId": 0}
            self.add(f"{kind}Failed", {**about, "decisionTaskCompletedEventId": completed}, True)

        snake = "".join(f"_{one.lower()}" if one.isupper() else one for one in kind)
        setattr(self, f"_do{snake}", refused)


@pytest.mark.parametrize("cause", ["OPERATION_NOT_PERMITTED", "OPEN_TIMERS_LIMIT_EXCEEDED"])
def test_a_timer_that_is_refused_for_good_ends_the_execution(cause):
    """Asking again at once would fill the history with refusals."""
    swf = Refusing()
    swf.refuse_all("StartTimer", cause)
    decider = decider_of(flow_of(only={"retry": 3, "retry_delay": 60}))

    play(swf, decider, lambda swf, one: swf.fail(one), steps=200)

    assert f"SWF refused timer garcon.due: {cause}" in reason_of(swf)
    assert len(swf.events) < 30


def test_a_timer_that_is_refused_for_its_rate_is_asked_for_again():
    """Another account's minute of trouble ends no execution."""
    swf = Refusing()
    swf.refuse_all("StartTimer", "TIMER_CREATION_RATE_EXCEEDED")
    decider = decider_of(flow_of(only={"retry": 1, "retry_delay": 60}))
    decide(swf, decider)
    swf.fail(*swf.start())
    decide(swf, decider)
    assert 1 == len(swf.kinds("StartTimerFailed"))

    del swf._do_start_timer
    play(swf, decider)

    assert "WorkflowExecutionCompleted" == swf.status


def test_a_shard_s_start_is_waited_for_less_long_after_one_that_worked():
    """Refusals in a row count; one that lies an hour back does not."""
    world = World(Swf())
    flow = flow_of(many={"generators": [numbers(400)]})
    decider = decider_of(flow, shard_size=10)
    began = {}

    def work(swf, one):
        # Once in a while the next start is refused.
        if swf.parent and swf.workflow_id not in began:
            began[swf.workflow_id] = swf.now_s
            if len(began) % 12 == 0:
                world.root.refuse = ("CHILD_CREATION_RATE_EXCEEDED", 1)
        swf.complete(one)

    play_world(world, decider, work)

    assert "WorkflowExecutionCompleted" == world.root.status
    refused = world.root.kinds("StartChildWorkflowExecutionFailed")
    waits = [
        int(one["startToFireTimeout"])
        for one in world.root.kinds("TimerStarted")
        if one["timerId"] == "garcon.due"
    ]
    assert len(refused) > 1
    assert max(waits) <= 2


def test_a_start_that_fails_late_for_its_rate_is_waited_for_too():
    """SWF may say Initiated first: the slice goes back, and the next start waits a moment."""
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(20)]}), shard_size=10)
    decide(swf, decider)
    started = swf.kinds("StartChildWorkflowExecutionInitiated")
    assert 2 == len(started)
    swf.outbox.clear()
    for number, found in enumerate(started):
        late = {**found, "cause": "CHILD_CREATION_RATE_EXCEEDED", "initiatedEventId": 5 + number}
        swf.add("StartChildWorkflowExecutionFailed", late, wakes=True)

    decide(swf, decider)

    assert 2 == len(swf.kinds("StartChildWorkflowExecutionInitiated"))
    swf.advance(5)
    decide(swf, decider)
    again = swf.kinds("StartChildWorkflowExecutionInitiated")[2:]
    assert 2 == len(again)
    assert {one["workflowId"] for one in again}.isdisjoint(one["workflowId"] for one in started)


def test_a_signal_that_is_refused_for_its_rate_is_sent_again_after_a_wait():
    """Else the parent would take the shard for one that still has work to give out."""
    shard = Refusing()
    world = World(Swf())
    decider = decider_of(flow_of(many={"generators": [numbers(20)]}), shard_size=10)
    decide(world.root, decider)
    world.deliver()
    shard = world.runs[world.starts[0]]
    shard.__class__ = Refusing
    shard.refuse_all(
        "SignalExternalWorkflowExecution", "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
    )
    decide(shard, decider)
    shard.complete(*shard.start())
    decide(shard, decider)
    decide(shard, decider)
    assert 1 == len(shard.kinds("SignalExternalWorkflowExecutionFailed"))
    del shard._do_signal_external_workflow_execution

    assert not shard.has_decision_task
    shard.advance(2)
    decide(shard, decider)

    assert 1 == len(shard.kinds("SignalExternalWorkflowExecutionInitiated"))


@pytest.mark.parametrize(
    "kind", ["SignalExternalWorkflowExecution", "RequestCancelExternalWorkflowExecution"]
)
def test_what_the_credentials_do_not_allow_is_not_repeated(kind):
    """A word between executions that SWF forbids is said once: each costs events."""
    world = World(Swf())
    decider = decider_of(flow_of(many={"generators": [numbers(20)]}), shard_size=10)
    decide(world.root, decider)
    world.deliver()
    sender = world.runs[world.starts[0]] if kind.startswith("Signal") else world.root
    sender.__class__ = Refusing
    sender.refuse_all(kind, "OPERATION_NOT_PERMITTED")
    if sender is world.root:
        sender.request_cancel()
    for _ in range(6):
        if sender.has_decision_task:
            decide(sender, decider)
        elif sender.tasks:
            sender.complete(*sender.start())

    assert sender.kinds(f"{kind}Failed")
    assert len({one["workflowId"] for one in sender.kinds(f"{kind}Failed")}) == len(
        sender.kinds(f"{kind}Failed")
    )


def test_a_cancel_that_the_credentials_do_not_allow_is_not_repeated():
    """The activity is left to end, and the grace to pass."""
    swf = Refusing()
    swf.refuse_all("RequestCancelActivityTask", "OPERATION_NOT_PERMITTED")
    decider = decider_of(flow_of(many={"generators": [numbers(3)]}))
    decide(swf, decider)
    swf.start(3)
    swf.request_cancel()

    play(swf, decider, lambda swf, one: None, steps=50)

    assert "WorkflowExecutionCanceled" == swf.status
    assert 3 == len(swf.kinds("RequestCancelActivityTaskFailed"))


def test_a_decision_that_nobody_took_from_a_sticky_list_is_no_death():
    """SWF tells of it as of one that timed out; no decider had it."""
    swf = Swf()
    for _ in range(4):
        swf.add("DecisionTaskTimedOut", {"timeoutType": "SCHEDULE_TO_START", "startedEventId": 0})
        swf.add("DecisionTaskScheduled", {"taskList": {"name": "flow"}})

    play(swf, decider_of(flow_of(many={"generators": [numbers(3)]})))

    assert "WorkflowExecutionCompleted" == swf.status


def test_a_generator_whose_entries_do_not_shrink_is_refused_with_the_numbers():
    """Below the bound, but above it as markers: it would be tried for ever."""
    dice = random.Random(1)
    characters = sorted(set(string.printable[:94]) - {'"', "\\"})
    entries = [{"key": "".join(dice.choices(characters, k=20_000))} for _ in range(39)]
    swf = Swf()

    play(swf, decider_of(flow_of(only={"generators": [lambda context: entries]})), steps=50)

    assert "the generators of 'only' give more than 800,000 bytes" in reason_of(swf)


@pytest.mark.parametrize(
    ("text", "where"), [('{"rate": NaN}', "rate is nan"), ('{"b": ["\\ud800"]}', "b[0] holds a")]
)
def test_a_result_that_is_no_json_is_named_where_it_is_read(text, where):
    """Another program may answer with it; the line says which key."""
    swf = Swf()
    play(
        swf,
        decider_of(flow_of(first={}, last={"requires": ["first"]})),
        lambda swf, one: swf.complete(one, text),
    )
    world = World(Swf())
    flow = flow_of(many={"generators": [numbers(20)]}, last={"requires": ["many"]})
    play_world(world, decider_of(flow, shard_size=10), lambda swf, one: swf.complete(one, text))

    assert f"the input of last cannot be made: {where}" in reason_of(swf)
    assert f"the results of this shard cannot be kept: results.{where}" in reason_of(world.root)


def test_what_a_shard_would_read_has_to_be_json():
    """The context of a fan-out that goes to shards is refused by the key."""
    world = World(Swf())
    flow = flow_of(first={}, many={"requires": ["first"], "generators": [numbers(20)]})

    play_world(
        world,
        decider_of(flow, shard_size=10),
        lambda swf, one: swf.complete(one, '{"rate": NaN}'),
    )

    assert "context.rate is nan" in reason_of(world.root)


def test_texts_that_are_nested_too_deeply_end_no_decider():
    """A result that cannot be read brings nothing; an input that cannot be read is refused."""
    swf = Swf()
    play(
        swf,
        decider_of(flow_of(first={}, last={"requires": ["first"]})),
        lambda swf, one: swf.complete(one, DEEP),
    )
    refused = Swf(DEEP)
    play(refused, decider_of(flow_of(first={})))
    by_hand = Swf(DEEP, flow="flow.shard")
    play(by_hand, decider_of(flow_of(first={})))
    marked = Swf()
    marked.add("MarkerRecorded", {"markerName": "garcon.manifest", "details": DEEP})
    play(marked, decider_of(flow_of(first={})))

    assert "WorkflowExecutionCompleted" == swf.status == marked.status
    assert "nested too deeply" in reason_of(refused)
    assert "this is no input of a shard" in reason_of(by_hand)


def test_results_taken_over_that_are_too_large_are_called_results():
    """The text does not blame generators for what the tasks returned."""
    first = World(Swf())

    def work(swf, one):
        if one.input["number"] == 59:
            swf.fail(one)
        else:
            swf.complete(one, {one.activity_id: noise(one.activity_id)})

    def decider(schedule, context=None):
        schedule("all", flow.many).wait()

    flow = flow_of(decider=decider, many={"generators": [numbers(60)]})
    play_world(first, decider_of(flow), work)
    names = {"workflow_id": "workflow", "run_id": "run"}
    again = Swf({"garcon.resume": names}, workflow_id="again", run_id="again")
    world = World(again, dict(first.runs))

    play_world(world, decider_of(flow))

    assert "with the results that are taken over" in reason_of(again)


def noise(seed):
    """Return 16,000 characters that do not shrink."""
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=16_000))


def test_a_death_counts_though_its_timer_is_refused():
    """The timer of the last one may be open still; three in a row are three."""
    swf = Swf()
    decider = decider_of(flow_of(first={}, second={"requires": ["first"]}))
    decide(swf, decider)
    swf.complete(*swf.start())
    for _ in range(3):
        swf.poll()
        swf.respond([start_timer("garcon.again", 0)])
        swf.signal("news")
    assert 2 == len(swf.kinds("StartTimerFailed"))

    decide(swf, decider)

    assert "3 decisions in a row" in reason_of(swf)

"""The documented decider, served by a client that plays SWF."""

from __future__ import annotations

import functools
import json
import logging

import pytest

from garcon import activity, decider, runner, task
from garcon.errors import DecisionError, GarconError
from tests.unit.deciding import flow_of, numbers
from tests.unit.swf_histories import Swf


class Exists(Exception):
    """Something is registered already."""


class Client:
    """A boto3 client of SWF for one execution; pages are small so that there are several."""

    class exceptions:  # noqa: N801 - boto3's name
        """boto3's faults."""

        DomainAlreadyExistsFault = TypeAlreadyExistsFault = Exists

    def __init__(self, swf, page=20):
        self.swf, self.page, self.calls = swf, page, []
        self.errors = []

    def __getattr__(self, name):
        def register(**given):
            self.calls.append((name, given))
            if given["name"] == "domain":
                raise Exists

        return register

    def poll_for_decision_task(self, **given):
        """Give the pending task, page by page."""
        self.calls.append(("poll", given))
        if self.errors:
            raise self.errors.pop(0)
        if "nextPageToken" not in given:
            if not self.swf.has_decision_task:
                return {"startedEventId": 0, "previousStartedEventId": 0}
            self.task = self.swf.poll(whole=True)
        begin = int(given.get("nextPageToken", 0))
        events = list(self.task.events)
        answer = {
            "taskToken": "token",
            "workflowExecution": {"workflowId": "workflow", "runId": "run"},
            "workflowType": {"name": "flow", "version": "1.0"},
            "startedEventId": self.task.started_event_id,
            "events": events[begin : begin + self.page],
        }
        if begin + self.page < len(events):
            answer["nextPageToken"] = str(begin + self.page)
        return answer

    def get_workflow_execution_history(self, **given):
        """Give the history of the execution that is resumed, newest first, page by page."""
        assert given["reverseOrder"]
        begin = int(given.get("nextPageToken", 0))
        events = self.earlier.events[::-1]
        page = {"events": events[begin : begin + self.page]}
        more = {"nextPageToken": str(begin + self.page)} if begin + self.page < len(events) else {}
        return page | more

    def respond_decision_task_completed(self, **given):
        """Take the answer."""
        assert "token" == given["taskToken"]
        # SWF takes a decision without attributes where it needs none.
        empty = {"completeWorkflowExecutionDecisionAttributes": {}}
        decisions = [empty | one for one in given["decisions"]]
        self.swf.respond(decisions, given.get("executionContext"))


def worker_of(flow, swf, kind=decider.DeciderWorker, **more):
    """Return a worker of `flow` whose client is `swf`."""
    flow.client = Client(swf)
    return kind(flow, **more)


def serve(worker, swf, work=Swf.complete, steps=200):
    """Run the worker and the tasks until the execution closes."""
    for _ in range(steps):
        if swf.status is not None:
            return
        assert worker.run("me") is True
        for one in swf.start(20):
            work(swf, one)
        swf.advance(0 if swf.status else 1)
    raise AssertionError("the execution did not close")


def ids(swf):
    """Return the activity ids of the scheduled events."""
    return [found["activityId"] for found in swf.kinds("ActivityTaskScheduled")]


def test_a_declared_flow_runs_to_its_end():
    """The loop of the documentation: `while decider.run(): pass`."""
    flow = flow_of(first={}, many={"requires": ["first"], "generators": [numbers(150)]})
    swf = Swf({"a": 1})

    serve(worker_of(flow, swf), swf)

    assert "WorkflowExecutionCompleted" == swf.status
    assert 151 == len(set(ids(swf))) == len(ids(swf))
    assert json.loads(swf.execution_context)["activities"]["many"]["n"] == 150


def test_a_custom_flow_runs_to_its_end():
    """With the input of the execution as `context`."""
    seen = []

    def decide(schedule, context=None):
        seen.append(context)
        schedule("end", flow.last, requires=[schedule("begin", flow.first)])

    flow = flow_of(decider=decide, first={}, last={})
    swf = Swf({"a": 1})

    serve(worker_of(flow, swf), swf)

    assert "WorkflowExecutionCompleted" == swf.status
    assert ["flow_first-1-begin", "flow_last-1-end"] == ids(swf)
    assert {"a": 1} == seen[0]


def test_registration_accepts_what_exists():
    """Domain, workflow type and every activity type, each once."""
    flow = flow_of(first={}, last={})
    worker = worker_of(flow, Swf())

    assert [
        ("register_domain", "domain"),
        ("register_workflow_type", "flow"),
        ("register_activity_type", "flow_first"),
        ("register_activity_type", "flow_last"),
    ] == [(name, given["name"]) for name, given in worker.client.calls]


def test_without_register_nothing_is_called():
    """`register=False` is for who has registered elsewhere."""
    assert [] == worker_of(flow_of(only={}), Swf(), register=False).client.calls


def test_an_overridden_step_is_what_runs():
    """A subclass that adds to the context changes what instances get."""

    class Mine(decider.DeciderWorker):
        def create_decisions_from_flow(self, decisions, activity_states, context):
            changed = {**context, "mine": 1}
            super().create_decisions_from_flow(decisions, activity_states, changed)

    swf = Swf({"a": 1})

    serve(worker_of(flow_of(only={}), swf, Mine), swf)

    (scheduled,) = swf.kinds("ActivityTaskScheduled")
    found = json.loads(scheduled["input"])
    assert (1, 1) == (found["a"], found["mine"])


def test_an_overridden_step_may_decide_all_by_itself():
    """With the documented collector, and more decisions than SWF takes at once."""

    class Mine(decider.DeciderWorker):
        def create_decisions_from_flow(self, decisions, activity_states, context):
            known = activity_states.get("flow_many", {})
            instances = self.flow.many.instances(context)
            for instance in instances:
                if instance.id not in known:
                    decider.schedule_activity_task(decisions, instance)
            if len(known) == 130 and all(state.ready for state in known.values()):
                decisions.complete_workflow_execution()

    swf = Swf()

    serve(worker_of(flow_of(many={"generators": [numbers(130)]}), swf, Mine), swf)

    assert "WorkflowExecutionCompleted" == swf.status
    assert 130 == len(ids(swf))


class Of1x(decider.DeciderWorker):
    """A subclass that does each step itself, with the documented functions and plain values."""

    def get_history(self, poll):
        """As 0.0.4 has it, and without the fold."""
        return list(super().get_history(poll))

    def get_activity_states(self, history):
        """As plain dicts."""
        found = super().get_activity_states(history)
        return {name: dict(states) for name, states in found.items()}

    def create_decisions_from_flow(self, decisions, activity_states, context):
        """Search, schedule, close."""
        flow, due = self.flow, activity.find_available_activities
        for instance in due(flow, activity_states, context.current):
            decider.schedule_activity_task(decisions, instance, version=self.version)
        if not list(activity.find_uncomplete_activities(flow, activity_states, context.current)):
            decisions.append({"decisionType": "CompleteWorkflowExecution"})

    def delegate_decisions(self, decisions, decider_, history, context):
        """Bind `schedule`, call the decider, close."""
        progress = decider.ScheduleContext()
        bound = functools.partial(decider.schedule, decisions, progress, history, context.current)
        try:
            decider_(schedule=bound, context=context.workflow_input)
        except activity.ActivityInstanceNotReadyException:
            return
        if progress.completed:
            decisions.append({"decisionType": "CompleteWorkflowExecution"})


def test_a_subclass_may_do_every_step_of_a_declared_flow_itself():
    """It retries, waits for the whole fan-out, and gives each instance what it needs."""
    flow = flow_of(
        first={},
        many={"requires": ["first"], "generators": [numbers(3)], "retry": 1},
        last={"requires": ["many"]},
    )
    swf = Swf({"a": 1})
    failed = []

    def work(swf, one):
        if one.type_name == "flow_many" and not failed:
            failed.append(one.activity_id)
            swf.fail(one)
        else:
            swf.complete(one, {one.activity_id: 1})

    serve(worker_of(flow, swf, Of1x), swf, work)

    assert "WorkflowExecutionCompleted" == swf.status
    assert ["flow_first", "flow_many", "flow_last"] == list(
        dict.fromkeys(one["activityType"]["name"] for one in swf.kinds("ActivityTaskScheduled"))
    )
    assert (6, 2) == (len(ids(swf)), ids(swf).count(failed[0]))
    given = json.loads(swf.kinds("ActivityTaskScheduled")[-1]["input"])
    assert (1, 1, "workflow") == (
        given["a"], given["flow_first-1"], given["execution.workflow_id"]
    )  # fmt: skip


def test_a_subclass_may_do_every_step_of_a_custom_decider_itself():
    """Its own `schedule` is bound in the way of 1.x, and called by the documented names."""
    seen = []

    def decide(schedule, context):
        first = schedule("a", flow.first)
        many = schedule(schedule_id="b", current_activity=flow.many, requires=[first])
        seen.append(many.result)
        schedule("c", flow.last, input={"got": many.result["n"]})

    flow = flow_of(decider=decide, first={}, many={"generators": [numbers(3)]}, last={})
    swf = Swf({"a": 1})

    serve(worker_of(flow, swf, Of1x), swf, lambda swf, one: swf.complete(one, {"n": 7}))

    assert "WorkflowExecutionCompleted" == swf.status
    assert 5 == len(set(ids(swf)))
    assert {"n": 7} == seen[0]
    given = json.loads(swf.kinds("ActivityTaskScheduled")[-1]["input"])
    assert (1, 7) == (given["a"], given["got"])


def test_a_subclass_may_put_a_schedule_of_its_own_before_the_deciders():
    """What it does to an id or an input is what happens."""

    class Mine(decider.DeciderWorker):
        def delegate_decisions(self, decisions, decider, history, context):
            def wrapped(schedule, context=None):
                def mine(id, activity, **more):
                    return schedule(f"my_{id}", activity, **more)

                decider(mine)

            super().delegate_decisions(decisions, wrapped, history, context)

    flow = flow_of(decider=lambda schedule: schedule("a", flow.only), only={})
    swf = Swf()

    serve(worker_of(flow, swf, Mine), swf)

    assert "WorkflowExecutionCompleted" == swf.status
    assert ["flow_only-1-my_a"] == ids(swf)


def test_the_documented_schedule_works_on_plain_dicts():
    """States and context as a test or an old subclass makes them."""
    flow = flow_of(brew={}, pay={})
    decisions = decider.Decisions()
    progress = decider.ScheduleContext()
    done = activity.ActivityState("flow_brew-1-a")
    for state in (activity.ACTIVITY_SCHEDULED, activity.ACTIVITY_COMPLETED):
        done.add_state(state)
    done.set_result({"cups": 2})
    history = {"flow_brew": {"flow_brew-1-a": done}}

    brewed = decider.schedule(decisions, progress, history, {"x": 1}, "a", flow.brew)
    assert (True, {"cups": 2}, True) == (brewed.ready, brewed.result, progress.completed)

    paid = decider.schedule(
        decisions, progress, history, {"x": 1}, "b", flow.pay, requires=[brewed], input={"y": 2}
    )
    assert (False, False) == (paid.ready, progress.completed)
    scheduled = decisions[-1]["scheduleActivityTaskDecisionAttributes"]
    assert "flow_pay-1-b" == scheduled["activityId"]
    assert (1, 2) == tuple(json.loads(scheduled["input"])[key] for key in "xy")

    with pytest.raises(activity.ActivityInstanceNotReadyException):
        decider.schedule(decisions, progress, history, {}, "c", flow.pay, requires=[paid])


def test_the_documented_schedule_raises_when_retries_are_used_up():
    """As in 1.x, with the name and the number of attempts."""
    flow = flow_of(brew={"retry": 1})
    failed = activity.ActivityState("flow_brew-1-a")
    for state in (activity.ACTIVITY_SCHEDULED, activity.ACTIVITY_FAILED) * 2:
        failed.add_state(state)

    with pytest.raises(decider.ActivityFailedError, match=r"brew .* after 2 attempts"):
        decider.schedule(
            [],
            decider.ScheduleContext(),
            {"flow_brew": {"flow_brew-1-a": failed}},
            {},
            "a",
            flow.brew,
        )


def test_the_documented_schedule_tries_what_never_ran_again():
    """Standby after scheduled: handed back, or lost, which `retry=0` does not forbid."""
    flow = flow_of(brew={})
    back = activity.ActivityState("flow_brew-1-a")
    for state in (activity.ACTIVITY_SCHEDULED, activity.ACTIVITY_STANDBY):
        back.add_state(state)
    decisions = decider.Decisions()

    state = decider.schedule(
        decisions,
        decider.ScheduleContext(),
        {"flow_brew": {"flow_brew-1-a": back}},
        {},
        "a",
        flow.brew,
    )

    assert not state.ready
    kinds = [one["decisionType"] for one in decisions]
    assert "ScheduleActivityTask" == kinds[-1]


def test_a_client_given_to_the_activities_alone_is_the_deciders_too():
    """`create(client, domain, name)` in a module that has no `client`."""
    client = Client(Swf())
    flow = flow_of(only={})
    flow.only.client = client

    worker = decider.DeciderWorker(flow)

    assert worker.client is client
    assert "register_domain" == client.calls[0][0]


def test_ensure_requirements_wants_every_state_ready():
    """None and missing ones are not ready either."""
    ready = activity.ActivityState("a")
    ready.add_state(activity.ACTIVITY_COMPLETED)

    decider.ensure_requirements(None)
    decider.ensure_requirements([ready])
    for missing in (None, activity.ActivityState("b")):
        with pytest.raises(activity.ActivityInstanceNotReadyException):
            decider.ensure_requirements([ready, missing])


def test_an_error_while_answering_ends_the_answer_and_not_the_loop(caplog):
    """It is in the log, on_exception hears of it, and the next task is served."""
    told = []
    flow = flow_of(only={})
    flow.on_exception = lambda actor, error: told.append((actor, error)) or 1 / 0
    swf = Swf()
    worker = worker_of(flow, swf)
    respond = worker.client.respond_decision_task_completed
    worker.client.respond_decision_task_completed = lambda **given: 1 / 0

    with caplog.at_level(logging.ERROR):
        assert worker.run() is True
    worker.client.respond_decision_task_completed = respond
    swf.time_out_decision()
    serve(worker, swf)

    assert "WorkflowExecutionCompleted" == swf.status
    assert "a decision failed: ZeroDivisionError" in caplog.text
    assert [(worker, ZeroDivisionError)] == [(actor, type(error)) for actor, error in told]


@pytest.mark.parametrize(
    "make",
    [
        lambda broken: {"decider": broken},
        lambda broken: {"only": {"generators": [broken]}},
        lambda broken: {"only": {"run": runner.Sync(task.list(broken))}},
    ],
)
def test_on_exception_hears_what_the_flow_raised_when_an_execution_fails(make, caplog):
    """The error itself, as 1.x passed it on, from a decider, a generator or a task list."""

    def broken(schedule):
        raise KeyError("cup")

    told = []
    flow = flow_of(**{"only": {}, **make(broken)})
    flow.on_exception = lambda actor, error: told.append((actor, repr(error))) or 1 / 0
    swf = Swf()
    worker = worker_of(flow, swf)

    with caplog.at_level(logging.ERROR):
        serve(worker, swf)

    assert "WorkflowExecutionFailed" == swf.status
    assert [(worker, "KeyError('cup')")] == told
    assert "the execution fails: " in caplog.text


def test_on_exception_hears_that_retries_are_used_up():
    """And of nothing else: a failed attempt is the activity's matter."""
    told = []
    flow = flow_of(only={"retry": 1})
    flow.on_exception = lambda actor, error: told.append(str(error))
    swf = Swf()

    serve(worker_of(flow, swf), swf, Swf.fail)

    assert "WorkflowExecutionFailed" == swf.status
    assert ["only after 2 attempts: boom"] == told


def test_a_failed_poll_is_told_and_waited_out(monkeypatch, caplog):
    """With a growing pause, and the loop goes on."""
    pauses = []
    monkeypatch.setattr(decider.time, "sleep", pauses.append)
    monkeypatch.setattr(decider.random, "uniform", lambda low, high: high)
    worker = worker_of(flow_of(only={}), Swf())
    worker.client.errors = [GarconError("no")] * 3

    for _ in range(4):
        assert worker.run() is True

    assert [1.0, 2.0, 4.0] == pauses
    assert "the poll for a decision failed" in caplog.text


def test_get_history_reads_every_page_and_leaves_out_decisions():
    """Both signatures: (poll) of 0.0.4 and (identity, poll) of 1.x."""
    swf = Swf()
    worker = worker_of(flow_of(many={"generators": [numbers(60)]}), swf)
    worker.run()
    for one in swf.start(20):
        swf.complete(one)
    poll = worker.client.poll_for_decision_task()

    old, new = worker.get_history(poll), worker.get_history("me", poll)

    assert old == new
    assert len(swf.events) - 5 == len(old)
    assert not any(one["eventType"].startswith("Decision") for one in old)
    assert 60 == len(worker.get_activity_states(old)["flow_many"])


def test_a_decision_that_swf_would_refuse_fails_the_execution_within_its_lengths():
    """One name too long, and SWF refuses the whole response, time after time."""

    class Mine(decider.DeciderWorker):
        def create_decisions_from_flow(self, decisions, activity_states, context):
            assert not activity_states
            decisions.record_marker("m" * 300)
            if context.get("raise"):
                raise DecisionError("r" * 300, "d" * 40_000)

    for given in ({}, {"raise": True}):
        swf = Swf(given)
        serve(worker_of(flow_of(only={}), swf, Mine), swf)
        (failed,) = swf.kinds("WorkflowExecutionFailed")
        assert 256 >= len(failed["reason"]) > 50
        assert 32_768 >= len(failed["details"])


def test_a_bad_input_fails_the_execution():
    """Also where the context cannot even be read."""
    swf = Swf("[1]")

    serve(worker_of(flow_of(only={}), swf), swf)

    assert "not a JSON object" in swf.kinds("WorkflowExecutionFailed")[0]["reason"]


def test_an_execution_is_resumed_by_hand_as_well():
    """The earlier history is read page by page, and only what was not done runs."""
    flow = flow_of(many={"generators": [numbers(30)]})
    before = Swf()
    serve(
        worker_of(flow, before),
        before,
        lambda swf, one: swf.fail(one) if one.input["number"] == 3 else swf.complete(one),
    )
    assert "WorkflowExecutionFailed" == before.status
    after = Swf({"garcon.resume": {"workflow_id": "workflow", "run_id": "run"}})
    worker = worker_of(flow, after)
    worker.client.earlier = before

    serve(worker, after)

    assert "WorkflowExecutionCompleted" == after.status
    assert 1 == len(ids(after))

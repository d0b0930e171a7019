"""Activities: both ways to create them, their instances, and running them by hand."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from garcon import activity, polls, runner, serving
from garcon.errors import FlowError, GeneratorError
from garcon.outcome import decode_failure
from tests.unit.fake_swf import FakeSwf, a_task, fault


def plain(context: Any, activity: Any) -> None:
    """A task that does nothing."""


RUN = runner.Sync(plain)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were asked for; none is made."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("dev", "flow", "2"), {}),
        (("dev", "flow"), {"version": "2"}),
        (("dev",), {"name": "flow", "version": "2"}),
        ((), {"domain": "dev", "name": "flow", "version": "2"}),
        ((None, "dev", "flow", "2"), {}),
        (("the client", "dev"), {"name": "flow", "version": "2"}),
    ],
)
def test_create_takes_domain_and_name_with_or_without_a_client(args: Any, kwargs: Any) -> None:
    """Documented: (domain, name); in 1.x a client comes first. A client is never a text."""
    if args and args[0] == "the client":
        args = (FakeSwf(), *args[1:])
    one = activity.create(*args, **kwargs)(name="step", run=RUN)

    assert (one.domain, one.flow_name, one.version) == ("dev", "flow", "2")
    assert one.name == one.task_list == "flow_step"
    assert one.short_name == "step"


def test_create_of_1x_keeps_its_client_and_its_keyword() -> None:
    """`workflow_name` is what 1.x calls it."""
    client = FakeSwf()

    for create in (
        activity.create(client, "dev", "flow"),
        activity.create(client=client, domain="dev", workflow_name="flow"),
    ):
        one = create(name="step", run=RUN)
        assert one.client is client
        assert one.name == "flow_step"


def test_create_without_a_name_takes_that_of_the_calling_module() -> None:
    """One documented sample does so."""
    assert activity.create("dev")(name="step", run=RUN).name == "test_activity_step"


def test_create_in_a_script_takes_the_name_of_its_file() -> None:
    """A script is called __main__, which is no name of a flow."""
    names = {"__name__": "__main__", "__file__": "/home/me/night.py", "__spec__": None}
    exec(
        "from garcon import activity, runner\n"
        "one = activity.create('dev')(name='step', run=runner.Sync())",
        names,
    )

    assert names["one"].name == "night_step"  # type: ignore[attr-defined]


def test_all_keywords_arrive() -> None:
    """Each under its documented attribute."""

    def hook(actor: Any, error: BaseException) -> None: ...

    def days(context: Any) -> Iterator[dict[str, Any]]:
        yield {}

    create = activity.create("dev", "flow")
    first = create(name="first", run=RUN)
    one = create(
        name="step",
        requires=[first],
        retry=3,
        lost_retry=1,
        generators=[days],
        run=RUN,
        schedule_to_start=77,
        on_exception=hook,
    )

    assert one.requires == [first]
    assert (one.retry, one.lost_retry, one.schedule_to_start_timeout) == (3, 1, 77)
    assert one.generators == [days]
    assert one.runner is RUN
    assert one.on_exception is hook
    assert (one.external, one.pool_size) == (False, 0)


def test_defaults_are_those_documented() -> None:
    """No retry, no generator, ten minutes to start, three lost workers."""
    one = activity.create("dev", "flow")(name="step", run=RUN)

    assert (one.requires, one.retry, one.lost_retry, one.generators) == ([], 0, 3, [])
    assert (one.version, one.schedule_to_start_timeout, one.on_exception) == ("1.0", 600, None)
    assert activity.Activity.version == "1.0"
    assert activity.Activity.task_list is None


def test_older_words_mean_the_same() -> None:
    """`tasks` is `run`, `generator` is `generators`; one alone needs no list."""

    def days(context: Any) -> Iterator[dict[str, Any]]:
        yield {}

    create = activity.create("dev", "flow")
    first = create(name="first", tasks=RUN)
    one = create(name="step", tasks=RUN, generator=[days], requires=first)
    other = create(name="other", tasks=RUN, generator=days)

    assert one.runner is RUN
    assert one.generators == other.generators == [days]
    assert one.requires == [first]


def test_lists_are_not_shared_between_activities() -> None:
    """Adding to one activity's requirements adds to no other's."""
    create = activity.create("dev", "flow")
    one, other = create(name="one", run=RUN), create(name="other", run=RUN)

    one.requires.append(other)

    assert other.requires == []
    assert activity.Activity.requires == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": 3}, "unknown keyword 'retries'; did you mean .*retry"),
        ({"zzz": 3}, "step of flow flow: unknown keyword 'zzz' .*known: name, .*retry"),
        ({"retry": -1}, "retry=-1 is no number"),
        ({"retry": "3"}, "retry='3' is no number"),
        ({"retry": True}, "retry=True is no number"),
        ({"max_procs": 0}, "max_procs=0 is no number from 1 up"),
        ({"shard_size": 0}, "shard_size=0 is no number from 1 up"),
        ({"threads": 0}, "threads=0 is no number from 1 up"),
        ({"threads": 65}, "threads=65 is more than the 64 that are possible"),
        ({"requires": ["first"]}, "requires='first' is no activity"),
        ({"generators": ["days"]}, "generator 'days' is no function"),
        ({"run": plain}, r"is no runner; write run=runner.Sync\(task\)"),
        ({"external": True}, "is external and has no timeout"),
        ({"name": ""}, "an activity of flow flow has no name"),
    ],
)
def test_a_keyword_that_does_not_fit_is_refused_where_it_is_written(
    options: dict[str, Any], message: str
) -> None:
    """In one line that names the activity, the word and its value."""
    with pytest.raises(FlowError, match=message):
        activity.create("dev", "flow")(**{"name": "step", "run": RUN, **options})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("dev", "flow"), {"versoin": "1"}, "activity.create: unknown keyword 'versoin'"),
        (("dev", "flow"), {"name": "flow"}, "takes"),
        (("dev", "flow"), {"decision_timeout": 0}, "decision_timeout=0 is no number from 1 up"),
        ((), {}, "needs SWF's domain"),
        ((None,), {}, "needs SWF's domain"),
        (("dev", "flow", "1", None, "more"), {}, "takes"),
    ],
)
def test_create_refuses_what_it_does_not_know(args: Any, kwargs: Any, message: str) -> None:
    """At the line that wrote it."""
    with pytest.raises(FlowError, match=message):
        activity.create(*args, **kwargs)


def test_without_generators_there_is_one_instance() -> None:
    """Always."""
    one = activity.create("dev", "flow")(name="step", run=RUN)

    instances = one.instances({"a": 1})

    assert [instance.id for instance in instances] == ["flow_step-1"]
    assert instances[0].execution_context == {"a": 1}
    assert one.pool_size == 1


def test_generators_make_an_instance_for_each_combination() -> None:
    """Ten days and twenty countries are two hundred; later generators win over earlier."""

    def days(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"day": day, "from": "days"} for day in range(context["days"]))

    def countries(context: Any) -> Iterator[dict[str, Any]]:
        yield from ({"country": country, "from": "countries"} for country in range(20))

    one = activity.create("dev", "flow")(name="step", run=RUN, generators=[days, countries])
    instances = one.instances({"days": 10})

    assert len(instances) == len({instance.id for instance in instances}) == 200
    assert one.pool_size == 200
    found = [(each.local_context["day"], each.local_context["country"]) for each in instances]
    assert found == list(itertools.product(range(10), range(20)))
    assert {each.local_context["from"] for each in instances} == {"countries"}


@pytest.mark.parametrize(
    ("yielded", "message"),
    [
        (["DE"], "generator given of activity step yields 'DE'"),
        (None, "generator given of activity step returns NoneType"),
    ],
)
def test_a_generator_that_yields_no_dicts_is_named(yielded: Any, message: str) -> None:
    """With what it yielded."""

    def given(context: Any) -> Any:
        return yielded

    with pytest.raises(GeneratorError, match=message):
        activity.create("dev", "flow")(name="step", run=RUN, generators=[given]).instances({})


def test_execute_activity_takes_an_attempt_or_a_context() -> None:
    """Documented: the flow's context; in 1.x the attempt, which its tasks get as activity."""

    def looks(context: Any, activity: Any) -> dict[str, Any]:
        activity.heartbeat()
        return {"context": dict(context), "activity": activity}

    one = activity.create("dev", "flow")(name="step", run=runner.Sync(looks))
    attempt = activity.ActivityExecution(FakeSwf(), "id", "token", {"a": 1})

    assert one.execute_activity({"a": 2}) == {"context": {"a": 2}, "activity": one}
    assert one.execute_activity(attempt) == {"context": {"a": 1}, "activity": attempt}


def test_execute_activity_without_a_runner_says_so() -> None:
    """The documented error."""
    with pytest.raises(runner.RunnerMissing):
        activity.create("dev", "flow")(name="step").execute_activity({})


def test_hydrate_keeps_what_an_extending_class_has_set() -> None:
    """But for version and retry, that the data gives."""

    class Own(activity.Activity):
        name = "own"
        domain = "mine"

    one = Own()
    one.hydrate({"name": "other", "domain": "other", "retry": 2, "version": "3", "tasks": RUN})

    assert (one.name, one.domain, one.task_list, one.short_name) == ("own", "mine", "own", "own")
    assert (one.retry, one.version, one.runner) == (2, "3", RUN)


def test_an_activity_makes_no_client_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing a flow calls nobody, and opens nothing that a fork would share."""
    asked: list[str] = []
    monkeypatch.setattr(polls, "default_client", lambda: asked.append("client") or "a client")

    one = activity.create("dev", "flow")(name="step", run=RUN)
    assert asked == []

    assert (one.client, asked) == ("a client", ["client"])


def test_an_activity_finds_the_engine_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow is a module and outlives the engine of one test; the process keeps the clients."""
    one = activity.create("dev", "flow")(name="step", run=RUN)
    urls = ["http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:2"]
    found = []

    for url in urls:
        monkeypatch.setenv("GARCON_ENGINE", url)
        found.append(one.client)

    assert [one.meta.endpoint_url for one in found] == urls
    assert found[0] is found[2]


def test_a_poll_brings_an_attempt() -> None:
    """Domain and task list are the activity's; the identity is cut to what SWF takes."""
    client = FakeSwf(a_task(), {})
    one = activity.create(client, "dev", "flow")(name="step", run=RUN)

    attempt = one.poll_for_activity("me" * 200)
    nothing = one.poll_for_activity()

    assert (attempt.activity_id, attempt.task_token) == ("flow_step-1", "token")
    assert (attempt.context, attempt.client) == ({"key": 1}, client)
    assert (nothing.activity_id, nothing.context) == (None, {})
    assert client.polled == [
        {"domain": "dev", "taskList": {"name": "flow_step"}, "identity": "me" * 128},
        {"domain": "dev", "taskList": {"name": "flow_step"}},
    ]


def test_a_throttled_poll_is_repeated_five_times(naps: list[float]) -> None:
    """After growing random pauses; then its error is passed on."""
    throttle = fault("ThrottlingException")
    patient = FakeSwf(*[throttle] * 5, a_task())
    hopeless = FakeSwf(*[throttle] * 6)

    assert activity.create(patient, "dev", "flow")(name="step").poll_for_activity().activity_id
    assert len(naps) == 5
    assert all(0 <= nap <= 2**number for number, nap in enumerate(naps))
    with pytest.raises(ClientError, match="ThrottlingException"):
        activity.create(hopeless, "dev", "flow")(name="step").poll_for_activity()
    assert len(hopeless.polled) == 6


def test_any_other_error_of_a_poll_is_passed_on_at_once(naps: list[float]) -> None:
    """Waiting would not mend it."""
    client = FakeSwf(fault("UnknownResourceFault"))

    with pytest.raises(ClientError, match="UnknownResourceFault"):
        activity.create(client, "dev", "flow")(name="step").poll_for_activity()
    assert (len(client.polled), naps) == (1, [])


def test_run_completes_a_task_with_its_result() -> None:
    """And goes on, so that a loop serves for ever."""
    client = FakeSwf(a_task())

    def adds(context: Any, activity: Any) -> dict[str, Any]:
        return {"sum": context["key"] + 1}

    one = activity.create(client, "dev", "flow")(name="step", run=runner.Sync(adds))

    assert one.run("me") is True
    assert client.polled[0]["identity"] == "me"
    assert client.answered == [("completed", {"taskToken": "token", "result": '{"sum":2}'})]


def test_run_beats_while_the_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only before it: 1.1.1 left one long task without a sign of life."""
    monkeypatch.setattr(serving, "BEATS", 1_000)
    client = FakeSwf(a_task())

    def long_task(context: Any, activity: Any) -> dict[str, Any]:
        client.beaten.clear()  # the one that comes before each task
        return {"beaten": client.beaten.wait(10)}

    one = activity.create(client, "dev", "flow")(name="step", run=runner.Sync(long_task))

    assert one.run() is True

    assert [("completed", {"beaten": True})] == [
        (how, json.loads(told["result"])) for how, told in client.answered
    ]


def test_run_goes_on_when_no_task_came() -> None:
    """There is nothing to answer."""
    client = FakeSwf()

    assert activity.create(client, "dev", "flow")(name="step", run=RUN).run() is True
    assert client.answered == []


def test_run_answers_a_failed_task_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    """One line as the reason, what the decider needs as details; log and hook hear of it."""
    heard: list[Any] = []
    client = FakeSwf(a_task())

    def fails(context: Any, activity: Any) -> None:
        raise ValueError("no\nsuch thing")

    one = activity.create(client, "dev", "flow", on_exception=lambda *told: heard.append(told))(
        name="step", run=runner.Sync(fails)
    )

    assert one.run() is True
    [(name, told)] = client.answered
    assert (name, told["reason"]) == ("failed", "ValueError: no such thing")
    assert decode_failure(told["reason"], told["details"]).errors[0] == "ValueError"
    assert [(actor, type(error)) for actor, error in heard] == [(one, ValueError)]
    assert "flow_step-1 failed: ValueError: no such thing" in caplog.messages


def test_run_survives_an_answer_that_swf_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """The attempt timed out, or its execution closed."""
    heard: list[str] = []
    for run in (RUN, runner.Sync(lambda context, activity: 1 / 0)):
        client = FakeSwf(a_task())
        client.refuses = fault("UnknownResourceFault")
        one = activity.create(client, "dev", "flow")(
            name="step", run=run, on_exception=lambda _, error: heard.append(type(error).__name__)
        )
        assert one.run() is True
        assert len(client.answered) == 1

    assert heard == ["ZeroDivisionError", "ClientError"]
    assert one.logger_name is None


def test_run_does_not_answer_an_attempt_that_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """SWF would refuse the answer; it is no fault of the flow, so its hook hears nothing."""
    heard: list[Any] = []
    client = FakeSwf(a_task())
    client.heartbeat_answer = fault("UnknownResourceFault")
    one = activity.create(client, "dev", "flow", on_exception=lambda *told: heard.append(told))(
        name="step", run=RUN
    )

    assert one.run() is True
    assert (client.answered, heard) == ([], [])
    assert caplog.messages[0].startswith("flow_step-1 ended: SWF no longer waits")


def test_run_does_not_answer_twice() -> None:
    """A task may have completed the attempt itself."""
    client = FakeSwf(a_task())

    def completes(context: Any, activity: Any) -> None:
        activity.complete({"own": 1})

    activity.create(client, "dev", "flow")(name="step", run=runner.Sync(completes)).run()

    assert client.answered == [("completed", {"taskToken": "token", "result": '{"own":1}'})]


def test_run_names_the_logger_after_the_execution_and_back() -> None:
    """A task may log with its activity's logger."""
    seen: list[Any] = []
    text = '{"execution.domain": "d", "execution.workflow_id": "w", "execution.run_id": "r"}'
    client = FakeSwf(a_task(text))

    def looks(context: Any, activity: Any) -> None:
        seen.append(activity.logger.name)

    one = activity.create(client, "dev", "flow")(name="step", run=runner.Sync(looks))
    one.run()

    assert seen == ["garcon.d.w.r"]
    assert one.logger.name == "garcon"


def test_run_pauses_after_polls_that_fail_and_tells_the_hook(naps: list[float]) -> None:
    """A loop over a missing domain must not hammer SWF; a good poll ends the pauses."""
    heard: list[Any] = []
    client = FakeSwf(*[fault("UnknownResourceFault")] * 9, a_task(), fault("InternalFailure"))
    one = activity.create(client, "dev", "flow")(
        name="step", run=RUN, on_exception=lambda *told: heard.append(told)
    )

    for _ in range(11):
        assert one.run() is True

    assert len(heard) == len(naps) == 10
    assert max(naps) <= serving.POLL_PAUSE_MAX_S
    assert naps[-1] <= 1
    assert len(client.answered) == 1


def test_run_fails_a_task_whose_input_is_no_json(naps: list[float]) -> None:
    """Unanswered it would hang until its timeout."""
    client = FakeSwf(a_task("hello"))

    assert activity.create(client, "dev", "flow")(name="step", run=RUN).run() is True
    [(name, told)] = client.answered
    assert name == "failed"
    assert told["reason"].startswith("FlowError: the activity's input is no JSON")


def test_an_external_activity_is_not_run_here() -> None:
    """Its loop ends at once; it has times and everything else that an activity has."""
    one = activity.create("dev", "flow")(name="out", external=True, timeout=30, heartbeat=10)

    assert isinstance(one, activity.ExternalActivity)
    assert (one.external, one.run()) == (True, False)
    assert (one.runner.timeout({}), one.runner.heartbeat({})) == (30, 10)  # type: ignore[union-attr]
    assert one.task_list == "flow_out"


def test_an_external_activity_can_be_made_as_documented() -> None:
    """`ExternalActivity(timeout, heartbeat)`; in 1.x a client comes first."""
    documented = activity.ExternalActivity(30, 10)
    later = activity.ExternalActivity(FakeSwf(), timeout=30, heartbeat=10)

    for one in (documented, later):
        assert one.runner is not None
        assert (one.runner.timeout({}), one.runner.heartbeat({})) == (30, 10)
    with pytest.raises(FlowError, match="needs timeout"):
        activity.ExternalActivity()


class Served:
    """A flow whose activities note that they ran, and end their loops."""

    domain = "dev"
    name = "flow"

    def __init__(self) -> None:
        """Make two activities."""
        self.ran: list[str] = []
        self.all_ran = threading.Event()
        create = activity.create("dev", "flow")
        self.one = create(name="one", run=RUN)
        self.two = create(name="two", run=RUN)
        for each in (self.one, self.two):
            each.run = self._noting(each.name)  # type: ignore[method-assign]

    def _noting(self, name: str) -> Any:
        def run() -> bool:
            self.ran.append(name)
            if self.ran.count(name) == 3:
                self.all_ran.set()
                return False
            return True

        return run


def join_workers() -> None:
    """Wait until the threads of the workers have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("garcon-flow"):
            thread.join(10)


def test_a_worker_runs_each_activity_in_a_loop_of_its_own() -> None:
    """Until run() returns something false."""
    flow = Served()
    worker = activity.ActivityWorker(flow)

    worker.run()
    join_workers()

    assert sorted(flow.ran) == ["flow_one"] * 3 + ["flow_two"] * 3
    assert (worker.flow, worker.activities, worker.worker_activities) == (
        flow,
        [flow.one, flow.two],
        None,
    )


def test_a_worker_gives_all_activities_the_client_that_the_flow_brings() -> None:
    """On the flow or in one of its activities; what has its own keeps it."""
    client, own = SimpleNamespace(), SimpleNamespace()
    on_flow, in_part = Served(), Served()
    on_flow.client = client  # type: ignore[attr-defined]
    on_flow.two.client = own
    in_part.two.client = client

    activity.ActivityWorker(on_flow)
    activity.ActivityWorker(in_part)

    assert (on_flow.one.client, on_flow.two.client) == (client, own)
    assert in_part.one.client is client


@pytest.mark.parametrize("name", ["two", "flow_two"])
def test_a_worker_can_be_told_which_activities_to_run(name: str) -> None:
    """By their names in the flow, or their full names."""
    flow = Served()

    activity.ActivityWorker(flow, activities=[name]).run()
    join_workers()

    assert set(flow.ran) == {"flow_two"}


def test_worker_runner_calls_run_until_it_returns_something_false() -> None:
    """Three times here."""
    answers = iter([True, 1, None])

    class Worker:
        def run(self) -> Any:
            return next(answers)

    activity.worker_runner(Worker())

    assert list(answers) == []

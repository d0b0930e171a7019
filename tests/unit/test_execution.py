"""One attempt: heartbeats, answers, checked results, and errors in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from garcon import activity, runner
from garcon.errors import ActivityCanceled, FlowError, ResultError
from garcon.execution import beating, one_line, read_input
from garcon.outcome import Kind, decode_failure, encode_failure
from tests.unit.fake_swf import FakeSwf, fault


def attempt(client: Any = None, context: Any = None) -> activity.ActivityExecution:
    """Return an attempt that speaks to this client."""
    return activity.ActivityExecution(client or FakeSwf(), "flow_step-1", "token", context)


def returning(result: Any) -> activity.Activity:
    """Return an activity whose runner returns this."""

    class Returns(runner.BaseRunner):
        def execute(self, activity: Any, context: Any) -> Any:  # noqa: ARG002 - its signature
            return result

    return activity.create("dev", "flow")(name="step", run=Returns())


def test_an_attempt_has_its_documented_attributes() -> None:
    """Without an input the context is empty."""
    client = FakeSwf()
    one = attempt(client, {"a": 1})

    assert (one.client, one.activity_id, one.task_token) == (client, "flow_step-1", "token")
    assert one.context == {"a": 1}
    assert attempt().context == {}


def test_a_heartbeat_says_how_far_the_task_is() -> None:
    """Cut to what SWF takes; the answer tells whether a cancel is wished."""
    client = FakeSwf()
    one = attempt(client)
    client.heartbeat_answer = {"cancelRequested": True}

    one.heartbeat()
    one.heartbeat("x" * 3000)

    assert client.beats[0] is None
    assert len(client.beats[1] or "") == 2048
    assert one.cancel_requested is True


@pytest.mark.parametrize(
    "error",
    [
        fault("ThrottlingException"),
        fault("InternalFailure"),
        EndpointConnectionError(endpoint_url="http://x"),
    ],
)
def test_a_heartbeat_that_is_not_delivered_does_not_stop_the_task(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one makes up for it."""
    client = FakeSwf()
    client.heartbeat_answer = error

    attempt(client).heartbeat()

    assert caplog.messages[0].startswith("heartbeat not delivered")


def test_a_heartbeat_of_an_attempt_that_is_over_stops_the_task() -> None:
    """Its answer would be refused, however long it works on."""
    client = FakeSwf()
    client.heartbeat_answer = fault("UnknownResourceFault")

    with pytest.raises(ActivityCanceled, match="no longer waits"):
        attempt(client).heartbeat()


def test_fail_cuts_reason_and_details_to_what_swf_takes() -> None:
    """Else SWF refuses, and the attempt times out instead."""
    client = FakeSwf()
    one = attempt(client)

    one.fail("x" * 300, "y" * 40_000)
    one.fail()

    told = client.answered[0][1]
    assert (len(told["reason"]), len(told["details"])) == (256, 32_768)
    assert client.answered[1] == ("failed", {"taskToken": "token", "reason": "failed"})
    assert one.answered is True


def test_complete_sends_the_checked_result() -> None:
    """A dict, nothing, or JSON text already."""
    client = FakeSwf()

    attempt(client).complete({"a": "ü"})
    attempt(client).complete()
    attempt(client).complete('{"b":1}')

    assert [told["result"] for _, told in client.answered] == ['{"a":"ü"}', "{}", '{"b":1}']
    with pytest.raises(ResultError):
        attempt(client).complete([1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "text"),
    [(None, "{}"), ({}, "{}"), ({"a": [1, None]}, '{"a":[1,null]}'), ({1: "x"}, '{"1":"x"}')],
)
def test_an_instance_runs_and_its_result_is_json_text(result: Any, text: str) -> None:
    """Nothing is an empty object."""
    assert activity.run_instance(returning(result), attempt()) == text


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([1], "activity step: the result is a list; return a dict, or nothing"),
        ("text", "activity step: the result is a str; return a dict, or nothing"),
        ({"a": [{1}]}, "activity step: the result is not JSON: a[0] is a set"),
        ({"a": float("nan")}, "activity step: the result is not JSON: a is nan"),
        ({"a": "\ud800"}, "activity step: the result is not JSON: a holds a lone surrogate"),
    ],
)
def test_a_result_that_cannot_be_sent_is_refused_in_one_line(result: Any, message: str) -> None:
    """It names the activity, the place and the mend."""
    with pytest.raises(ResultError) as refused:
        activity.run_instance(returning(result), attempt())

    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_result_may_have_exactly_as_many_characters_as_swf_takes() -> None:
    """Characters, not bytes; one more is refused with the number."""
    fits = {"a": "ü" * (32_768 - len('{"a":""}'))}
    assert len(activity.run_instance(returning(fits), attempt())) == 32_768

    with pytest.raises(ResultError, match=r"step: the result has 32,769 characters.*32,768.*file"):
        activity.run_instance(returning({"a": fits["a"] + "x"}), attempt())


def test_on_exception_hears_of_the_error_before_it_is_passed_on() -> None:
    """With the activity; and a hook that fails itself hides nothing."""
    heard: list[Any] = []

    def fails(context: Any, activity: Any) -> None:
        raise ValueError("no")

    def hook(actor: Any, error: BaseException) -> None:
        heard.append((actor, str(error)))
        raise KeyError("the hook")

    one = activity.create("dev", "flow", on_exception=hook)(name="step", run=runner.Sync(fails))

    with pytest.raises(ValueError, match="no"):
        activity.run_instance(one, attempt())
    assert heard == [(one, "no")]


def test_on_exception_does_not_hear_of_a_cancel() -> None:
    """It is no fault of the flow."""
    heard: list[Any] = []

    def ends(context: Any, activity: Any) -> None:
        raise ActivityCanceled("over")

    one = activity.create("dev", "flow")(
        name="step", run=runner.Sync(ends), on_exception=lambda *told: heard.append(told)
    )

    with pytest.raises(ActivityCanceled):
        activity.run_instance(one, attempt())
    assert heard == []


def test_a_task_finds_the_names_of_its_activity() -> None:
    """Tasks of 0.0.4 were given the activity itself."""
    seen: list[Any] = []

    def looks(context: Any, activity: Any) -> None:
        seen.append((activity.name, activity.domain, activity.version, activity.task_list))

    activity.run_instance(
        activity.create("dev", "flow", version="2")(name="step", run=runner.Sync(looks)), attempt()
    )

    assert seen == [("flow_step", "dev", "2", "flow_step")]
    assert (attempt().name, attempt().task_list) == (None, None)


class Unreadable(ValueError):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
        (Unreadable(), "Unreadable: (its text cannot be read: RuntimeError)"),
    ],
)
def test_an_error_is_one_line_with_its_class(error: Exception, line: str) -> None:
    """It becomes the reason in the history."""
    assert one_line(error) == line
    assert activity.describe_error(error).reason == line


def test_a_described_error_names_its_bases_and_ends_with_the_traceback() -> None:
    """So that a retry can be chosen by class, without the class."""
    try:
        raise FileNotFoundError(2, "gone")
    except FileNotFoundError as error:
        failure = activity.describe_error(error)

    assert failure.kind is Kind.FAILED
    assert failure.errors == ("FileNotFoundError", "OSError", "Exception", "BaseException")
    assert failure.traceback.endswith("FileNotFoundError: [Errno 2] gone\n")
    assert decode_failure(*encode_failure(failure)) == failure


def test_a_described_error_holds_its_notes() -> None:
    """Those of Async's other tasks; Python 3.10 does not print them by itself."""
    error = ValueError("first")
    error.__notes__ = ["another task failed too: KeyError: 'b'"]  # type: ignore[attr-defined]

    assert activity.describe_error(error).traceback.count("another task failed too") == 1


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_no_input_is_an_empty_context(text: str | None) -> None:
    """A task without one is legal at SWF."""
    assert read_input(text) == {}


@pytest.mark.parametrize("text", ["hello", "[1]", "3"])
def test_an_input_that_is_no_object_is_refused(text: str) -> None:
    """Some other program scheduled it."""
    with pytest.raises(FlowError, match="input is no JSON"):
        read_input(text)


def test_heartbeats_go_out_while_a_task_runs() -> None:
    """Garcon 1.1.1 beat between tasks only, so one long task was taken for dead."""
    client = FakeSwf()

    with beating(attempt(client), every_s=0.001):
        assert client.beaten.wait(10)

    count = len(client.beats)
    assert count >= 1
    assert len(client.beats) == count


def test_beating_ends_when_the_attempt_is_over() -> None:
    """The task learns of it at its own next heartbeat."""
    client = FakeSwf()
    client.heartbeat_answer = fault("UnknownResourceFault")

    with beating(attempt(client), every_s=0.001):
        assert client.beaten.wait(10)

    assert client.beats == [None]


def test_results_are_read_back_as_they_were() -> None:
    """What the next activity gets is what this one returned."""
    result = {"a": [1, 2.5, None, True, "ü", {"b": {}}]}

    assert json.loads(activity.result_text(result, "step")) == result

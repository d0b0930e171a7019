"""The wire: targets, bodies, and how the service words what is wrong with them."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import uuid
from typing import Any

import pytest

from garcon.engine.testing import Engine
from tests.contract.engine.swf import RUN, Swf, attributes, decide, schedule

FLOW = {"name": "flow", "version": "1"}
SHORT = "SimpleWorkflowService."
LONG = "com.amazonaws.swf.service.model.SimpleWorkflowService."


def send(
    engine: Engine, target: str | None, body: bytes, method: str = "POST", **more: str
) -> tuple[int, Any, dict[str, str]]:
    """Send bytes; return status, parsed body and headers."""
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=30)
    connection.request(method, "/", body, {**more, **({"X-Amz-Target": target} if target else {})})
    response = connection.getresponse()
    text = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    return response.status, json.loads(text) if text else None, headers


def test_old_and_new_targets_are_understood(engine: Engine) -> None:
    """What stands behind the last dot counts; each is answered in its own content type."""
    body = b'{"registrationStatus":"REGISTERED"}'
    for prefix, kind in ((SHORT, "application/x-amz-json-1.0"), (LONG, "application/json")):
        status, answer, headers = send(engine, prefix + "ListDomains", body)
        assert (status, answer, headers["content-type"]) == (200, {"domainInfos": []}, kind)
        _, _, headers = send(engine, prefix + "ListDomains", b"{")
        assert headers["content-type"] == kind
        request_id = headers["x-amzn-requestid"]
        assert str(uuid.UUID(request_id)) == request_id


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-amz-json-1.0"},
        {"Content-Type": "application/json", "Content-Encoding": "amz-1.0"},
        {},
    ],
)
def test_the_content_types_of_old_and_new_clients_are_understood(
    engine: Engine, headers: dict[str, str]
) -> None:
    """The guide's own, with its Content-Encoding, and botocore's."""
    body = b'{"registrationStatus":"REGISTERED"}'
    assert send(engine, LONG + "ListDomains", body, **headers)[:2] == (200, {"domainInfos": []})


@pytest.mark.parametrize(
    ("target", "body", "kind"),
    [
        ("DescribeDomain", b'{"name":"no"}', "com.amazonaws.swf.base.model#UnknownResourceFault"),
        ("DescribeDomain", b"{}", "com.amazon.coral.validate#ValidationException"),
        ("DescribeDomain", b"{", "com.amazon.coral.service#SerializationException"),
    ],
)
def test_a_refusal_has_the_services_full_type(
    engine: Engine, target: str, body: bytes, kind: str
) -> None:
    """Status 400, the type with its prefix, a message."""
    status, answer, _ = send(engine, SHORT + target, body)
    assert (status, answer["__type"]) == (400, kind)
    assert answer["message"]


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(engine: Engine) -> None:
    """100 Continue, then the answer."""
    host, port = engine.url.removeprefix("http://").split(":")
    body = b'{"registrationStatus":"REGISTERED"}'
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {SHORT}ListDomains\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.encode())
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(body)
        assert line.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_headers_that_are_no_unicode_bring_no_accident(engine: Engine) -> None:
    """An operation's name is refused as unknown; a call's id is not kept."""
    status, answer, _ = send(engine, SHORT + "List\xff", b"{}")
    assert (status, answer["__type"].rpartition("#")[2]) == (400, "UnknownOperationException")
    swf = Swf.prepared(engine)
    swf.start()
    body = json.dumps({"domain": "dom", "taskList": {"name": "decide"}}).encode()
    odd = {"amz-sdk-invocation-id": "\xff"}
    status, task, _ = send(engine, SHORT + "PollForDecisionTask", body, **odd)
    assert (status, task["startedEventId"]) == (200, 3)


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_that_is_said_to_be_too_large_is_not_waited_for(engine: Engine, expect: str) -> None:
    """Nor asked for: the refusal comes though not a byte of it has."""
    host, port = engine.url.removeprefix("http://").split(":")
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {SHORT}ListDomains\r\n"
        f"Content-Length: {(1 << 20) + 1}\r\n{expect}\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")


def test_an_operation_without_result_answers_with_nothing(engine: Engine) -> None:
    """200 and a body of no length."""
    body = b'{"name":"d","workflowExecutionRetentionPeriodInDays":"1"}'
    status, answer, headers = send(engine, SHORT + "RegisterDomain", body)
    assert (status, answer, headers["content-length"]) == (200, None, "0")


@pytest.mark.parametrize("target", [None, "", "SimpleWorkflowService", SHORT, SHORT + "Nothing"])
def test_an_unknown_operation_is_refused(engine: Engine, target: str | None) -> None:
    """By the service's code."""
    status, answer, _ = send(engine, target, b"{}")
    assert status == 400
    assert answer["__type"] == "com.amazon.coral.service#UnknownOperationException"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"5",
        b"null",
        b"\xff\xfe",
        b'{"registrationStatus": 5}',
        b'{"registrationStatus": ["REGISTERED"]}',
        b'{"registrationStatus": "REGISTERED", "maximumPageSize": "5"}',
        b'{"registrationStatus": "REGISTERED", "maximumPageSize": 5.0}',
        b'{"registrationStatus": "REGISTERED", "maximumPageSize": true}',
        b'{"registrationStatus": "REGISTERED", "reverseOrder": "yes"}',
        b'{"registrationStatus": NaN}',
        b'{"registrationStatus": "\\ud800"}',
        b"[" * 100_000,
        b'{"maximumPageSize": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_of_the_right_types_is_not_serializable(
    engine: Engine, body: bytes
) -> None:
    """SerializationException, never an internal failure."""
    status, answer, _ = send(engine, SHORT + "ListDomains", body)
    assert status == 400
    assert answer["__type"] == "com.amazon.coral.service#SerializationException"


def test_a_body_over_one_megabyte_is_refused(engine: Engine) -> None:
    """And the engine goes on."""
    body = json.dumps({"registrationStatus": "REGISTERED", "name": "x" * (1 << 20)}).encode()
    status, answer, _ = send(engine, SHORT + "ListDomains", body)
    assert (status, answer["__type"].rpartition("#")[2]) == (400, "SerializationException")
    assert send(engine, SHORT + "ListDomains", b'{"registrationStatus":"REGISTERED"}')[0] == 200


def test_another_method_is_refused(engine: Engine) -> None:
    """Only POST carries calls."""
    assert send(engine, SHORT + "ListDomains", b"", "GET")[0] == 400


def test_unknown_members_and_nulls_count_as_absent(engine: Engine) -> None:
    """As the service reads them."""
    body = b'{"registrationStatus":"REGISTERED","maximumPageSize":null,"more":{"a":[1]}}'
    assert send(engine, SHORT + "ListDomains", body)[0] == 200


def test_unknown_members_are_kept_nowhere(engine: Engine) -> None:
    """Neither with a type nor in an event, however deep they stand."""
    swf = Swf.prepared(engine)
    given = {"domain": "dom", "name": "n", "version": "1", "defaultMore": {"a": 1}}
    given["defaultTaskList"] = {"name": "l", "more": 1}
    assert send(engine, SHORT + "RegisterActivityType", json.dumps(given).encode())[0] == 200
    body = json.dumps({"domain": "dom", "activityType": {"name": "n", "version": "1"}}).encode()
    _, described, _ = send(engine, SHORT + "DescribeActivityType", body)
    assert described["configuration"] == {"defaultTaskList": {"name": "l"}}

    run_id = swf.start()
    decision = schedule(taskList={"name": "l", "more": 1})
    given = {"taskToken": swf.decision()["taskToken"], "decisions": [decision]}
    body = json.dumps(given).encode()
    assert send(engine, SHORT + "RespondDecisionTaskCompleted", body)[0] == 200
    body = json.dumps({"domain": "dom", "execution": {"workflowId": "w", "runId": run_id}}).encode()
    _, history, _ = send(engine, SHORT + "GetWorkflowExecutionHistory", body)
    assert attributes(history["events"][-1])["taskList"] == {"name": "l"}


def test_a_packed_body_is_not_unpacked(engine: Engine) -> None:
    """SWF takes none, and a thousand bytes may hold a million."""
    packed = gzip.compress(b'{"registrationStatus":"REGISTERED"}')
    headers = {"Content-Encoding": "gzip"}
    status, answer, _ = send(engine, SHORT + "ListDomains", packed, **headers)
    assert (status, answer["__type"]) == (400, "com.amazon.coral.service#SerializationException")


def test_a_list_that_is_too_long_is_shown_as_the_service_shows_lists(swf: Swf) -> None:
    """In brackets, without quotes round its members."""
    tags = list("abcdef")
    given = {"domain": "dom", "workflowId": "w", "workflowType": FLOW, "tagList": tags}
    _, text = swf.refusal("start_workflow_execution", **given)
    assert text == (
        "1 validation error detected: Value '[a, b, c, d, e, f]' at 'tagList' failed to satisfy"
        " constraint: Member must have length less than or equal to 5"
    )


def test_what_is_malformed_is_told_before_what_is_unknown(swf: Swf) -> None:
    """Of an answer that comes too late and is not well-formed either."""
    swf.start()
    token = swf.step()["taskToken"]
    for decisions in (
        [{"decisionType": "StartTimer"}],
        [decide("CompleteWorkflowExecution"), decide("CompleteWorkflowExecution")],
    ):
        given = {"taskToken": token, "decisions": decisions}
        code, _ = swf.refusal("respond_decision_task_completed", **given)
        assert code == "ValidationException"


def test_several_errors_share_one_message_with_their_number(swf: Swf) -> None:
    """Missing, too long, outside an enum, forbidden: all at once."""
    code, text = swf.refusal(
        "start_workflow_execution",
        domain="dom",
        workflowId="w" * 257,
        workflowType={"name": "flow"},
        childPolicy="NO",
        tagList=["t" * 257],
        taskPriority="high",
    )
    assert code == "ValidationException"
    assert text.startswith("5 validation errors detected: ")
    assert "Value null at 'workflowType.version' failed" in text
    assert (
        f"Value '{'w' * 257}' at 'workflowId' failed to satisfy constraint:"
        " Member must have length less than or equal to 256" in text
    )
    assert "'childPolicy' failed to satisfy constraint: Member must satisfy enum value set:" in text
    assert "at 'tagList.1.member' failed" in text
    assert "at 'taskPriority' failed" in text


def test_decisions_are_counted_from_one_in_messages(swf: Swf) -> None:
    """With the service's own order of the decision types; nothing is written."""
    run_id = swf.start()
    task = swf.decision()
    code, text = swf.refusal(
        "respond_decision_task_completed",
        taskToken=task["taskToken"],
        decisions=[decide("RecordMarker", markerName="m"), {"decisionType": "Nothing"}],
    )
    assert code == "ValidationException"
    assert text == (
        "1 validation error detected: Value 'Nothing' at 'decisions.2.member.decisionType' failed"
        " to satisfy constraint: Member must satisfy enum value set: [CompleteWorkflowExecution,"
        " StartTimer, RequestCancelExternalWorkflowExecution, SignalExternalWorkflowExecution,"
        " CancelTimer, RecordMarker, ScheduleActivityTask, ContinueAsNewWorkflowExecution,"
        " ScheduleLambdaFunction, FailWorkflowExecution, RequestCancelActivityTask,"
        " StartChildWorkflowExecution, CancelWorkflowExecution]"
    )
    code, text = swf.refusal(
        "respond_decision_task_completed",
        taskToken=task["taskToken"],
        decisions=[{"decisionType": "StartTimer"}],
    )
    assert "Value null at 'decisions.1.member.startTimerDecisionAttributes'" in text
    assert swf.names("w", run_id)[-1] == "DecisionTaskStarted"
    swf.answer(task)


@pytest.mark.parametrize("value", ["a:b", "a/b", "a|b", "a\nb", "\x7f", "a\x85", "arn", ""])
def test_forbidden_names_are_refused(swf: Swf, value: str) -> None:
    """In ids of runs, activities and timers alike."""
    code, _ = swf.refusal(
        "start_workflow_execution", domain="dom", workflowId=value, workflowType=FLOW, **RUN
    )
    assert code == "ValidationException"
    swf.start()
    task = swf.decision()
    for decision in (
        schedule(value),
        decide("StartTimer", timerId=value, startToFireTimeout="1"),
    ):
        code, _ = swf.refusal(
            "respond_decision_task_completed", taskToken=task["taskToken"], decisions=[decision]
        )
        assert code == "ValidationException"


NAMED = {"name": "n", "version": "1"}
KEPT = {"workflowExecutionRetentionPeriodInDays": "1"}


@pytest.mark.parametrize(
    ("operation", "given", "path"),
    [
        ("register_domain", {**KEPT, "name": "a/b"}, "name"),
        ("register_domain", {**KEPT, "name": " a"}, "name"),
        ("describe_domain", {"name": "a "}, "name"),
        ("register_activity_type", {"domain": "dom", **NAMED, "name": "a:b"}, "name"),
        ("register_workflow_type", {"domain": "dom", **NAMED, "version": "1|2"}, "version"),
        (
            "describe_workflow_type",
            {"domain": "dom", "workflowType": {**NAMED, "name": "arn"}},
            "workflowType.name",
        ),
        (
            "register_workflow_type",
            {"domain": "dom", **NAMED, "defaultTaskList": {"name": "l "}},
            "defaultTaskList.name",
        ),
        (
            "register_workflow_type",
            {"domain": "dom", **NAMED, "defaultExecutionStartToCloseTimeout": "NONE"},
            "defaultExecutionStartToCloseTimeout",
        ),
        (
            "register_activity_type",
            {"domain": "dom", **NAMED, "defaultTaskHeartbeatTimeout": "never"},
            "defaultTaskHeartbeatTimeout",
        ),
    ],
)
def test_what_is_registered_is_checked_as_well(
    swf: Swf, operation: str, given: dict[str, Any], path: str
) -> None:
    """Names, versions, lists and durations of domains and types."""
    code, text = swf.refusal(operation, **given)
    assert code == "ValidationException"
    assert f"at '{path}' failed to satisfy constraint" in text


@pytest.mark.parametrize(
    ("kind", "given", "member"),
    [
        *(
            ("StartTimer", {"timerId": "t", "startToFireTimeout": time}, "startToFireTimeout")
            for time in ("NONE", "-1", "1.5")
        ),
        *(
            (kind, {**given, "executionStartToCloseTimeout": time}, "executionStartToCloseTimeout")
            for kind, given in (
                ("StartChildWorkflowExecution", {"workflowType": FLOW, "workflowId": "c"}),
                ("ContinueAsNewWorkflowExecution", {}),
            )
            for time in ("NONE", "0", "31622401")
        ),
        *(
            (
                "ScheduleLambdaFunction",
                {"id": "l", "name": "f", "startToCloseTimeout": time},
                "startToCloseTimeout",
            )
            for time in ("NONE", "0", "901")
        ),
        ("ScheduleLambdaFunction", {"id": "a:b", "name": "f"}, "id"),
        ("ScheduleLambdaFunction", {"id": "l", "name": "f" * 65}, "name"),
        ("StartChildWorkflowExecution", {"workflowType": FLOW, "workflowId": "a/b"}, "workflowId"),
    ],
)
def test_what_a_decision_asks_for_is_checked_before_any_of_it_counts(
    swf: Swf, kind: str, given: dict[str, Any], member: str
) -> None:
    """By its place and member; nothing is written and the token stays good."""
    run_id = swf.start()
    task = swf.decision()
    decisions = [decide("RecordMarker", markerName="m"), decide(kind, **given)]
    refused = {"taskToken": task["taskToken"], "decisions": decisions}
    code, text = swf.refusal("respond_decision_task_completed", **refused)
    path = f"decisions.2.member.{kind[0].lower()}{kind[1:]}DecisionAttributes.{member}"
    assert (code, f"at '{path}' failed" in text) == ("ValidationException", True)
    assert swf.names("w", run_id)[-1] == "DecisionTaskStarted"
    swf.answer(task)


def test_a_name_may_contain_arn_and_anything_else(swf: Swf) -> None:
    """Only the literal is forbidden."""
    for name in ("learn", "arn2", "tägliche Läufe №1 💡", " blank "):
        run_id = swf.start(name)
        assert swf.describe(name, run_id)["executionInfo"]["execution"]["workflowId"] == name


@pytest.mark.parametrize("list_name", [" work", "work ", "wo:rk"])
def test_task_lists_have_no_blanks_at_their_ends(swf: Swf, list_name: str) -> None:
    """Nor separators."""
    code, _ = swf.refusal("poll_for_activity_task", domain="dom", taskList={"name": list_name})
    assert code == "ValidationException"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("executionStartToCloseTimeout", "NONE"),
        ("executionStartToCloseTimeout", "0"),
        ("executionStartToCloseTimeout", "31622401"),
        ("executionStartToCloseTimeout", "123456789"),
        ("taskStartToCloseTimeout", "-1"),
        ("taskStartToCloseTimeout", "1.5"),
        ("taskStartToCloseTimeout", "soon"),
        ("taskStartToCloseTimeout", "²"),
        ("taskPriority", "2147483648"),
        ("taskPriority", ""),
        ("input", "x" * 32_769),
        ("tagList", ["t"] * 6),
    ],
)
def test_a_start_value_outside_its_bounds_is_refused(swf: Swf, member: str, value: Any) -> None:
    """Durations, priorities, lengths, numbers of tags."""
    start = {"domain": "dom", "workflowId": "w", "workflowType": FLOW, **RUN, member: value}
    code, text = swf.refusal("start_workflow_execution", **start)
    assert code == "ValidationException"
    assert f"'{member}'" in text


@pytest.mark.parametrize("days", ["91", "-1", "x", ""])
def test_a_retention_is_ninety_days_at_most(swf: Swf, days: str) -> None:
    """Or NONE."""
    code, _ = swf.refusal("register_domain", name="d", workflowExecutionRetentionPeriodInDays=days)
    assert code == "ValidationException"


@pytest.mark.parametrize("size", [1001, -1])
def test_a_page_has_a_thousand_entries_at_most(swf: Swf, size: int) -> None:
    """The bound is in the message."""
    code, text = swf.refusal("list_domains", registrationStatus="REGISTERED", maximumPageSize=size)
    bound = "less than or equal to 1000" if size > 0 else "greater than or equal to 0"
    assert (code, bound in text) == ("ValidationException", True)


@pytest.mark.parametrize(
    "operation",
    [
        "respond_activity_task_completed",
        "respond_activity_task_failed",
        "respond_activity_task_canceled",
        "record_activity_task_heartbeat",
        "respond_decision_task_completed",
    ],
)
def test_a_token_that_was_never_given_out_is_invalid(swf: Swf, operation: str) -> None:
    """Whatever it looks like; also one of the other kind."""
    swf.start()
    decision_token = swf.decision()["taskToken"]
    for token in ("x", "AAAAKgAAAAE=", "é", "A" * 1024):
        assert swf.refusal(operation, taskToken=token) == ("ValidationException", "Invalid token")
    if operation != "respond_decision_task_completed":
        refused = swf.refusal(operation, taskToken=decision_token)
        assert refused == ("ValidationException", "Invalid token")


def test_a_token_of_another_engines_run_is_unknown(swf: Swf) -> None:
    """Though the numbers in it fit."""
    from garcon.engine.service.tokens import task_token

    swf.start()
    swf.decision()
    token = task_token("decision", 1, 2, 3, "22another run")
    code, _ = swf.refusal("respond_decision_task_completed", taskToken=token)
    assert code == "UnknownResourceFault"


@pytest.mark.parametrize("position", [[], ["1"], [1, 2, 3], {}, 5, [-1], [1 << 64], [True]])
def test_a_page_token_of_ones_own_making_is_invalid(swf: Swf, position: Any) -> None:
    """Also one whose check fits: its parts are looked at before they are used."""
    from garcon.engine.service.tokens import page_token

    execution = {"workflowId": "w", "runId": swf.start()}
    scope = ["GetWorkflowExecutionHistory", "dom", execution["runId"], False]
    token = page_token(scope, position, 1_767_225_600_000)
    given = {"domain": "dom", "execution": execution, "nextPageToken": token}
    refused = swf.refusal("get_workflow_execution_history", **given)
    assert refused == ("ValidationException", "Invalid token")


def test_the_longest_names_are_listed_in_pages(swf: Swf) -> None:
    """Their tokens are no longer than a token may be."""
    for number in range(3):
        swf.api.register_activity_type(
            domain="dom", name="語" * 256, version="😀" * 63 + f"{number}"
        )
    given: dict[str, Any] = {"domain": "dom", "registrationStatus": "REGISTERED"}
    seen = []
    while True:
        page = swf.api.list_activity_types(**given, maximumPageSize=1)
        seen.extend(info["activityType"]["version"][-1] for info in page["typeInfos"])
        if "nextPageToken" not in page:
            break
        given["nextPageToken"] = page["nextPageToken"]
    assert seen == ["1", "0", "1", "2"]


def test_texts_survive_unchanged(swf: Swf) -> None:
    """Unicode, controls and quotes in data fields."""
    text = 'é💡\u2028"\\\n\x00 end'
    run_id = swf.start(input=text)
    swf.step(schedule(input=text))
    task = swf.activity()
    assert task["input"] == text
    swf.api.respond_activity_task_completed(taskToken=task["taskToken"], result=text)
    assert swf.last("w", run_id, "ActivityTaskCompleted")["result"] == text

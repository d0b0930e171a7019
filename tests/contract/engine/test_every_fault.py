"""Every fault in botocore's model of each operation is met by a client, or stands here with its
reason; so are the faults that every operation shares.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from botocore import xform_name
from botocore.loaders import Loader

from garcon.engine.core.buckets import AWS_RATES, Rate
from garcon.engine.http.server import Settings
from garcon.engine.testing import Engine, engine_in_process
from tests.contract.engine.swf import RUN, Swf, client, schedule

SERVICE = Loader().load_service_model("swf", "service-2")
OPERATIONS = SERVICE["operations"]
MODEL = {
    (operation, error["shape"])
    for operation, described in OPERATIONS.items()
    for error in described.get("errors", ())
}
IAM = "OperationNotPermittedFault"
UNKNOWN = "UnknownResourceFault"
LIMIT = "LimitExceededFault"

#: Faults that no client can meet here.
CANNOT = {
    **{pair: "an IAM policy refuses; the engine has no IAM" for pair in MODEL if pair[1] == IAM},
    **{
        (operation, LIMIT): "no quota on reading or changing tags is published but their rate,"
        " which is answered with ThrottlingException, and their number, TooManyTagsFault"
        for operation in ("TagResource", "UntagResource", "ListTagsForResource")
    },
}

NONE_SUCH = {"name": "none such", "version": "1"}
EVER = {"startTimeFilter": {"oldestDate": 0}}
TAGS = [{"key": f"k{number}"} for number in range(51)]
KINDS = (("ActivityType", "activityType", "act"), ("WorkflowType", "workflowType", "flow"))


class Way(NamedTuple):
    """How a call comes to be refused.

    Attributes:
        given: the call's arguments; a function of the client where they are only known then.
        before: what happens first.
        bound: a quota, by its place in the code, and how low it is set meanwhile.
    """

    given: dict[str, Any] | Callable[[Swf], dict[str, Any]]
    before: Callable[[Swf], object] = lambda _: None
    bound: tuple[str, int] | None = None


def named(swf: Swf, **more: Any) -> dict[str, Any]:
    """Return arguments with the domain of the client."""
    return {"domain": swf.domain, **more}


def call(operation: str, **given: Any) -> Callable[[Swf], object]:
    """Return what makes a call about the domain of the client."""

    def make(swf: Swf) -> object:
        about = "name" if operation.endswith("_domain") else "domain"
        return getattr(swf.api, operation)(**{about: swf.domain}, **given)

    return make


def start(swf: Swf, **more: Any) -> dict[str, Any]:
    """Return the arguments of a start."""
    kind = {"name": "flow", "version": "1"}
    return {**named(swf), "workflowId": "w", "workflowType": kind, **RUN, **more}


def arn(swf: Swf, **more: Any) -> dict[str, Any]:
    """Return arguments with the domain's ARN."""
    domain = swf.api.describe_domain(name=swf.domain)["domainInfo"]
    return {"resourceArn": domain["arn"], **more}


def late_activity(swf: Swf) -> dict[str, Any]:
    """Return the token of an activity that is over."""
    swf.start()
    swf.step(schedule())
    token = swf.activity()["taskToken"]
    swf.api.respond_activity_task_completed(taskToken=token)
    return {"taskToken": token}


def late_decision(swf: Swf) -> dict[str, Any]:
    """Return the token of a decision task that is over."""
    swf.start()
    return {"taskToken": swf.step()["taskToken"]}


def unknown_domain(**given: Any) -> Way:
    """Return the way of a call about a domain that nobody registered."""
    return Way({"domain": "none such", **given})


def of_types() -> dict[tuple[str, str], Way]:
    """Return the ways of the operations that both kinds of type have."""
    ways: dict[tuple[str, str], Way] = {}
    for kind, member, name in KINDS:
        known = {member: {"name": name, "version": "1"}}
        deprecated = call(xform_name(f"Deprecate{kind}"), **known)
        for verb in ("Deprecate", "Undeprecate", "Delete", "Describe"):
            ways[verb + kind, UNKNOWN] = Way(lambda swf, m=member: named(swf, **{m: NONE_SUCH}))
        has = Way(lambda swf, known=known: named(swf, **known))
        ways[f"Deprecate{kind}", "TypeDeprecatedFault"] = has._replace(before=deprecated)
        ways[f"Undeprecate{kind}", "TypeAlreadyExistsFault"] = has
        ways[f"Delete{kind}", "TypeNotDeprecatedFault"] = has
        again = Way(lambda swf, name=name: named(swf, name=name, version="1"))
        bound = ("garcon.engine.service.registration.MAX_TYPES", 1)
        ways[f"Register{kind}", "TypeAlreadyExistsFault"] = again
        ways[f"Register{kind}", UNKNOWN] = unknown_domain(**NONE_SUCH)
        more = Way(lambda swf: named(swf, **NONE_SUCH), bound=bound)
        ways[f"Register{kind}", LIMIT] = more
        ways[f"List{kind}s", UNKNOWN] = unknown_domain(registrationStatus="REGISTERED")
    return ways


NEW_DOMAIN = {"name": "new", "workflowExecutionRetentionPeriodInDays": "1"}
EXECUTION = {"execution": {"workflowId": "no", "runId": "no"}}
LIST = {"taskList": {"name": "l"}}

WAYS: dict[tuple[str, str], Way] = {
    **of_types(),
    **{
        (f"{verb}{state}WorkflowExecutions", UNKNOWN): unknown_domain(**EVER)
        for verb in ("List", "Count")
        for state in ("Open", "Closed")
    },
    **{
        (operation, UNKNOWN): unknown_domain(**LIST)
        for operation in (
            "CountPendingActivityTasks",
            "CountPendingDecisionTasks",
            "PollForActivityTask",
            "PollForDecisionTask",
        )
    },
    **{
        (f"PollFor{kind}Task", LIMIT): Way(
            lambda swf: named(swf, **LIST), bound=("garcon.engine.service.kernel.MAX_POLLERS", 0)
        )
        for kind in ("Activity", "Decision")
    },
    **{
        (operation, UNKNOWN): Way(lambda swf: named(swf, **EXECUTION))
        for operation in ("DescribeWorkflowExecution", "GetWorkflowExecutionHistory")
    },
    **{
        (operation, UNKNOWN): Way(lambda swf, more=more: named(swf, workflowId="no", **more))
        for operation, more in (
            ("SignalWorkflowExecution", {"signalName": "s"}),
            ("RequestCancelWorkflowExecution", {}),
            ("TerminateWorkflowExecution", {}),
        )
    },
    **{
        (operation, UNKNOWN): Way(late_activity)
        for operation in (
            "RecordActivityTaskHeartbeat",
            "RespondActivityTaskCompleted",
            "RespondActivityTaskFailed",
            "RespondActivityTaskCanceled",
        )
    },
    ("RespondDecisionTaskCompleted", UNKNOWN): Way(late_decision),
    **{
        (f"{verb}Domain", UNKNOWN): Way({"name": "none such"})
        for verb in ("Deprecate", "Undeprecate", "Describe")
    },
    ("DeprecateDomain", "DomainDeprecatedFault"): Way(
        lambda swf: {"name": swf.domain}, call("deprecate_domain")
    ),
    ("UndeprecateDomain", "DomainAlreadyExistsFault"): Way(lambda swf: {"name": swf.domain}),
    ("RegisterDomain", "DomainAlreadyExistsFault"): Way(
        lambda swf: {**NEW_DOMAIN, "name": swf.domain}
    ),
    ("RegisterDomain", LIMIT): Way(
        NEW_DOMAIN, bound=("garcon.engine.service.registration.MAX_DOMAINS", 1)
    ),
    ("RegisterDomain", "TooManyTagsFault"): Way({**NEW_DOMAIN, "tags": TAGS}),
    ("TagResource", "TooManyTagsFault"): Way(lambda swf: arn(swf, tags=TAGS)),
    **{
        (operation, UNKNOWN): Way({"resourceArn": "arn:aws:swf:r:1:/domain/no", **given})
        for operation, given in (
            ("TagResource", {"tags": TAGS[:1]}),
            ("UntagResource", {"tagKeys": ["k"]}),
            ("ListTagsForResource", {}),
        )
    },
    ("StartWorkflowExecution", UNKNOWN): Way(lambda swf: start(swf, workflowType=NONE_SUCH)),
    ("StartWorkflowExecution", "TypeDeprecatedFault"): Way(
        start, call("deprecate_workflow_type", workflowType={"name": "flow", "version": "1"})
    ),
    ("StartWorkflowExecution", "WorkflowExecutionAlreadyStartedFault"): Way(start, Swf.start),
    ("StartWorkflowExecution", LIMIT): Way(
        start, bound=("garcon.engine.service.runs.MAX_OPEN_EXECUTIONS", 0)
    ),
    ("StartWorkflowExecution", "DefaultUndefinedFault"): Way(
        lambda swf: start(swf, childPolicy=None)
    ),
}


def test_every_fault_of_the_model_has_a_way_or_a_reason() -> None:
    """For each operation by itself; none is on both lists."""
    assert set(WAYS) | set(CANNOT) == MODEL
    assert not set(WAYS) & set(CANNOT)


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """One engine for all ways; each has its own domain."""
    with engine_in_process(clock="virtual", poll_hold_s=0.1) as running:
        yield running


@pytest.mark.parametrize(("operation", "fault"), sorted(WAYS))
def test_a_client_meets_the_fault_by_its_name(
    shared: Engine, monkeypatch: pytest.MonkeyPatch, operation: str, fault: str
) -> None:
    """With a text, as a client's error and not as a failure of the engine."""
    way = WAYS[operation, fault]
    swf = Swf.prepared(shared, f"{operation} {fault}")
    way.before(swf)
    given = way.given(swf) if callable(way.given) else way.given
    with monkeypatch.context() as patch:
        if way.bound is not None:
            patch.setattr(*way.bound)
        code, text = swf.refusal(xform_name(operation), **given)
    assert code == fault
    assert text


def minimal(shape: str) -> Any:
    """Return the least value that a shape of the model allows."""
    described = SERVICE["shapes"][shape]
    kind = described["type"]
    if kind == "structure":
        needed = described.get("required", ())
        return {name: minimal(described["members"][name]["shape"]) for name in needed}
    if kind == "list":
        return [minimal(described["member"]["shape"])]
    return described.get("enum", ["1"])[0] if kind == "string" else 0


@pytest.fixture(scope="module")
def empty_buckets() -> Iterator[Engine]:
    """An engine that has no token for any operation."""
    rates = {name: Rate(0.5, 0.001) for name in AWS_RATES}
    settings = Settings(db=":memory:", poll_hold_s=0.1, rates=rates)
    with engine_in_process(settings=settings, clock="virtual") as running:
        yield running


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_has_a_rate_of_its_own(empty_buckets: Engine, operation: str) -> None:
    """ThrottlingException, before the call is looked at any closer."""
    swf = Swf(empty_buckets, client(empty_buckets.url))
    given = minimal(OPERATIONS[operation]["input"]["shape"])
    refused = swf.refusal(xform_name(operation), **given)
    assert refused == ("ThrottlingException", "Rate exceeded")


def test_a_throttled_call_has_the_services_full_type(empty_buckets: Engine) -> None:
    """Status 400 and the type with its prefix, which older clients look at."""
    connection = http.client.HTTPConnection(empty_buckets.url.removeprefix("http://"), timeout=30)
    body = b'{"registrationStatus":"REGISTERED"}'
    connection.request("POST", "/", body, {"X-Amz-Target": "SimpleWorkflowService.ListDomains"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    kind = "com.amazon.coral.availability#ThrottlingException"
    assert (response.status, answer) == (400, {"__type": kind, "message": "Rate exceeded"})


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_says_all_that_is_missing(shared: Engine, operation: str) -> None:
    """One ValidationException for all required members together."""
    swf = Swf(shared, client(shared.url))
    needed = SERVICE["shapes"][OPERATIONS[operation]["input"]["shape"]]["required"]
    code, text = swf.refusal(xform_name(operation))
    assert code == "ValidationException"
    assert text.startswith(f"{len(needed)} validation error")
    for member in needed:
        assert f"Value null at '{member}' failed to satisfy constraint" in text

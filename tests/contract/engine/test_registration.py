"""Domains and types: the operations before anything runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from garcon.engine.core.faults import Fault
from garcon.engine.service.operations import OPERATIONS
from garcon.engine.service.tasks import Call
from garcon.engine.testing import Engine
from tests.contract.engine.swf import RUN, Swf, client, decide, schedule

KINDS = ("activity", "workflow")


def kind_of(kind: str, name: str = "t") -> dict[str, Any]:
    """Return the member that names a type of a kind."""
    return {f"{kind}Type": {"name": name, "version": "1"}}


def test_a_domain_is_described_as_it_was_registered(engine: Engine) -> None:
    """Name, text, retention, status and an ARN come back."""
    api = client(engine.url)
    api.register_domain(name="d", description="text", workflowExecutionRetentionPeriodInDays="NONE")
    found = api.describe_domain(name="d")
    assert found["domainInfo"]["status"] == "REGISTERED"
    assert found["domainInfo"]["description"] == "text"
    assert found["domainInfo"]["arn"].endswith(":/domain/d")
    assert found["configuration"] == {"workflowExecutionRetentionPeriodInDays": "NONE"}


def test_a_domain_cannot_be_registered_twice(swf: Swf) -> None:
    """The second registration is refused with the bare name."""
    refused = swf.refusal("register_domain", name="dom", workflowExecutionRetentionPeriodInDays="1")
    assert refused == ("DomainAlreadyExistsFault", "dom")


def test_an_unknown_domain_is_refused_by_every_call_about_it(swf: Swf) -> None:
    """UnknownResourceFault names the domain."""
    since = {"startTimeFilter": {"oldestDate": 0}}
    task_list = {"taskList": {"name": "l"}}
    run = {"execution": {"workflowId": "w", "runId": "r"}}
    named_type = {"name": "t", "version": "1"}
    everywhere: dict[str, dict[str, Any]] = {
        "describe_domain": {},
        "deprecate_domain": {},
        "undeprecate_domain": {},
        "poll_for_activity_task": task_list,
        "poll_for_decision_task": task_list,
        "count_pending_activity_tasks": task_list,
        "count_pending_decision_tasks": task_list,
        "list_open_workflow_executions": since,
        "list_closed_workflow_executions": since,
        "count_open_workflow_executions": since,
        "count_closed_workflow_executions": since,
        "start_workflow_execution": {"workflowId": "w", "workflowType": named_type, **RUN},
        "signal_workflow_execution": {"workflowId": "w", "signalName": "s"},
        "request_cancel_workflow_execution": {"workflowId": "w"},
        "terminate_workflow_execution": {"workflowId": "w"},
        "describe_workflow_execution": run,
        "get_workflow_execution_history": run,
    }
    for kind in KINDS:
        everywhere[f"register_{kind}_type"] = named_type
        everywhere[f"list_{kind}_types"] = {"registrationStatus": "REGISTERED"}
    for operation, given in everywhere.items():
        named = {"name" if operation.endswith("_domain") else "domain": "none"}
        refused = swf.refusal(operation, **named, **given)
        assert refused == ("UnknownResourceFault", "Unknown domain: none")


def test_a_deprecated_domain_starts_nothing_but_still_shows_its_runs(swf: Swf) -> None:
    """Its types go with it; what runs goes on; a second deprecation is refused."""
    run_id = swf.start()
    swf.api.deprecate_domain(name="dom")
    assert swf.refusal("deprecate_domain", name="dom") == ("DomainDeprecatedFault", "dom")
    code, _ = swf.refusal(
        "start_workflow_execution",
        domain="dom",
        workflowId="w2",
        workflowType={"name": "flow", "version": "1"},
        **RUN,
    )
    assert code == "TypeDeprecatedFault"
    code, _ = swf.refusal("register_activity_type", domain="dom", name="new", version="1")
    assert code == "DomainDeprecatedFault"
    shown = swf.api.describe_workflow_type(
        domain="dom", workflowType={"name": "flow", "version": "1"}
    )
    assert shown["typeInfo"]["status"] == "DEPRECATED"
    assert swf.describe("w", run_id)["executionInfo"]["executionStatus"] == "OPEN"
    swf.step()
    swf.api.undeprecate_domain(name="dom")
    assert swf.refusal("undeprecate_domain", name="dom") == ("DomainAlreadyExistsFault", "dom")
    assert swf.api.describe_domain(name="dom")["domainInfo"]["status"] == "REGISTERED"


def test_a_deprecated_domain_starts_nothing_of_a_type_taken_back_either(swf: Swf) -> None:
    """Undeprecating the type alone is not enough."""
    flow = {"name": "flow", "version": "1"}
    swf.api.deprecate_domain(name="dom")
    swf.api.undeprecate_workflow_type(domain="dom", workflowType=flow)
    start = {"domain": "dom", "workflowId": "w", "workflowType": flow, **RUN}
    assert swf.refusal("start_workflow_execution", **start)[0] == "TypeDeprecatedFault"
    swf.api.undeprecate_domain(name="dom")
    swf.api.start_workflow_execution(**start)


def test_what_runs_in_a_deprecated_domain_makes_no_new_executions(swf: Swf) -> None:
    """Of a type taken back neither: no child, no successor; activities go on."""
    flow = {"name": "flow", "version": "1"}
    run_id = swf.start()
    swf.api.deprecate_domain(name="dom")
    swf.api.undeprecate_workflow_type(domain="dom", workflowType=flow)
    swf.api.undeprecate_activity_type(domain="dom", activityType={"name": "act", "version": "1"})
    child = {"workflowType": flow, "workflowId": "c", **RUN}
    swf.step(
        schedule(),
        decide("StartChildWorkflowExecution", **child),
        decide("ContinueAsNewWorkflowExecution", **RUN),
    )
    for failed in ("StartChildWorkflowExecutionFailed", "ContinueAsNewWorkflowExecutionFailed"):
        assert swf.last("w", run_id, failed)["cause"] == "WORKFLOW_TYPE_DEPRECATED"
    assert swf.activity()["activityId"] == "a1"


def test_a_type_keeps_the_date_of_its_own_deprecation(swf: Swf) -> None:
    """Though its domain is deprecated later, which dates all the others."""
    early, late = {"name": "flow", "version": "1"}, {"name": "act", "version": "1"}
    swf.api.deprecate_workflow_type(domain="dom", workflowType=early)
    swf.engine.skip(60)
    swf.api.deprecate_domain(name="dom")
    first = swf.api.describe_workflow_type(domain="dom", workflowType=early)["typeInfo"]
    second = swf.api.describe_activity_type(domain="dom", activityType=late)["typeInfo"]
    assert first["deprecationDate"] == first["creationDate"]
    assert (second["deprecationDate"] - second["creationDate"]).seconds == 60
    swf.api.undeprecate_domain(name="dom")
    shown = swf.api.describe_activity_type(domain="dom", activityType=late)["typeInfo"]
    assert shown["status"] == "DEPRECATED"


def test_domains_are_listed_by_name_in_pages_and_both_ways(engine: Engine) -> None:
    """Ascending by default; a full last page carries no token."""
    api = client(engine.url)
    for name in ("c", "a", "b", "d"):
        api.register_domain(name=name, workflowExecutionRetentionPeriodInDays="1")
    api.deprecate_domain(name="d")
    page = api.list_domains(registrationStatus="REGISTERED", maximumPageSize=2)
    assert [one["name"] for one in page["domainInfos"]] == ["a", "b"]
    rest = api.list_domains(
        registrationStatus="REGISTERED", maximumPageSize=2, nextPageToken=page["nextPageToken"]
    )
    assert [one["name"] for one in rest["domainInfos"]] == ["c"]
    whole = api.list_domains(registrationStatus="REGISTERED", maximumPageSize=3, reverseOrder=True)
    assert [one["name"] for one in whole["domainInfos"]] == ["c", "b", "a"]
    assert "nextPageToken" not in whole
    gone = api.list_domains(registrationStatus="DEPRECATED")
    assert [one["name"] for one in gone["domainInfos"]] == ["d"]


def test_an_account_has_at_most_a_hundred_domains(engine: Engine) -> None:
    """The hundred-and-first is refused; deprecated ones count."""
    api = client(engine.url)
    for number in range(100):
        api.register_domain(name=f"d{number}", workflowExecutionRetentionPeriodInDays="1")
    api.deprecate_domain(name="d0")
    code, _ = Swf(engine, api).refusal(
        "register_domain", name="more", workflowExecutionRetentionPeriodInDays="1"
    )
    assert code == "LimitExceededFault"


def test_domain_tags_are_set_listed_and_taken_away(swf: Swf) -> None:
    """Fifty at most, by the domain's ARN."""
    arn = swf.api.describe_domain(name="dom")["domainInfo"]["arn"]
    swf.api.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b"}])
    swf.api.untag_resource(resourceArn=arn, tagKeys=["a", "never"])
    assert swf.api.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": ""}]
    many = [{"key": f"k{number}", "value": ""} for number in range(50)]
    code, _ = swf.refusal("tag_resource", resourceArn=arn, tags=many)
    assert code == "TooManyTagsFault"
    unknown = ("UnknownResourceFault", "Unknown domain: domx")
    assert swf.refusal("list_tags_for_resource", resourceArn=arn + "x") == unknown
    assert swf.refusal("tag_resource", resourceArn=arn + "x", tags=[{"key": "a"}]) == unknown
    assert swf.refusal("untag_resource", resourceArn=arn + "x", tagKeys=["a"]) == unknown
    new = {"name": "new", "workflowExecutionRetentionPeriodInDays": "1"}
    code, _ = swf.refusal("register_domain", **new, tags=[*many, {"key": "one more"}])
    assert code == "TooManyTagsFault"
    code, _ = swf.refusal("list_tags_for_resource", resourceArn="arn:aws:s3:::bucket")
    assert code == "ValidationException"


def test_a_tag_is_made_of_letters_digits_blanks_and_a_few_signs(swf: Swf) -> None:
    """The service's own: _ . : / = + - @; in keys and in values, whatever the script."""
    arn = swf.api.describe_domain(name="dom")["domainInfo"]["arn"]
    good = [{"key": "Größe 2", "value": "_.:/=+-@ 數"}]
    swf.api.tag_resource(resourceArn=arn, tags=good)
    assert swf.api.list_tags_for_resource(resourceArn=arn)["tags"] == good
    for bad in ({"key": "a#"}, {"key": "a", "value": "<b>"}):
        code, text = swf.refusal("tag_resource", resourceArn=arn, tags=[bad])
        assert code == "ValidationException"
        assert "Member must satisfy regular expression pattern: " in text
        new = {"name": "new", "workflowExecutionRetentionPeriodInDays": "1"}
        assert swf.refusal("register_domain", **new, tags=[bad])[0] == "ValidationException"


@pytest.mark.parametrize("kind", KINDS)
def test_a_type_lives_from_registered_over_deprecated_to_deleted(swf: Swf, kind: str) -> None:
    """Each step is refused out of its order, with the type in the service's notation."""
    call = getattr(swf.api, f"register_{kind}_type")
    call(domain="dom", name="t", version="1", description="text", defaultTaskPriority="7")
    text = f"{kind.title()}Type=[name=t, version=1]"
    named = {"domain": "dom", **kind_of(kind)}
    assert swf.refusal(f"register_{kind}_type", domain="dom", name="t", version="1") == (
        "TypeAlreadyExistsFault",
        text,
    )
    assert swf.refusal(f"delete_{kind}_type", **named)[0] == "TypeNotDeprecatedFault"
    assert swf.refusal(f"undeprecate_{kind}_type", **named) == ("TypeAlreadyExistsFault", text)
    getattr(swf.api, f"deprecate_{kind}_type")(**named)
    assert swf.refusal(f"deprecate_{kind}_type", **named) == ("TypeDeprecatedFault", text)
    shown = getattr(swf.api, f"describe_{kind}_type")(**named)
    assert shown["typeInfo"]["status"] == "DEPRECATED"
    assert shown["typeInfo"]["deprecationDate"] == shown["typeInfo"]["creationDate"]
    assert shown["configuration"] == {"defaultTaskPriority": "7"}
    getattr(swf.api, f"undeprecate_{kind}_type")(**named)
    shown = getattr(swf.api, f"describe_{kind}_type")(**named)["typeInfo"]
    assert (shown["status"], "deprecationDate" in shown) == ("REGISTERED", False)
    getattr(swf.api, f"deprecate_{kind}_type")(**named)
    getattr(swf.api, f"delete_{kind}_type")(**named)
    for operation in ("describe", "deprecate", "undeprecate", "delete"):
        refused = swf.refusal(f"{operation}_{kind}_type", **named)
        assert refused == ("UnknownResourceFault", f"Unknown type: {text}")


@pytest.mark.parametrize("kind", KINDS)
def test_types_are_listed_by_name_and_version_and_by_status(swf: Swf, kind: str) -> None:
    """A name narrows the list; pages go both ways."""
    register = getattr(swf.api, f"register_{kind}_type")
    for name, version in (("x", "2"), ("x", "1"), ("y", "1")):
        register(domain="dom", name=name, version=version)
    listing = getattr(swf.api, f"list_{kind}_types")

    def shown(**more: Any) -> tuple[list[str], str | None]:
        page = listing(domain="dom", registrationStatus="REGISTERED", **more)
        infos = [one[f"{kind}Type"] for one in page["typeInfos"]]
        return [one["name"] + one["version"] for one in infos], page.get("nextPageToken")

    assert shown(name="x") == (["x1", "x2"], None)
    first, token = shown(maximumPageSize=2)
    second, end = shown(maximumPageSize=2, nextPageToken=token)
    assert (first + second, end) == ([*sorted(first + second)], None)
    assert shown(reverseOrder=True)[0] == (first + second)[::-1]
    assert listing(domain="dom", registrationStatus="DEPRECATED")["typeInfos"] == []


def at_once(engine: Engine, operation: str, *given: dict[str, Any]) -> list[str]:
    """Make calls that share a turn; return the codes of their faults, empty for what was done."""

    async def ask() -> list[Any]:
        call = Call(None, lambda: True)
        calls = [OPERATIONS[operation](engine.server.kernel, one, call) for one in given]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = engine.call(ask)
    return [answer.code if isinstance(answer, Fault) else "" for answer in answers]


def test_what_is_asked_for_in_one_turn_knows_of_each_other(
    swf: Swf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are taken once, and quotas are not passed by a crowd."""
    kept = {"workflowExecutionRetentionPeriodInDays": "1"}
    names = [{"name": name, **kept} for name in ("a", "a", "b")]
    with monkeypatch.context() as patch:
        patch.setattr("garcon.engine.service.registration.MAX_DOMAINS", 2)
        wanted = ["", "DomainAlreadyExistsFault", "LimitExceededFault"]
        assert at_once(swf.engine, "RegisterDomain", *names) == wanted
        patch.setattr("garcon.engine.service.registration.MAX_TYPES", 2)
        types = [{"domain": "dom", "name": name, "version": "1"} for name in ("t", "t", "u")]
        wanted = ["", "TypeAlreadyExistsFault", "LimitExceededFault"]
        assert at_once(swf.engine, "RegisterActivityType", *types) == wanted
        patch.setattr("garcon.engine.service.runs.MAX_OPEN_EXECUTIONS", 1)
        flow = {"name": "flow", "version": "1"}
        run = {"domain": "dom", "workflowType": flow, **RUN}
        starts = [{**run, "workflowId": name} for name in ("v", "v", "w")]
        wanted = ["", "WorkflowExecutionAlreadyStartedFault", "LimitExceededFault"]
        assert at_once(swf.engine, "StartWorkflowExecution", *starts) == wanted
    left = swf.api.list_domains(registrationStatus="REGISTERED")["domainInfos"]
    assert [one["name"] for one in left] == ["a", "dom"]

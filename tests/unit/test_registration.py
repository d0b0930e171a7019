"""Registration of a flow's domain and types, against botocore's stub of the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import EngineError, EngineUnreachable
from garcon.pool.registration import RETENTION_DAYS, ensure_types

FLOW = FlowDescription(
    domain="dev",
    name="coffee",
    version="1.0",
    activities=(ActivityDescription("brew", "coffee_brew", "1.1", "coffee_brew"),),
)
DOMAIN = {"name": "dev"}
WORKFLOW = {"domain": "dev", "workflowType": {"name": "coffee", "version": "1.0"}}
SHARD = {"domain": "dev", "workflowType": {"name": "coffee.shard", "version": "1.0"}}
ACTIVITY = {"domain": "dev", "activityType": {"name": "coffee_brew", "version": "1.1"}}


@pytest.fixture
def stub() -> Iterator[Stubber]:
    """A client of which every call has to be expected, with exactly these arguments."""
    client = boto3.session.Session("k", "s", region_name="us-east-1").client("swf")
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def refuse(stub: Stubber, operation: str, code: str, message: str = "there") -> None:
    """Expect a call and answer it with a fault."""
    stub.add_client_error(operation, code, message)


def describe_domain(stub: Stubber, status: str) -> None:
    """Expect a look at the domain."""
    answer = {
        "domainInfo": {"name": "dev", "status": status},
        "configuration": {"workflowExecutionRetentionPeriodInDays": "30"},
    }
    stub.add_response("describe_domain", answer, DOMAIN)


def describe_type(stub: Stubber, kind: str, expected: dict[str, Any], status: str) -> None:
    """Expect a look at a type."""
    key = f"{kind}Type"
    info = {key: expected[key], "status": status, "creationDate": 0}
    stub.add_response(f"describe_{kind}_type", {"typeInfo": info, "configuration": {}}, expected)


def test_new_flow_is_registered_without_defaults(stub: Stubber) -> None:
    """Domain with its retention, all types with name and version and nothing else."""
    stub.add_response(
        "register_domain", {}, {**DOMAIN, "workflowExecutionRetentionPeriodInDays": "30"}
    )
    stub.add_response(
        "register_workflow_type", {}, {"domain": "dev", "name": "coffee", "version": "1.0"}
    )
    stub.add_response(
        "register_workflow_type", {}, {"domain": "dev", "name": "coffee.shard", "version": "1.0"}
    )
    stub.add_response(
        "register_activity_type", {}, {"domain": "dev", "name": "coffee_brew", "version": "1.1"}
    )

    made = ensure_types(stub.client, FLOW, retention_days=RETENTION_DAYS["local"])

    assert made == [
        "domain dev",
        "workflow type coffee 1.0",
        "workflow type coffee.shard 1.0",
        "activity type coffee_brew 1.1",
    ]


def test_what_exists_already_is_accepted(stub: Stubber) -> None:
    """A second pool of the flow finds everything in place."""
    refuse(stub, "register_domain", "DomainAlreadyExistsFault")
    describe_domain(stub, "REGISTERED")
    refuse(stub, "register_workflow_type", "TypeAlreadyExistsFault")
    describe_type(stub, "workflow", WORKFLOW, "REGISTERED")
    refuse(stub, "register_workflow_type", "TypeAlreadyExistsFault")
    describe_type(stub, "workflow", SHARD, "REGISTERED")
    refuse(stub, "register_activity_type", "TypeAlreadyExistsFault")
    describe_type(stub, "activity", ACTIVITY, "REGISTERED")

    assert ensure_types(stub.client, FLOW, retention_days=90) == []


def test_deprecated_domain_is_told_with_the_command_that_brings_it_back(stub: Stubber) -> None:
    """Nothing can start in it, so the pool says so before it polls."""
    refuse(stub, "register_domain", "DomainAlreadyExistsFault")
    describe_domain(stub, "DEPRECATED")

    with pytest.raises(EngineError, match=r"'dev' is deprecated.*undeprecate-domain --name dev"):
        ensure_types(stub.client, FLOW, retention_days=90)


@pytest.mark.parametrize("kind", ["workflow", "activity"])
def test_deprecated_type_is_told_by_name_and_version(stub: Stubber, kind: str) -> None:
    """Each start or schedule of it would be refused one by one."""
    stub.add_response("register_domain", {})
    if kind == "activity":
        stub.add_response("register_workflow_type", {})
        stub.add_response("register_workflow_type", {})
    refuse(stub, f"register_{kind}_type", "TypeAlreadyExistsFault")
    describe_type(stub, kind, WORKFLOW if kind == "workflow" else ACTIVITY, "DEPRECATED")
    named = {"workflow": "workflow type coffee 1.0", "activity": "activity type coffee_brew 1.1"}

    with pytest.raises(EngineError, match=f"{named[kind]} .*deprecated.*undeprecate-{kind}-type"):
        ensure_types(stub.client, FLOW, retention_days=90)


def test_refusal_names_operation_and_fault(stub: Stubber) -> None:
    """Missing rights end the pool with exit code 4 and AWS's own text."""
    refuse(stub, "register_domain", "OperationNotPermittedFault", "no right to RegisterDomain")

    with pytest.raises(EngineError, match=r"RegisterDomain refused: .*no right") as caught:
        ensure_types(stub.client, FLOW, retention_days=90)

    assert caught.value.exit_code == 4


def test_engine_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that fails is told apart from a refusal."""
    client = boto3.session.Session("k", "s", region_name="us-east-1").client("swf")

    def fail(*args: object, **kwargs: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://swf")

    monkeypatch.setattr(client, "_make_api_call", fail)

    with pytest.raises(EngineUnreachable, match="https://swf"):
        ensure_types(client, FLOW, retention_days=90)

"""Domains and types: the 21 operations about what exists before anything runs.

What it never does: touch an execution. Names, lengths and enums have been checked before.
"""

from __future__ import annotations

from typing import Any, Final

from garcon.engine.core import faults
from garcon.engine.core.model import DEPRECATED, REGISTERED, Domain, TypeRecord
from garcon.engine.core.tables import MAX_DOMAIN_TAGS, MAX_DOMAINS, MAX_PAGE, MAX_TYPES
from garcon.engine.service.batch import Batch
from garcon.engine.service.registry import TypeKind
from garcon.engine.service.tokens import page_token, read_page_token
from garcon.engine.service.world import World
from garcon.engine.store.database import make_domain

ARN_HEAD: Final = "arn:aws:swf:us-east-1:123456789012:/domain/"

Given = dict[str, Any]

_MEMBERS: Final[dict[TypeKind, str]] = {
    "ActivityType": "activityType",
    "WorkflowType": "workflowType",
}


# -- domains ----------------------------------------------------------------------------------


def register_domain(batch: Batch, given: Given) -> None:
    """RegisterDomain."""
    name = given["name"]
    if batch.domain(name) is not None:
        raise faults.Fault("DomainAlreadyExistsFault", name)
    tags = _tags({}, given.get("tags") or [])
    if batch.domain_count() >= MAX_DOMAINS:
        raise faults.limit_exceeded(f"An account has at most {MAX_DOMAINS} domains")
    retention = given["workflowExecutionRetentionPeriodInDays"]
    batch.put_domain(make_domain(name, REGISTERED, given.get("description"), retention, tags))


def deprecate_domain(batch: Batch, given: Given) -> None:
    """DeprecateDomain: its types go with it."""
    domain = batch.need_domain(given["name"])
    if domain.status == DEPRECATED:
        raise faults.Fault("DomainDeprecatedFault", domain.name)
    batch.put_domain(domain._replace(status=DEPRECATED))
    for key, record in batch.types_of(domain.name):
        if record.status == REGISTERED:
            batch.put_type(key, record._replace(status=DEPRECATED, deprecated_ms=batch.now_ms))


def undeprecate_domain(batch: Batch, given: Given) -> None:
    """UndeprecateDomain: its types stay deprecated."""
    domain = batch.need_domain(given["name"])
    if domain.status == REGISTERED:
        raise faults.Fault("DomainAlreadyExistsFault", domain.name)
    batch.put_domain(domain._replace(status=REGISTERED))


def describe_domain(world: World, given: Given) -> Given:
    """DescribeDomain."""
    domain = need_domain(world, given["name"])
    retention = {"workflowExecutionRetentionPeriodInDays": domain.retention_text}
    return {"domainInfo": _domain_info(domain), "configuration": retention}


def list_domains(world: World, given: Given, now_ms: int) -> Given:
    """ListDomains, by name."""
    found = [d for d in world.registry.domains.values() if d.status == given["registrationStatus"]]
    found.sort(key=lambda d: d.name)
    page, token = _page("ListDomains", [[d.name] for d in found], given, now_ms)
    by_name = {domain.name: domain for domain in found}
    return _listing("domainInfos", [_domain_info(by_name[name]) for (name,) in page], token)


def tag_resource(batch: Batch, given: Given) -> None:
    """TagResource."""
    domain = batch.need_domain(_domain_of_arn(given["resourceArn"]))
    batch.put_domain(domain._replace(tags=_tags(domain.tags, given["tags"])))


def untag_resource(batch: Batch, given: Given) -> None:
    """UntagResource."""
    domain = batch.need_domain(_domain_of_arn(given["resourceArn"]))
    kept = {key: value for key, value in domain.tags.items() if key not in given["tagKeys"]}
    batch.put_domain(domain._replace(tags=kept))


def list_tags(world: World, given: Given) -> Given:
    """ListTagsForResource."""
    domain = need_domain(world, _domain_of_arn(given["resourceArn"]))
    return {"tags": [{"key": key, "value": value} for key, value in domain.tags.items()]}


def need_domain(world: World, name: str) -> Domain:
    """A domain.

    Raises:
        Fault: UnknownResourceFault.
    """
    domain = world.registry.domains.get(name)
    if domain is None:
        raise faults.unknown_domain(name)
    return domain


def _domain_info(domain: Domain) -> Given:
    info = {"name": domain.name, "status": domain.status, "arn": ARN_HEAD + domain.name}
    if domain.description is not None:
        info["description"] = domain.description
    return info


def _tags(known: dict[str, str], added: list[Given]) -> dict[str, str]:
    tags = {**known, **{tag["key"]: tag.get("value") or "" for tag in added}}
    if len(tags) > MAX_DOMAIN_TAGS:
        raise faults.Fault("TooManyTagsFault", f"A domain has at most {MAX_DOMAIN_TAGS} tags")
    return tags


def _domain_of_arn(arn: str) -> str:
    head, mark, name = arn.partition(":/domain/")
    if not mark or not head.startswith("arn:"):
        raise faults.constraint(arn, "resourceArn", "Member must be the ARN of a domain")
    return name


# -- types ------------------------------------------------------------------------------------


def register_type(batch: Batch, given: Given, kind: TypeKind) -> None:
    """RegisterActivityType and RegisterWorkflowType."""
    domain = batch.need_domain(given["domain"])
    if domain.status == DEPRECATED:
        raise faults.Fault("DomainDeprecatedFault", domain.name)
    key = (kind, domain.name, given["name"], given["version"])
    if batch.type_of(key) is not None:
        text = faults.type_text(kind, given["name"], given["version"])
        raise faults.Fault("TypeAlreadyExistsFault", text)
    if batch.type_count(kind, domain.name) >= MAX_TYPES:
        raise faults.limit_exceeded(f"A domain has at most {MAX_TYPES} types of a kind")
    defaults = {name: value for name, value in given.items() if name.startswith("default")}
    record = TypeRecord(
        given["name"],
        given["version"],
        REGISTERED,
        given.get("description"),
        batch.now_ms,
        None,
        defaults,
    )
    batch.put_type(key, record)


def deprecate_type(batch: Batch, given: Given, kind: TypeKind) -> None:
    """DeprecateActivityType and DeprecateWorkflowType."""
    record = _need_type(batch, given, kind)
    if record.status == DEPRECATED:
        text = faults.type_text(kind, record.name, record.version)
        raise faults.Fault("TypeDeprecatedFault", text)
    key = (kind, given["domain"], record.name, record.version)
    batch.put_type(key, record._replace(status=DEPRECATED, deprecated_ms=batch.now_ms))


def undeprecate_type(batch: Batch, given: Given, kind: TypeKind) -> None:
    """UndeprecateActivityType and UndeprecateWorkflowType."""
    record = _need_type(batch, given, kind)
    if record.status == REGISTERED:
        text = faults.type_text(kind, record.name, record.version)
        raise faults.Fault("TypeAlreadyExistsFault", text)
    key = (kind, given["domain"], record.name, record.version)
    batch.put_type(key, record._replace(status=REGISTERED, deprecated_ms=None))


def delete_type(batch: Batch, given: Given, kind: TypeKind) -> None:
    """DeleteActivityType and DeleteWorkflowType; only deprecated ones."""
    record = _need_type(batch, given, kind)
    if record.status == REGISTERED:
        text = faults.type_text(kind, record.name, record.version)
        raise faults.Fault(
            "TypeNotDeprecatedFault", f"{text} is still registered; deprecate it first"
        )
    batch.put_type((kind, given["domain"], record.name, record.version), None)


def _need_type(batch: Batch, given: Given, kind: TypeKind) -> TypeRecord:
    batch.need_domain(given["domain"])
    wanted = given[_MEMBERS[kind]]
    record = batch.type_of((kind, given["domain"], wanted["name"], wanted["version"]))
    if record is None:
        raise unknown_type(kind, wanted)
    return record


def unknown_type(kind: TypeKind, wanted: Given) -> faults.Fault:
    """The fault for a type that is not registered."""
    text = faults.type_text(kind, wanted["name"], wanted["version"])
    return faults.unknown(f"type: {text}")


def describe_type(world: World, given: Given, kind: TypeKind) -> Given:
    """DescribeActivityType and DescribeWorkflowType."""
    need_domain(world, given["domain"])
    wanted = given[_MEMBERS[kind]]
    key = (kind, given["domain"], wanted["name"], wanted["version"])
    record = world.registry.types.get(key)
    if record is None:
        raise unknown_type(kind, wanted)
    return {"typeInfo": _type_info(record, kind), "configuration": record.defaults}


def list_types(world: World, given: Given, kind: TypeKind, now_ms: int) -> Given:
    """ListActivityTypes and ListWorkflowTypes, by name and version."""
    domain = need_domain(world, given["domain"]).name
    status, name = given["registrationStatus"], given.get("name")
    found = {
        (key[2], key[3]): record
        for key, record in world.registry.types.items()
        if key[:2] == (kind, domain) and record.status == status and name in (None, record.name)
    }
    keys = [list(key) for key in sorted(found)]
    page, token = _page(f"List{kind}s", keys, given, now_ms)
    infos = [_type_info(found[key[0], key[1]], kind) for key in page]
    return _listing("typeInfos", infos, token)


def _type_info(record: TypeRecord, kind: TypeKind) -> Given:
    info: Given = {
        _MEMBERS[kind]: {"name": record.name, "version": record.version},
        "status": record.status,
        "creationDate": record.created_ms / 1000,
    }
    if record.description is not None:
        info["description"] = record.description
    if record.deprecated_ms is not None:
        info["deprecationDate"] = record.deprecated_ms / 1000
    return info


def _page(
    operation: str, keys: list[list[str]], given: Given, now_ms: int
) -> tuple[list[list[str]], str | None]:
    """One page of sorted keys and the token of the next."""
    reverse = bool(given.get("reverseOrder"))
    scope = [
        operation,
        given.get("domain"),
        given["registrationStatus"],
        given.get("name"),
        reverse,
    ]
    if reverse:
        keys = keys[::-1]
    if given.get("nextPageToken"):
        form = (str,) if operation == "ListDomains" else (str, str)
        last = read_page_token(given["nextPageToken"], scope, now_ms, form)
        keys = [key for key in keys if (key < last if reverse else key > last)]
    size = given.get("maximumPageSize") or MAX_PAGE
    page = keys[:size]
    more = len(keys) > size
    return page, page_token(scope, page[-1], now_ms) if more else None


def _listing(member: str, infos: list[Given], token: str | None) -> Given:
    return {member: infos, **({"nextPageToken": token} if token else {})}

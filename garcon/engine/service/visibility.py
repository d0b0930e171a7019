"""Lists and counts of executions.

What it never does: walk through what the filter leaves out; each filter has its index. Counts stop
at a bound and say so, as the service does.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from garcon.engine.core import faults
from garcon.engine.core.model import restore
from garcon.engine.core.tables import MAX_PAGE
from garcon.engine.service.registration import need_domain
from garcon.engine.service.runs import info
from garcon.engine.service.tokens import page_token, read_page_token
from garcon.engine.service.world import World

Given = dict[str, Any]

COUNT_BOUND: Final = 100_000
_OPEN_FILTERS: Final = ("executionFilter", "typeFilter", "tagFilter")
_CLOSED_FILTERS: Final = (*_OPEN_FILTERS, "closeStatusFilter")


class _Query(NamedTuple):
    """The WHERE part of a listing; ``time`` is the column that orders it."""

    table: str
    time: str
    where: list[str]
    values: list[Any]


def list_open(world: World, given: Given, now_ms: int) -> Given:
    """ListOpenWorkflowExecutions."""
    return _list(world, given, _query(world, given, open_only=True), "Open", now_ms)


def list_closed(world: World, given: Given, now_ms: int) -> Given:
    """ListClosedWorkflowExecutions."""
    return _list(world, given, _query(world, given, open_only=False), "Closed", now_ms)


def count_open(world: World, given: Given) -> Given:
    """CountOpenWorkflowExecutions."""
    return _count(world, _query(world, given, open_only=True))


def count_closed(world: World, given: Given) -> Given:
    """CountClosedWorkflowExecutions."""
    return _count(world, _query(world, given, open_only=False))


def _query(world: World, given: Given, *, open_only: bool) -> _Query:
    need_domain(world, given["domain"])
    by_start, by_close = given.get("startTimeFilter"), given.get("closeTimeFilter")
    if by_start is None and by_close is None:
        raise faults.validation("Must specify time filter")
    if by_start is not None and by_close is not None:
        raise faults.validation("Cannot specify both a startTimeFilter and a closeTimeFilter")
    names = [n for n in (_OPEN_FILTERS if open_only else _CLOSED_FILTERS) if given.get(n)]
    if len(names) > 1:
        raise faults.validation("Cannot specify more than one exclusive filters in the same query")
    time = "start_ms" if by_start is not None else "close_ms"
    query = _Query("executions", time, ["domain = ?"], [given["domain"]])
    for name in names:
        query = _filtered(query, name, given[name])
    query.where.append(f"close_ms IS {'' if open_only else 'NOT '}NULL")
    _bound_time(query, by_start or by_close or {})
    return query


def _filtered(query: _Query, name: str, wanted: Given) -> _Query:
    if name == "executionFilter":
        _add(query, "workflow_id = ?", wanted["workflowId"])
    elif name == "typeFilter":
        _add(query, "name = ?", wanted["name"])
        if wanted.get("version"):
            _add(query, "version = ?", wanted["version"])
    elif name == "closeStatusFilter":
        _add(query, "status = ?", wanted["status"])
    else:
        query = query._replace(table="tags")
        _add(query, "tag = ?", wanted["tag"])
    return query


def _add(query: _Query, condition: str, value: Any) -> None:
    query.where.append(condition)
    query.values.append(value)


def _bound_time(query: _Query, bounds: Given) -> None:
    oldest, latest = bounds["oldestDate"], bounds.get("latestDate")
    if latest is not None and latest < oldest:
        raise faults.validation("latestDate must not be before oldestDate")
    _add(query, f"{query.time} >= ?", int(oldest * 1000))
    if latest is not None:
        _add(query, f"{query.time} <= ?", int(latest * 1000))


def _list(world: World, given: Given, query: _Query, name: str, now_ms: int) -> Given:
    reverse = bool(given.get("reverseOrder"))
    scope = ["List", name, query.table, query.where.copy(), query.values.copy(), reverse]
    if given.get("nextPageToken"):
        position = read_page_token(given["nextPageToken"], scope, now_ms, (int, int))
        comparison = ">" if reverse else "<"
        query.where.append(f"({query.time}, key) {comparison} (?, ?)")
        query.values.extend(position)
    size = given.get("maximumPageSize") or MAX_PAGE
    order = "ASC" if reverse else "DESC"
    keys = list(
        world.database.select(
            f"SELECT {query.time}, key FROM {query.table} WHERE {' AND '.join(query.where)}"
            f" ORDER BY {query.time} {order}, key {order} LIMIT ?",
            [*query.values, size + 1],
        )
    )
    page = keys[:size]
    answer: Given = {"executionInfos": [_info(world, key) for _, key in page]}
    if len(keys) > size:
        answer["nextPageToken"] = page_token(scope, list(page[-1]), now_ms)
    return answer


def _info(world: World, key: int) -> Given:
    state = world.states.get(key)
    if state is None:
        statement = "SELECT profile, state FROM executions WHERE key = ?"
        ((profile, scalars),) = world.database.select(statement, [key])
        state = restore(key, json.loads(profile), json.loads(scalars))
    return info(state)


def _count(world: World, query: _Query) -> Given:
    statement = (
        f"SELECT count(*) FROM (SELECT 1 FROM {query.table}"
        f" WHERE {' AND '.join(query.where)} LIMIT {COUNT_BOUND + 1})"
    )
    ((count,),) = world.database.select(statement, query.values)
    return {"count": min(count, COUNT_BOUND), "truncated": count > COUNT_BOUND}

"""Executions of a flow as the engine lists them, through plain boto3.

Looks only. Law: a list is as fresh as the engine's lists are: SWF may show a start or an end some
seconds late, so what is started is started by its id, which the engine itself keeps unique.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from garcon.backfill.asking import PAGE_MAX, ask, ask_pages, execution_of, is_unknown
from garcon.backfill.ranges import Range, Seen, days_in_tags
from garcon.canonical import canonical_json
from garcon.description import FlowDescription
from garcon.errors import ServiceError
from garcon.pool.execution import Run, without_own_keys

EVER = {"oldestDate": datetime.fromtimestamp(0, timezone.utc)}


class Finder:
    """The executions of one flow on one engine."""

    def __init__(self, connect: Callable[[], Any], flow: FlowDescription) -> None:
        """Ask `connect` for a boto3 client for each question."""
        self._connect = connect
        self._flow = flow

    def all(self) -> list[Seen]:
        """Return every execution of the flow that the engine still knows, newest first.

        Raises:
            ServiceError: the engine refuses.
        """
        return self._listed({"typeFilter": {"name": self._flow.name}})

    def of(self, one: Range) -> list[Seen]:
        """Return what is open, and the closed executions that could be of this range.

        One with other workflow ids, which a user chose, is of it if its input is the same.

        Raises:
            ServiceError: the engine refuses.
        """
        if one.days is None:
            return self._listed({"executionFilter": {"workflowId": one.workflow_id}})
        # Not by type: a flow that runs for years has closed more than anybody wants to read.
        seen = self._listed({"tagFilter": {"tag": f"start={one.days.first}"}})
        return [self._compared(found, one) for found in seen]

    def input_of(self, run: Run) -> dict[str, Any]:
        """Return the input that an execution was started with; empty where it is no JSON object.

        Raises:
            ServiceError: the engine refuses.
        """
        answer = ask(
            self._connect,
            "get_workflow_execution_history",
            domain=self._flow.domain,
            execution=execution_of(run),
            maximumPageSize=1,
        )
        text = answer["events"][0]["workflowExecutionStartedEventAttributes"].get("input")
        return read_input(text)

    def _compared(self, found: Seen, one: Range) -> Seen:
        if found.days != one.days or found.run.workflow_id == one.workflow_id:
            return found
        theirs, ours = without_own_keys(self.input_of(found.run)), without_own_keys(one.input)
        return replace(found, is_same=canonical_json(theirs) == canonical_json(ours))

    def _listed(self, closed_filter: Mapping[str, Any]) -> list[Seen]:
        by_type = {"typeFilter": {"name": self._flow.name}}
        # Open ones first: what closes between the two questions is then told twice, not never.
        infos = [
            *self._pages("list_open_workflow_executions", by_type),
            *self._pages("list_closed_workflow_executions", closed_filter),
        ]
        newest: dict[str, Seen] = {}
        for info in infos:
            if info["workflowType"]["name"] == self._flow.name:
                newest[info["execution"]["runId"]] = seen_of(info)
        return sorted(newest.values(), key=lambda one: one.started, reverse=True)

    def _pages(self, operation: str, chosen: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            yield from ask_pages(
                self._connect,
                operation,
                "executionInfos",
                domain=self._flow.domain,
                startTimeFilter=EVER,
                maximumPageSize=PAGE_MAX,
                **chosen,
            )
        except ServiceError as error:
            if not is_unknown(error, "domain"):  # else nothing ever ran there
                raise


def seen_of(info: Mapping[str, Any]) -> Seen:
    """Return an execution as SWF lists it."""
    execution = info["execution"]
    return Seen(
        Run(execution["workflowId"], execution["runId"]),
        info.get("closeStatus"),
        info["startTimestamp"],
        info.get("closeTimestamp"),
        days_in_tags(info.get("tagList", ())),
    )


def read_input(text: str | None) -> dict[str, Any]:
    """Return the JSON object of an input's text; an empty one where it is none."""
    try:
        data = json.loads(text or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}

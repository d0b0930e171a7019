"""Requests that are almost right, made from botocore's service model."""

from __future__ import annotations

import http.client
import json
import random
from typing import Any

from botocore.loaders import Loader

#: Reading operations, whose acceptance changes nothing.
READING = ("Describe", "List", "Get", "Count")

#: Values of every wrong kind.
ODD = (
    *(None, True, False, 0, -1, 1.5, 10**30, "", " ", "x", "NONE", "arn", "a:b", "-5"),
    *(
        "é💡",
        "x" * 300,
        "x" * 33_000,
        [],
        {},
        [None],
        {"name": None},
        {"a": {"b": []}},
        "999999999",
    ),
)
LUMPS = (b"[" * 2000, b"{", b"NaN", b"\\ud800", b"1e999")
GOOD = {
    "DomainName": "dom",
    "WorkflowId": "w",
    "ActivityId": "a1",
    "Name": "flow",
    "Version": "1",
    "TaskPriority": "1",
    "DurationInDays": "3",
    "DurationInSeconds": "5",
    "DurationInSecondsOptional": "5",
}


class Mutator:
    """Makes requests and spoils most of them.

    Args:
        dice: where chance comes from.
        run_id: a run that exists.
    """

    def __init__(self, dice: random.Random, run_id: str) -> None:
        model = Loader().load_service_model("swf", "service-2")
        self._dice = dice
        self._run_id = run_id
        self._shapes = model["shapes"]
        self._operations = [
            (name, operation["input"]["shape"])
            for name, operation in sorted(model["operations"].items())
            # Polls would wait; they share their checks with the rest.
            if not name.startswith("Poll")
        ]

    def request(self, *, raw: bool) -> tuple[str, bytes]:
        """Return an operation and a body; ``raw`` spoils the bytes instead of the values."""
        name, shape = self._dice.choice(self._operations)
        value = self._value(shape, 0.02 if raw else 0.15)
        body = json.dumps(value).encode()
        return name, self._spoil(body) if raw else body

    def _value(self, name: str, oddness: float) -> Any:
        dice = self._dice
        if dice.random() < oddness:
            return dice.choice(ODD)
        shape = self._shapes[name]
        if shape["type"] == "structure":
            required = shape.get("required", ())
            chosen = {
                member: self._value(target["shape"], oddness)
                for member, target in shape["members"].items()
                if (member in required and dice.random() > oddness / 2) or dice.random() < 0.3
            }
            return {**chosen, "unknown": 1} if dice.random() < oddness else chosen
        if shape["type"] == "list":
            member = shape["member"]["shape"]
            return [self._value(member, oddness) for _ in range(dice.randrange(4))]
        return self._scalar(name, shape)

    def _scalar(self, name: str, shape: dict[str, Any]) -> Any:
        dice = self._dice
        if "enum" in shape:
            return dice.choice(shape["enum"])
        if shape["type"] == "string":
            if name.startswith("WorkflowRunId"):
                return self._run_id
            return GOOD.get(name, "text"[: shape.get("max", 4)])
        return {"boolean": True, "timestamp": 1.7e9}.get(shape["type"], dice.randrange(1000))

    def _spoil(self, body: bytes) -> bytes:
        dice = self._dice
        spoiled = bytearray(body)
        for _ in range(dice.randrange(1, 4)):
            where = dice.randrange(len(spoiled) + 1)
            what = dice.randrange(4)
            if what == 0:
                spoiled[where:where] = bytes([dice.randrange(256)])
            elif what == 1:
                del spoiled[where : where + dice.randrange(1, 9)]
            elif what == 2:
                spoiled[where:where] = dice.choice(
                    (b"[" * 2000, b"{", b"NaN", b"\\ud800", b"1e999")
                )
            elif where < len(spoiled):
                spoiled[where] ^= 1 << dice.randrange(8)
        return bytes(spoiled)


def send(connection: http.client.HTTPConnection, target: str, body: bytes) -> tuple[int, bytes]:
    """Send one call over a kept connection."""
    headers = {"X-Amz-Target": f"SimpleWorkflowService.{target}"}
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def snapshot(connection: http.client.HTTPConnection) -> list[bytes]:
    """Return what reading shows of the whole account."""
    since = {"oldestDate": 0}
    asked = [
        ("ListDomains", {"registrationStatus": status}) for status in ("REGISTERED", "DEPRECATED")
    ]
    dom: dict[str, Any] = {"domain": "dom"}
    for kind in ("Activity", "Workflow"):
        for status in ("REGISTERED", "DEPRECATED"):
            asked.append((f"List{kind}Types", {**dom, "registrationStatus": status}))
    asked.append(("ListOpenWorkflowExecutions", {**dom, "startTimeFilter": since}))
    asked.append(("ListClosedWorkflowExecutions", {**dom, "startTimeFilter": since}))
    shown = [send(connection, name, json.dumps(given).encode()) for name, given in asked]
    texts = [text for _, text in shown]
    for info in json.loads(texts[-2])["executionInfos"]:
        given = json.dumps({**dom, "execution": info["execution"]}).encode()
        texts.append(send(connection, "GetWorkflowExecutionHistory", given)[1])
    return texts


def judge(
    connection: http.client.HTTPConnection, target: str, body: bytes, before: list[bytes]
) -> list[bytes]:
    """Send one request and check its answer; returns what is seen afterwards."""
    status, text = send(connection, target, body)
    assert status in (200, 400), (status, target, body[:2000], text)
    if status == 200 and not target.startswith(READING):
        json.loads(text or b"null")
        return snapshot(connection)
    if status == 400:
        fault = json.loads(text)
        assert set(fault) == {"__type", "message"}, (target, text)
    after = snapshot(connection)
    assert after == before, (target, body[:2000])
    return after

"""Long polls: woken, held, released, repeated, given up."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from garcon.engine.testing import Engine, engine_in_process
from tests.contract.engine.swf import Swf, schedule


@pytest.fixture
def patient() -> Iterator[Swf]:
    """A client of an engine that holds empty polls for a minute."""
    with engine_in_process() as engine:
        yield Swf.prepared(engine)


def raw(engine: Engine, target: str, body: dict[str, Any], **headers: str) -> Any:
    """Send one call over a connection of its own and return the parsed answer."""
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/", json.dumps(body), {"X-Amz-Target": target, **headers})
    answer = json.loads(connection.getresponse().read() or b"null")
    connection.close()
    return answer


def poll(engine: Engine, **headers: str) -> Any:
    """Poll for an activity as identity ``me``."""
    body = {"domain": "dom", "taskList": {"name": "work"}, "identity": "me"}
    return raw(engine, "SimpleWorkflowService.PollForActivityTask", body, **headers)


def eventually(seen: Callable[[], bool]) -> None:
    """Return once something is so, within ten seconds."""
    until_s = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def pollers(swf: Swf) -> int:
    """Return how many polls wait in the engine."""

    async def count() -> int:
        server = swf.engine.server
        return len(server.world.lists.all_polls())

    return swf.engine.call(count)


def test_a_waiting_poll_gets_the_task_when_it_comes(patient: Swf) -> None:
    """Without waiting out the hold."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        decision = pool.submit(patient.decision)
        work = pool.submit(patient.activity)
        eventually(lambda: pollers(patient) == 2)
        patient.start()
        patient.answer(decision.result(10), schedule())
        assert work.result(10)["activityId"] == "a1"


def test_an_empty_poll_is_held_and_then_answered_with_nothing(engine: Engine) -> None:
    """The empty result that all clients understand: no token, zeros."""
    swf = Swf.prepared(engine)
    begun_s = time.monotonic()
    answer = poll(engine)
    assert time.monotonic() - begun_s >= 0.1
    assert answer == {"taskToken": "", "startedEventId": 0}
    body = {"domain": "dom", "taskList": {"name": "decide"}}
    answer = raw(engine, "SimpleWorkflowService.PollForDecisionTask", body)
    assert answer == {"taskToken": "", "startedEventId": 0, "previousStartedEventId": 0}
    assert "events" not in swf.decision() or swf.decision()["events"] == []


def test_polls_are_served_in_the_order_in_which_they_came(patient: Swf) -> None:
    """The longest waiting first."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = []
        for number in range(3):
            waiting.append(pool.submit(patient.activity, identity=f"p{number}"))
            eventually(lambda wanted=number + 1: pollers(patient) == wanted)
        patient.start()
        patient.step(*[schedule(f"a{number}") for number in range(3)])
        assert [one.result(10)["activityId"] for one in waiting] == ["a0", "a1", "a2"]


def test_the_polls_of_an_identity_are_released_at_once(patient: Swf) -> None:
    """Others stay; the answer says how many went."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        mine = [pool.submit(poll, patient.engine) for _ in range(3)]
        other = pool.submit(patient.activity, identity="other")
        eventually(lambda: pollers(patient) == 4)
        released = raw(patient.engine, "GarconEngine.ReleasePolls", {"identity": "me"})
        assert released == {"released": 3}
        assert [one.result(10)["taskToken"] for one in mine] == ["", "", ""]
        assert not other.done()
        patient.start()
        patient.step(schedule())
        assert other.result(10)["activityId"] == "a1"


def test_a_poll_whose_connection_is_gone_takes_no_task(patient: Swf) -> None:
    """The next poller gets it."""
    host, port = patient.engine.url.removeprefix("http://").split(":")
    body = json.dumps({"domain": "dom", "taskList": {"name": "work"}})
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\n"
                "X-Amz-Target: SimpleWorkflowService.PollForActivityTask\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        eventually(lambda: pollers(patient) == 1)
    eventually(lambda: pollers(patient) == 0)
    patient.start()
    patient.step(schedule())
    assert patient.activity()["activityId"] == "a1"


def test_a_repeated_poll_gets_its_task_again_and_no_other(patient: Swf) -> None:
    """Known by its invocation id, until the task is closed."""
    patient.start()
    patient.step(schedule("a1"), schedule("a2"))
    first = poll(patient.engine, **{"amz-sdk-invocation-id": "i1"})
    again = poll(patient.engine, **{"amz-sdk-invocation-id": "i1"})
    other = poll(patient.engine, **{"amz-sdk-invocation-id": "i2"})
    assert again == first
    assert (first["activityId"], other["activityId"]) == ("a1", "a2")
    run_id = first["workflowExecution"]["runId"]
    assert patient.names("w", run_id).count("ActivityTaskStarted") == 2


def test_an_invocation_is_known_by_its_list_too(patient: Swf) -> None:
    """A client that gives the same id to polls of two lists gets a task of each."""
    patient.start()
    patient.step(schedule("a1"), schedule("a2", taskList={"name": "other"}))
    target, header = "SimpleWorkflowService.PollForActivityTask", {"amz-sdk-invocation-id": "i1"}
    found = [
        raw(patient.engine, target, {"domain": "dom", "taskList": {"name": name}}, **header)
        for name in ("work", "other")
    ]
    assert [task["activityId"] for task in found] == ["a1", "a2"]


def test_a_repeated_decision_poll_gets_its_task_again(patient: Swf) -> None:
    """The same token and the same start."""
    patient.start()
    patient.start("second")
    body = {"domain": "dom", "taskList": {"name": "decide"}}
    target = "SimpleWorkflowService.PollForDecisionTask"
    header = {"amz-sdk-invocation-id": "i1"}
    first = raw(patient.engine, target, body, **header)
    again = raw(patient.engine, target, body, **header)
    assert (again["taskToken"], again["startedEventId"]) == (
        first["taskToken"],
        first["startedEventId"],
    )
    other = raw(patient.engine, target, body, **{"amz-sdk-invocation-id": "i2"})
    assert other["workflowExecution"]["workflowId"] == "second"


def test_a_repeated_poll_takes_the_place_of_the_one_that_still_waits(patient: Swf) -> None:
    """One invocation never holds two tasks."""
    header = {"amz-sdk-invocation-id": "i1"}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        lost = pool.submit(poll, patient.engine, **header)
        eventually(lambda: pollers(patient) == 1)
        repeated = pool.submit(poll, patient.engine, **header)
        assert lost.result(10)["taskToken"] == ""
        patient.start()
        patient.step(schedule())
        assert repeated.result(10)["activityId"] == "a1"


@pytest.mark.parametrize("kind", ["activity", "decision"])
def test_a_list_holds_at_most_a_thousand_pollers(
    engine: Engine, kind: Literal["activity", "decision"]
) -> None:
    """The next one is refused as the service refuses it."""
    swf = Swf.prepared(engine)

    async def fill() -> None:
        from garcon.engine.service.lists import Poll

        server = engine.server
        for _ in range(1000):
            answer = server.kernel.new_answer()
            server.world.lists.wait(Poll((kind, "dom", "work"), None, None, lambda: True, answer))

    engine.call(fill)
    refused = swf.refusal(f"poll_for_{kind}_task", domain="dom", taskList={"name": "work"})
    text = "Limit on maximum concurrent poll requests per task list reached"
    assert refused == ("LimitExceededFault", text)


def test_a_leaving_engine_answers_its_waiting_polls() -> None:
    """Nobody is left hanging."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with engine_in_process() as engine:
            swf = Swf.prepared(engine)
            waiting = pool.submit(swf.activity)
            eventually(lambda: pollers(swf) == 1)
        assert waiting.result(10)["taskToken"] == ""

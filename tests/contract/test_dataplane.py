"""The data plane against servers that do what the test says, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from garcon import client as client_module
from garcon.client import Engine
from garcon.errors import EngineUnreachable, ServiceError
from garcon.pool import dataplane as module
from garcon.pool.dataplane import TOLD_AT, DataPlane
from garcon.pool.signing import PlaneSigner
from tests.contract.scripted_engine import Reply, Request, Script, ScriptedEngine

TASK = {"taskToken": "AAAAKgAAAAE" + "x" * 300}


@pytest.fixture(scope="module")
def process() -> client_module._Process:
    """One boto3 session for the module: making one costs more than most of these tests."""
    return client_module._Process()


@pytest.fixture(autouse=True)
def _bare_process(process: client_module._Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """No AWS files, no proxies, no session of other tests, and pauses of no length."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setattr(client_module, "_PROCESS", process)
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.001)
    monkeypatch.setattr(module, "PAUSE_MAX_S", 0.01)


def at(engine: ScriptedEngine) -> Engine:
    """Return how a command would name this server."""
    return Engine("url", url=engine.url)


def script(*steps: Reply | Callable[[], None] | None) -> Script:
    """Return a script that takes one step a request, and agrees to all that follow."""
    left = list(steps)

    async def play(request: Request) -> Reply | None:
        step = left.pop(0) if left else Reply()
        assert step is None or isinstance(step, Reply)
        return step

    return play


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine with a bound that only a hang can meet."""
    asyncio.run(asyncio.wait_for(scenario(), 60))


class Told:
    """Listens for the line's loss and return."""

    def __init__(self) -> None:
        self.words: list[tuple[bool, str]] = []

    def __call__(self, lost: bool, text: str) -> None:
        self.words.append((lost, text))

    @property
    def lost(self) -> list[bool]:
        """Return what was told, without the texts."""
        return [lost for lost, _ in self.words]


# -- what leaves it -----------------------------------------------------------------------------


def boto3_client(url: str, **keys: str) -> Any:
    """Return a plain boto3 client, as any program would make it."""
    session = boto3.session.Session(region_name="us-east-1", **keys)
    return session.client("swf", endpoint_url=url, config=Config(retries={"mode": "standard"}))


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "poll_for_activity_task",
        "PollForActivityTask",
        {"domain": "dév", "taskList": {"name": 'l"1'}, "identity": "me@host"},
    ),
    (
        "poll_for_decision_task",
        "PollForDecisionTask",
        {
            "domain": "dev",
            "taskList": {"name": "flow"},
            "maximumPageSize": 500,
            "reverseOrder": False,
            "startAtPreviousStartedEvent": True,
        },
    ),
    ("respond_activity_task_completed", "RespondActivityTaskCompleted", {**TASK, "result": "é\n"}),
    ("record_activity_task_heartbeat", "RecordActivityTaskHeartbeat", {**TASK, "details": "5 %"}),
    (
        "respond_decision_task_completed",
        "RespondDecisionTaskCompleted",
        {
            **TASK,
            "decisions": [
                {
                    "decisionType": "StartTimer",
                    "startTimerDecisionAttributes": {"timerId": "t", "startToFireTimeout": "0"},
                }
            ],
        },
    ),
]


@pytest.mark.parametrize("token", [None, "SESSION/TOKEN+=="])
@pytest.mark.parametrize(("method", "operation", "body"), CALLS)
def test_what_leaves_it_is_what_botocore_sends(
    method: str,
    operation: str,
    body: dict[str, Any],
    token: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First line, body and every header, at the same second; but for the names of the senders.

    The invocation id is new for each call, and botocore adds to the attempt how many it will make.
    """
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "SECRET"}
    if token is not None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        keys["aws_session_token"] = token

    async def scenario() -> None:
        async with ScriptedEngine() as engine:
            await asyncio.to_thread(
                lambda: getattr(boto3_client(engine.url, **keys), method)(**body)
            )
            theirs = engine.requests[0]
            second = theirs.headers["X-Amz-Date"]
            monkeypatch.setattr(PlaneSigner, "_timestamp", lambda self: second)
            async with DataPlane(at(engine)) as plane:
                await plane.call(operation, body, timeout_s=10)
            ours = engine.requests[1]

        assert ours.line == theirs.line
        assert ours.body == theirs.body
        own_words = ("User-Agent", "amz-sdk-invocation-id", "amz-sdk-request")
        assert sorted(ours.headers) == sorted(theirs.headers)
        for name in sorted(set(theirs.headers) - set(own_words)):
            assert (name, ours.headers[name]) == (name, theirs.headers[name])
        assert theirs.headers["amz-sdk-request"].startswith(ours.headers["amz-sdk-request"])
        assert ours.headers["User-Agent"].startswith("Boto3/")

    run(scenario)


# -- one call -----------------------------------------------------------------------------------


def test_answer_comes_back_as_the_bytes_that_were_sent() -> None:
    """Nothing parses what passes through, whatever it is."""

    async def scenario() -> None:
        async with ScriptedEngine(script(Reply(b'{"a" : 1.492443961284E9}'))) as engine:
            async with DataPlane(at(engine)) as plane:
                assert await plane.call("X", b'{"raw": 1}', timeout_s=10) == (
                    b'{"a" : 1.492443961284E9}'
                )
            assert engine.requests[0].body == b'{"raw": 1}'

    run(scenario)


@pytest.mark.parametrize(
    ("reply", "code", "message", "status"),
    [
        (
            Reply.fault("UnknownResourceFault", "Unknown x"),
            "UnknownResourceFault",
            "Unknown x",
            400,
        ),
        (Reply.fault("InternalFailure", "", 500), "InternalFailure", "", 500),
        (
            Reply(b'{"__type":"ThrottlingException:http://x/","Message":"m"}', 400),
            "ThrottlingException",
            "m",
            400,
        ),
        (Reply(b"{}", 400, {"x-amzn-errortype": "AccessDenied"}), "AccessDenied", "", 400),
        (Reply(b"<html>bad gateway</html>", 502), "HTTP502", "<html>bad gateway</html>", 502),
        (Reply(b"[]", 418), "HTTP418", "[]", 418),
        (Reply(b"", 307, {"Location": "http://127.0.0.1:1/"}), "HTTP307", "", 307),
    ],
)
def test_every_answer_but_200_is_a_service_error(
    reply: Reply, code: str, message: str, status: int
) -> None:
    """SWF's faults keep their names; what is not SWF's keeps its status."""

    async def scenario() -> None:
        async with ScriptedEngine(script(reply)) as engine, DataPlane(at(engine)) as plane:
            with pytest.raises(ServiceError) as caught:
                await plane.call("X", {}, timeout_s=10)
        assert (caught.value.code, caught.value.message, caught.value.status) == (
            code,
            message,
            status,
        )

    run(scenario)


def test_refused_signature_names_the_clock_where_the_clock_is_wrong() -> None:
    """A machine whose clock is off is told by how much, not only that its signature is bad."""
    wrong = Reply.fault("InvalidSignatureException", "expired")
    dated = Reply(wrong.body, 400, {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})

    async def scenario() -> None:
        async with ScriptedEngine(script(dated)) as engine, DataPlane(at(engine)) as plane:
            with pytest.raises(ServiceError, match=r"clock is \d+ s ahead of the engine's"):
                await plane.call("X", {}, timeout_s=10)

    run(scenario)


def test_silence_and_cut_lines_are_an_unreachable_engine() -> None:
    """No answer in time, a line cut under the request, and nobody at the port."""

    async def silent(request: Request) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        async with ScriptedEngine(silent) as engine, DataPlane(at(engine)) as plane:
            with pytest.raises(EngineUnreachable, match=r"no answer within 0\.05 s"):
                await plane.call("X", {}, timeout_s=0.05)
            engine.script = script(None)
            with pytest.raises(EngineUnreachable, match=r"127\.0\.0\.1"):
                await plane.call("X", {}, timeout_s=10)
            await engine.stop()
            with pytest.raises(EngineUnreachable, match="Connection refused"):
                await plane.call("X", {}, timeout_s=10)

    run(scenario)


def test_polls_beyond_the_limit_of_connections_wait_for_one() -> None:
    """The number of requests under way stays within what the pool asked for."""
    seen = {"now": 0, "most": 0}
    full, go = asyncio.Event, asyncio.Event

    async def scenario() -> None:
        filled, gate = full(), go()

        async def count(request: Request) -> Reply:
            seen["now"] += 1
            seen["most"] = max(seen.values())
            if seen["now"] == 3:
                filled.set()
            await gate.wait()
            seen["now"] -= 1
            return Reply()

        async with ScriptedEngine(count) as engine, DataPlane(at(engine), connections=3) as plane:
            calls = [asyncio.create_task(plane.call("X", {}, timeout_s=30)) for _ in range(9)]
            await filled.wait()
            gate.set()
            await asyncio.gather(*calls)

    run(scenario)
    assert seen["most"] == 3


# -- answers ------------------------------------------------------------------------------------


def deadline(after_s: float = 30.0) -> float:
    """Return a deadline so many seconds from now, in loop time."""
    return asyncio.get_running_loop().time() + after_s


def test_answer_gets_through_throttles_faults_and_cuts_under_one_id() -> None:
    """What is answered with must not be lost; the attempts are one call to the engine."""
    steps = script(
        Reply.fault("ThrottlingException", "Rate exceeded"),
        Reply.fault("LimitExceededFault"),
        Reply.fault("InternalFailure", "", 500),
        Reply(b"", 503),
        None,
        Reply(b'{"cancelRequested":true}'),
    )

    async def scenario() -> None:
        async with ScriptedEngine(steps) as engine, DataPlane(at(engine)) as plane:
            got = await plane.answer("RespondX", TASK, deadline_s=deadline())

            assert got == b'{"cancelRequested":true}'
            assert len({one.invocation_id for one in engine.requests}) == 1
            assert len({one.body for one in engine.requests}) == 1
            attempts = [one.headers["amz-sdk-request"] for one in engine.requests]
            assert attempts == [f"attempt={n}" for n in range(1, 7)]

    run(scenario)


@pytest.mark.parametrize(
    ("fault", "told"),
    [(Reply.fault("InternalFailure", "no room", 500), 1), (Reply.fault("LimitExceededFault"), 0)],
)
def test_an_engine_that_goes_on_failing_is_told_once_an_answer(
    fault: Reply, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits learns why nothing moves; a throttle is everyday."""
    steps = script(*[fault] * TOLD_AT, Reply(b"{}"))

    async def scenario() -> None:
        async with ScriptedEngine(steps) as engine, DataPlane(at(engine)) as plane:
            await plane.answer("RespondX", TASK, deadline_s=deadline())

    run(scenario)

    lines = [one for one in caplog.messages if one.startswith("event=answer.again")]
    assert told == len(lines)
    assert all("call=RespondX" in one and "no room" in one for one in lines)


@pytest.mark.parametrize("before", [None, Reply.fault("InternalFailure", "", 500)])
def test_task_unknown_at_a_repeated_answer_counts_as_answered(before: Reply | None) -> None:
    """The reply of the first attempt was lost, not the answer."""
    steps = script(before, Reply.fault("UnknownResourceFault"))

    async def scenario() -> None:
        async with ScriptedEngine(steps) as engine, DataPlane(at(engine)) as plane:
            assert await plane.answer("RespondX", TASK, deadline_s=deadline()) == b""
            assert len(engine.requests) == 2

    run(scenario)


@pytest.mark.parametrize("code", ["UnknownResourceFault", "ValidationException"])
def test_fault_that_repeating_does_not_mend_is_raised_at_once(code: str) -> None:
    """A task that is gone at the first answer, and a bad request, are the caller's."""

    async def scenario() -> None:
        async with (
            ScriptedEngine(script(Reply.fault(code))) as engine,
            DataPlane(at(engine)) as plane,
        ):
            with pytest.raises(ServiceError, match=code):
                await plane.answer("RespondX", TASK, deadline_s=deadline())
            assert len(engine.requests) == 1

    run(scenario)


def test_answer_gives_up_at_its_deadline_with_the_last_word() -> None:
    """After the deadline no attempt begins; there is always one, and its error is raised."""

    async def throttle(request: Request) -> Reply:
        return Reply.fault("ThrottlingException", "Rate exceeded")

    async def scenario() -> None:
        async with ScriptedEngine(throttle) as engine, DataPlane(at(engine)) as plane:
            with pytest.raises(ServiceError, match="Rate exceeded"):
                await plane.answer("RespondX", TASK, deadline_s=deadline(0.05))
            before = len(engine.requests)
            with pytest.raises(ServiceError, match="Rate exceeded"):
                await plane.answer("RespondX", TASK, deadline_s=deadline(-1.0))
            assert len(engine.requests) == before + 1

    run(scenario)


# -- polls --------------------------------------------------------------------------------------


class Record:
    """Remembers what is told of polls, in order."""

    def __init__(self) -> None:
        self.words: list[tuple[str, ...]] = []

    def poll_begun(self, invocation_id: str, operation: str, body: bytes) -> None:
        self.words.append(("begun", invocation_id, operation, body.decode()))

    def poll_ended(self, invocation_id: str) -> None:
        self.words.append(("ended", invocation_id))


def test_poll_goes_on_under_its_id_when_the_line_is_cut() -> None:
    """The engine that gave a task to a lost poll gives it again to the same one."""

    async def scenario() -> None:
        steps = script(None, None, Reply(b'{"taskToken":"t"}'))
        async with ScriptedEngine(steps) as engine, DataPlane(at(engine)) as plane:
            got = await plane.poll("PollForActivityTask", {"domain": "d"}, invocation_id="again-1")

            assert got == b'{"taskToken":"t"}'
            assert [one.invocation_id for one in engine.requests] == ["again-1"] * 3

    run(scenario)


def test_poll_is_on_record_until_its_caller_has_taken_the_task() -> None:
    """Between the answer and the caller's own record there is no moment without either."""
    record = Record()

    async def scenario() -> None:
        async with (
            ScriptedEngine(script(Reply(b'{"taskToken":"t"}'))) as engine,
            DataPlane(at(engine), polls=record) as plane,
        ):
            await plane.poll("PollForActivityTask", {"domain": "d"}, invocation_id="one")
            record.words.append(("held",))
            await asyncio.sleep(0)

    run(scenario)
    assert record.words == [
        ("begun", "one", "PollForActivityTask", '{"domain": "d"}'),
        ("held",),
        ("ended", "one"),
    ]


def test_throttled_poll_is_the_callers_and_a_cancelled_one_stays_on_record() -> None:
    """A fault ends a poll for good; whether a cancelled one was given a task nobody knows."""
    record = Record()

    async def scenario() -> None:
        asked = asyncio.Event()

        async def wait(request: Request) -> Reply:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        engine = ScriptedEngine(script(Reply.fault("ThrottlingException")))
        async with engine, DataPlane(at(engine), polls=record) as plane:
            with pytest.raises(ServiceError):
                await plane.poll("PollForActivityTask", {}, invocation_id="throttled")
            engine.script = wait
            poll = asyncio.create_task(
                plane.poll("PollForActivityTask", {}, invocation_id="cancelled")
            )
            await asked.wait()
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)

    run(scenario)
    assert ("ended", "throttled") in record.words
    assert ("ended", "cancelled") not in record.words


def test_release_of_polls_tells_whether_the_engine_knows_it() -> None:
    """Our engine does; AWS answers that there is no such operation; a dead one does not answer."""
    unknown = Reply.fault("UnknownOperationException")

    async def scenario() -> None:
        async with (
            ScriptedEngine(script(Reply(), unknown)) as engine,
            DataPlane(at(engine)) as plane,
        ):
            assert await plane.release_polls("me@host:1") is True
            assert await plane.release_polls("me@host:1") is False
            assert engine.requests[0].headers["X-Amz-Target"] == "GarconEngine.ReleasePolls"
            assert json.loads(engine.requests[0].body) == {"identity": "me@host:1"}
            await engine.stop()
            assert await plane.release_polls("me@host:1") is False

    run(scenario)


# -- the line -----------------------------------------------------------------------------------


def test_loss_of_the_line_is_told_once_and_so_is_its_return() -> None:
    """Twenty polls meet the same outage: one word at its start, one at its end."""
    told = Told()

    async def scenario() -> None:
        engine = ScriptedEngine()
        async with engine, DataPlane(at(engine), on_connection=told) as plane:
            await plane.call("X", {}, timeout_s=10)
            port = engine.port
            await engine.stop()
            polls = [asyncio.create_task(plane.poll("X", {})) for _ in range(20)]
            while not told.words:
                await asyncio.sleep(0)
            async with ScriptedEngine(port=port):
                await asyncio.gather(*polls)

    run(scenario)
    assert told.lost == [True, False]
    assert "Connection refused" in told.words[0][1]
    assert "back after" in told.words[1][1]

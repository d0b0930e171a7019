"""Every verb in every state of a range, and the exit code that a cron line gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from garcon import client
from garcon.cli import main
from garcon.client import Engine
from garcon.engine.testing import engine_in_process
from garcon.flow import describe
from garcon.pool import watch
from garcon.pool.execution import default_workflow_id, tags_of
from garcon.pool.registration import ensure_types
from tests.contract import nightly

FLOW = describe(nightly)
STATES = ("none", "open", "completed", "failed", "canceled", "terminated")

#: What each verb ends with in each of STATES.
TABLE = {
    "plan": (0, 0, 0, 0, 0, 0),
    "plan --overlap fail": (0, 5, 0, 0, 0, 0),
    "plan --json": (0, 0, 0, 0, 0, 0),
    "run": (0, 0, 0, 0, 0, 0),
    "run --quiet": (0, 0, 0, 0, 0, 0),
    "run --json": (0, 0, 0, 0, 0, 0),
    "run --again": (0, 0, 0, 0, 0, 0),
    "run --overlap skip": (0, 0, 0, 0, 0, 0),
    "run --overlap fail": (0, 5, 0, 0, 0, 0),
    "resume": (2, 0, 0, 0, 0, 0),
    "resume --only-failed": (2, 5, 0, 0, 0, 0),
    "resume --keys shop=a": (2, 5, 0, 0, 0, 0),
    "status": (1, 6, 0, 1, 1, 1),
    "status --json": (1, 6, 0, 1, 1, 1),
    "list": (0, 0, 0, 0, 0, 0),
    "cancel": (0, 0, 0, 0, 0, 0),
    "cancel --terminate": (0, 0, 0, 0, 0, 0),
}

#: The same where what is started, resumed or joined then fails.
FAILING = {
    "run": (1, 1, 0, 1, 1, 1),
    "run --quiet": (1, 1, 0, 1, 1, 1),
    "run --json": (1, 1, 0, 1, 1, 1),
    "run --again": (1, 1, 1, 1, 1, 1),
    "resume": (2, 1, 0, 1, 1, 1),
}


class Closer(threading.Thread):
    """Decides in the place of a pool: everything ends at once, but what is to stay open."""

    def __init__(self, swf: Any) -> None:
        """Serve the flow's decisions with `swf`."""
        super().__init__(daemon=True)
        self._swf = swf
        self.stopped = threading.Event()
        self.ending = "COMPLETED"
        self.stays_open: set[str] = set()

    def run(self) -> None:
        """Answer decision tasks until stopped."""
        while not self.stopped.is_set():
            task = self._swf.poll_for_decision_task(
                domain=FLOW.domain, taskList={"name": FLOW.task_list}
            )
            if not task.get("taskToken"):
                continue
            kinds = {event["eventType"] for event in task["events"]}
            is_told = {"WorkflowExecutionSignaled", "WorkflowExecutionCancelRequested"} & kinds
            stays = task["workflowExecution"]["workflowId"] in self.stays_open and not is_told
            decisions = [] if stays else [self._decision(kinds)]
            # What was terminated meanwhile takes no answer.
            with suppress(ClientError):
                self._swf.respond_decision_task_completed(
                    taskToken=task["taskToken"], decisions=decisions
                )

    def _decision(self, kinds: set[str]) -> dict[str, Any]:
        if "WorkflowExecutionCancelRequested" in kinds:
            return {"decisionType": "CancelWorkflowExecution"}
        if self.ending == "COMPLETED":
            return {"decisionType": "CompleteWorkflowExecution"}
        attributes = {"failWorkflowExecutionDecisionAttributes": {"reason": "as the test says"}}
        return {"decisionType": "FailWorkflowExecution", **attributes}


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test need not wait as long as a person would."""
    monkeypatch.setattr(watch, "FIRST_LOOKS_S", 0.02)


@pytest.fixture(scope="module")
def engine_url() -> Iterator[str]:
    """Yield the URL of an engine whose empty polls end soon."""
    with engine_in_process(poll_hold_s=5.0) as engine:
        swf = client.swf_client(Engine("url", url=engine.url))
        ensure_types(swf, FLOW)
        yield engine.url


@pytest.fixture(scope="module")
def swf(engine_url: str) -> Any:
    """Return a client of that engine."""
    return client.swf_client(Engine("url", url=engine_url))


@pytest.fixture(scope="module")
def closer(swf: Any) -> Iterator[Closer]:
    """Yield what decides."""
    thread = Closer(swf)
    thread.start()
    yield thread
    thread.stopped.set()
    Case(swf, thread).bring_to("completed")  # a last task ends its poll
    thread.join(10)


class Case:
    """One range of its own, brought into a state."""

    count = 0

    def __init__(self, swf: Any, closer: Closer) -> None:
        """Take the next free day."""
        Case.count += 1
        self.day = f"{2000 + Case.count // 28:04}-01-{Case.count % 28 + 1:02}"
        self.data = {"start": self.day, "end": self.day}
        self.workflow_id = default_workflow_id(FLOW.name, self.data)
        self._swf, self._closer = swf, closer

    def bring_to(self, state: str) -> None:
        """Bring the range into this state."""
        if state == "none":
            return
        closes = state in ("completed", "failed")
        if not closes:
            self._closer.stays_open.add(self.workflow_id)
        self._closer.ending = state.upper()
        run_id = self._start()
        if state == "terminated":
            self._swf.terminate_workflow_execution(domain=FLOW.domain, workflowId=self.workflow_id)
        elif state == "canceled":
            self._swf.request_cancel_workflow_execution(
                domain=FLOW.domain, workflowId=self.workflow_id
            )
        if state != "open":
            self._wait_closed(run_id)

    def _start(self) -> str:
        started = self._swf.start_workflow_execution(
            domain=FLOW.domain,
            workflowId=self.workflow_id,
            workflowType={"name": FLOW.name, "version": FLOW.version},
            taskList={"name": FLOW.task_list},
            input=json.dumps(self.data),
            executionStartToCloseTimeout="3600",
            taskStartToCloseTimeout="30",
            childPolicy="TERMINATE",
            tagList=tags_of(self.workflow_id, self.data),
        )
        return str(started["runId"])

    def _wait_closed(self, run_id: str) -> None:
        execution = {"workflowId": self.workflow_id, "runId": run_id}
        waited = threading.Event()
        for _ in range(3_000):
            found = self._swf.describe_workflow_execution(domain=FLOW.domain, execution=execution)
            if found["executionInfo"]["executionStatus"] == "CLOSED":
                return
            waited.wait(0.01)
        raise AssertionError("the execution did not close")

    def close_soon(self) -> None:
        """Let what is open end while the command looks at it, and what it may start if it is late.

        On a slow machine it has closed before the command looks: that is then another state, whose
        exit code is the same, and what the command starts must not stay open.
        """
        threading.Timer(0.05, self._close).start()

    def _close(self) -> None:
        self._closer.stays_open.discard(self.workflow_id)
        self._swf.signal_workflow_execution(
            domain=FLOW.domain, workflowId=self.workflow_id, signalName="end"
        )


def command(verb: str, day: str, url: str) -> list[str]:
    """Return the words of a command."""
    name, *options = verb.split()
    alone = ["--no-workers"] if name in ("run", "resume") else []
    words = ["backfill", "tests.contract.nightly", name, "--days", day, *options, *alone]
    return [*words, "--engine", url]


def exit_code(words: list[str]) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(args=words, prog_name="garcon")
    return int(ended.value.code or 0)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", TABLE)
def test_a_verb_in_a_state_ends_with_its_code(verb, state, swf, closer, engine_url):
    """What is started, resumed or joined completes."""
    case = Case(swf, closer)
    case.bring_to(state)
    closer.ending = "COMPLETED"
    code = TABLE[verb][STATES.index(state)]
    if state != "open":
        closer.stays_open.discard(case.workflow_id)
    elif verb.startswith(("run", "resume")) and code == 0 and "skip" not in verb:
        case.close_soon()

    assert code == exit_code(command(verb, case.day, engine_url))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", FAILING)
def test_a_verb_whose_execution_fails_ends_with_1(verb, state, swf, closer, engine_url):
    """Whether it began it or found it."""
    case = Case(swf, closer)
    case.bring_to(state)
    closer.ending = "FAILED"
    if state == "open":
        case.close_soon()
    else:
        closer.stays_open.discard(case.workflow_id)

    assert FAILING[verb][STATES.index(state)] == exit_code(command(verb, case.day, engine_url))


@pytest.mark.parametrize(
    "words",
    [
        ["--days", "2026-02-30"],
        ["--days", "2026-01-02..2026-01-01"],
        ["--days", "last-0"],
        ["--days", ""],
        ["--days", "2026-01-01", "--tz", "Nowhere/Land"],
        ["--days", "2026-01-01", "--each", "hour"],
        ["--each", "day"],
        ["--days", "2026-01-01", "--set", "start=2026-01-01"],
        ["--days", "2026-01-01", "--set", "garcon.x=1"],
        ["--days", "2026-01-01", "--input", "[]"],
        ["--days", "2026-01-01", "--chdir", "/no/such/folder"],
        ["--days", "2026-01-01", "--engine", "nonsense"],
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run", "resume", "status", "list", "cancel"])
def test_wrong_words_are_exit_code_2_for_every_verb(verb, words, capsys):
    """With one line that says why; nothing is asked of any engine."""
    code = exit_code(["backfill", "tests.contract.nightly", verb, *words])

    assert 2 == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", ["plan", "run --no-workers", "resume --no-workers", "status", "list"]
)
def test_an_engine_that_does_not_answer_is_exit_code_4(verb, capsys):
    """In one line that names it."""
    words = ["--days", "2026-01-01", "--engine", "http://127.0.0.1:9"]

    code = exit_code(["backfill", "tests.contract.nightly", *verb.split(), *words])

    assert 4 == code
    assert "http://127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["report", "history"])
@pytest.mark.parametrize(("state", "code"), [("none", 2), ("open", 0), ("failed", 0)])
def test_reports_and_histories_are_found_by_the_id_alone(
    verb, state, code, swf, closer, engine_url, tmp_path, monkeypatch, capsys
):
    """In whatever domain, open or closed."""
    monkeypatch.chdir(tmp_path)
    case = Case(swf, closer)
    case.bring_to(state)

    assert code == exit_code([verb, case.workflow_id, "--engine", engine_url])

    told = capsys.readouterr()
    if code == 0 and verb == "history":
        assert case.workflow_id == json.loads(told.out)["execution"]["workflowId"]
    elif code == 0:
        page = (tmp_path / f"report-{case.workflow_id}.html").read_text(encoding="utf-8")
        assert case.workflow_id in page
    else:
        assert f"no execution '{case.workflow_id}'" in told.err


def test_a_range_is_found_again_under_an_id_that_its_user_chose(swf, closer, engine_url):
    """By its tags and its input."""
    case = Case(swf, closer)
    own_id, case.workflow_id = case.workflow_id, f"mine-{case.day}"
    case.bring_to("completed")

    assert 0 == exit_code(command("status", case.day, engine_url))
    case.data = {**case.data, "shop": "a"}
    other = Case(swf, closer)
    other.data = {"start": other.day, "end": other.day, "shop": "a"}
    other.workflow_id = f"other-{own_id}"
    other.bring_to("completed")
    assert 1 == exit_code(command("status", other.day, engine_url))


def test_a_catch_up_runs_the_days_that_nothing_covers(swf, closer, engine_url, capsys):
    """And then nothing more."""
    for day in ("01", "02", "05"):
        case = Case(swf, closer)
        case.day = f"2030-03-{day}"
        case.data = {"start": case.day, "end": case.day}
        case.workflow_id = default_workflow_id(FLOW.name, case.data)
        case.bring_to("completed")
    words = ["backfill", "tests.contract.nightly", "run", "--catch-up", "--no-workers", "--json"]
    words += ["--days", "2030-03-01..2030-03-07", "--engine", engine_url]

    assert 0 == exit_code(words)
    began = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["2030-03-03..2030-03-04", "2030-03-06..2030-03-07"] == [
        one["range"] for one in began if one["event"] == "began"
    ]
    assert 0 == exit_code(words)
    told = capsys.readouterr().out.splitlines()
    assert {"event": "summary", "code": 0, "ranges": {}} == json.loads(told[-1])


def test_an_execution_that_shares_days_ends_before_the_range_begins(
    swf, closer, engine_url, capsys
):
    """`--overlap join` lets it; both are watched."""
    case = Case(swf, closer)
    case.day = "2031-05-02"
    case.data = {"start": "2031-05-01", "end": "2031-05-03"}
    case.workflow_id = default_workflow_id(FLOW.name, case.data)
    case.bring_to("open")
    for choice, code in (("fail", 5), ("skip", 0)):
        assert code == exit_code(command(f"run --overlap {choice}", case.day, engine_url))
    closer.ending = "COMPLETED"
    case.close_soon()
    capsys.readouterr()

    assert 0 == exit_code(command("run --json", case.day, engine_url))

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["wait", "start"] == [one["act"] for one in told if one["event"] == "began"]

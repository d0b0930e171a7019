"""Random clients, virtual time and restarts against one engine: what must hold after every step.

The engine's kernel is driven without HTTP, so that thousands of steps take seconds; an independent
reading of the histories says what the engine should know.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from garcon.engine.core.faults import Fault
from garcon.engine.http.shapes import load_checks
from garcon.engine.service.clock import VirtualClock
from garcon.engine.service.kernel import Kernel
from garcon.engine.service.operations import OPERATIONS
from garcon.engine.service.tasks import Call
from garcon.engine.service.world import World
from garcon.engine.store.database import Database
from tests.contract.engine.swf import RUN, attributes, decide, schedule

CHECKS = load_checks()
MODEL = ServiceModel(Loader().load_service_model("swf", "service-2"))
CLOSING = {
    "WorkflowExecutionCompleted",
    "WorkflowExecutionFailed",
    "WorkflowExecutionCanceled",
    "WorkflowExecutionContinuedAsNew",
    "WorkflowExecutionTimedOut",
    "WorkflowExecutionTerminated",
}
TASK_ENDS = {
    "ActivityTaskCompleted": "activity",
    "ActivityTaskFailed": "activity",
    "ActivityTaskTimedOut": "activity",
    "ActivityTaskCanceled": "activity",
    "DecisionTaskCompleted": "decision",
    "DecisionTaskTimedOut": "decision",
}
FLOW = {"name": "flow", "version": "1"}
WORKFLOWS = st.sampled_from(["w0", "w1", "w2"])
SMALL = st.integers(0, 3)
TIMES = st.sampled_from(["NONE", "0", "1", "7", "30"])


def activities() -> Any:
    """Generate schedule decisions with any mix of clocks."""
    clocks = ("scheduleToStartTimeout", "scheduleToCloseTimeout", "startToCloseTimeout")
    return st.builds(
        lambda number, priority, times: schedule(
            f"a{number}",
            taskPriority=str(priority),
            **dict(zip((*clocks, "heartbeatTimeout"), times, strict=True)),
        ),
        SMALL,
        st.integers(-1, 1),
        st.tuples(TIMES, TIMES, TIMES, TIMES),
    )


DECISION = st.one_of(
    activities(),
    st.builds(lambda n: decide("RequestCancelActivityTask", activityId=f"a{n}"), SMALL),
    st.builds(
        lambda n, t: decide("StartTimer", timerId=f"t{n}", startToFireTimeout=str(t)),
        SMALL,
        st.integers(0, 40),
    ),
    st.builds(lambda n: decide("CancelTimer", timerId=f"t{n}"), SMALL),
    st.just(decide("RecordMarker", markerName="m")),
    st.builds(
        lambda w, p: decide(
            "StartChildWorkflowExecution",
            workflowType=FLOW,
            workflowId=w,
            **{**RUN, "childPolicy": p},
        ),
        WORKFLOWS,
        st.sampled_from(["TERMINATE", "REQUEST_CANCEL", "ABANDON"]),
    ),
    st.builds(
        lambda w: decide("SignalExternalWorkflowExecution", workflowId=w, signalName="s"),
        WORKFLOWS,
    ),
    st.builds(lambda w: decide("RequestCancelExternalWorkflowExecution", workflowId=w), WORKFLOWS),
)
ENDS = [
    decide("CompleteWorkflowExecution", result="r"),
    decide("FailWorkflowExecution"),
    decide("CancelWorkflowExecution"),
    decide("ContinueAsNewWorkflowExecution", **RUN),
]
CLOSE = st.sampled_from(ENDS)


def form(value: Any) -> Any:
    """Return of what members and types a value is made."""
    if isinstance(value, dict):
        return frozenset((name, form(member)) for name, member in value.items())
    if isinstance(value, list):
        return frozenset(map(form, value))
    return type(value)


#: What has been held against the model; a value of the same form need not be again.
LEGAL: set[Any] = set()


def check_shape(value: Any, shape: Any) -> None:
    """Fail on a member that the model does not know, that is missing, or is of another type."""
    found = (shape.name, value.get("eventType"), form(value))
    if found in LEGAL:
        return
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()
    LEGAL.add(found)


class Reading:
    """What a history says about its run, folded without the engine's help."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.activities: dict[int, dict[str, Any]] = {}
        self.timers: set[str] = set()
        self.children: set[int] = set()
        self.decisions: dict[int, int] = {}
        self.closed = ""
        self.ends: Counter[tuple[str, int]] = Counter()
        for event in events:
            assert not self.closed, f"{event['eventType']} behind {self.closed}"
            self._fold(event["eventId"], event["eventType"], attributes(event))
        if self.closed:
            self.activities, self.timers, self.children = {}, set(), set()
            self.decisions = {}

    def _fold(self, event_id: int, name: str, given: dict[str, Any]) -> None:
        if name in TASK_ENDS:
            self.ends[TASK_ENDS[name], given["scheduledEventId"]] += 1
            open_ones = self.activities if TASK_ENDS[name] == "activity" else self.decisions
            del open_ones[given["scheduledEventId"]]
        elif name == "ActivityTaskScheduled":
            ids = [one["activityId"] for one in self.activities.values()]
            assert given["activityId"] not in ids
            self.activities[event_id] = {"activityId": given["activityId"], "started": 0}
        elif name == "ActivityTaskStarted":
            assert not self.activities[given["scheduledEventId"]]["started"]
            self.activities[given["scheduledEventId"]]["started"] = event_id
        elif name == "DecisionTaskScheduled":
            self.decisions[event_id] = 0
            assert len(self.decisions) <= 2
            assert list(self.decisions.values()).count(0) == 1
        elif name == "DecisionTaskStarted":
            self.decisions[given["scheduledEventId"]] = event_id
            assert sum(map(bool, self.decisions.values())) == 1
        elif name == "TimerStarted":
            assert given["timerId"] not in self.timers
            self.timers.add(given["timerId"])
        elif name in ("TimerFired", "TimerCanceled"):
            self.timers.remove(given["timerId"])
        elif name == "StartChildWorkflowExecutionInitiated":
            self.children.add(event_id)
        elif name == "StartChildWorkflowExecutionFailed":
            self.children.discard(given["initiatedEventId"])
        elif name.startswith("ChildWorkflowExecution") and not name.endswith("Started"):
            self.children.remove(given["initiatedEventId"])
        elif name in CLOSING:
            self.closed = name


class RandomClients(RuleBasedStateMachine):
    """Starts, polls, answers, signals, waits and restarts in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = str(Path(self.folder.name) / "engine.db")
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock()
        self.runs: list[tuple[str, str]] = []
        self.held: dict[str, list[str]] = {"activity": [], "decision": []}
        self.handed: dict[tuple[str, str, int], str] = {}
        self.calls = 0
        self.last_invocation: dict[str, str] = {}
        self.answers: dict[tuple[str, str], Any] = {}
        self.known_events: dict[tuple[str, int], Any] = {}
        self.open_engine()
        given = {"name": "dom", "workflowExecutionRetentionPeriodInDays": "90"}
        self.call("RegisterDomain", **given)
        self.call("RegisterWorkflowType", domain="dom", name="flow", version="1")
        self.call("RegisterActivityType", domain="dom", name="act", version="1")
        self.begin_run("w0", "100000")

    def open_engine(self) -> None:
        """Open the file as a starting engine does."""

        async def begin() -> Kernel:
            world = World(Database(self.file))
            world.load()
            kernel = Kernel(world, self.clock, poll_hold_s=0)
            kernel.look()
            await asyncio.sleep(0)
            return kernel

        self.kernel = self.loop.run_until_complete(begin())

    def teardown(self) -> None:
        self.kernel.stop()
        self.kernel.world.database.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        self.folder.cleanup()

    def begin_call(self, operation: str, invocation: str | None, text: str) -> Awaitable[Any]:
        """Begin a call as the wire would; its answer is awaited."""
        checked = CHECKS[operation](json.loads(text))
        return OPERATIONS[operation](self.kernel, checked, Call(invocation, lambda: True))

    def call(self, operation: str, invocation: str | None = None, **given: Any) -> Any:
        """Make a call as the wire would; returns the parsed answer."""
        text = json.dumps(given)

        async def run() -> Any:
            return await self.begin_call(operation, invocation, text)

        answer = self.loop.run_until_complete(run())
        found = json.loads(answer) if isinstance(answer, str) else answer
        # An empty poll is as the service answers it, not as the model says; events are looked at
        # once each, by ``check_events``.
        if found is not None and found.get("taskToken") != "" and "events" not in found:
            if self.answers.get((operation, text)) != found:
                check_shape(found, MODEL.operation_model(operation).output_shape)
            self.answers[operation, text] = found
        return found

    def check_events(self, run_id: str, events: list[dict[str, Any]]) -> None:
        """Each event has the shape of the model, and stays as it was first seen."""
        for event in events:
            known = self.known_events.setdefault((run_id, event["eventId"]), event)
            if known is event:
                check_shape(event, MODEL.shape_for("HistoryEvent"))
            assert known == event

    def attempt(self, operation: str, *codes: str, **given: Any) -> bool:
        """Make a call that may be refused with one of some codes; whether it was accepted."""
        try:
            self.call(operation, **given)
        except Fault as fault:
            if fault.code not in codes:
                raise
            return False
        return True

    # -- what clients do ----------------------------------------------------------------------

    @rule(workflow=WORKFLOWS, run_s=st.sampled_from(["20", "100", "100000"]))
    def start(self, workflow: str, run_s: str) -> None:
        """Start a run where none is open."""
        self.begin_run(workflow, run_s)

    def begin_run(self, workflow: str, run_s: str) -> None:
        """What ``start`` does, for other rules."""
        given = {**RUN, "executionStartToCloseTimeout": run_s}
        self.attempt(
            "StartWorkflowExecution",
            "WorkflowExecutionAlreadyStartedFault",
            domain="dom",
            workflowId=workflow,
            workflowType=FLOW,
            **given,
        )

    def poll(self, kind: str, operation: str, task_list: str, repeat: bool) -> None:
        """Poll once; a repeated poll may bring only what the first one brought."""
        self.calls += 1
        invocation = f"i{self.calls}"
        if repeat and kind in self.last_invocation:
            invocation = self.last_invocation[kind]
        self.last_invocation[kind] = invocation
        where = {"domain": "dom", "taskList": {"name": task_list}}
        self.take_over(kind, self.call(operation, invocation, **where), invocation)

    @rule(repeat=st.booleans())
    def poll_work(self, repeat: bool) -> None:
        """Take work, or ask for the last one again."""
        self.poll("activity", "PollForActivityTask", "work", repeat)

    @rule(repeat=st.booleans(), task_list=st.sampled_from(["decide", "decide", "sticky"]))
    def poll_decide(self, repeat: bool, task_list: str) -> None:
        """Take a decision, or ask for the last one again."""
        self.poll("decision", "PollForDecisionTask", task_list, repeat)

    def take_over(self, kind: str, task: dict[str, Any], invocation: str) -> None:
        """Hold a polled task, which nobody else may hold."""
        if not task["taskToken"]:
            return
        name = (kind, task["workflowExecution"]["runId"], task["startedEventId"])
        assert self.handed.setdefault(name, invocation) == invocation, "handed out twice"
        self.held[kind].append(task["taskToken"])

    def token(self, kind: str, number: int) -> str:
        """Return any token ever held, mostly a late one."""
        return self.held[kind][-1 - number % len(self.held[kind])]

    @rule(
        late=st.one_of(st.just(0), st.just(0), SMALL),
        workflow=WORKFLOWS,
        decisions=st.lists(DECISION, max_size=5),
        close=st.one_of(st.none(), st.none(), st.none(), CLOSE),
        sticky=st.sampled_from([None, None, "5", "NONE"]),
    )
    def decide(
        self, late: int, workflow: str, decisions: list[Any], close: Any, sticky: str | None
    ) -> None:
        """Take a decision task and answer it, or an older one; begin a run if none waits."""
        self.settle_decision(late, workflow, decisions, close, sticky)

    def settle_decision(
        self, late: int, workflow: str, decisions: list[Any], close: Any, sticky: str | None
    ) -> None:
        """What ``decide`` does, for other rules."""
        for task_list in ("sticky", "decide"):
            self.poll("decision", "PollForDecisionTask", task_list, False)
        if not self.held["decision"]:
            self.begin_run(workflow, "100000")
            return
        given: dict[str, Any] = {"decisions": decisions + ([close] if close else [])}
        if sticky is not None:
            given["taskList"] = {"name": "sticky"}
            given["taskListScheduleToStartTimeout"] = sticky
        token = self.token("decision", late)
        self.attempt(
            "RespondDecisionTaskCompleted", "UnknownResourceFault", taskToken=token, **given
        )

    @rule(
        late=st.one_of(st.just(0), SMALL),
        operation=st.sampled_from(
            [
                "RespondActivityTaskCompleted",
                "RespondActivityTaskFailed",
                "RespondActivityTaskCanceled",
                "RecordActivityTaskHeartbeat",
                "RecordActivityTaskHeartbeat",
            ]
        ),
    )
    def answer(self, late: int, operation: str) -> None:
        """Take an activity and answer it, or an older one, or beat for it."""
        self.work(late, operation)

    def work(self, late: int, operation: str) -> None:
        """What ``answer`` does, for other rules."""
        self.poll("activity", "PollForActivityTask", "work", False)
        if self.held["activity"]:
            token = self.token("activity", late)
            self.attempt(operation, "UnknownResourceFault", taskToken=token)

    @rule(
        workflow=WORKFLOWS,
        operation=st.sampled_from(
            [
                "SignalWorkflowExecution",
                "SignalWorkflowExecution",
                "RequestCancelWorkflowExecution",
                "TerminateWorkflowExecution",
            ]
        ),
    )
    def disturb(self, workflow: str, operation: str) -> None:
        """Signal, cancel or terminate whatever runs."""
        more = {"signalName": "s"} if operation.startswith("Signal") else {}
        self.attempt(operation, "UnknownResourceFault", domain="dom", workflowId=workflow, **more)

    @rule(seconds=st.sampled_from([0, 1, 5, 31, 200]))
    def wait(self, seconds: int) -> None:
        """Let time pass, one deadline after the other."""
        self.pass_time(seconds)

    def pass_time(self, seconds: int) -> None:
        """What ``wait`` does, for other rules."""
        target_ms = self.clock.now_ms() + seconds * 1000
        deadlines = self.kernel.world.deadlines
        while (next_ms := deadlines.next_ms()) is not None and next_ms <= target_ms:
            self.clock.move_to(next_ms)
            self.kernel.run_due(self.clock.now_ms())
        self.clock.move_to(target_ms)

    @rule()
    def restart(self) -> None:
        """Lose the process and begin again on the file: nothing that can be asked changes."""
        self.pass_time(0)  # what is due by now falls due with the start at the latest
        before = self.observed()
        self.kernel.stop()
        self.kernel.world.database.close()
        self.open_engine()
        assert self.observed() == before

    @rule(seed=st.integers(0, 2**32))
    def bustle(self, seed: int) -> None:
        """Do a dozen things in a row: hypothesis alone seldom gets far into a run."""
        dice = random.Random(seed)
        for _ in range(12):
            what = dice.choice(("decide", "decide", "answer", "answer", "wait", "disturb"))
            if what == "decide":
                self.decide_somehow(dice)
            elif what == "answer":
                names = ("Completed", "Failed", "Canceled")
                operation = f"RespondActivityTask{dice.choice(names)}"
                if dice.random() < 0.4:
                    operation = "RecordActivityTaskHeartbeat"
                self.work(dice.choice((0, 0, 1)), operation)
            elif what == "wait":
                self.pass_time(dice.choice((0, 1, 1, 5, 31)))
            else:
                self.attempt(
                    "SignalWorkflowExecution",
                    "UnknownResourceFault",
                    domain="dom",
                    workflowId=f"w{dice.randrange(3)}",
                    signalName="s",
                )

    @rule(seed=st.integers(0, 2**32))
    def together(self, seed: int) -> None:
        """Ask for several things at once: they share a turn and its commit."""
        dice = random.Random(seed)
        asked = [self.something(dice) for _ in range(dice.randrange(2, 7))]
        invocations = []
        for _ in asked:
            self.calls += 1
            invocations.append(f"i{self.calls}")

        async def ask() -> list[Any]:
            calls = [
                self.begin_call(operation, invocation, json.dumps(given))
                for (operation, given), invocation in zip(asked, invocations, strict=True)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

        answers = self.loop.run_until_complete(ask())
        for (operation, _), invocation, answer in zip(asked, invocations, answers, strict=True):
            if isinstance(answer, BaseException):
                assert isinstance(answer, Fault), answer
                wanted = ("UnknownResourceFault", "WorkflowExecutionAlreadyStartedFault")
                assert answer.code in wanted
            elif operation.startswith("PollFor"):
                kind = "activity" if "Activity" in operation else "decision"
                self.take_over(kind, json.loads(answer), invocation)

    def something(self, dice: random.Random) -> tuple[str, dict[str, Any]]:
        """Return any operation that changes something, and its arguments."""
        run = {"domain": "dom", "workflowId": f"w{dice.randrange(3)}"}
        ways: list[tuple[str, dict[str, Any]]] = [
            ("StartWorkflowExecution", {**run, "workflowType": FLOW, **RUN}),
            ("SignalWorkflowExecution", {**run, "signalName": "s"}),
            ("PollForActivityTask", {"domain": "dom", "taskList": {"name": "work"}}),
            ("PollForDecisionTask", {"domain": "dom", "taskList": {"name": "decide"}}),
        ]
        if dice.random() < 0.2:
            ways.append(("TerminateWorkflowExecution", run))
        for kind, end in (
            ("activity", "ActivityTaskCompleted"),
            ("activity", "ActivityTaskFailed"),
        ):
            if self.held[kind]:
                token = self.token(kind, dice.choice((0, 0, 1)))
                ways.append((f"Respond{end}", {"taskToken": token}))
        if self.held["decision"]:
            token = self.token("decision", dice.choice((0, 0, 1)))
            given = {"taskToken": token, "decisions": self.some_decisions(dice)}
            ways.extend([("RespondDecisionTaskCompleted", given)] * 2)
        return dice.choice(ways)

    def decide_somehow(self, dice: random.Random) -> None:
        """Answer a decision task with mostly work and now and then a close."""
        decisions = self.some_decisions(dice)
        sticky = dice.choice((None, None, None, "5"))
        self.settle_decision(0, "w0", decisions, None, sticky)

    def some_decisions(self, dice: random.Random) -> list[dict[str, Any]]:
        """Return mostly work and now and then a close."""
        times = ("NONE", "NONE", "1", "7", "30")
        clocks = ("scheduleToStartTimeout", "scheduleToCloseTimeout", "startToCloseTimeout")
        decisions = [
            schedule(
                f"a{dice.randrange(6)}",
                heartbeatTimeout=dice.choice(times),
                **{clock: dice.choice(times) for clock in clocks},
            )
            for _ in range(dice.randrange(4))
        ]
        others = [
            decide("RequestCancelActivityTask", activityId=f"a{dice.randrange(6)}"),
            decide("StartTimer", timerId=f"t{dice.randrange(3)}", startToFireTimeout="6"),
            decide("CancelTimer", timerId=f"t{dice.randrange(3)}"),
            decide(
                "StartChildWorkflowExecution",
                workflowType=FLOW,
                workflowId=f"w{dice.randrange(3)}",
                **RUN,
            ),
        ]
        decisions.extend(dice.sample(others, dice.randrange(3)))
        if dice.random() < 0.1:
            decisions.append(dice.choice(ENDS))
        return decisions

    # -- what must hold -----------------------------------------------------------------------

    def executions(self) -> list[dict[str, Any]]:
        """Return every run there ever was, from the lists."""
        when = {"domain": "dom", "startTimeFilter": {"oldestDate": 0}}
        return [
            *self.call("ListOpenWorkflowExecutions", **when)["executionInfos"],
            *self.call("ListClosedWorkflowExecutions", **when)["executionInfos"],
        ]

    def observed(self) -> Any:
        """Return all that a client can find out by reading."""
        seen = []
        for info in self.executions():
            execution = info["execution"]
            history = self.call("GetWorkflowExecutionHistory", domain="dom", execution=execution)
            found = self.call("DescribeWorkflowExecution", domain="dom", execution=execution)
            seen.append((info, history, found))
        lists = ("decide", "sticky", "work")
        counts = [
            self.call(f"CountPending{kind}Tasks", domain="dom", taskList={"name": name})
            for kind in ("Activity", "Decision")
            for name in lists
        ]
        return seen, counts

    @invariant()
    def histories_are_legal_and_counts_are_right(self) -> None:
        """Read everything, fold it independently, compare."""
        seen, counts = self.observed()
        waiting = Counter[str]()
        open_ids = []
        for info, history, found in seen:
            events = history["events"]
            assert [event["eventId"] for event in events] == list(range(1, len(events) + 1))
            times = [event["eventTimestamp"] for event in events]
            assert times == sorted(times)
            self.check_events(info["execution"]["runId"], events)
            reading = Reading(events)
            assert all(count == 1 for count in reading.ends.values())
            assert bool(reading.closed) == (info["executionStatus"] == "CLOSED")
            if reading.closed:
                continue
            open_ids.append(info["execution"]["workflowId"])
            assert found["openCounts"] == {
                "openActivityTasks": len(reading.activities),
                "openDecisionTasks": int(bool(reading.decisions)),
                "openTimers": len(reading.timers),
                "openChildWorkflowExecutions": len(reading.children),
                "openLambdaFunctions": 0,
            }
            waiting["activity"] += sum(not one["started"] for one in reading.activities.values())
            # One that waits behind a started one cannot be polled yet.
            waiting["decision"] += list(reading.decisions.values()) == [0]
        assert len(open_ids) == len(set(open_ids))
        when = {"domain": "dom", "startTimeFilter": {"oldestDate": 0}}
        assert self.call("CountOpenWorkflowExecutions", **when)["count"] == len(open_ids)
        closed = self.call("CountClosedWorkflowExecutions", **when)["count"]
        assert closed == len(seen) - len(open_ids)
        assert sum(one["count"] for one in counts[:3]) == waiting["activity"]
        assert sum(one["count"] for one in counts[3:]) == waiting["decision"]


RandomClients.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    database=None,
    phases=(Phase.generate,),  # shrinking takes minutes; the failing steps are printed anyway
    suppress_health_check=list(HealthCheck),
)
TestRandomClients = RandomClients.TestCase
TestRandomClients.__doc__ = "Random clients leave only legal histories, over restarts too."

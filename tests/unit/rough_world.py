"""A played SWF in which everything that may go wrong does, in any order, and a ledger of it.

`Rough` moves a world at random: news arrive while a decision is made, decisions are lost, deciders
are swapped for cold ones, tasks end in every way, schedules and shards are refused, shards are
canceled and terminated, time jumps. `Ledger` reads every event once and holds the laws that no
decision may break, whatever happened.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from garcon.description import ActivityDescription
from garcon.history import AGAIN_TIMER, ANEW_TIMER
from garcon.outcome import Failure, Kind, encode_failure
from garcon.planning.batch import start_timer
from tests.unit.swf_histories import Swf, Task, World

LOST = encode_failure(Failure(Kind.LOST, "worker died"))
HANDED_BACK = encode_failure(Failure(Kind.HANDED_BACK, "not now"))
HOPELESS = encode_failure(Failure(Kind.FAILED, "no such thing", ("KeyError", "LookupError")))

#: Ends of an attempt, each with what it draws on.
ENDS: dict[str, Callable[[Swf, Task], None]] = {
    "failed": lambda swf, one: swf.fail(one),
    "timed out": lambda swf, one: swf.time_out(one),
    "overdue": lambda swf, one: swf.time_out(one, "SCHEDULE_TO_CLOSE"),
    "lost": lambda swf, one: swf.fail(one, *LOST),
    "silent": lambda swf, one: swf.time_out(one, "HEARTBEAT"),
    "handed back": lambda swf, one: swf.fail(one, *HANDED_BACK),
    "hopeless": lambda swf, one: swf.fail(one, *HOPELESS),
}

RUN_ENDS = ("Completed", "Failed", "Canceled", "Terminated")


@dataclass
class Instance:
    """What happened to one instance, over all runs of the tree."""

    activity: str
    open_in: str = ""
    done: bool = False
    failures: int = 0
    losses: int = 0
    hopeless: bool = False
    attempts: int = 0
    failed_at: tuple[str, float] = ("", 0.0)


@dataclass
class Ledger:
    """What every event said, and the laws.

    Attributes:
        world: the runs.
        activities: what the flow declares, by name.
        counts: instances of each activity.
        requires: for each activity those that have to be complete before it.
    """

    world: World
    activities: Mapping[str, ActivityDescription]
    counts: Mapping[str, int]
    requires: Mapping[str, set[str]]
    instances: dict[str, Instance] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    _levels: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _ids: dict[tuple[str, int], str] = field(default_factory=dict)

    def take_over(self, earlier: Ledger) -> None:
        """Begin with what an earlier execution has done."""
        self.done = earlier.done.copy()
        self.instances = {name: one for name, one in earlier.instances.items() if one.done}
        self._read = {name: len(run.events) for name, run in earlier.world.runs.items()}

    def look(self) -> None:
        """Read what is new in every run."""
        for name, run in list(self.world.runs.items()):
            begin = self._read.get(name, 0)
            self._read[name] = len(run.events)
            for event in run.events[begin:]:
                kind = event["eventType"]
                found = event[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
                self._take(name, kind, event, found)

    def _take(self, run: str, kind: str, event: Mapping[str, Any], found: Any) -> None:
        if kind == "ActivityTaskScheduled":
            self._ids[run, event["eventId"]] = found["activityId"]
            self._scheduled(run, event["eventTimestamp"], found)
        elif kind.startswith("ActivityTask") and kind.endswith((*RUN_ENDS, "TimedOut")):
            self._ended(run, event["eventTimestamp"], kind, found)
        elif kind.removeprefix("WorkflowExecution") in RUN_ENDS:
            for one in self.instances.values():
                one.open_in = "" if one.open_in == run else one.open_in
        elif kind == "ScheduleActivityTaskFailed":
            assert found["cause"] != "ACTIVITY_ID_ALREADY_IN_USE", found
        assert found.get("cause") != "TIMER_ID_ALREADY_IN_USE", found

    def _scheduled(self, run: str, at_s: float, found: Any) -> None:
        name = found["activityType"]["name"].removeprefix("flow_")
        one = self.instances.setdefault(found["activityId"], Instance(name))
        activity = self.activities[name]
        assert not one.done, f"{found['activityId']} again though it has completed"
        assert not one.open_in, f"{found['activityId']} is open in {one.open_in}"
        assert one.failures <= activity.retry, f"attempt {one.attempts + 1} after {one}"
        assert one.losses <= activity.lost_retry, f"attempt {one.attempts + 1} after {one}"
        assert not one.hopeless, f"{found['activityId']} again though no retry mends it"
        for required in self.requires[name]:
            assert self.done[required] == self.counts[required], f"{name} before all of {required}"
        one.open_in, one.attempts = run, one.attempts + 1
        failed_in, failed_s = one.failed_at
        if failed_in == run and at_s - failed_s < 0.75 * activity.retry_delay_s - 0.001:
            raise AssertionError(f"{found['activityId']} again after {at_s - failed_s} s")
        if activity.rate_per_s is not None:
            self._draw(run, name, activity.rate_per_s, at_s)
        if activity.max_open is not None:
            running = sum(
                bool(each.open_in) for each in self.instances.values() if each.activity == name
            )
            assert running <= activity.max_open, f"{running} of {name} are open"

    def _draw(self, run: str, name: str, rate_per_s: float, at_s: float) -> None:
        """Take one from the bucket that an activity's rate fills, in each run by its own clock."""
        size = max(1.0, rate_per_s)
        level, last_s = self._levels.get((run, name), (size, at_s))
        level = min(size, level + (at_s - last_s) * rate_per_s) - 1
        self._levels[run, name] = level, at_s
        assert level > -0.001, f"{name} is above its rate in {run}"

    def _ended(self, run: str, at_s: float, kind: str, found: Any) -> None:
        one = self.instances[self._ids[run, found["scheduledEventId"]]]
        one.open_in, one.failed_at = "", ("", 0.0)
        before = one.failures
        if kind == "ActivityTaskCompleted":
            one.done = True
            self.done[one.activity] += 1
        elif kind == "ActivityTaskTimedOut":
            one.losses += found["timeoutType"] == "HEARTBEAT"
            one.failures += found["timeoutType"] in ("START_TO_CLOSE", "SCHEDULE_TO_CLOSE")
        elif kind == "ActivityTaskFailed":
            if (found["reason"], found.get("details")) == LOST:
                one.losses += 1
            elif (found["reason"], found.get("details")) != HANDED_BACK:
                one.failures += 1
            activity = self.activities[one.activity]
            if (found["reason"], found.get("details")) == HOPELESS:
                one.hopeless = not {"KeyError", "LookupError"}.isdisjoint(activity.no_retry)
        if one.failures > before:
            one.failed_at = (run, at_s)


class RoughSwf(Swf):
    """One that refuses now and then what it may refuse for a while."""

    luck: random.Random = random.Random(0)
    refuses: float = 0.0

    def _refusal(self, found: dict[str, Any]) -> str:
        if self.luck.random() < self.refuses:
            return self.luck.choice(
                ["ACTIVITY_CREATION_RATE_EXCEEDED", "OPEN_ACTIVITIES_LIMIT_EXCEEDED"]
            )
        return super()._refusal(found)

    def _do_start_child_workflow_execution(self, found: dict[str, Any], completed: int) -> None:
        if self.luck.random() < self.refuses:
            causes = ("CHILD_CREATION_RATE_EXCEEDED", "OPEN_CHILDREN_LIMIT_EXCEEDED")
            self.refuse = (self.luck.choice(causes), 1)
        super()._do_start_child_workflow_execution(found, completed)

    def _do_start_timer(self, found: dict[str, Any], completed: int) -> None:
        if self.luck.random() < self.refuses:
            failed = {"timerId": found["timerId"], "cause": "TIMER_CREATION_RATE_EXCEEDED"}
            failed |= {"decisionTaskCompletedEventId": completed}
            self.add("StartTimerFailed", failed, wakes=True)
            return
        super()._do_start_timer(found, completed)


class RoughWorld(World):
    """One whose children are rough as well, and whose ids are in use now and then."""

    def _start(self, sender: Swf, found: dict[str, Any], event_id: int) -> None:
        assert isinstance(sender, RoughSwf)
        if sender.status is None and sender.luck.random() < sender.refuses:
            names = ("workflowType", "workflowId", "control", "decisionTaskCompletedEventId")
            failed = {name: found[name] for name in names}
            failed |= {"cause": "WORKFLOW_ALREADY_RUNNING", "initiatedEventId": event_id}
            sender.add("StartChildWorkflowExecutionFailed", failed, wakes=True)
            return
        super()._start(sender, found, event_id)
        child = self.runs[found["workflowId"]]
        child.__class__ = RoughSwf
        child.luck, child.refuses = sender.luck, sender.refuses  # type: ignore[attr-defined]

    def _signal(self, sender: Swf, found: dict[str, Any], event_id: int) -> None:
        cause = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_RATE_EXCEEDED"
        kind = "SignalExternalWorkflowExecutionFailed"
        found = {**found, "initiatedEventId": event_id}
        if not self._is_refused(sender, kind, found, cause):
            super()._signal(sender, found, event_id)

    def _cancel(self, sender: Swf, found: dict[str, Any], event_id: int) -> None:
        cause = "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
        kind = "RequestCancelExternalWorkflowExecutionFailed"
        found = {**found, "initiatedEventId": event_id}
        if not self._is_refused(sender, kind, found, cause):
            super()._cancel(sender, found, event_id)

    def _is_refused(self, sender: Swf, kind: str, found: dict[str, Any], cause: str) -> bool:
        assert isinstance(sender, RoughSwf)
        if sender.status is not None or sender.luck.random() >= sender.refuses:
            return False
        sender.add(kind, {**found, "cause": cause}, wakes=True)
        return True


@dataclass
class Rough:
    """Moves a world at random for a while, then lets it end.

    Attributes:
        world: the runs.
        ledger: of the same world.
        luck: decides everything.
        decider: makes a decider that knows nothing.
        bad: of 100 attempts, those that end badly.
        violent: whether shards are canceled and terminated.
    """

    world: World
    ledger: Ledger
    luck: random.Random
    decider: Callable[[], Any]
    bad: int
    violent: bool = False
    killed: int = 0
    _warm: Any = None
    _was_lost: set[str] = field(default_factory=set)

    def play(self, steps: int) -> None:
        """Move at random, then to the end."""
        for _ in range(steps):
            if self.world.root.status is not None:
                return
            self._step()
        self._calm_down()

    def _step(self) -> None:
        moves = [self._decide, self._decide, self._work, self._work, self._work]
        moves += [self._deliver, self._deliver, self._wait, self._trouble]
        self.luck.choice(moves)()
        self.ledger.look()

    def _calm_down(self) -> None:
        """Play on without further roughness until the root has closed."""
        for run in self.world.runs.values():
            run.refuses = 0.0  # type: ignore[attr-defined]
        for _ in range(20_000):
            if self.world.root.status is not None:
                return
            moved = self.world.deliver()
            for run in self.world.open_runs:
                if run.status is None and run.has_decision_task:
                    self._answer(run)
                    moved = True
                elif run.status is None:
                    moved = self._end_all(run) or moved
            self.ledger.look()
            waiting = moved or any(run.has_decision_task for run in self.world.open_runs)
            if not waiting and not self._next_timer():
                break
        raise AssertionError(f"it stands still: {self.world.root.events[-5:]}")

    def _end_all(self, run: Swf) -> bool:
        run.start(50)
        running = [one for one in run.tasks.values() if one.started_event_id]
        for one in running:
            run.now_s += 0.01
            self._end(run, one)
        return bool(running)

    def _next_timer(self) -> bool:
        waiting = [one for one in self.world.open_runs if one.timers]
        if not waiting:
            return False
        seconds = min(min(one.timers.values())[0] - one.now_s for one in waiting)
        for run in self.world.open_runs:
            run.advance(max(0.0, seconds))
        return True

    def _one(self) -> Swf:
        return self.luck.choice(self.world.open_runs)

    def _deliver(self) -> None:
        self.world.deliver()

    def _wait(self) -> None:
        seconds = self.luck.choice([0.0, 0.3, 2.0, 30.0])
        for run in self.world.open_runs:
            run.advance(seconds)

    def _work(self) -> None:
        run = self._one()
        run.start(self.luck.randint(0, 20))
        running = [one for one in run.tasks.values() if one.started_event_id]
        for one in self.luck.sample(running, self.luck.randint(0, len(running))):
            run.now_s += 0.01
            self._end(run, one)
        waiting = [one for one in run.tasks.values() if not one.started_event_id]
        if waiting and self.luck.random() * 500 < self.bad:
            run.time_out(self.luck.choice(waiting), "SCHEDULE_TO_START")

    def _end(self, run: Swf, one: Task) -> None:
        if one.cancel_requested and self.luck.random() < 0.7:
            run.cancel(one)
        elif self.luck.random() * 100 >= self.bad:
            run.complete(one, {one.activity_id: self.luck.randint(0, 9)})
        else:
            ENDS[self.luck.choice([*ENDS])](run, one)

    def _trouble(self) -> None:
        """A shard is ended from outside, or the root hears something."""
        shards = [run for run in self.world.open_runs if run.parent]
        if self.violent and shards and self.luck.random() < 0.1:
            shard = self.luck.choice(shards)
            if self.luck.random() < 0.5:
                shard.terminate()
                self.killed += 1
            else:
                shard.request_cancel()
        elif self.violent and self.luck.random() < 0.05:
            self.world.root.request_cancel()
        elif self.luck.random() < 0.1:
            self.world.root.signal("news", '"text"')

    def _decide(self) -> None:
        ready = [run for run in self.world.open_runs if run.has_decision_task]
        if ready:
            self._answer(self.luck.choice(ready), rough=True)

    def _answer(self, run: Swf, rough: bool = False) -> None:
        """Answer a decision task; a cold decider has to say what the warm one says."""
        if self._warm is None or (rough and self.luck.random() < 0.05):
            self._warm = self.decider()
        task = run.poll()
        allowance = self.luck.choice([None, None, 0, 3, 40]) if rough else None
        fetch = self.world.fetch_run
        older = list(run.older())
        answer = self._warm.decide(task, lambda: iter(older), allowance, fetch)
        if self.luck.random() < 0.3:
            cold = self.decider().decide(task, lambda: iter(older), allowance, fetch)
            assert cold.decisions == answer.decisions
            assert (cold.closes, cold.hold_s) == (answer.closes, answer.hold_s)
        name = run.workflow_id
        if rough and self.luck.random() < 0.5:
            self._news(run)
        if rough and name not in self._was_lost and self.luck.random() < 0.1:
            self._was_lost.add(name)
            self._lose(run)
            return
        self._was_lost.discard(name)
        for workflow_id, _ in answer.terminate:
            target = self.world.runs.get(workflow_id)
            if target is not None and target.status is None:
                target.terminate()
        run.respond(answer.decisions, answer.execution_context)

    def _news(self, run: Swf) -> None:
        """Something happens while the decision is made."""
        for _ in range(self.luck.randint(1, 3)):
            what = [self._work, self._deliver, lambda: run.advance(1.5), lambda: run.signal("news")]
            self.luck.choice(what)()

    def _lose(self, run: Swf) -> None:
        """No answer of the decider comes: it is overdue, dead, or its pool has stopped."""
        how = self.luck.choice(["overdue", AGAIN_TIMER, ANEW_TIMER])
        if how == "overdue":
            run.time_out_decision()
        elif how not in run.timers:
            run.respond([start_timer(how, 0)])
        else:
            run.respond([])

"""A worker: runs one activity instance at a time, or several of one that allows it on threads.

It has no client of SWF and no task token; the supervisor answers for it. While a single task runs
the worker reads its socket only inside the task's own heartbeat calls: a cancel can take effect
nowhere else, so a thread that listens all the time would gain nothing, and none makes it safe for a
task to fork. While tasks run on threads the main thread reads. Law: whatever a task raises is the
task's failure; only the supervisor, or death, ends a worker.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from garcon.errors import ActivityCanceled, FlowError
from garcon.execution import (
    HEARTBEAT_MAX,
    ActivityExecution,
    describe_error,
    result_text,
    run_instance,
)
from garcon.log import GarconLogger, about
from garcon.outcome import Failure, Kind, cut, encode_failure
from garcon.pool.frames import Channel, Frame, FrameError
from garcon.pool.slate import HEARING_PLACE, Slate
from garcon.pool.threads import Threads
from garcon.pool.timing import own_times

#: What the lines that a task logs tell of it, and where it stands in its frame.
_ABOUT = {
    "workflow": "workflow_id",
    "run": "run_id",
    "activity": "activity",
    "id": "activity_id",
    "attempt": "attempt",
}


class Post:
    """One worker's standing with its supervisor.

    Attributes:
        is_stopping: whether the worker is to leave after what it has.
        is_orphaned: whether the supervisor is no more.
    """

    def __init__(self, channel: Channel) -> None:
        """Talk over `channel`."""
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: deque[Frame] = deque()
        self._calls: dict[int, Call] = {}
        self.is_stopping = False
        self.is_orphaned = False

    def begin(self, call: Call) -> None:
        """A task begins: cancels reach it from here on."""
        self._calls[call.task] = call

    def end(self, call: Call) -> None:
        """A task has ended."""
        self._calls.pop(call.task, None)

    def note(self, frame: Frame) -> None:
        """Act on a frame that can come at any time."""
        if frame.kind == "stop":
            self.is_stopping = True
        elif frame.kind == "cancel":
            call = self._calls.get(int(frame.head["task"]))
            if call is not None:
                call.is_canceled = True

    def listen(self) -> None:
        """Hear what has come, without waiting; further tasks are kept for later."""
        with self._lock:
            while (frame := self._channel.receive_now()) is not None:
                if frame.kind == "run":
                    # A supervisor may send ahead.
                    self._waiting.append(frame)
                else:
                    self.note(frame)
            if self._channel.ended:
                die_with_group()

    def next_frame(self, threads: Threads) -> Frame | None:
        """Wait for the next frame; None where it is time to look at the threads, or at `self`."""
        if self._waiting:
            return self._waiting.popleft()
        # Asked once: a thread may end at any moment, and that is no end of the supervisor's.
        beside = bool(threads)
        if self.is_stopping and not beside:
            return None
        frame = self._channel.receive_now() if beside else self._channel.receive()
        if frame is None and beside and not self._channel.ended:
            threads.wait(self._channel.fileno())
        elif frame is None:
            self.is_orphaned = True
        return frame


class Call:
    """One task that runs here, as far as its supervisor is concerned.

    Attributes:
        task: its number.
        is_canceled: whether it is to end at its next heartbeat.
        words: what it said of itself last.
    """

    def __init__(self, post: Post, slate: Slate, slot: int, head: Mapping[str, Any]) -> None:
        """Stand for the task of a frame's head."""
        self.task = int(head["task"])
        self.is_canceled = False
        self.words: str | None = None
        self.is_beside_others = int(head.get("threads", 1)) > 1
        self._post = post
        self._slate = slate
        self._slot = slot
        self._has_asked = False
        self._record = (slot, int(head.get("place", 0)), self.task)

    def beat(self, details: str | None = None, *, own: bool = True) -> None:
        """Note how far the task is, and hear whether it shall go on.

        Args:
            details: what it says of itself.
            own: whether the task itself asks, and not its runner between two tasks.
        Raises:
            ActivityCanceled: it shall not.
        """
        if not self.is_beside_others:
            self._post.listen()
            if own and not self._has_asked:
                self._has_asked = True
                self._slate.write(self._slot, HEARING_PLACE, self.task, "")
        # That the task lives the supervisor tells by itself; only details are news to it.
        if details is not None and not self.is_canceled:
            self.words = str(details)
            self._slate.write(*self._record, self.words)
        if self.is_canceled:
            raise ActivityCanceled("the activity was canceled while it ran")


class PoolExecution(ActivityExecution):
    """What a task gets as `activity` inside a pool: it speaks to the supervisor, not to SWF.

    Attributes:
        own_result: JSON text that the task itself gave to `complete`.
        own_failure: what the task itself gave to `fail`.
    """

    def __init__(self, call: Call, activity_id: str, context: dict[str, Any]) -> None:
        """Serve one instance; there is no client and no token here."""
        super().__init__(None, activity_id, None, context)
        self._call = call
        self.own_result: str | None = None
        self.own_failure: Failure | None = None

    def heartbeat(self, details: str | None = None) -> None:
        """Tell SWF that the task is alive and how far it is.

        The latest words go out with the next of the pool's own heartbeats, of which there are three
        within the heartbeat timeout; a failure or cancel takes them along.

        Raises:
            ActivityCanceled: the activity is to end: SWF wants it canceled, or knows it no more.
        """
        self._call.beat(details)

    def checkpoint(self) -> None:
        """Hear whether the attempt is to go on: what runners ask for between two tasks.

        Raises:
            ActivityCanceled: it is not.
        """
        self._call.beat(own=False)

    def fail(self, reason: str | None = None, details: str | None = None) -> None:
        """Have the attempt fail once its tasks have returned, whatever they return."""
        self.answered = True
        self.own_failure = Failure(Kind.FAILED, reason or "failed", traceback=details or "")

    def complete(self, context: Mapping[str, Any] | str | None = None) -> None:
        """Have the attempt complete with this result once its tasks have returned.

        Raises:
            ResultError: it cannot be a result.
        """
        text = context if isinstance(context, str) else result_text(context, self.name)
        self.answered = True
        self.own_result = text


def die_with_group() -> NoReturn:
    """End this worker and what it has started: the supervisor is no more."""
    os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


def main(
    channel: Channel, activities: Mapping[str, Any], slot: int, slate: Slate, first: Frame | None
) -> int:
    """Run what comes over `channel` until told to stop; return the exit code.

    Args:
        channel: frames from and to the supervisor.
        activities: the flow's activities by their short names.
        slot: this worker's place in the pool.
        slate: where tasks write how far they are.
        first: the first frame that came, None for the end of them.
    """
    worker = _Worker(channel, activities, slot, slate)
    frame, worker.post.is_orphaned = first, first is None
    while not worker.post.is_orphaned:
        if frame is not None:
            worker.take(frame)
        if worker.post.is_stopping and not worker.threads:
            return 0
        frame = worker.post.next_frame(worker.threads)
    die_with_group()


class _Worker:
    """The running of tasks: one after the other, or side by side on threads."""

    def __init__(
        self, channel: Channel, activities: Mapping[str, Any], slot: int, slate: Slate
    ) -> None:
        self._channel = channel
        self._activities = activities
        self._slot = slot
        self._slate = slate
        self._pid = os.getpid()
        self._log = GarconLogger()
        self.post = Post(channel)
        self.threads = Threads()
        self._peak = _Peak()

    def take(self, frame: Frame) -> None:
        """Act on a frame: run the task that it brings, or have a thread run it."""
        if frame.kind != "run":
            self.post.note(frame)
            return
        call = Call(self.post, self._slate, self._slot, frame.head)
        self.post.begin(call)
        if not self.threads:
            self._peak.forget()
        if call.is_beside_others:
            name = f"garcon-task-{call.task}"
            self.threads.start(name, lambda: self._run_beside_others(call, frame))
        else:
            self._run(call, frame, _cpu_s)

    def _run_beside_others(self, call: Call, frame: Frame) -> None:
        try:
            self._run(call, frame, time.thread_time)
        except FrameError:
            # The supervisor is gone: the main thread hears of it too, and ends everything.
            return

    def _run(self, call: Call, frame: Frame, cpu_s: Callable[[], float]) -> None:
        """Run the task of this frame and answer it."""
        began_s = cpu_s()
        ending = self._attempt(call, frame.head, frame.body)
        self._leave_if_copy()
        self.post.end(call)
        _flush()
        used = {"cpu_s": round(cpu_s() - began_s, 3), "peak_kb": _peak_kb()}
        if isinstance(ending, Failure):
            self._fail(call, ending, used)
        elif isinstance(ending, ActivityCanceled):
            self._channel.send("canceled", task=call.task, **used)
        else:
            self._channel.send("done", ending.encode(), task=call.task, **used)

    def _attempt(
        self, call: Call, head: Mapping[str, Any], body: bytes
    ) -> str | Failure | ActivityCanceled:
        try:
            return self._perform(call, head, body)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt included: a task cannot end its worker.
            if isinstance(error, ActivityCanceled) and call.is_canceled:
                return error
            return describe_error(error)

    def _leave_if_copy(self) -> None:
        """End a copy of the worker: a task forked, and its child came back out of the task."""
        if os.getpid() != self._pid:
            os._exit(1)

    def _perform(self, call: Call, head: Mapping[str, Any], body: bytes) -> str | Failure:
        activity = self._activities.get(str(head["activity"]))
        if activity is None:
            known = ", ".join(sorted(self._activities))
            raise FlowError(f"the flow has no activity {head['activity']!r} (known: {known})")
        context = _context(body)
        for name in ("domain", "workflow_id", "run_id"):
            # A shard's instances have the root's names in their input: those stay.
            context.setdefault(f"execution.{name}", head[name])
        execution = PoolExecution(call, str(head["activity_id"]), context)
        self._log.set_log_context(context)
        try:
            self._tell_times(activity, head, context)
            with about(**{name: head.get(key) for name, key in _ABOUT.items()}):
                result = run_instance(activity, execution)
            return execution.own_failure or execution.own_result or result
        finally:
            self._log.unset_log_context()

    def _tell_times(self, activity: Any, head: Mapping[str, Any], context: dict[str, Any]) -> None:
        """Say within which times SWF expects this instance, where the supervisor cannot know."""
        times = own_times(activity, context)
        if any(times[name] != head.get(name) for name in times):
            self._channel.send("timing", task=int(head["task"]), **times)

    def _fail(self, call: Call, failure: Failure, used: Mapping[str, Any]) -> None:
        words = {} if call.words is None else {"heartbeat": cut(call.words, HEARTBEAT_MAX)}
        facts = {**failure.facts, "worker": self._slot, "pid": os.getpid(), **used, **words}
        reason, details = encode_failure(replace(failure, facts=facts))
        body = json.dumps({"reason": reason, "details": details}, ensure_ascii=False)
        # A task's text may hold halves of surrogate pairs, which no UTF-8 can carry.
        self._channel.send("failed", body.encode("utf-8", "replace"), task=call.task, **used)


def _context(body: bytes) -> dict[str, Any]:
    """Return the input of an instance.

    Raises:
        FlowError: it is no JSON object.
    """
    try:
        context = json.loads(body or b"{}")
    except ValueError as error:
        raise FlowError(f"the activity's input is no JSON: {error}") from None
    if not isinstance(context, dict):
        raise FlowError(f"the activity's input is no JSON object but {type(context).__name__}")
    return context


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


class _Peak:
    """The most memory that this process has had since it was last told to forget (Linux; proc(5)).

    Elsewhere since its start.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def forget(self) -> None:
        """Have the kernel count anew."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.write(self._descriptor, b"5")


def _peak_kb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def _flush() -> None:
    # What a task printed belongs before its answer, also where stdout is block-buffered.
    for stream in (sys.stdout, sys.stderr):
        # A task may have closed them: its own loss.
        with suppress(OSError, ValueError):
            stream.flush()

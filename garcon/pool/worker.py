"""A worker: runs one activity instance at a time and says how it ended.

It has no client of SWF and no task token; the supervisor answers for it. While a task runs the
worker reads its socket only inside the task's own heartbeat calls: a cancel can take effect nowhere
else, so a thread that listens all the time would gain nothing, and none makes it safe for a task to
fork. Law: whatever a task raises is the task's failure; only the supervisor, or death, ends a
worker.
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
from collections.abc import Mapping
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
from garcon.pool.timing import own_times

#: Heartbeats of a task go to the supervisor at most this often, seconds; the latest one counts.
BEAT_EVERY_S = 1.0

#: What the lines that a task logs tell of it, and where it stands in its frame.
_ABOUT = {
    "workflow": "workflow_id",
    "run": "run_id",
    "activity": "activity",
    "id": "activity_id",
}


class Post:
    """One worker's standing with its supervisor."""

    def __init__(self, channel: Channel) -> None:
        """Talk over `channel`."""
        self._channel = channel
        self._task: int | None = None
        self._lock = threading.Lock()
        self._next_beat_s = 0.0
        self._waiting: deque[Frame] = deque()
        self.is_canceled = False
        self.is_stopping = False

    def begin(self, task: int) -> None:
        """A task begins: cancels and beats are its own from here on."""
        self._task, self.is_canceled, self._next_beat_s = task, False, 0.0

    def beat(self, details: str | None) -> None:
        """Tell the supervisor how far the task is, and hear whether it shall go on.

        Raises:
            ActivityCanceled: it shall not.
        """
        with self._lock:
            self._listen()
            # That the task lives the supervisor tells by itself; only details are news to it.
            now_s = time.monotonic()
            if details is not None and not self.is_canceled and now_s >= self._next_beat_s:
                self._next_beat_s = now_s + BEAT_EVERY_S
                self._send_beat(cut(str(details), HEARTBEAT_MAX))
        if self.is_canceled:
            raise ActivityCanceled("the activity was canceled while it ran")

    def _send_beat(self, details: str) -> None:
        try:
            self._channel.send("beat", task=self._task, details=details)
        except FrameError:
            die_with_group()

    def _listen(self) -> None:
        while (frame := self._channel.receive_now()) is not None:
            self.note(frame)
        if self._channel.ended:
            die_with_group()

    def note(self, frame: Frame) -> None:
        """Act on a frame that can come at any time."""
        if frame.kind == "stop":
            self.is_stopping = True
        elif frame.kind == "cancel" and frame.head.get("task") == self._task:
            self.is_canceled = True
        elif frame.kind == "run":
            # Heard during a task's heartbeat; a supervisor may send ahead.
            self._waiting.append(frame)

    def next_frame(self) -> Frame | None:
        """Wait for the next frame to act on; None when the supervisor is no more."""
        return self._waiting.popleft() if self._waiting else self._channel.receive()


class PoolExecution(ActivityExecution):
    """What a task gets as `activity` inside a pool: it speaks to the supervisor, not to SWF.

    Attributes:
        own_result: JSON text that the task itself gave to `complete`.
        own_failure: what the task itself gave to `fail`.
    """

    def __init__(self, post: Post, activity_id: str, context: dict[str, Any]) -> None:
        """Serve one instance; there is no client and no token here."""
        super().__init__(None, activity_id, None, context)
        self._post = post
        self.own_result: str | None = None
        self.own_failure: Failure | None = None

    def heartbeat(self, details: str | None = None) -> None:
        """Tell SWF that the task is alive and how far it is; at most one a second goes out.

        Raises:
            ActivityCanceled: the activity is to end: SWF wants it canceled, or knows it no more.
        """
        self._post.beat(details)

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


def main(channel: Channel, activities: Mapping[str, Any], slot: int, first: Frame | None) -> int:
    """Run what comes over `channel` until told to stop; return the exit code.

    Args:
        channel: frames from and to the supervisor.
        activities: the flow's activities by their short names.
        slot: this worker's place in the pool.
        first: the first frame that came, None for the end of them.
    """
    worker = _Worker(channel, activities, slot)
    frame = first
    while frame is not None:
        if frame.kind == "run":
            worker.run(frame)
        else:
            worker.post.note(frame)
        if worker.post.is_stopping:
            return 0
        frame = worker.post.next_frame()
    die_with_group()


class _Worker:
    """The running of tasks, one after the other."""

    def __init__(self, channel: Channel, activities: Mapping[str, Any], slot: int) -> None:
        self._channel = channel
        self._activities = activities
        self._slot = slot
        self._pid = os.getpid()
        self._log = GarconLogger()
        self.post = Post(channel)

    def run(self, frame: Frame) -> None:
        """Run the task of this frame and answer it."""
        head = frame.head
        task = int(head["task"])
        self.post.begin(task)
        _forget_peak()
        began_s = _cpu_s()
        ending = self._attempt(head, frame.body)
        self._leave_if_copy()
        _flush()
        used = {"cpu_s": round(_cpu_s() - began_s, 3), "peak_kb": _peak_kb()}
        if isinstance(ending, Failure):
            self._fail(task, ending, used)
        elif isinstance(ending, ActivityCanceled):
            self._channel.send("canceled", task=task, **used)
        else:
            self._channel.send("done", ending.encode(), task=task, **used)

    def _attempt(self, head: Mapping[str, Any], body: bytes) -> str | Failure | ActivityCanceled:
        try:
            return self._perform(head, body)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt included: a task cannot end its worker.
            if isinstance(error, ActivityCanceled) and self.post.is_canceled:
                return error
            return describe_error(error)

    def _leave_if_copy(self) -> None:
        """End a copy of the worker: a task forked, and its child came back out of the task."""
        if os.getpid() != self._pid:
            os._exit(1)

    def _perform(self, head: Mapping[str, Any], body: bytes) -> str | Failure:
        activity = self._activities.get(str(head["activity"]))
        if activity is None:
            known = ", ".join(sorted(self._activities))
            raise FlowError(f"the flow has no activity {head['activity']!r} (known: {known})")
        context = _context(body)
        for name in ("domain", "workflow_id", "run_id"):
            # A shard's instances have the root's names in their input: those stay.
            context.setdefault(f"execution.{name}", head[name])
        execution = PoolExecution(self.post, str(head["activity_id"]), context)
        self._log.set_log_context(context)
        try:
            self._tell_times(activity, head, context)
            with about(**{name: head[key] for name, key in _ABOUT.items()}):
                result = run_instance(activity, execution)
            return execution.own_failure or execution.own_result or result
        finally:
            self._log.unset_log_context()

    def _tell_times(self, activity: Any, head: Mapping[str, Any], context: dict[str, Any]) -> None:
        """Say within which times SWF expects this instance, where the supervisor cannot know."""
        times = own_times(activity, context)
        if any(times[name] != head.get(name) for name in times):
            self._channel.send("timing", task=int(head["task"]), **times)

    def _fail(self, task: int, failure: Failure, used: Mapping[str, Any]) -> None:
        facts = {**failure.facts, "worker": self._slot, "pid": os.getpid(), **used}
        reason, details = encode_failure(replace(failure, facts=facts))
        body = json.dumps({"reason": reason, "details": details}, ensure_ascii=False)
        # A task's text may hold halves of surrogate pairs, which no UTF-8 can carry.
        self._channel.send("failed", body.encode("utf-8", "replace"), task=task, **used)


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


def _forget_peak() -> None:
    """Have the kernel count this process's peak memory anew, where it can (Linux; proc(5))."""
    try:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return
    with suppress(OSError):
        os.write(descriptor, b"5")
    os.close(descriptor)


def _peak_kb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def _flush() -> None:
    # What a task printed belongs before its answer, also where stdout is block-buffered.
    for stream in (sys.stdout, sys.stderr):
        # A task may have closed them: its own loss.
        with suppress(OSError, ValueError):
            stream.flush()

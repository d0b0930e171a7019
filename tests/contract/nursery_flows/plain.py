"""A flow whose activities end in every way that an activity can end."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from garcon import activity, runner, task

domain = "tests"
name = "plain"

create = activity.create(domain, name)


def add(activity, context):
    """Return one more."""
    return {"n": context["n"] + 1}


def swell(activity, context):
    """Take so many bytes for a moment."""
    b"x" * context["bytes"]


def shout(activity, context):
    """Print to both streams."""
    print("to stdout")
    print("to stderr", file=sys.stderr)


def fail(activity, context):
    """Raise, with a text that no UTF-8 can carry."""
    raise ValueError("no such country: \ud800")


def leave(activity, context):
    """Try to end the worker."""
    sys.exit(3)


def interrupt(activity, context):
    """Try to end the worker as Ctrl-C would."""
    raise KeyboardInterrupt


def vanish(activity, context):
    """End the worker for good."""
    os._exit(7)


def crash(activity, context):
    """End the worker by a mistake in C."""
    ctypes.string_at(0)


def split(activity, context):
    """Fork, and let the child come back out of the task."""
    return {"parent": os.fork() != 0}


def settle_down(activity, context):
    """Start a program that would outlive the worker, say which, and stay."""
    program = subprocess.Popen(["sleep", "600"])
    activity.heartbeat(json.dumps([program.pid]))
    time.sleep(600)


def doze(activity, context):
    """Ask for nothing."""


def detach(activity, context):
    """Start a program in a group of its own, which is to outlive the worker."""
    return {"pid": subprocess.Popen(["sleep", "600"], preexec_fn=os.setpgrp).pid}


def hang(activity, context):
    """Tell the pid and do nothing more."""
    activity.heartbeat("hanging")
    time.sleep(600)


def beat(activity, context):
    """Heartbeat until canceled."""
    while True:
        activity.heartbeat("beating")
        time.sleep(0.01)


def burst(activity, context):
    """Heartbeat much faster than once a second."""
    for number in range(500):
        activity.heartbeat(str(number))


def stumble(activity, context):
    """Say how far it is, and fail."""
    activity.heartbeat("half way")
    raise ValueError("the other half")


def own_words(activity, context):
    """Say how it ended, as garcon 1.x let tasks do."""
    activity.fail("on my own account") if context.get("fails") else activity.complete({"own": 1})


def handlers(activity, context):
    """Tell what a program that this task starts would inherit."""
    code = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    child_ended = signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    return {"term_is_default": told.stdout.strip(), "chld_is_default": child_ended}


def surroundings(activity, context):
    """Tell what kind of process this is."""
    return {
        "group_is_own": os.getpgid(0) == os.getpid(),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "stdin": os.readlink("/proc/self/fd/0"),
        "sockets": sum(
            os.path.realpath(f"/proc/self/fd/{fd}").rpartition("/")[2].startswith("socket:")
            for fd in os.listdir("/proc/self/fd")
        ),
    }


@task.timeout(50, heartbeat=9)
def quick(activity, context):
    """Declare times of its own."""


@task.list
def chosen(context):
    """Choose by the context how long it takes."""
    for _ in range(context["times"]):
        yield quick


for function in (
    add, swell, shout, fail, leave, interrupt, vanish, crash, split, settle_down, detach, doze,
    hang, beat, burst, stumble, own_words, handlers, surroundings, quick, chosen,
):  # fmt: skip
    globals()[f"{function.__name__}_activity"] = create(
        name=function.__name__, run=runner.Sync(function)
    )

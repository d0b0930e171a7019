"""A flow whose instances run beside each other on the threads of one worker."""

from __future__ import annotations

import os
import threading
import time

from garcon import activity, runner

domain = "tests"
name = "beside"

create = activity.create(domain, name)

meeting = threading.Barrier(2)


def meet(activity, context):
    """Wait until another instance has come to the same place, and tell whom the log is about."""
    meeting.wait(30)
    time.sleep(0.01)
    return {"logger": activity.logger.name, "day": context["day"]}


def beat(activity, context):
    """Heartbeat until canceled."""
    while True:
        activity.heartbeat(f"beating {context['day']}")
        time.sleep(0.01)


def wait(activity, context):
    """End when a file is there."""
    activity.heartbeat("waiting")
    while not os.path.exists(context["file"]):
        time.sleep(0.01)


def burn(activity, context):
    """Use the CPU for so long."""
    until_s = time.thread_time() + context["cpu_s"]
    while time.thread_time() < until_s:
        sum(range(1000))


def split(activity, context):
    """Fork, and let the child come back out of the task."""
    return {"parent": os.fork() != 0}


def stumble(activity, context):
    """Fail."""
    raise ValueError(context["day"])


for function in (meet, beat, wait, burn, split, stumble):
    globals()[f"{function.__name__}_activity"] = create(
        name=function.__name__, run=runner.Sync(function), threads=4
    )

"""A chain whose input, heartbeats and results nobody but SWF and its tasks is to see."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

from garcon import activity, runner, task

domain = "garcon-tests"
name = "secretive"
create = activity.create(domain, name)


@task.decorate(timeout=60)
def fetch(activity, folder, password):
    """Say all that it knows where it may, and lose its worker the first time."""
    activity.heartbeat(f"half way with {password}")
    logging.getLogger("task").info("a line of the task's own")
    mark = Path(folder) / "was-here"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"token": f"result of {password}"}


@task.decorate(timeout=60)
def store(token):
    """Fail in words that tell nothing of the input."""
    raise ValueError("the store is closed" if token else "no token")


fetched = create(name="fetch", run=runner.Sync(fetch.fill(folder="folder", password="password")))
stored = create(
    name="store", requires=[fetched], retry=1, run=runner.Sync(store.fill(token="token"))
)

"""A flow whose import leaves a thread and a connected socket behind."""

from __future__ import annotations

import os
import socket
import threading

from garcon import activity, runner

domain = "tests"
name = "threaded"

create = activity.create(domain, name)

kept = socket.socketpair()
threading.Thread(target=threading.Event().wait, name="watcher", daemon=True).start()


def where(activity, context):
    """Tell which process imported this."""
    return {"imported_here": IMPORTED_BY == os.getpid(), "threads": threading.active_count()}


IMPORTED_BY = os.getpid()
where_activity = create(name="where", run=runner.Sync(where))

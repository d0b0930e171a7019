"""The times that bound a running task: its own, and that of its reaction to a cancel.

Pure sums over loop time; who acts on them is the dispatcher. Law: a task is ended by its pool a
moment before SWF would end it, so that the history tells why and the worker is known to be free.
"""

from __future__ import annotations

#: A task that is to end has this long to do so by itself, if it heartbeats; seconds.
CANCEL_GRACE_S = 30.0

#: One that has never called for a heartbeat can hear nothing of its cancel: it has so long.
DEAF_GRACE_S = 1.0

#: How much earlier than SWF the pool ends a task: the lesser of this and this part of its time.
LEAD_S = 0.5
LEAD_PART = 0.05


def overdue_at_s(began_s: float, start_to_close_s: float) -> float:
    """Return when the pool ends a task that SWF counts as started since `began_s`."""
    return began_s + start_to_close_s - min(LEAD_S, LEAD_PART * start_to_close_s)

"""Room for a pool's connections and pipes under the system's bound on open files.

And what is said where it was not enough. Law: a machine that is short of something for a while is
told of and waited out; it never ends a pool.
"""

from __future__ import annotations

import errno
import logging
import resource
from contextlib import suppress

from garcon.log import log_event

logger = logging.getLogger("garcon.pool")

#: Files that a supervisor has open beside connections and children: its log, journal, libraries.
OTHERS = 100

#: What the system says when it has no descriptor, memory or process left; it may have later.
_SHORT = frozenset({
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EAGAIN
})  # fmt: skip

#: Between two lines about it, seconds.
TOLD_EVERY_S = 60.0


def make_room(connections: int, children: int) -> int:
    """Have this process allowed to open what a pool needs, as far as the system lets it.

    The usual soft bound of 1,024 is for programs that use `select`, which no part of a pool does
    with high descriptors.

    Args:
        connections: to the engine.
        children: one socket each, and one more while it is being forked.
    Returns:
        The bound in force from now on.
    """
    wanted = connections + 2 * children + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    room = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    # macOS refuses what its kernel does not have, whatever the hard bound says.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def is_shortage(error: BaseException | None) -> bool:
    """Whether an error says that the machine is short of descriptors, memory or processes."""
    return isinstance(error, OSError) and error.errno in _SHORT


class Shortage:
    """Tells that connections cannot be taken, and not each time: a loop meets it by the dozen."""

    def __init__(self) -> None:
        """Nothing has been told yet."""
        self._told_s = float("-inf")

    def note(self, error: BaseException | None, now_s: float) -> None:
        """Log it, unless that was done within the last minute; `now_s` is loop time."""
        if now_s - self._told_s < TOLD_EVERY_S:
            return
        self._told_s = now_s
        bound, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        log_event(logger, logging.WARNING, "descriptors.short", why=error, bound=bound)

"""Room for a pool's connections and pipes under the system's bound on open files."""

from __future__ import annotations

import resource
from contextlib import suppress

#: Files that a supervisor has open beside connections and children: its log, journal, libraries.
OTHERS = 100


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

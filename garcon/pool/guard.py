"""The guard: ends what tasks have started when supervisor and zygote were killed at one blow.

The kernel ends workers with their zygote, but not the programs that their tasks have started: those
are the zygote's to kill, or the supervisor's when the zygote dies. For the case that both are gone
there is a third process, which holds nothing and waits for the end of a pipe. It is a shell, since
that is the smallest program that every Linux has (a tenth of a megabyte of its own). Law: it kills
only processes of the zygote's own session, and only when the zygote went without a word.

Not chosen: a control group or a pid namespace for each pool (both need rights that a pool does not
have), PR_SET_CHILD_SUBREAPER (gives orphans to the supervisor, which is gone), a guard in each
worker's group (sixteen processes for what one can do).
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress

_SHELL = "/bin/sh"

#: What a zygote says that ends in order: it has taken everyone along.
FAREWELL = b"farewell\n"

# $1 is the session. Looked at again until nothing is found: what is killed may just have forked.
_SCRIPT = """
trap '' HUP INT TERM
set -f
read -r word && exit 0
left=100
while [ $left -gt 0 ]; do
    set +f; files=$(echo /proc/[0-9]*/stat); set -f
    found=
    for file in $files; do
        { read -r line < "$file"; } 2> /dev/null || continue
        pid=${line%% *}
        set -- "$1" ${line##*) }
        # Its state, parent, group, session; a zombie is dead already.
        [ "$5" = "$1" ] && [ "$2" != Z ] && kill -9 "$pid" 2> /dev/null && found=1
    done
    [ -n "$found" ] || exit 0
    left=$((left - 1))
done
"""


class Guard:
    """The guard of one zygote, as its supervisor knows it."""

    def __init__(self, process: Process) -> None:
        """Use `post` instead."""
        self._process = process

    @classmethod
    async def post(cls, session: int, pipe: int) -> Guard | None:
        """Start a guard over a session; None where there can be none.

        Args:
            session: pid of the zygote that leads it.
            pipe: the end to read of a pipe whose other end the zygote alone holds.
        """
        if not sys.platform.startswith("linux"):
            return None
        try:
            process = await asyncio.create_subprocess_exec(
                _SHELL, "-c", _SCRIPT, "garcon-guard", str(session),
                stdin=pipe, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, cwd="/",
            )  # fmt: skip
        except OSError:
            # No shell in this container: then its end ends everything in it.
            return None
        return cls(process)

    async def close(self, deadline_s: float) -> None:
        """Wait for its end, which follows the zygote's; at most so many seconds."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), deadline_s)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def say_farewell(pipe: int) -> None:
    """Tell the guard that everyone has been taken along."""
    with suppress(OSError):
        os.write(pipe, FAREWELL)

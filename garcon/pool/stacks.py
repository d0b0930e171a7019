"""Where children are in their code: asked of one after the other, told on stderr and in the log.

A child's answer (Python's faulthandler) comes line by line on the pipe that all children write to.
Law: two children are never asked at once, or their lines would mix; and what a task prints is never
taken for a stack.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from garcon.log import log_event
from garcon.pool.nursery import Child

logger = logging.getLogger("garcon.pool")

#: From one child's question to the next one's, seconds; writing a stack takes a millisecond.
APART_S = 0.1

#: How long after a question lines of stacks are looked for, seconds.
LATE_S = 2.0

#: What faulthandler writes: the head of a thread, and a frame.
_STACK = re.compile(r'(Current thread|Thread) 0x[0-9a-f]+|  File ".*"?, line \d+ in |  \.\.\.')


class Stacks:
    """The stack dumps of one pool."""

    def __init__(
        self, ask: Callable[[Child], None], output: Callable[[str, str], None], *, is_logged: bool
    ) -> None:
        """Ask children by `ask`.

        Args:
            ask: makes a child write its stacks.
            output: gets `stdout` or `stderr` and a line that is no stack's.
            is_logged: whether stacks go to the log: because it is kept in a file, or read by a
                program.
        """
        self._ask = ask
        self._output = output
        self._is_logged = is_logged
        self._until_s = 0.0
        self._asked: dict[str, Any] = {}

    def dump(self, child: Child) -> None:
        """Have one child write where it is."""
        self._asked = {"slot": child.slot, "kind": child.kind.value, "pid": child.pid}
        log_event(logger, logging.WARNING, "child.stacks", **self._asked)
        self._until_s = asyncio.get_running_loop().time() + LATE_S
        self._ask(child)

    async def dump_all(self, children: Iterable[Child]) -> None:
        """Have each of these write where it is."""
        for child in children:
            self.dump(child)
            await asyncio.sleep(APART_S)

    def output(self, stream: str, line: str) -> None:
        """Pass on a line that a child wrote, a stack's to the log."""
        is_stack = stream == "stderr" and _STACK.match(line) is not None
        if self._is_logged and is_stack and asyncio.get_running_loop().time() < self._until_s:
            log_event(logger, logging.WARNING, "child.stack", **self._asked, text=line)
        else:
            self._output(stream, line)

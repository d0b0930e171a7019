"""Lambda functions on one machine: each call runs a Python callable in a process of its own.

What it never does: import user code into the engine. Its one law: each call that was started gets
exactly one end: a result, a failure, or the kernel's time-out, which kills the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from garcon.engine.core.draft import CallLambda

# The end of a call: key, scheduled event id, event, attributes.
End = Callable[[int, int, str, dict[str, Any]], None]

_CHILD: Final = "garcon.engine.service.lambda_child"
_RESULT_LIMIT: Final = 32_768
_REASON_LIMIT: Final = 256
_AT_ONCE: Final = 32


def parse_functions(words: tuple[str, ...]) -> dict[str, str]:
    """The functions behind ``--lambda NAME=package.module:function``.

    Raises:
        ValueError: A word has another form.
    """
    functions = {}
    for word in words:
        name, equals, target = word.partition("=")
        module, colon, function = target.partition(":")
        if not (name and equals and module and colon and function):
            raise ValueError(f"--lambda {word}: expected NAME=package.module:function")
        functions[name] = target
    return functions


class Lambdas:
    """Runs calls and reports their ends.

    Args:
        functions: Where each function is, by the name that decisions use.
        end: Gets the end of each call.
    """

    def __init__(self, functions: Mapping[str, str], end: End) -> None:
        self._functions = functions
        self._end = end
        self._tasks: set[asyncio.Task[None]] = set()
        # One answer may ask for a thousand functions, and each is a Python of its own.
        self._room = asyncio.Semaphore(_AT_ONCE)

    def call(self, call: CallLambda) -> None:
        """Start a call; its end comes through ``end``."""
        task = asyncio.get_running_loop().create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Kill what runs; its ends are written when the engine starts again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, call: CallLambda) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + call.timeout_s
        target = self._functions.get(call.name)
        if target is None:
            known = ", ".join(sorted(self._functions))
            self._fail(call, "ResourceNotFoundException", f"{call.name} is none of: {known}")
            return
        async with self._room:
            left_s = until_s - loop.time()
            if left_s > 0:
                await self._run_process(call, target, left_s)

    async def _run_process(self, call: CallLambda, target: str, left_s: float) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _CHILD,
                target,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._fail(call, "ProcessNotStarted", str(error))
            return
        try:
            data = (call.input or "null").encode()
            output, _ = await asyncio.wait_for(process.communicate(data), left_s)
        except asyncio.TimeoutError:
            return  # the kernel writes the time-out at its own instant
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        self._report(call, process.returncode, output)

    def _report(self, call: CallLambda, status: int | None, output: bytes) -> None:
        try:
            answer = json.loads(output)
        except ValueError:
            self._fail(call, "ProcessDied", f"the function's process ended with {status}")
            return
        result = answer.get("result")
        if result is None:
            self._fail(call, answer["reason"], answer["details"])
        elif len(result) > _RESULT_LIMIT:
            self._fail(call, "ResultTooLong", f"{len(result)} characters, {_RESULT_LIMIT} allowed")
        else:
            self._end(call.key, call.scheduled_id, "LambdaFunctionCompleted", {"result": result})

    def _fail(self, call: CallLambda, reason: str, details: str) -> None:
        attributes = {
            "reason": _kept(reason)[:_REASON_LIMIT],
            "details": _kept(details)[:_RESULT_LIMIT],
        }
        self._end(call.key, call.scheduled_id, "LambdaFunctionFailed", attributes)


def _kept(text: str) -> str:
    """A text that can be kept: of names that are no Unicode a message has half surrogate pairs."""
    return text.encode(errors="backslashreplace").decode()

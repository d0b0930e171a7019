"""Threads for calls that block: boto3, names, credentials, the start of a local engine.

`ThreadPoolExecutor` joins its threads when the interpreter exits, so a call that hangs (a dead
network, a stopped engine) would keep a finished command from ending. Law: nothing ever waits for
these threads.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Work = tuple["Future[Any]", Callable[[], Any]]


class HelperThreads(Executor):
    """A few daemon threads behind one queue, started when they are needed."""

    def __init__(self, threads: int, name: str = "garcon-helper") -> None:
        """Have at most so many threads, their names beginning with `name`."""
        self._threads = threads
        self._name = name
        self._started = 0
        self._is_closed = False
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` on one of the threads.

        Raises:
            RuntimeError: they were shut down.
        """
        if self._is_closed:
            raise RuntimeError("the helper threads were shut down")
        future: Future[T] = Future()
        self._work.put((future, lambda: fn(*args, **kwargs)))
        if self._started < self._threads:
            self._start_one()
        return future

    def _start_one(self) -> None:
        name = f"{self._name}-{self._started + 1}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:
            # No room for one more (a container's bound on processes): those there are do it all.
            if not self._started:
                raise
        else:
            self._started += 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; what runs is left behind, what waits is cancelled if so wished."""
        del wait  # never: that is the point
        self._is_closed = True
        while cancel_futures and (work := self._next_waiting()) is not None:
            work[0].cancel()
        for _ in range(self._started):
            self._work.put(None)

    def _next_waiting(self) -> _Work | None:
        try:
            return self._work.get_nowait()
        except queue.Empty:
            return None

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if future.set_running_or_notify_cancel():
                _settle(future, call)


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)

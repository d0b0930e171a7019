"""A text stream whose writer never waits: a thread behind it does.

A terminal that is stopped with Ctrl-S, a `less` that nobody scrolls, a full disk: each of them
makes a write wait for ever, and a supervisor that waits sends no heartbeat. Law: `write` returns
at once and takes bounded memory; what found no room is counted and told.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import TextIO

#: Characters that wait for the reader before anything is dropped.
WAITING_MAX = 4_000_000


class BackgroundStream:
    """What `rich` and the display need of a text stream, over another one."""

    def __init__(self, stream: TextIO, waiting_max: int = WAITING_MAX) -> None:
        """Write to `stream` from a thread of its own, with at most `waiting_max` waiting."""
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self._waiting_max = waiting_max
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._dropped = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="garcon-writer", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:
        """Encoding of the stream behind."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a terminal is behind it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor behind it, for a terminal's size."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Take `text` for writing; drops it, counted, where too much waits already."""
        with self._changed:
            if self._waiting + len(text) > self._waiting_max:
                self._dropped += 1
            else:
                self._texts.append(text)
                self._waiting += len(text)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread flushes what it wrote."""

    def close(self, timeout_s: float) -> None:
        """Write what waits, at most so long, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._texts and not self._closed:
                    self._changed.wait()
                if not self._texts:
                    return
                text = "".join(self._texts)
                self._texts.clear()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                text += f"garcon: {dropped} writes were dropped: nobody reads this stream\n"
            self._put(text)
            with self._changed:
                self._waiting = sum(map(len, self._texts))
                self._changed.notify_all()

    def _put(self, text: str) -> None:
        # The reader may be gone, or the disk full: the work goes on without being watched.
        with suppress(OSError, ValueError):
            if self._descriptor is None:
                self._stream.write(text)
                self._stream.flush()
            else:
                # A lone surrogate, or a letter that this terminal lacks, costs itself alone.
                _write_all(self._descriptor, text.encode(self.encoding, "backslashreplace"))


def is_same(one: TextIO, other: TextIO) -> bool:
    """Tell whether two streams lead to the same file, pipe or terminal."""
    with suppress(OSError, ValueError):
        return os.path.sameopenfile(one.fileno(), other.fileno())
    return one is other


def _descriptor_of(stream: TextIO) -> int | None:
    """Return the descriptor behind a stream, what it holds flushed; None where there is none.

    Past the stream's own buffer: a thread that is stuck in there would hold its lock, and the
    interpreter aborts at its end where it finds a standard stream locked.
    """
    with suppress(OSError, ValueError):
        stream.flush()
        return stream.fileno()
    return None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # Another program has made the terminal non-blocking, for all that write to it.
            select.select([], [descriptor], [])

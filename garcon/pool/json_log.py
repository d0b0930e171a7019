"""A log of JSON lines alone: what is none is made one.

With `--log-format json` everything on stderr is read by a program, also what the pool notes for
people, what tasks print and where they hang. Law: a line that is a JSON object already, such as a
worker's own log, passes as it is.
"""

from __future__ import annotations

import json
import logging
from typing import TextIO

from garcon.log import LogSettings, make_formatter


class JsonLines:
    """What the display needs of a text stream, over another one."""

    def __init__(self, stream: TextIO, settings: LogSettings) -> None:
        """Write to `stream` what the log of `settings` would look like."""
        self._stream = stream
        self._formatter = make_formatter(settings)

    @property
    def encoding(self) -> str:
        """Encoding of the stream behind."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Return False: a terminal's display is not what is wanted here."""
        return False

    def write(self, text: str) -> int:
        """Write lines, each of them as JSON."""
        for line in text.splitlines():
            self._stream.write((line if _is_object(line) else self._noted(line)) + "\n")
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()

    def _noted(self, line: str) -> str:
        record = logging.LogRecord("garcon.pool", logging.INFO, __file__, 0, line, None, None)
        record.garcon_event = {"event": "pool.note", "text": line}
        return self._formatter.format(record)


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False

"""Where a task writes how far it is, and its supervisor reads it when it likes.

One file in memory for all children of a zygote, a record for each place of each slot. The latest
words replace the ones before, so a task may heartbeat in its innermost loop, and nothing waits for
anybody; and they are still there when the task hangs in C or its process was killed. Law: a record
counts only for the task that it names, and only when it is whole.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from contextlib import suppress

from garcon.description import THREADS_MAX
from garcon.execution import HEARTBEAT_MAX
from garcon.outcome import cut

#: The place in which a worker notes that its task heartbeats by itself.
HEARING_PLACE = THREADS_MAX

# Task, length and checksum of the text; text. Whole pages: a record touches no other's memory.
_HEAD = struct.Struct(">QII")
_RECORD = 3 * 4096


class Slate:
    """The records of one zygote's children, seen from either side."""

    def __init__(self, descriptor: int) -> None:
        """Use the file behind `descriptor`."""
        self.descriptor = descriptor

    @classmethod
    def make(cls) -> Slate:
        """Return an empty one, which nobody finds in a folder."""
        with suppress(AttributeError, OSError):  # macOS, or a sandbox that forbids it
            return cls(os.memfd_create("garcon-slate"))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def write(self, slot: int, place: int, task: int, text: str) -> None:
        """Note what a task says, in place of what it said before; cut to SWF's limit.

        A record that cannot be written (no memory) is lost.
        """
        words = cut(text, HEARTBEAT_MAX).encode("utf-8", "replace")
        record = _HEAD.pack(task, len(words), zlib.crc32(words)) + words
        try:
            os.pwrite(self.descriptor, record, _offset(slot, place))
        except OSError:
            # The task is not to fail because its progress cannot be told.
            return

    def read(self, slot: int, place: int, task: int) -> str | None:
        """Return what a task said last, None where it said nothing, or is saying it just now."""
        try:
            record = os.pread(self.descriptor, _RECORD, _offset(slot, place))
        except OSError:
            return None  # given up already
        if len(record) < _HEAD.size:
            return None
        number, length, checksum = _HEAD.unpack_from(record)
        words = record[_HEAD.size : _HEAD.size + length]
        if number != task or len(words) != length or zlib.crc32(words) != checksum:
            return None
        return words.decode("utf-8", "replace")

    def close(self) -> None:
        """Give the file up; it is gone when the last process has."""
        os.close(self.descriptor)
        # The number is another file's soon.
        self.descriptor = -1


def _offset(slot: int, place: int) -> int:
    return (slot * (THREADS_MAX + 1) + place) * _RECORD

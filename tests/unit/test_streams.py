"""The stream whose writer never waits."""

from __future__ import annotations

import io
import threading

from garcon.pool.streams import BackgroundStream


class _Stuck(io.StringIO):
    """A stream whose reader does not read until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.reading.wait(30)
        return super().write(text)


def test_what_is_written_arrives_in_order():
    """The thread changes nothing but the time."""
    behind = io.StringIO()
    stream = BackgroundStream(behind)

    for number in range(1000):
        stream.write(f"{number}\n")
    stream.close(30)

    assert behind.getvalue() == "".join(f"{number}\n" for number in range(1000))


def test_a_reader_that_does_not_read_stops_no_writer_and_takes_bounded_memory():
    """What finds no room is counted, and the count is told once somebody reads again."""
    behind = _Stuck()
    stream = BackgroundStream(behind, waiting_max=100)
    stream.write("first\n")
    assert behind.entered.wait(30)

    for _ in range(50):
        stream.write("x" * 49 + "\n")
    behind.reading.set()
    stream.close(30)

    told = behind.getvalue()
    assert told.startswith("first\n")
    assert told.count("x" * 49) == 1
    assert "49 writes were dropped" in told


def test_a_reader_that_is_gone_is_no_error():
    """A closed pipe silences the stream and nothing else."""
    behind = io.StringIO()
    behind.close()
    stream = BackgroundStream(behind)

    stream.write("nobody hears this\n")
    stream.close(30)

    assert not stream._thread.is_alive()

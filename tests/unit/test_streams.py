"""The stream whose writer never waits."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import threading

from garcon.pool.streams import BackgroundStream, is_same


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


def test_a_letter_that_the_stream_lacks_costs_itself_alone():
    """An ASCII log, or half of a surrogate pair, must not swallow the lines around it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as behind:
        stream = BackgroundStream(behind)
        stream.write("before\n")
        stream.write("█ \ud800\n")
        stream.write("after\n")
        stream.close(30)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()

    assert told == b"before\n\\u2588 \\ud800\nafter\n"


def test_what_others_wrote_before_comes_before():
    """The stream's own buffer is emptied first."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as behind:
        behind.write("first\n")
        stream = BackgroundStream(behind)
        stream.write("second\n")
        stream.close(30)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "first\nsecond\n"


def test_a_reader_that_never_reads_does_not_keep_the_command_from_ending():
    """Not at the flush of the standard streams either, which the interpreter insists on."""
    script = """
        import sys
        from garcon.pool.streams import BackgroundStream, is_same
        stream = BackgroundStream(sys.stdout)
        stream.write("x" * 1_000_000)
        stream.close(0.1)
        sys.stdout.flush()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        code = program.wait(30)

    assert code == 0


def test_a_terminal_that_another_program_made_non_blocking_is_waited_for():
    """What found no room at first is written once there is room."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 300_000
    with os.fdopen(writing, "w") as behind, os.fdopen(reading, "rb") as pipe:
        stream = BackgroundStream(behind)
        stream.write(text)
        told = b""
        while len(told) < len(text):
            told += os.read(pipe.fileno(), 65536)
        stream.close(30)

    assert told.decode() == text


def test_streams_that_lead_to_one_place_are_recognised(tmp_path):
    """Two writers to one terminal would mix the bars with the lines."""
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        with os.fdopen(os.dup(one.fileno()), "w") as same:
            assert is_same(one, same)
        assert not is_same(one, two)
    assert not is_same(io.StringIO(), io.StringIO())

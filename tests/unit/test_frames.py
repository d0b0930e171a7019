"""Frames: whole, torn, oversized, and a peer that does not read."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon.pool.frames import (
    FRAME_MAX,
    Channel,
    Frame,
    FrameError,
    FrameStream,
    Parser,
    encode,
)


def joined(test: Callable[[FrameStream, socket.socket], Awaitable[None]], timeout_s: float) -> None:
    """Run a test with a stream and the bare socket at its other end."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        stream = await FrameStream.open(ours, send_timeout_s=timeout_s)
        with theirs:
            try:
                await asyncio.wait_for(test(stream, theirs), 20)
            finally:
                stream.close()

    asyncio.run(run())


@given(
    kind=st.text(min_size=1, max_size=20),
    task=st.integers(),
    body=st.binary(max_size=2000),
    cuts=st.lists(st.integers(1, 50), max_size=100),
)
def test_frames_survive_any_portioning(kind: str, task: int, body: bytes, cuts: list[int]) -> None:
    """What a socket hands over in pieces comes out whole and in order."""
    data = encode(kind, body, task=task) + encode("next")
    parser = Parser()
    frames = []
    for size in [*cuts, len(data)]:
        parser.feed(data[:size])
        data = data[size:]
        while (frame := parser.take()) is not None:
            frames.append(frame)

    assert [Frame(kind, {"kind": kind, "task": task}, body), Frame("next", {"kind": "next"})] == (
        frames
    )
    assert parser.is_between_frames


def test_a_frame_over_the_bound_is_refused_before_it_is_sent() -> None:
    """The sender learns of it, not the receiver."""
    with pytest.raises(FrameError, match=r"'done' of .* bytes is over the bound"):
        encode("done", bytes(FRAME_MAX))


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">II", FRAME_MAX + 1, 2) + b"{}",
        struct.pack(">II", 6, 20) + b"{}",
        struct.pack(">II", 2, 0),
        struct.pack(">II", 6, 2) + b"xx",
        struct.pack(">II", 6, 2) + b"{}",
        struct.pack(">II", 6, 2) + b"[]",
    ],
    ids=["oversized", "head longer than all", "shorter than its words", "no JSON", "no kind",
         "no object"],
)  # fmt: skip
def test_bytes_that_are_no_frame_are_refused(data: bytes) -> None:
    """A peer that is confused or hostile costs an error and no memory."""
    parser = Parser()
    parser.feed(data)

    with pytest.raises(FrameError):
        parser.take()


@pytest.mark.parametrize("length", [3, 8, 12])
def test_a_peer_that_breaks_off_inside_a_frame_is_told_from_one_that_left(length: int) -> None:
    """Torn anywhere: inside the words, after them, inside the head."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        theirs.sendall(encode("ready")[:length])
        theirs.close()
        with pytest.raises(FrameError, match="broke off"):
            await stream.receive()
        assert await stream.wait_ended(0.0)

    joined(test, 1.0)


def test_a_stream_ends_cleanly_between_frames() -> None:
    """What was sent before the end is still received."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        theirs.sendall(encode("done", b"{}", task=1))
        theirs.close()
        frame = await stream.receive()
        assert frame is not None
        assert "done" == frame.kind
        assert not await stream.wait_ended(0.0)
        assert await stream.receive() is None
        assert await stream.wait_ended(0.0)

    joined(test, 1.0)


def test_a_tap_sees_what_comes_without_a_receiver_and_leaves_the_rest_in_order() -> None:
    """Behind a frame that waits to be received its own wait as well."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        taken, came = [], asyncio.Event()

        def take(frame: Frame) -> bool:
            if frame.kind == "done":
                taken.append(frame.head["task"])
            came.set()
            return frame.kind == "done"

        stream.tap(take)
        kinds = [("done", 1), ("done", 2), ("timing", 3), ("done", 3)]
        frames = b"".join(encode(kind, task=task) for kind, task in kinds)
        theirs.sendall(frames + encode("done", task=4)[:9])
        theirs.close()
        await came.wait()
        assert taken == [1, 2]

        assert [(await stream.receive()).kind for _ in range(2)] == ["timing", "done"]
        assert taken == [1, 2]
        with pytest.raises(FrameError, match="broke off"):
            await stream.receive()

    joined(test, 1.0)


def test_what_a_tap_raises_is_told_to_the_receiver_and_nothing_comes_after_it() -> None:
    """There somebody knows what to do with such a child."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        def take(frame: Frame) -> bool:
            raise ValueError(f"task {frame.head['task']}")

        stream.tap(take)
        receiving = asyncio.create_task(stream.receive())
        theirs.sendall(encode("done", task=1) + encode("done", task=2))
        with pytest.raises(ValueError, match="task 1"):
            await receiving
        theirs.sendall(encode("done", task=3))
        with pytest.raises(ValueError, match="task 1"):
            await stream.receive()
        assert await stream.wait_ended(0.0)

    joined(test, 1.0)


def test_a_peer_that_does_not_read_costs_its_deadline_and_not_the_loop() -> None:
    """A stopped child: the send gives up, while other work on the loop goes on."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        turns = 0

        async def work() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        working = asyncio.create_task(work())
        with pytest.raises(FrameError, match=r"took nothing for 0\.3 s"):
            await stream.send("run", bytes(4_000_000))
        working.cancel()
        assert turns >= 5

    joined(test, 0.3)


def test_what_a_peer_leaves_untaken_is_bounded() -> None:
    """Memory of the supervisor does not grow with a deaf child."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        for _ in range(2):
            with pytest.raises(FrameError):
                await stream.send("run", bytes(FRAME_MAX - 1000))
        with pytest.raises(FrameError, match=r"leaves .* bytes untaken"):
            await stream.send("run", bytes(FRAME_MAX - 1000))

    joined(test, 0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="SIOCOUTQ of unix(7) is Linux's")
def test_what_a_peer_has_not_read_yet_is_known() -> None:
    """Of a frame as well that the kernel took at once; not of a peer that is gone."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        assert not stream.has_untaken()
        await stream.send("run", b"body")
        assert stream.has_untaken()
        assert theirs.recv(10)
        assert stream.has_untaken()
        assert theirs.recv(1_000)
        assert not stream.has_untaken()
        await stream.send("run", b"body")
        stream.close()
        assert not stream.has_untaken()

    joined(test, 5)


def test_sending_to_a_peer_that_left_is_an_error_of_frames() -> None:
    """Callers know one kind of failure."""

    async def test(stream: FrameStream, theirs: socket.socket) -> None:
        theirs.close()
        await stream.send("stop")  # the first one finds out
        await asyncio.sleep(0)
        with pytest.raises(FrameError, match="gone"):
            await stream.send("stop")

    joined(test, 1.0)


def test_threads_may_send_over_one_channel() -> None:
    """Frames of two threads come whole, never mixed."""
    ours, theirs = socket.socketpair()
    sender, receiver = Channel(ours), Channel(theirs)

    def send(name: str) -> None:
        for number in range(200):
            sender.send("beat", name.encode() * 5000, number=number)

    threads = [threading.Thread(target=send, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    bodies = []
    for _ in range(400):
        frame = receiver.receive()
        assert frame is not None
        bodies.append(frame.body)
    for thread in threads:
        thread.join()
    sender.close()

    assert {b"a" * 5000, b"b" * 5000} == set(bodies)
    assert receiver.receive() is None
    assert receiver.ended
    receiver.close()


def test_a_child_can_look_for_a_frame_without_waiting() -> None:
    """Nothing, half a frame, a frame, the end: each at once."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    data = encode("cancel", task=7)

    nothing = channel.receive_now()
    theirs.sendall(data[:5])
    half = channel.receive_now()
    theirs.sendall(data[5:])
    whole = channel.receive_now()
    theirs.close()
    after = channel.receive_now()

    assert nothing is None
    assert half is None
    assert Frame("cancel", {"kind": "cancel", "task": 7}) == whole
    assert after is None
    assert channel.ended
    channel.close()

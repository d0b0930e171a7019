"""A worker's standing with its supervisor, where its own threads end at any moment."""

from __future__ import annotations

import socket

from garcon.pool.frames import Channel, encode
from garcon.pool.threads import Threads
from garcon.pool.worker import Post


class EndingThreads(Threads):
    """Threads of which the last ends right after the first look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.waited = False

    def __bool__(self) -> bool:
        """Whether something runs: only at the first look."""
        self.looks += 1
        return self.looks == 1

    def wait(self, descriptor: int) -> None:
        """Return at once: the end has rung the bell."""
        assert descriptor >= 0
        self.waited = True


def test_the_end_of_the_last_thread_is_not_taken_for_the_supervisor_s() -> None:
    """The worker would end itself and all that it has started."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        post, threads = Post(Channel(ours)), EndingThreads()

        assert post.next_frame(threads) is None

        assert threads.waited
        assert not post.is_orphaned


def test_a_stopping_worker_does_not_wait_once_its_last_thread_has_ended() -> None:
    """Between the look of the main loop and this one, say; nothing more would come."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        post, threads = Post(Channel(ours)), EndingThreads()
        theirs.sendall(encode("stop"))
        frame = post.next_frame(threads)
        assert frame is not None
        post.note(frame)

        assert post.next_frame(threads) is None
        assert not post.is_orphaned


def test_the_supervisor_s_end_is_heard_with_and_without_threads() -> None:
    """What it had sent before is acted on first."""
    for beside in (True, False):
        ours, theirs = socket.socketpair()
        with ours:
            threads = EndingThreads()
            threads.looks = 0 if beside else 1
            post = Post(Channel(ours))
            theirs.sendall(encode("stop"))
            theirs.close()

            frame = post.next_frame(threads)
            assert frame is not None
            assert "stop" == frame.kind
            threads.looks = 0 if beside else 1
            assert post.next_frame(threads) is None
            assert post.is_orphaned

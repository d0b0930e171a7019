"""The client's end of a connection, as tests look at it without a word of their own."""

from __future__ import annotations

import select
import socket


def hung_up(client: socket.socket) -> bool:
    """Tell whether the other side has closed the connection, having said nothing more."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


def wait_for_hang_up(client: socket.socket, within_s: float) -> bool:
    """Return whether the other side hangs up within the time; what it said stays unread."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(within_s * 1000))

"""Words to the service manager that started the pool: ready, stopping, alive (sd_notify(3)).

Spoken only where `NOTIFY_SOCKET` asks for it, by datagrams that nobody waits for. The watchdog is
beaten from the loop that does the work, and only while that loop goes round: a thread of its own
would beat on over a pool that hangs.
Law: a manager that does not listen costs nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

#: A beat is sent so often within the watchdog's time.
BEATS_A_TIME = 3


class Notifier:
    """The line to the service manager.

    Attributes:
        beat_every_s: how often the manager wants to hear a beat, seconds; None for never.
    """

    def __init__(self, address: str | None, beat_every_s: float | None = None) -> None:
        """Speak to the socket at `address`; to nobody if None."""
        self._address = address
        self.beat_every_s = beat_every_s if address else None
        self._socket: socket.socket | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Return what the environment asks for, and take it out of there.

        A child that found it could speak for the pool.
        """
        address, time_us, pid = (environ.pop(name, None) for name in _VARIABLES)
        every_s = None
        if time_us and time_us.isdecimal() and pid in (None, str(os.getpid())):
            every_s = int(time_us) / 1e6 / BEATS_A_TIME
        return cls(address, every_s)

    def ready(self, text: str) -> None:
        """Say that the pool works; `text` is what `systemctl status` shows."""
        self._send(f"READY=1\nSTATUS={text}")

    def stopping(self) -> None:
        """Say that the pool takes nothing more and ends by itself."""
        self._send("STOPPING=1\nSTATUS=draining")

    def status(self, text: str) -> None:
        """Say what the pool does."""
        self._send(f"STATUS={text}")

    def beat(self) -> None:
        """Say that the pool gets on."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if not self._address:
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        # An @ in front stands for the NUL of an abstract address.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with suppress(OSError):
            self._socket.sendto(text.encode(), address)

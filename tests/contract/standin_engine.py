"""An engine's outside without its inside: lease, address, nonce, leaving; for tests of starting.

Options beside the real engine's: `--gate FILE` waits for the file between taking the lease and
listening; `--fail TEXT` dies with that text; `--mute` takes the lease and never answers. A GET of
/leave does what an engine does whose idle time is over; with `--leave-gate FILE` it waits for that
file half way. What was done is appended to `<db>.story`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from garcon.engine.address import NONCE_HEADER
from garcon.engine.lease import Lease, LeaseTaken


def wait_for(path: str | None) -> None:
    """Return once the file is there, or end with the test's own patience."""
    until_s = time.monotonic() + 30
    while path and not Path(path).exists():
        if time.monotonic() > until_s:
            os._exit(70)
        time.sleep(0.005)


class Answer(BaseHTTPRequestHandler):
    """Echoes the nonce; knows /leave."""

    def do_GET(self) -> None:
        if self.path == "/leave":
            threading.Thread(target=self.server.leave).start()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header(NONCE_HEADER, self.server.nonce)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Keep the log for what the tests look for."""


class Server(ThreadingHTTPServer):
    """The listener; `allow_reuse_address` as an asyncio server has it."""

    daemon_threads = True

    def __init__(self, port: int, lease: Lease, leave_gate: str | None) -> None:
        self.lease, self.leave_gate, self.nonce = lease, leave_gate, lease.nonce
        super().__init__(("127.0.0.1", port), Answer)

    def tell(self, text: str) -> None:
        """Append a line to the story."""
        with open(f"{self.lease.files.db}.story", "a") as story:
            story.write(f"{text} {os.getpid()}\n")

    def leave(self) -> None:
        """End as an idle engine ends: starting lock, listener, lease, exit."""
        with self.lease.starting() as alone:
            if not alone:
                self.tell("stays")
                return
            self.server_close()
            self.tell("leaving")
            wait_for(self.leave_gate)
            self.lease.release()
            os._exit(0)


def listen(lease: Lease, leave_gate: str | None) -> Server:
    """Listen on the port of the engine before, or on a free one."""
    try:
        return Server(lease.last_port() or 0, lease, leave_gate)
    except OSError:
        return Server(0, lease, leave_gate)


def main() -> int:
    """Serve until told to leave."""
    parser = argparse.ArgumentParser()
    for option in ("--db", "--port", "--idle-exit", "--gate", "--leave-gate", "--fail"):
        parser.add_argument(option)
    parser.add_argument("--mute", action="store_true")
    args = parser.parse_args()
    if args.fail:
        print(args.fail, file=sys.stderr)
        return 4
    try:
        lease = Lease.acquire(args.db, wait_s=2.0)
    except LeaseTaken as error:
        print(error, file=sys.stderr)
        return 4
    if args.mute:
        signal.pause()
    wait_for(args.gate)
    server = listen(lease, args.leave_gate)
    server.tell("serves")
    lease.publish(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())

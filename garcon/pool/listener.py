"""The end of what listens, without a client that nobody knows of.

asyncio drops whom it has accepted but not yet told the server of when a listener closes: the
connection stays open until a collector meets it, and its client waits for so long.
Law: when a listener has closed, its server knows of all whom it accepted.
"""

from __future__ import annotations

import asyncio

#: From accepting a client to telling of it the loop takes two turns; one more to be safe.
_ACCEPT_TURNS = 3


async def close_listener(listener: asyncio.Server) -> None:
    """Accept nobody else, wait until the server knows of all it has accepted, then close."""
    loop = asyncio.get_running_loop()
    for listening in listener.sockets:
        loop.remove_reader(listening)
    for _ in range(_ACCEPT_TURNS):
        await asyncio.sleep(0)
    listener.close()

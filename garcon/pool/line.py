"""The line to the engine: how it is reached, and whether it holds.

`Route` finds proxies, certificates and names as boto3 would find them; `LineWatch` turns the many
failures of one outage into one word, and their end into another. Neither sends a request.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3.session
from aiohttp.abc import AbstractResolver
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies

from garcon.errors import EngineError

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult  # at run time a dict; older releases lack the name

#: Called with True and a text when the line is lost, with False and a text when it is back.
OnConnection = Callable[[bool, str], None]


@dataclass(frozen=True)
class Route:
    """How to reach an endpoint.

    Attributes:
        url: the endpoint.
        proxy: URL of the proxy for it, None for a direct way.
        tls: what an https endpoint has to prove, None for plain http.
    """

    url: str
    proxy: str | None
    tls: ssl.SSLContext | None

    @classmethod
    def to(cls, url: str, session: boto3.session.Session, *, direct: bool) -> Route:
        """Return the way to `url`: proxies and CA bundle from where boto3 has them.

        Reads files, so not for the loop.

        Args:
            url: the endpoint.
            session: whose configuration counts.
            direct: whether proxies are none of its business: an engine on this machine.
        Raises:
            EngineError: the CA bundle cannot be read.
        """
        proxies = {} if direct else get_environ_proxies(url)
        proxy = ProxyConfiguration(proxies=proxies).proxy_url_for(url)
        return cls(url, proxy, _tls(session) if url.startswith("https:") else None)


def _tls(session: boto3.session.Session) -> ssl.SSLContext:
    bundle = session._session.get_config_variable("ca_bundle")
    path = bundle or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
    try:
        if path and os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise EngineError(f"engine: CA bundle {path} cannot be read: {error}") from error


class HelperResolver(AbstractResolver):
    """Looks names up in the pool's helper thread, so that no further threads come up for it."""

    def __init__(self, helper: Executor) -> None:
        self._helper = helper

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`, in the system's order of preference."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._helper,
            lambda: socket.getaddrinfo(
                host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            ),
        )
        return [
            {
                "hostname": host,
                "host": str(address[0]),
                "port": int(address[1]),
                "family": kind,
                "proto": proto,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to give back: the thread is the pool's."""


class LineWatch:
    """Tells the loss of the line once, and its return once.

    A call that began before the last good answer says nothing of the line as it is now: when an
    engine comes back, calls cut by its death still trickle in as failures.
    """

    def __init__(self, on_connection: OnConnection) -> None:
        self._tell = on_connection
        self._good_s = float("-inf")
        self._lost_s: float | None = None

    def held(self, now_s: float, where: str) -> None:
        """Note an answer that came at `now_s` from `where`."""
        self._good_s = now_s
        if self._lost_s is not None:
            away_s, self._lost_s = now_s - self._lost_s, None
            self._tell(False, f"engine back after {away_s:.1f} s: {where}")

    def failed(self, began_s: float, now_s: float, text: str) -> None:
        """Note a call begun at `began_s` that failed at `now_s`; `text` says where and how."""
        if self._lost_s is None and began_s >= self._good_s:
            self._lost_s = now_s
            self._tell(True, f"engine unreachable: {text}; trying on")

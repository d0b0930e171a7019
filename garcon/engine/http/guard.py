"""Who may speak to the engine: names it answers to, origins it does not, signatures it checks.

What it never does: log or repeat a secret or a signature. Its one law: on anything but loopback, a
request without a fresh and right signature changes nothing.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from aiohttp import hdrs

from garcon.engine.core.faults import Fault

_SERVICE: Final = "com.amazon.coral.service#"
_SKEW_S: Final = 300
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<id>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)/swf/"
    r"aws4_request,\s*SignedHeaders=(?P<headers>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_MUST_SIGN: Final = frozenset({"host", "x-amz-date", "x-amz-target"})


class Credentials(NamedTuple):
    """The one key pair that a guarded engine accepts."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r})"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Checks the head of a request, and its signature where one is due.

    Args:
        host: Where the engine listens.
        credentials: The key pair to ask for; None trusts everyone who can reach the port.

    Raises:
        ValueError: Others than this machine's users can reach it, and nothing is asked of them.
    """

    def __init__(self, host: str, credentials: Credentials | None) -> None:
        if credentials is None and not is_loopback(host):
            raise ValueError(f"an engine at {host} is open to others: it needs credentials")
        self._credentials = credentials
        # A page that rebinds its name to loopback still says its own name here.
        self._names = {"localhost", "127.0.0.1", "[::1]", host} if is_loopback(host) else None
        # The last that was found good, with its port: clients keep to one.
        self._known_name: str | None = None

    def check_head(self, headers: Mapping[str, str]) -> None:
        """Refuse browsers and foreign names.

        Raises:
            Fault: AccessDeniedException.
        """
        if hdrs.ORIGIN in headers:
            raise _denied("AccessDeniedException", "This engine does not serve web pages")
        if self._names is not None:
            name = headers.get(hdrs.HOST, "")
            if name == self._known_name:
                return
            if re.sub(r":\d+$", "", name).lower() not in self._names:
                raise _denied("AccessDeniedException", "This engine does not go by that name")
            self._known_name = name

    def check_signature(self, method: str, headers: Mapping[str, str], body: bytes) -> None:
        """Check a request's SigV4 when this engine asks for one.

        Raises:
            Fault: By what is wrong with it, in the service's codes.
        """
        credentials = self._credentials
        if credentials is None:
            return
        found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if found is None:
            text = "Request is missing Authentication Token"
            raise _denied("MissingAuthenticationTokenException", text)
        if not hmac.compare_digest(_octets(found["id"]), _octets(credentials.access_key)):
            text = "The security token included in the request is invalid."
            raise _denied("UnrecognizedClientException", text)
        names = found["headers"].split(";")
        moment = headers.get("X-Amz-Date", "")
        if not names or not set(names) >= _MUST_SIGN or not moment.startswith(found["date"]):
            raise _denied("IncompleteSignatureException", "Host, date and target must be signed")
        if abs(time.time() - _seconds(moment)) > _SKEW_S:
            raise _denied("InvalidSignatureException", "Signature expired or not yet valid")
        scope = f"{found['date']}/{found['region']}/swf/aws4_request"
        wanted = _signature(credentials.secret_key, scope, moment, method, names, headers, body)
        if not hmac.compare_digest(wanted, found["signature"]):
            text = "The request signature we calculated does not match the signature you provided."
            raise _denied("InvalidSignatureException", text)


def _denied(code: str, text: str) -> Fault:
    return Fault(code, text, prefix=_SERVICE, status=403)


def _seconds(moment: str) -> float:
    try:
        return calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise _denied("IncompleteSignatureException", "X-Amz-Date is no date") from None


def _signature(
    secret: str,
    scope: str,
    moment: str,
    method: str,
    names: list[str],
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """The signature that the holder of the secret would send (AWS Signature Version 4)."""
    signed = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    request = "\n".join(
        (method, "/", "", signed, ";".join(names), hashlib.sha256(body).hexdigest())
    )
    digest = hashlib.sha256(_octets(request)).hexdigest()
    key = _octets(f"AWS4{secret}")
    for part in scope.split("/"):
        key = hmac.new(key, _octets(part), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    return hmac.new(key, _octets(text), hashlib.sha256).hexdigest()


def _octets(text: str) -> bytes:
    """What came over the wire, or in the environment, as this text, be it Unicode or not."""
    return text.encode(errors="surrogateescape")

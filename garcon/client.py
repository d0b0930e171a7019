"""Which engine a command talks to, and the boto3 clients for it.

`resolve_engine` decides from the command's words, the environment and AWS's shared files, and
touches no network. The clients come from one boto3 session a process, made on first use: a session
made before a fork, or one for each thread, is what breaks and what costs memory.

Law: only an engine of kind `aws` ever uses AWS's own search for credentials. The local one gets
fixed ones, others get what the environment or the shared files hold; so no command waits for an
instance's metadata service that is not there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from garcon.awsfiles import AwsSettings, expanded
from garcon.engine.ensure import EngineStartError, ensure_engine
from garcon.errors import EngineError, EngineUnreachable, ServiceError, UsageError

if TYPE_CHECKING:
    from mypy_boto3_swf import SWFClient

Kind = Literal["aws", "url", "local"]
Purpose = Literal["poll", "call"]

#: For engines that have no regions of their own but whose requests are signed for one.
DUMMY_REGION = "us-east-1"

#: For engines that check no signature.
DUMMY_KEY = "garcon"

#: SWF holds a poll for 60 s; its API reference asks clients to wait longer than 70 s.
POLL_READ_S = 75
CALL_READ_S = 30
CONNECT_S = 10

#: Sources of credentials that neither reach over a network nor start a program.
_OFFLINE_SOURCES = frozenset({"env", "shared-credentials-file", "config-file"})


@dataclass(frozen=True)
class Engine:
    """Where the histories are kept.

    Attributes:
        kind: `aws`; `url`, an engine that somebody else runs; `local`, one garcon starts itself.
        url: endpoint; empty where boto3 chooses it by region, or where `path` leads to it.
        path: database of a local engine, absolute; None for the others.
        region: what requests are signed for.
    """

    kind: Kind
    url: str = ""
    path: Path | None = None
    region: str = DUMMY_REGION

    def __post_init__(self) -> None:
        """Refuse what would stand in every line that names this engine.

        Raises:
            UsageError: the URL holds a user or a password, which no request would carry.
        """
        if "@" in urlsplit(self.url).netloc:
            raise UsageError(
                "an engine's URL holds no user and no password; requests are signed with AWS's "
                "credentials"
            )

    @property
    def key(self) -> str:
        """A text that is equal for commands that meet at the same engine, and only for those."""
        if self.kind == "local":
            return f"local:{self.path}"
        return f"{self.kind}:{self.region}:{self.url}"

    def describe(self, domain: str | None = None) -> str:
        """Return the line that tells a user which engine was chosen."""
        if self.kind == "local":
            return f"engine: local, {self.path}"
        if self.kind == "url":
            return f"engine: {self.url}"
        parts = ["engine: aws", f"region {self.region}"]
        parts += [f"domain {domain}"] if domain else []
        parts += [f"endpoint {self.url}"] if self.url and not _is_aws(self.url) else []
        return ", ".join(parts)


def resolve_engine(
    option: str | None,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    flow_endpoint: str | None = None,
    flow_region: str | None = None,
) -> Engine:
    """Return the engine that a command means. Touches no network.

    The first that says something decides: the option, `GARCON_ENGINE`, the flow's own client, an
    endpoint or region in the environment or in AWS's shared files; else the local engine.

    Args:
        option: `aws`, an `http://` or `https://` URL, `local` or `local:PATH`; None when not given.
        environ: the environment.
        cwd: the working folder.
        flow_endpoint: endpoint of the flow's own boto3 client.
        flow_region: region of the flow's own boto3 client.
    Raises:
        UsageError: the option is none of these.
        EngineError: `aws` without a region, or shared files that cannot be read.
    """
    word = option or environ.get("GARCON_ENGINE") or None
    if word is not None:
        source = "--engine" if option else "GARCON_ENGINE"
        return _named(word, source, environ, cwd, flow_region)
    settings = AwsSettings.read(environ)
    if flow_endpoint and not _is_aws(flow_endpoint):
        return Engine(
            "url", url=flow_endpoint, region=flow_region or settings.region or DUMMY_REGION
        )
    if flow_endpoint or flow_region:
        region = flow_region or settings.region
        if region is None:
            raise _no_region("the flow's own client")
        return Engine("aws", url=flow_endpoint or settings.endpoint, region=region)
    if settings.endpoint or settings.region:
        return Engine("aws", url=settings.endpoint, region=settings.region or DUMMY_REGION)
    return Engine("local", path=default_path(cwd))


def default_path(cwd: Path) -> Path:
    """Return where the local engine keeps its file for a command that runs in `cwd`."""
    cwd = cwd.absolute()
    for folder in (cwd, *cwd.parents):
        # os.path's words answer False where nothing may be looked at, pathlib's raise.
        if os.path.isdir(folder / ".garcon") or os.path.isfile(folder / "pyproject.toml"):
            return folder / ".garcon" / "engine.db"
    return cwd / ".garcon" / "engine.db"


def ensure(engine: Engine) -> str | None:
    """Return the endpoint to talk to, after a local engine has been started where none ran.

    Returns:
        None where boto3 chooses the endpoint by the region.
    Raises:
        EngineError: the local engine cannot be started; with the end of its log.
    """
    if engine.path is None:
        return engine.url or None
    try:
        return ensure_engine(engine.path)
    except EngineStartError as error:
        raise EngineError(str(error)) from error


def swf_client(engine: Engine, *, purpose: Purpose = "call") -> SWFClient:
    """Return this process's boto3 client for `engine`; a local engine is started if need be.

    Args:
        engine: whom to talk to.
        purpose: `poll` reads for 75 s and never repeats, because a repeated poll can lose the task
            that the first one was given; `call` repeats in boto3's standard manner.
    Raises:
        EngineError: no credentials, or a local engine that cannot be started.
    """
    url = ensure(engine)
    return _PROCESS.client(engine, url, purpose)


@contextmanager
def swf_errors() -> Iterator[None]:
    """Turn what boto3 raises inside the block into garcon's own errors.

    Raises:
        ServiceError: the engine answered with a fault.
        EngineUnreachable: no answer came.
        EngineError: anything else that boto3 could not do.
    """
    try:
        yield
    except ClientError as error:
        raise as_service_error(error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise EngineUnreachable(f"engine unreachable: {error}") from error
    except BotoCoreError as error:
        raise EngineError(f"engine: {error}") from error


def as_service_error(error: ClientError) -> ServiceError:
    """Return garcon's error for a fault that boto3 raised."""
    told = error.response["Error"]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return ServiceError(told.get("Code", ""), told.get("Message", ""), status)


def credentials_for(engine: Engine) -> Credentials:
    """Return botocore's credentials for `engine`; those of AWS may refresh themselves.

    Raises:
        EngineError: an engine of kind `aws`, and none were found.
    """
    return _PROCESS.credentials(engine)


def boto_session() -> boto3.session.Session:
    """Return this process's one boto3 session."""
    return _PROCESS.session()


def _named(
    word: str,
    source: str,
    environ: Mapping[str, str],
    cwd: Path,
    flow_region: str | None,
) -> Engine:
    """Return the engine that a word of the user names."""
    kind, _, rest = word.partition(":")
    if kind == "local" and rest != ":memory:":
        path = Path(expanded(rest, environ)) if rest else default_path(cwd)
        return Engine("local", path=Path(os.path.normpath(cwd.absolute() / path)))
    settings = AwsSettings.read(environ)
    if word.startswith(("http://", "https://")) and _is_address(word):
        return Engine("url", url=word.rstrip("/"), region=settings.region or DUMMY_REGION)
    if word == "aws":
        region = settings.region or flow_region
        if region is None:
            raise _no_region(f"{source} aws")
        return Engine("aws", url=settings.endpoint, region=region)
    raise UsageError(
        f"{source}: {word!r} is no engine; say aws, an http:// URL, local or local:PATH"
        + (
            " (an engine in memory is run by hand: garcon engine --db :memory:)"
            if kind == "local"
            else ""
        )
    )


def _is_address(url: str) -> bool:
    """Whether a URL names a host, and no port that there cannot be."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _no_region(source: str) -> EngineError:
    return EngineError(
        f"engine: {source} means AWS, but no region is known; set AWS_REGION, or name another"
        " engine, for example --engine local"
    )


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


class _Process:
    """What one process has of boto3; begun anew in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._session: boto3.session.Session | None = None
        self._clients: dict[tuple[Engine, str | None, Purpose], SWFClient] = {}

    def session(self) -> boto3.session.Session:
        """Return the session."""
        with self._lock:
            return self._own_session()

    def client(self, engine: Engine, url: str | None, purpose: Purpose) -> SWFClient:
        """Return the client for this engine at this endpoint."""
        key = (engine, url, purpose)
        with self._lock:
            session = self._own_session()
            if key not in self._clients:
                self._clients[key] = _new_client(session, engine, url, purpose)
            return self._clients[key]

    def credentials(self, engine: Engine) -> Credentials:
        """Return the credentials for this engine."""
        with self._lock:
            return _credentials(self._own_session(), engine)

    def _own_session(self) -> boto3.session.Session:
        if self._session is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._clients = {}
            self._session = _new_session()
        return self._session


_PROCESS = _Process()


def _new_session() -> boto3.session.Session:
    try:
        return boto3.session.Session()
    except BotoCoreError as error:
        raise EngineError(f"engine: {error}") from error


def _new_client(
    session: boto3.session.Session, engine: Engine, url: str | None, purpose: Purpose
) -> SWFClient:
    secrets: dict[str, Any] = {}
    found = _credentials(session, engine)
    if engine.kind != "aws":
        frozen = found.get_frozen_credentials()
        secrets = {
            "aws_access_key_id": frozen.access_key,
            "aws_secret_access_key": frozen.secret_key,
            "aws_session_token": frozen.token,
        }
    try:
        return session.client(
            "swf",
            region_name=engine.region,
            endpoint_url=url,
            config=_config(engine, purpose),
            **secrets,
        )
    except (BotoCoreError, ValueError) as error:
        raise EngineError(f"engine: {error}") from error


def _config(engine: Engine, purpose: Purpose) -> Config:
    # A proxy for the world is none for an engine on this machine. None leaves it to boto3.
    proxies: dict[str, str] | None = {} if engine.kind == "local" else None
    if purpose == "poll":
        return Config(
            connect_timeout=CONNECT_S,
            read_timeout=POLL_READ_S,
            retries={"mode": "standard", "total_max_attempts": 1},
            proxies=proxies,
            user_agent_extra="garcon",
        )
    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=CALL_READ_S,
        retries={"mode": "standard"},
        proxies=proxies,
        user_agent_extra="garcon",
    )


def _credentials(session: boto3.session.Session, engine: Engine) -> Credentials:
    if engine.kind == "local":
        return Credentials(DUMMY_KEY, DUMMY_KEY)
    try:
        found = session.get_credentials() if engine.kind == "aws" else _offline(session)
    except BotoCoreError as error:
        raise EngineError(f"engine: AWS credentials: {error}") from error
    if found is not None:
        return found
    if engine.kind == "url":
        return Credentials(DUMMY_KEY, DUMMY_KEY)
    raise EngineError(
        f"engine: aws, region {engine.region}, but no credentials were found in the environment,"
        " the shared files or this machine's role; run `aws configure`, or name another engine,"
        " for example --engine local"
    )


def _offline(session: boto3.session.Session) -> Credentials | None:
    """Return the credentials that the environment or the shared files hold as they stand."""
    resolver = session._session.get_component("credential_provider")
    for provider in resolver.providers:
        if provider.METHOD in _OFFLINE_SOURCES:
            found: Credentials | None = provider.load()
            if found is not None:
                return found
    return None

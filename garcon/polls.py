"""The client that waits: polls need more patience than other calls, and no repeating.

SWF holds a poll for 60 s, which is boto3's own read timeout; a client with that timeout cuts off
polls that were about to get a task, and one that repeats a poll loses the task that the first one
was given. Used by the workers that run by hand; the pool has its own data plane. Law: only a poll
that SWF has refused for its rate is made again.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import backoff
from botocore.config import Config
from botocore.exceptions import ClientError

from garcon import client as clients
from garcon import utils
from garcon.outcome import REASON_MAX

#: Retries of a throttled poll before its error is passed on.
THROTTLE_RETRIES = 5

#: SWF's limit for a poller's identity, characters; the same as for a reason.
IDENTITY_MAX = REASON_MAX

#: Connections that one process's by-hand workers may wait on at once.
POOL_CONNECTIONS = 100

_lock = threading.Lock()
_polling: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def default_client(purpose: clients.Purpose = "call") -> Any:
    """Return this process's own SWF client, for flows that bring none.

    The engine is the one that every command would use here: `GARCON_ENGINE`, the environment's and
    the shared files' endpoint or region, else the local one, which is started if need be.

    Raises:
        EngineError: no credentials for it, or it cannot be started.
    """
    engine = clients.resolve_engine(None, environ=os.environ, cwd=Path.cwd())
    return clients.swf_client(engine, purpose=purpose)


@backoff.on_exception(
    backoff.expo,
    ClientError,
    max_tries=THROTTLE_RETRIES + 1,
    jitter=backoff.full_jitter,
    giveup=utils.non_throttle_error,
    on_backoff=utils.throttle_backoff_handler,
    logger=None,
)
def poll_for_task(activity: Any, identity: str | None = None) -> dict[str, Any]:
    """Wait up to a minute for a task of `activity` and return SWF's answer, throttles retried.

    Raises:
        botocore.exceptions.ClientError: SWF refuses, or still throttles.
    """
    told = {"identity": identity[:IDENTITY_MAX]} if identity else {}
    answer: dict[str, Any] = polling_client(activity.client).poll_for_activity_task(
        domain=activity.domain, taskList={"name": activity.task_list}, **told
    )
    return answer


def polling_client(client: Any) -> Any:
    """Return a client that polls as `client` would, but waits long enough and never repeats.

    Anything that is no boto3 client with too short a read timeout is returned as it is.
    """
    config: Any = getattr(getattr(client, "meta", None), "config", None)
    if not isinstance(config, Config) or _read_timeout_s(config) >= clients.POLL_READ_S:
        return client
    with _lock:
        if client not in _polling:
            _polling[client] = _patient_copy(client, config)
        return _polling[client]


def _read_timeout_s(config: Any) -> float:
    return float(config.read_timeout)


def _patient_copy(client: Any, config: Any) -> Any:
    # botocore has no public way to ask a client for its credentials; the signer has held them
    # under this name since its first release, and clients made from keys exist nowhere else.
    credentials = client._request_signer._credentials
    patience = Config(
        read_timeout=clients.POLL_READ_S,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=POOL_CONNECTIONS,
    )
    copy: Any = clients.boto_session().client(
        "swf",
        region_name=client.meta.region_name,
        endpoint_url=client.meta.endpoint_url,
        config=config.merge(patience),
    )
    copy._request_signer._credentials = credentials
    return copy

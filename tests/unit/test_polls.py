"""The client that waits: long enough for a poll, once, and as the flow's own client would."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from garcon import client as clients
from garcon import polls
from tests.unit.fake_swf import FakeSwf


def boto_client(**config: Any) -> Any:
    """Return a real client, which opens no connection by itself."""
    return boto3.session.Session().client(
        "swf",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="the key",
        aws_secret_access_key="the secret",
        config=Config(**config),
    )


def test_a_client_with_botos_own_patience_gets_a_patient_copy() -> None:
    """boto3 waits 60 s, exactly as long as SWF holds a poll; and it would repeat it."""
    own = boto_client()
    assert own.meta.config.read_timeout == 60

    copy = polls.polling_client(own)

    assert copy.meta.config.read_timeout >= 70
    assert copy.meta.config.retries["total_max_attempts"] == 1
    assert own.meta.config.read_timeout == 60


def test_the_copy_goes_where_the_client_went_as_who_it_was() -> None:
    """Endpoint, region, credentials, and what else the flow configured."""
    copy = polls.polling_client(boto_client(user_agent_extra="mine", connect_timeout=7))

    assert (copy.meta.endpoint_url, copy.meta.region_name) == ("http://127.0.0.1:1", "eu-west-1")
    assert copy.meta.config.connect_timeout == 7
    sent: dict[str, Any] = {}

    def look(request: Any, **_: Any) -> None:
        sent.update(request.headers)
        raise InterruptedError

    copy.meta.events.register("before-send", look)

    with pytest.raises(InterruptedError):
        copy.poll_for_activity_task(domain="d", taskList={"name": "t"})
    assert b"Credential=the key/" in sent["Authorization"]
    assert "mine" in sent["User-Agent"].decode()


def test_a_client_is_copied_once() -> None:
    """Each client is 10 MB and its own connections."""
    own = boto_client()

    assert polls.polling_client(own) is polls.polling_client(own)
    assert polls.polling_client(boto_client()) is not polls.polling_client(own)


@pytest.mark.parametrize("client", [FakeSwf(), boto_client(read_timeout=90)])
def test_a_patient_client_and_a_stand_in_are_used_as_they_are(client: Any) -> None:
    """There is nothing to mend."""
    assert polls.polling_client(client) is client


def test_a_flow_without_a_client_uses_the_engine_that_every_command_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`GARCON_ENGINE` here; one client serves the whole process."""
    monkeypatch.setenv("GARCON_ENGINE", "http://127.0.0.1:2")

    client = polls.default_client()

    assert client.meta.endpoint_url == "http://127.0.0.1:2"
    assert polls.default_client() is client
    polling = polls.default_client("poll")
    assert polling.meta.config.read_timeout == clients.POLL_READ_S == 75
    assert polls.polling_client(polling) is polling

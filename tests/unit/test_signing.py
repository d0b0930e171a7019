"""Signatures of the data plane, held against botocore's own."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from garcon.pool.signing import CONTENT_TYPE, PlaneSigner

URLS = ("https://swf.eu-west-1.amazonaws.com", "http://127.0.0.1:8700", "http://[::1]:8700/")
PLAIN = Credentials("AKID", "SECRET").get_frozen_credentials()
SESSION = Credentials("AKID", "SEC/RET+", "TOKEN/with+signs==").get_frozen_credentials()


def by_botocore(
    credentials: ReadOnlyCredentials, url: str, target: str, body: bytes, now_s: float
) -> dict[str, str]:
    """Return the headers that botocore's signer makes of a request at `now_s`."""
    moment = datetime.fromtimestamp(now_s, timezone.utc).replace(tzinfo=None)
    fixed = {"X-Amz-Target": target, "Content-Type": CONTENT_TYPE}
    request = AWSRequest(method="POST", url=url, headers=fixed, data=body)
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(botocore.auth, "get_current_datetime"):
            patch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        else:  # an older botocore asks the library itself
            fixed_time = SimpleNamespace(utcnow=lambda: moment)
            patch.setattr(botocore.auth, "datetime", SimpleNamespace(datetime=fixed_time))
        SigV4Auth(credentials, "swf", "eu-west-1").add_auth(request)
    return dict(request.headers.items())


@settings(max_examples=60, deadline=None)
@given(
    url=st.sampled_from(URLS),
    credentials=st.sampled_from([PLAIN, SESSION]),
    operation=st.sampled_from(["PollForDecisionTask", "RespondActivityTaskCompleted"]),
    text=st.text(max_size=40),
    now_s=st.integers(min_value=0, max_value=16_000_000_000).map(lambda quarter: quarter / 4),
)
def test_headers_are_those_of_botocore(
    url: str, credentials: ReadOnlyCredentials, operation: str, text: str, now_s: float
) -> None:
    """Whatever the endpoint, the key, the body and the second: the same headers, byte for byte."""
    target, body = f"SimpleWorkflowService.{operation}", json.dumps({"result": text}).encode()
    signer = PlaneSigner(credentials, "eu-west-1", url, clock=lambda: now_s)

    assert signer.headers(target, body) == by_botocore(credentials, url, target, body, now_s)


def test_one_signer_follows_operations_seconds_and_days() -> None:
    """What is kept between calls is never an earlier call's."""
    now_s = [1_795_391_999.5]
    signer = PlaneSigner(SESSION, "eu-west-1", URLS[0], clock=lambda: now_s[0])
    for step_s in (0.0, 0.3, 0.5, 1.0, 86_400.0, -86_400.0):
        now_s[0] += step_s
        for operation in ("A", "B"):
            target, body = f"SimpleWorkflowService.{operation}", f"{step_s}".encode()

            mine = signer.headers(target, body)

            assert mine == by_botocore(SESSION, URLS[0], target, body, now_s[0])

"""The other program of flows/polyglot.py: looks whether numbers are prime.

It stands for a program in any language: it speaks SWF's protocol and does not know garcon. For AWS
leave the URL out; boto3 then takes region and credentials from where it always does.

    python flows/polyglot_worker.py http://127.0.0.1:8700
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import boto3
from botocore.config import Config

DOMAIN = "garcon-samples"
TASK_LIST = "polyglot_is_prime"


def is_prime(number: int) -> bool:
    """Tell whether a number has no divisor but one and itself."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def serve_one(client: Any) -> None:
    """Wait up to a minute for a task and answer it."""
    task = client.poll_for_activity_task(domain=DOMAIN, taskList={"name": TASK_LIST})
    token = task.get("taskToken")
    if not token:
        return
    try:
        number = json.loads(task["input"])["number"]
        result = {f"prime.{number}": is_prime(number)}
    except (KeyError, TypeError, ValueError) as error:
        client.respond_activity_task_failed(taskToken=token, reason=repr(error)[:256])
    else:
        client.respond_activity_task_completed(taskToken=token, result=json.dumps(result))


def main(url: str | None) -> None:
    """Serve until interrupted."""
    # SWF holds a poll for 60 s: longer than that has to be the patience, and no poll is repeated.
    patience = Config(read_timeout=75, retries={"total_max_attempts": 1})
    client = boto3.client(
        "swf",
        config=patience,
        endpoint_url=url,
        region_name="us-east-1" if url else None,
        aws_access_key_id="none" if url else None,
        aws_secret_access_key="none" if url else None,
    )
    while True:
        try:
            serve_one(client)
        except client.exceptions.UnknownResourceFault:
            # The flow was never registered so far, or the task is gone: neither is an end.
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)

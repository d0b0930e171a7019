"""The command line of AWS itself against the engine, where it is installed.

It is no dependency of the tests, because it pins a botocore of its own: `pip install awscli` into
an environment of its own and put its `aws` into PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from garcon.engine.testing import Engine

AWS = shutil.which("aws")
FLOW = "name=order,version=1"


class Cli:
    """`aws swf` with an engine and a home of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        self._environment = {
            **{name: value for name, value in os.environ.items() if "AWS" not in name},
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [str(AWS), "swf", *words, "--endpoint-url", self._url, "--output", "json"]
        return subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def __call__(self, *words: str) -> Any:
        """Run a command that has to succeed; its JSON, or None."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.mark.skipif(AWS is None, reason="aws-cli is not in PATH: pip install awscli")
def test_aws_cli_registers_starts_describes_lists_and_reads_a_history(
    engine: Engine, tmp_path: Path
) -> None:
    """With its own paging, and the engine's refusal as its error."""
    aws = Cli(engine.url, tmp_path)
    kept = ("--workflow-execution-retention-period-in-days", "30")
    shop = ("--domain", "shop")
    aws("register-domain", "--name", "shop", *kept)
    aws("register-workflow-type", *shop, "--name", "order", "--workflow-version", "1")
    aws("register-activity-type", *shop, "--name", "pack", "--activity-version", "1")
    started = aws(
        *("start-workflow-execution", *shop, "--workflow-id", "o1", "--workflow-type", FLOW),
        *("--task-list", "name=d", "--child-policy", "TERMINATE"),
        *("--task-start-to-close-timeout", "30", "--execution-start-to-close-timeout", "60"),
    )
    execution = f"workflowId=o1,runId={started['runId']}"
    described = aws("describe-workflow-execution", *shop, "--execution", execution)
    assert described["executionInfo"]["executionStatus"] == "OPEN"
    since = ("--start-time-filter", "oldestDate=2020-01-01")
    listed = aws("list-open-workflow-executions", *shop, *since)
    assert listed["executionInfos"][0]["execution"]["runId"] == started["runId"]
    assert aws("poll-for-decision-task", *shop, "--task-list", "name=d")["taskToken"]
    read = ("get-workflow-execution-history", *shop, "--execution", execution)
    events = aws(*read, "--page-size", "2")["events"]
    assert [event["eventType"] for event in events] == [
        "WorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
    ]
    refused = aws.run("describe-domain", "--name", "none")
    assert refused.returncode != 0
    assert "UnknownResourceFault" in refused.stderr

"""A program with the loops of 1.x's examples: no pool, threads of its own, a client of its own."""

from __future__ import annotations

from tests.acceptance.harness import Place, wait_until

PROGRAM = """
import sys
import time
from threading import Thread

import boto3

from garcon import activity, decider
from tests.contract.samples.coffee_1x import Workflow

client = boto3.client("swf", region_name="us-east-1", endpoint_url=sys.argv[1],
                      aws_access_key_id="x", aws_secret_access_key="x")
workflow = Workflow(client, "dev", "custom_decider")
deciderworker = decider.DeciderWorker(workflow)

client.start_workflow_execution(
    domain=workflow.domain,
    workflowId="unique-workflow-identifier",
    workflowType=dict(name=workflow.name, version="1.0"),
    executionStartToCloseTimeout="3600",
    taskStartToCloseTimeout="3600",
    childPolicy="TERMINATE",
    taskList=dict(name=workflow.name))

Thread(target=activity.ActivityWorker(workflow).run).start()
while True:
    deciderworker.run()
    time.sleep(0.01)
"""


def test_the_loops_of_the_1x_examples_serve_a_flow(place: Place) -> None:
    """It prints what the example says it prints, and goes on waiting for work."""
    with place.client() as client:
        url = client.meta.endpoint_url
        program = place.start("-u", "-c", PROGRAM, url)

        wait_until(lambda: "leaving the coffee shop" in program.out(), "the last print", 60.0)

        def closed() -> bool:
            found = client.list_closed_workflow_executions(
                domain="dev", startTimeFilter={"oldestDate": 0}
            )
            return [one["closeStatus"] for one in found["executionInfos"]] == ["COMPLETED"]

        wait_until(closed, "the execution's completion", 60.0)

    assert program.process.poll() is None
    lines = program.out().splitlines()
    assert lines[:3] == [
        "entering coffee shop",
        "ordering: coffee",
        "ordering: chocolate_chip_cookie",
    ]
    assert sorted(lines[3:5]) == ["get order", "pay $6.98"]
    assert lines[5:] == ["leaving the coffee shop"]

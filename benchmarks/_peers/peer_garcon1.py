"""garcon 1.1.1 against the embedded engine: one decider, 16 processes that poll and run."""

import json
import multiprocessing
import os
import sys
import time

import _bodies
import boto3
from botocore.config import Config

from garcon import activity, decider, runner, task

client = boto3.client(
    "swf",
    endpoint_url=os.environ["ENGINE_URL"],
    region_name="us-east-1",
    aws_access_key_id="local",
    aws_secret_access_key="local",
    config=Config(read_timeout=75),
)
domain, name = "garcon1", "bench1"
create = activity.create(client, domain, name)


@task.decorate(timeout=600)
def work(activity, kind, number):  # noqa: ARG001 - passed always
    """Run the body."""
    _bodies.run(kind, number)


@task.decorate(timeout=600)
def end(activity):  # noqa: ARG001 - passed always
    """Note that all is done."""
    _bodies.finish()


def numbers(context):
    """Yield one instance after the other."""
    for number in range(context["n"]):
        yield {"number": number}


instance = create(
    name="instance",
    generators=[numbers],
    run=runner.Sync(work.fill(kind="kind", number="number")),
)
final = create(name="final", requires=[instance], run=runner.Sync(end.fill()))


def poll(name):
    """Run what comes of one activity."""
    while True:
        {"instance": instance, "final": final}[name].run()


def decide():
    """Decide for ever."""
    worker = decider.DeciderWorker(sys.modules[__name__], register=False)
    while True:
        worker.run()


if __name__ == "__main__":
    decider.DeciderWorker(sys.modules[__name__])
    # Each process with a client of its own: a fork would share its connection.
    apart = multiprocessing.get_context("spawn")
    for target, args in [(decide, ())] + [(poll, ("instance",))] * 16 + [(poll, ("final",))]:
        apart.Process(target=target, args=args, daemon=True).start()
    time.sleep(8.0)
    _bodies.begin()
    client.start_workflow_execution(
        domain=domain,
        workflowId="w",
        workflowType={"name": name, "version": "1.0"},
        taskList={"name": name},
        executionStartToCloseTimeout="86400",
        taskStartToCloseTimeout="600",
        childPolicy="TERMINATE",
        input=json.dumps({"n": int(sys.argv[2]), "kind": sys.argv[1]}),
    )
    _bodies.stay()

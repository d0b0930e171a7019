"""The shape of 1.x's simple example: a client at module level, arguments as (context, activity)."""

import logging
import os

import boto3

from garcon import activity, runner

logger = logging.getLogger(__name__)

domain = "dev"
name = "workflow_sample"
client = boto3.client(
    "swf",
    region_name="us-east-1",
    endpoint_url=os.environ.get("SAMPLE_ENDPOINT"),
    aws_access_key_id="x",
    aws_secret_access_key="x",
)
create = activity.create(client, domain, name)

told = []


def on_exception(actor, exception):
    """Note what failed."""
    told.append((actor, str(exception)))


failures = iter([True, True, False])


def activity_failure(context, activity):
    """Fail twice."""
    if next(failures):
        raise Exception("fails")
    print("activity_3: end")


test_activity_1 = create(
    name="activity_1",
    run=runner.Sync(lambda context, activity: logger.debug("activity_1")),
)

test_activity_2 = create(
    name="activity_2",
    requires=[test_activity_1],
    run=runner.Async(
        lambda context, activity: logger.debug("activity_2_task_1"),
        lambda context, activity: logger.debug("activity_2_task_2"),
    ),
)

test_activity_3 = create(
    name="activity_3",
    retry=10,
    requires=[test_activity_1],
    on_exception=on_exception,
    run=runner.Sync(activity_failure),
)

test_activity_4 = create(
    name="activity_4",
    requires=[test_activity_3, test_activity_2],
    run=runner.Sync(lambda context, activity: print("activity_4")),
)

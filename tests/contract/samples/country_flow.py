"""The sample with a generator: five countries, each failing now and then, and retried alone."""

import random

from garcon import activity, runner, task

domain = "dev"
name = "country_flow"
create = activity.create(domain, name)


def country_generator(context):
    """Yield five countries."""
    total_countries = 6
    for country_id in range(1, total_countries):
        yield {"generator.country_id": country_id}


@task.decorate()
def unstable_country_task(activity, country_id):
    """Fail by chance."""
    num = int(random.random() * 4)
    base = f"activity_2_country_id_{country_id}"
    if num == 3:
        print(base, "has failed")
        raise Exception("fails")
    print(base, "has succeeded")


test_activity_1 = create(
    name="activity_1",
    tasks=runner.Sync(lambda context, activity: print("activity_1")),
)

test_activity_2 = create(
    name="activity_2",
    requires=[test_activity_1],
    generators=[country_generator],
    retry=3,
    tasks=runner.Sync(unstable_country_task.fill(country_id="generator.country_id")),
)

test_activity_3 = create(
    name="activity_3",
    requires=[test_activity_2],
    tasks=runner.Sync(lambda context, activity: print("end of flow")),
)

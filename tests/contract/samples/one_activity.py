"""The sample of the API's page: every keyword of an activity, `generator` in the singular."""

from garcon import activity, runner


def generator_name(context):
    """Yield two instances."""
    yield {"n": 1}
    yield {"n": 2}


def task1(activity, context):
    """Say which one runs."""
    print("task1", context["n"])


create = activity.create("domain")

initial_activity = create(
    name="activity_name",
    run=runner.Sync(task1),
    requires=[],
    retry=0,
    generator=[generator_name],
)

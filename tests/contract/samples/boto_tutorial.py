"""The second sample: three in a row, the first one's result in the context of the others."""

from garcon import activity, runner

domain = "dev"
name = "boto_tutorial"
create = activity.create(domain, name)

a_tasks = create(
    name="a_tasks",
    run=runner.Sync(lambda context, activity: {"result": "Now don't be givin him sambuca!"}),
)

b_tasks = create(
    name="b_tasks",
    requires=[a_tasks],
    run=runner.Sync(lambda context, activity: print(context)),
)

c_tasks = create(
    name="c_tasks",
    requires=[b_tasks],
    run=runner.Sync(lambda context, activity: print(context)),
)

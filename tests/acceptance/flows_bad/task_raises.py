"""A task that raises, once more than it may be retried."""

from __future__ import annotations

from garcon import activity, runner, task

domain = "garcon-tests"
name = "task_raises"
create = activity.create(domain, name)


@task.decorate()
def spill(order):
    """Fail for one order only."""
    if order == 2:
        raise ValueError("spilled order 2")


brew = create(
    name="brew",
    generators=[lambda context: ({"order": number} for number in range(4))],
    run=runner.Sync(spill.fill(order="order")),
)

clean = create(
    name="clean", requires=[brew], run=runner.Sync(lambda context, activity: {"clean": True})
)

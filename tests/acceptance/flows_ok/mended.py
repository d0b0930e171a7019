"""A fan-out of which one instance fails until somebody has mended what it needs."""

from __future__ import annotations

from pathlib import Path

from garcon import activity, runner, task

domain = "garcon-tests"
name = "mended"
create = activity.create(domain, name)

BROKEN = 17


def numbers(context):
    """Yield as many instances as the input asks for."""
    yield from ({"number": number} for number in range(context["tasks"]))


@task.decorate(timeout=60)
def load(folder, number):
    """Load what one number stands for; one needs a file that is not there at first."""
    if number == BROKEN and not (Path(folder) / "mended").exists():
        raise FileNotFoundError(f"no source for number {number}")


loads = create(
    name="loads",
    generators=[numbers],
    retry=2,
    shard_size=25,
    run=runner.Sync(load.fill(folder="folder", number="number")),
)

"""The flow that is measured: `n` instances of one body, then a final step that needs all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import _bodies
from garcon import activity, runner, task

create = activity.create("garcon-benchmarks", "bench")


def numbers(context: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Yield one instance after the other."""
    for number in range(context["n"]):
        yield {"number": number}


@task.decorate()
def work(kind: str, number: int) -> None:
    """Run the body."""
    _bodies.run(kind, number)


@task.decorate()
def end() -> None:
    """Note that all is done."""
    _bodies.finish()


instance = create(
    name="instance",
    generators=[numbers],
    run=runner.Sync(work.fill(kind="kind", number="number")),
)

final = create(name="final", requires=[instance], run=runner.Sync(end.fill()))

"""Ten activities one after the other; an execution's `length` says at which of them it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import _bodies
from garcon import activity, runner, task

create = activity.create("garcon-benchmarks", "bench")
LENGTH = 10


@task.decorate()
def link(place: int, length: int) -> None:
    """Be one of them; the last one says when it ran."""
    if place == length:
        _bodies.finish()


def at(place: int) -> Any:
    """Return a generator of the one instance at this place, or of none behind the end."""

    def generate(context: Mapping[str, Any]) -> Iterator[dict[str, int]]:
        if place <= context["length"]:
            yield {"place": place}

    return generate


links: list[Any] = []
for _place in range(1, LENGTH + 1):
    links.append(
        create(
            name=f"link{_place}",
            requires=links[-1:],
            generators=[at(_place)],
            run=runner.Sync(link.fill(place="place", length="length")),
        )
    )
    globals()[f"link{_place}"] = links[-1]
del _place

"""The example flows run whole, from their commands, and end as they say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from flows import polyglot_worker
from tests.acceptance.harness import ROOT, Place, of_type


def completed(place: Place, flow: str, data: dict[str, Any], **options: Any) -> Any:
    """Run a flow to its end; return the command."""
    command = place.start_pool(flow, data=data, **options)
    assert command.wait() == 0, command.err()
    return command


def scheduled(place: Place) -> Counter[str]:
    """Return how many tasks of each activity were scheduled in the one execution here."""
    (events,) = place.histories("garcon-samples")
    return Counter(
        told["activityType"]["name"] for told in of_type(events, "ActivityTaskScheduled")
    )


def test_the_coffee_shop_goes_by_the_results_of_its_steps(place: Place) -> None:
    """What is sold out is replaced by water, and a tip is thanked for."""
    command = completed(place, "flows.coffee:workflow", {"items": ["coffee", "cake"]}, procs=2)

    lines = command.out().splitlines()
    assert lines[0] == "come in"
    assert sorted(lines[1:3]) == ["order cake: sold out", "order coffee: 3.99"]
    assert lines[3] == "order water: 0.00"
    assert sorted(lines[4:6]) == ["here you are: coffee, water", "pay 3.99, tip 0.39"]
    assert lines[6:8] == ["thank you", "goodbye"]
    assert scheduled(place)["coffee_order"] == 3


def test_whoever_pays_to_the_last_cent_is_not_thanked(place: Place) -> None:
    """The tip's result decides."""
    command = completed(place, "flows.coffee:workflow", {"items": ["tea"], "purse": 349}, procs=2)

    assert "thank you" not in command.out()
    assert scheduled(place)["coffee_thank"] == 0


def test_a_purse_too_small_fails_the_execution(place: Place) -> None:
    """With what it says, and exit code 1."""
    command = place.start_pool("flows.coffee:workflow", data={"items": ["tea"], "purse": 1})

    assert command.wait() == 1
    assert "too much for this purse" in command.err() + command.out()


def test_flaky_countries_are_retried_alone_until_all_have_come(place: Place) -> None:
    """Half of the calls fail; each country has its own attempts, and the sum is right."""
    command = completed(place, "flows.flaky", {"countries": 12, "chance": 0.5})

    assert f"12 countries, sum {sum(n * n for n in range(1, 13))}" in command.out()
    tasks = scheduled(place)
    assert tasks["flaky_fetch"] >= 12
    assert tasks["flaky_report"] == 1


def test_another_program_answers_an_external_activity(place: Place) -> None:
    """It knows the engine's address and SWF's protocol, and nothing of garcon."""
    with place.client() as client:
        url = client.meta.endpoint_url
    place.start(str(ROOT / "flows" / "polyglot_worker.py"), url)

    command = completed(place, "flows.polyglot", {"numbers": [1, 2, 9, 11, 97]}, procs=2)

    assert "primes: 2, 11, 97" in command.out()
    assert scheduled(place)["polyglot_is_prime"] == 5


@pytest.mark.parametrize(
    ("number", "expected"), [(0, False), (1, False), (2, True), (9, False), (97, True)]
)
def test_the_other_program_knows_primes(number: int, expected: bool) -> None:
    """Else its answers would prove nothing."""
    assert polyglot_worker.is_prime(number) is expected

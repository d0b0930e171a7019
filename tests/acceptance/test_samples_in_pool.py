"""The documentation's samples and 1.x's examples run in the pool as they run by hand, unchanged.

Lines that may come in either order stand together in one group.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.acceptance.harness import Place

SAMPLES = "tests.contract.samples"

FOUR_STEPS = [
    ["activity_1"],
    ["activity_2_task_1", "activity_2_task_2", "activity_3"],
    ["activity_4"],
]

TABLES = {
    f"dynamodb.table_{what}{n}": f"{what}{n}"
    for what in ("name", "index", "throughput")
    for n in (1, 2)
}
CLIENT = {"context.username": "ann", "context.email": "ann@example.org"}
TASKS = [
    ["name1 index1 throughput1"],
    ["name2 index2 throughput2"],
    ["user ann ann@example.org"],
    ["email ann@example.org"],
    ["7"],
]

COFFEE = [
    ["entering coffee shop"],
    ["ordering: coffee"],
    ["ordering: chocolate_chip_cookie"],
    ["get order", "pay $6.98"],
    ["leaving the coffee shop"],
]

#: The other example, with the lines that a program of one's own would have.
SHOP = f"""
import os

import boto3

from {SAMPLES}.coffee_1x import Workflow

client = boto3.client("swf", region_name="us-east-1", endpoint_url=os.environ["SAMPLE_ENDPOINT"],
                      aws_access_key_id="x", aws_secret_access_key="x")
workflow = Workflow(client, "dev", "custom_decider")
"""


def printed(out: str) -> list[str]:
    """Return what the tasks printed: all that stands before the report of the execution."""
    lines = out.splitlines()
    report = [number for number, line in enumerate(lines) if line.startswith("execution ")]
    assert report, out
    assert " COMPLETED " in lines[report[-1]]
    told = [line for line in lines[: report[-1]] if not re.match(r"(started|joined) ", line)]
    return [line.strip() for line in told if line.strip()]


def assert_printed(out: str, groups: list[list[str]]) -> None:
    """Fail unless exactly these groups of lines came, in this order."""
    lines = printed(out)
    assert sum(map(len, groups)) == len(lines), lines
    for group in groups:
        head, lines = lines[: len(group)], lines[len(group) :]
        assert sorted(group) == sorted(head)


@pytest.mark.parametrize(
    ("sample", "data", "groups"),
    [
        ("four_steps", {}, FOUR_STEPS),
        ("one_activity", {}, [["task1 1", "task1 2"]]),
        ("tasks", {**TABLES, **CLIENT}, TASKS),
    ],
)
def test_a_sample_of_the_documentation_runs_in_the_pool(
    place: Place, sample: str, data: dict[str, Any], groups: list[list[str]]
) -> None:
    """To completion, with its prints in their order."""
    pool = place.start_pool(f"{SAMPLES}.{sample}", data=data, procs=2)

    assert pool.wait() == 0, pool.err()
    assert_printed(pool.out(), groups)


def test_the_tutorial_hands_its_result_on_in_the_pool(place: Place) -> None:
    """The context that the second and third step print holds what the first returned."""
    pool = place.start_pool(f"{SAMPLES}.boto_tutorial", data={}, procs=2)

    assert pool.wait() == 0, pool.err()
    lines = printed(pool.out())
    assert len(lines) == 2
    assert all("sambuca" in line and "execution.run_id" in line for line in lines)


def test_the_country_sample_runs_in_the_pool(place: Place) -> None:
    """One of four calls fails, by chance; each of the five countries comes, then the end."""
    pool = place.start_pool(f"{SAMPLES}.country_flow", data={}, procs=2)

    # By chance a country fails four times in a row: then the execution fails, as it should.
    code = pool.wait()
    if code == 1:
        assert "after 4 attempts: Exception: fails" in pool.err() + pool.out()
        return
    assert code == 0, pool.err()
    lines = printed(pool.out())
    assert (lines[0], lines[-1]) == ("activity_1", "end of flow")
    came = {line.split()[0] for line in lines if line.endswith("has succeeded")}
    assert came == {f"activity_2_country_id_{number}" for number in range(1, 6)}


def test_the_examples_of_1x_run_in_the_pool_by_their_own_client(place: Place) -> None:
    """No engine is named: the client that the flow brings says where it is."""
    (place.folder / "shop.py").write_text(SHOP, encoding="utf-8")
    with place.client() as client:
        url = client.meta.endpoint_url
    told = ("--procs", "2", "--input", "{}")

    coffee = place.start("-m", "garcon.pool", "shop:workflow", *told, SAMPLE_ENDPOINT=url)
    simple = place.start("-m", "garcon.pool", f"{SAMPLES}.simple_1x", *told, SAMPLE_ENDPOINT=url)

    assert coffee.wait() == 0, coffee.err()
    assert_printed(coffee.out(), COFFEE)
    assert simple.wait() == 0, simple.err()
    lines = printed(simple.out())
    assert lines[-2:] == ["activity_3: end", "activity_4"]
    assert url in simple.err().splitlines()[0]

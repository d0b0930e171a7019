"""The main job, end to end: days x countries on sixteen processes, from one command."""

from __future__ import annotations

import csv
import re
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from flows import metrics
from tests.acceptance.harness import Place, of_type
from tests.acceptance.legal import assert_legal_history
from tests.sources import random_hundred, source_facts

DAYS = 2
DATA = {"start": "2026-01-01", "end": "2026-01-02"}
OUTPUT = "results/metrics-2026-01-01-2026-01-02"


def load(folder: Path):
    """Return all rows of the run's result file by day and country."""
    with closing(metrics.connect(folder / f"{OUTPUT}.db")) as connection:
        rows = list(metrics.load_rows(connection, date.min, date.max))
    return {(row.day, row.country): row for row in rows}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the flow once for the tests of this file; return place, command and histories."""
    place = Place(tmp_path_factory.mktemp("full"))
    command = place.start_pool("flows.metrics", "--log-level", "info", procs=16, data=DATA)
    try:
        assert command.wait() == 0, command.err()
        yield place, command, place.histories(metrics.domain)
    finally:
        place.clear()


def test_a_run_stores_every_row_once_and_right(finished):
    """Two days of 250 countries are 500 rows; a random hundred equals the packages."""
    place, _, _ = finished

    rows = load(place.folder)

    assert DAYS * 250 == len(rows)
    for day, country in random_hundred(rows):
        expected = source_facts(day, country)
        assert expected == {key: getattr(rows[day, country], key) for key in expected}


def test_a_run_ends_with_a_summary_of_every_country(finished):
    """The last activity has seen all rows."""
    place, _, _ = finished

    with (place.folder / f"{OUTPUT}.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))

    assert 250 == len(lines)
    assert {str(DAYS)} == {line["days"] for line in lines}


def test_the_histories_of_a_run_are_legal(finished):
    """What SWF's quotas forbid is nowhere in what was written."""
    _, _, histories = finished

    assert histories
    for events in histories:
        assert_legal_history(events)


def test_every_instance_of_a_run_completed_exactly_once(finished):
    """No row was paid for twice: 500 instances, the first activity and the last."""
    _, _, histories = finished

    scheduled = [
        one["activityId"]
        for events in histories
        for one in of_type(events, "ActivityTaskScheduled")
    ]
    completed = [one for events in histories for one in of_type(events, "ActivityTaskCompleted")]
    assert DAYS * 250 + 2 == len(scheduled) == len(set(scheduled)) == len(completed)


def test_deciders_of_a_run_are_given_little_more_than_its_histories(finished):
    """Each event about once: what came with decisions and what was read besides."""
    _, command, histories = finished

    events = sum(len(history) for history in histories)

    (line,) = command.lines_with("event=decisions.made")
    fetched = {name: int(count) for name, count in re.findall(r"events_(\w+)=(\d+)", line)}
    assert 0 < fetched["polled"] + fetched["read"] <= 1.2 * events, (fetched, events)


def test_a_run_names_its_engine_first_and_keeps_stdout_for_results(finished):
    """The first line on stderr is the engine's file; log lines never reach stdout."""
    place, command, _ = finished

    assert str(place.db) in command.err().splitlines()[0]
    assert "event=" not in command.out()


def test_a_run_leaves_no_process_but_the_engine(finished):
    """Supervisor, zygote, workers and decider are gone; the engine waits for the next command."""
    place, _, _ = finished

    assert [] == place.pool_pids()
    assert 1 == len(place.engine_pids())


def test_the_same_command_again_starts_a_new_run_and_changes_no_row(finished):
    """A closed run is not joined; the second one says so, and the upserts change nothing."""
    place, _, _ = finished
    before = load(place.folder)

    again = place.start_pool("flows.metrics", procs=8, data=DATA)

    assert 0 == again.wait(), again.err()
    assert before == load(place.folder)
    assert 2 == len(place.histories(metrics.domain))

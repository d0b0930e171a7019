"""The result file of `flows.metrics`: real SQLite, written by sixteen processes at once."""

from __future__ import annotations

import csv
import multiprocessing
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import date

import pytest

from flows import facts, metrics
from tests.sources import random_hundred, source_facts

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 7)
DAYS = [one["day"] for one in metrics.days({"start": str(FIRST), "end": str(LAST)})]
WRITERS = 16


@pytest.fixture
def result_file(tmp_path):
    """Return a result file as `prepare` leaves it."""
    path = tmp_path / "deep" / "metrics.db"
    metrics.make_result_file(path, FIRST, LAST)
    return path


def load(path):
    """Return all rows by day and country."""
    with closing(metrics.connect(path)) as connection:
        rows = list(metrics.load_rows(connection, date.min, date.max))
    return {(row.day, row.country): row for row in rows}


def store(path, day, country):
    """Store one row the way an activity does, from its contexts' keys."""
    metrics.store_day(day=day, country=country, output=str(path), busy_timeout_s=30)


def store_on(go, path, day, country):
    """Store one row once `go` is set."""
    go.wait(30)
    store(path, day, country)


def write_share(path, share):
    """Store what one worker gets of the fan-out."""
    pairs = [(day, country) for day in DAYS for country in facts.COUNTRIES]
    for day, country in pairs[share::WRITERS]:
        store(path, day, country)


def write_all(path, writers):
    """Store the whole range from `writers` processes at once; return their exit codes."""
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=write_share, args=(path, share % WRITERS))
        for share in range(writers)
    ]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    return [one.exitcode for one in started]


def test_sixteen_processes_write_every_row_once_and_right(result_file):
    """1,750 rows, none lost to a locked file; a random hundred equals the packages."""
    codes = write_all(result_file, WRITERS)

    rows = load(result_file)
    assert [0] * WRITERS == codes
    assert 7 * 250 == len(rows)
    for day, country in random_hundred(rows):
        expected = source_facts(day, country)
        assert expected == {key: asdict(rows[day, country])[key] for key in expected}


def test_two_workers_with_the_same_task_leave_one_row(result_file):
    """Every task run twice at once, as after a lost answer, changes nothing."""
    codes = write_all(result_file, 2 * WRITERS)

    assert [0] * 2 * WRITERS == codes
    assert 7 * 250 == len(load(result_file))


def test_the_same_run_again_changes_nothing(result_file):
    """Prepare and a task over an existing file leave what was there."""
    store(result_file, DAYS[0], "JP")
    before = load(result_file)

    metrics.make_result_file(result_file, FIRST, LAST)
    store(result_file, DAYS[0], "JP")

    assert before == load(result_file)


def test_a_row_is_mended_by_its_next_run(result_file):
    """The upsert writes every column, not only the missing ones."""
    store(result_file, DAYS[0], "US")
    good = load(result_file)
    with closing(metrics.connect(result_file)) as connection:
        connection.execute("UPDATE metrics SET rate = 0, rate_day = 'x', is_holiday = NULL")

    store(result_file, DAYS[0], "US")

    assert good == load(result_file)


def test_a_day_without_quote_takes_the_rate_before(result_file):
    """New Year's Day has no reference rate: the last one of December holds."""
    store(result_file, "2026-01-01", "US")
    store(result_file, "2026-01-02", "US")

    rows = load(result_file)

    assert "2025-12-31" == rows["2026-01-01", "US"].rate_day
    assert "2026-01-02" == rows["2026-01-02", "US"].rate_day
    assert 1 < rows["2026-01-01", "US"].rate < 2


@pytest.mark.parametrize(("country", "currency"), [("AF", "AFN"), ("AQ", None), ("RU", "RUB")])
def test_a_currency_that_the_bank_does_not_quote_has_no_rate(result_file, country, currency):
    """No rate is None, with or without a currency."""
    store(result_file, DAYS[0], country)

    (row,) = load(result_file).values()
    assert (currency, None, None) == (row.currency, row.rate, row.rate_day)


def test_the_euro_is_one_euro_on_every_day(result_file):
    """The bank's own currency needs no quote."""
    store(result_file, "2026-01-01", "FR")

    (row,) = load(result_file).values()
    assert ("EUR", 1.0, "2026-01-01") == (row.currency, row.rate, row.rate_day)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    """A slip in `output` never costs the user a file."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear customer, " * 100)

    with pytest.raises(ValueError, match=r"input 'output': .*letter.txt cannot be a result file"):
        metrics.make_result_file(path, FIRST, LAST)

    assert path.read_text() == "Dear customer, " * 100


def test_the_summary_is_a_line_per_country_beside_the_file(result_file, capfd):
    """The CSV holds counts and the rate's change; its path is printed and returned."""
    for day in DAYS:
        store(result_file, day, "JP")
        store(result_file, day, "AQ")

    result = metrics.write_summary(
        start=str(FIRST), end=str(LAST), output=str(result_file), countries=["JP", "AQ"]
    )

    path = result_file.with_suffix(".csv")
    assert {"metrics.summary": str(path)} == result
    assert f"{path}\n" == capfd.readouterr().out
    with path.open(newline="", encoding="utf-8") as file:
        antarctica, japan = csv.DictReader(file)
    assert ("AQ", "7", "", "") == tuple(
        antarctica[key] for key in ("country", "days", "currency", "rate_change_percent")
    )
    assert ("JP", "7", "4", "1") == tuple(
        japan[key] for key in ("country", "days", "business_days", "holidays")
    )
    change = (float(japan["rate_last"]) / float(japan["rate_first"]) - 1) * 100
    assert float(japan["rate_change_percent"]) == pytest.approx(change, abs=1e-4)


def test_a_summary_over_missing_rows_is_refused_with_the_numbers(result_file):
    """It never passes off half a run as the whole."""
    store(result_file, DAYS[0], "JP")

    with pytest.raises(ValueError, match="holds 1 rows of 2026-01-01 to 2026-01-07, not 7"):
        metrics.write_summary(
            start=str(FIRST), end=str(LAST), output=str(result_file), countries=["JP"]
        )

    assert not result_file.with_suffix(".csv").exists()


def test_the_summary_leaves_other_rows_of_the_file_out(result_file):
    """A file may hold other ranges and countries."""
    for day, country in [("2026-01-01", "JP"), ("2026-01-01", "US"), ("2026-01-02", "JP")]:
        store(result_file, day, country)

    metrics.write_summary(
        start="2026-01-01", end="2026-01-01", output=str(result_file), countries=["JP"]
    )

    lines = result_file.with_suffix(".csv").read_text().splitlines()
    assert [["country", "days"], ["JP", "1"]] == [line.split(",")[:2] for line in lines]


def test_writers_wait_for_each_other_instead_of_failing(result_file):
    """A write meets a lock that is held: it waits for it up to its busy timeout."""
    context = multiprocessing.get_context("fork")
    go = context.Event()
    # Forked before anything is open: SQLite's connections must not be carried over a fork.
    waiting = context.Process(target=store_on, args=(go, result_file, DAYS[0], "JP"))
    waiting.start()
    with closing(metrics.connect(result_file)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with (
            closing(metrics.connect(result_file, timeout_s=0)) as hasty,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            metrics.save_row(hasty, facts.row_of(FIRST, "JP", None))
        go.set()
        waiting.join(0.2)
        assert waiting.is_alive()
        holder.execute("COMMIT")
    waiting.join(30)

    assert 0 == waiting.exitcode
    assert [(DAYS[0], "JP")] == list(load(result_file))

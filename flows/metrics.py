"""Days x countries: one row of calendar and currency facts per day and country.

The everyday job of garcon with real data and no network. For each day of a range and each of 250
countries it stores whether the day is a public holiday (and its name) and a business day, the
country's currency and the European Central Bank's reference rate of it; `flows/facts.py` says from
which packages. A summary per country, as CSV, comes last.

    python -m garcon.pool flows.metrics --input '{"start": "2026-01-01", "end": "2026-01-07"}'

Input: `start` and `end` (ISO dates, both included); `countries`, a list of two-letter codes, all
countries without it; `output`, the result file, `results/metrics-<start>-<end>.db` without it.
Law: every row is an upsert by (day, country), so running anything twice changes nothing.

Why the data packages are imported at the top, with every country's module: the pool's workers are
forked from one process that has imported this flow, so it is paid once and its memory is shared.
"""

from __future__ import annotations

import csv
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import astuple, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from flows import facts
from garcon import activity, runner, task
from garcon.param import Param, StaticParam

domain = "garcon-samples"
name = "metrics"
create = activity.create(domain, name)

#: How long a write waits for other workers' writes, seconds. 16 workers that do nothing but write
#: wait 0.1 s at worst; the rest is for slow disks.
BUSY_TIMEOUT_S = 30

COLUMNS = tuple(field.name for field in fields(facts.Row))

SCHEMA = """
CREATE TABLE IF NOT EXISTS rates (
    currency TEXT NOT NULL,
    day TEXT NOT NULL,
    rate REAL NOT NULL,
    PRIMARY KEY (currency, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metrics (
    day TEXT NOT NULL,
    country TEXT NOT NULL,
    is_holiday INTEGER,
    holiday TEXT,
    is_business_day INTEGER,
    currency TEXT,
    rate REAL,
    rate_day TEXT,
    PRIMARY KEY (day, country)
) WITHOUT ROWID;
"""


# The input, checked.


def read_range(start: object, end: object) -> tuple[date, date]:
    """Return the first and the last day.

    Raises:
        ValueError: one is missing or no ISO date, or the range ends before it starts.
    """
    first, last = _read_day("start", start), _read_day("end", end)
    if first > last:
        raise ValueError(f"input 'start' ({first}) is after input 'end' ({last}): swap them")
    return first, last


def _read_day(key: str, value: object) -> date:
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        day = None
    # Python 3.11 reads further forms, such as 20260131; one day must have one key.
    if day is None or day.isoformat() != value:
        raise ValueError(f"input {key!r} must be an ISO date such as '2026-01-31', not {value!r}")
    return day


def read_countries(wanted: object) -> tuple[str, ...]:
    """Return the codes to run, each once; all of them where `wanted` is None.

    Raises:
        ValueError: no list of codes, an empty one, or a code that no country has.
    """
    if wanted is None:
        return facts.COUNTRIES
    if not isinstance(wanted, list) or not all(isinstance(code, str) for code in wanted):
        raise ValueError(f"input 'countries' must be a list such as ['FR', 'JP'], not {wanted!r}")
    if not wanted:
        raise ValueError("input 'countries' is empty: leave it out to run all countries")
    unknown = sorted(set(wanted).difference(facts.COUNTRIES))
    if unknown:
        raise ValueError(f"input 'countries' has unknown codes: {', '.join(unknown)}")
    return tuple(dict.fromkeys(wanted))


def read_output(output: object, first: date, last: date) -> Path:
    """Return the absolute path of the result file.

    Raises:
        ValueError: `output` is given and no text.
    """
    if output is None:
        output = f"results/metrics-{first}-{last}.db"
    if not isinstance(output, str) or not output:
        raise ValueError(f"input 'output' must be the path of a file, not {output!r}")
    return Path(output).resolve()


def days(context: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield each day of the range."""
    first, last = read_range(context.get("start"), context.get("end"))
    for offset in range((last - first).days + 1):
        yield {"day": (first + timedelta(days=offset)).isoformat()}


def countries(context: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield each country."""
    for code in read_countries(context.get("countries")):
        yield {"country": code}


# The result file. A connection lives as long as a task: it costs 0.2 ms, and a worker that serves
# for weeks then holds no file that was moved or deleted meanwhile.


def connect(path: str | Path, timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Return a connection in autocommit mode, to be closed by the caller."""
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_result_file(path: Path, first: date, last: date) -> None:
    """Make the result file with the rates of a range; what it already holds stays.

    Raises:
        ValueError: the file is there and is none of SQLite's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
            save_rates(connection, facts.bank_rates(first, last))
    except sqlite3.DatabaseError as error:
        raise ValueError(f"input 'output': {path} cannot be a result file: {error}") from error


def save_rates(connection: sqlite3.Connection, rates: Iterable[tuple[str, str, float]]) -> None:
    """Write rates (currency, day, rate) all at once, over those of the same currency and day."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO rates VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET rate = excluded.rate", rates
    )
    connection.execute("COMMIT")


def rate_on(
    connection: sqlite3.Connection, currency: str | None, day: date
) -> tuple[str, float] | None:
    """Return day and value of the currency's last rate up to `day`, None where there is none."""
    if currency == facts.EURO:
        return day.isoformat(), 1.0
    found = connection.execute(
        "SELECT day, rate FROM rates WHERE currency = ? AND day BETWEEN ? AND ?"
        " ORDER BY day DESC LIMIT 1",
        (currency, facts.rate_since(day), day.isoformat()),
    ).fetchone()
    return tuple(found) if found else None


def save_row(connection: sqlite3.Connection, row: facts.Row) -> None:
    """Write `row`, over what the file held for its day and country."""
    values = ", ".join("?" for _ in COLUMNS)
    updates = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[2:])
    connection.execute(
        f"INSERT INTO metrics ({', '.join(COLUMNS)}) VALUES ({values})"
        f" ON CONFLICT (day, country) DO UPDATE SET {updates}",
        astuple(row),
    )


def load_rows(connection: sqlite3.Connection, first: date, last: date) -> Iterator[facts.Row]:
    """Yield the rows of a range by country, then by day."""
    found = connection.execute(
        f"SELECT {', '.join(COLUMNS)} FROM metrics WHERE day BETWEEN ? AND ? ORDER BY country, day",
        (first.isoformat(), last.isoformat()),
    )
    for day, country, is_holiday, holiday, is_business_day, *currency in found:
        yield facts.Row(day, country, _flag(is_holiday), holiday, _flag(is_business_day), *currency)


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def save_summary(path: Path, summaries: list[dict[str, Any]]) -> None:
    """Write the CSV whole or not at all: a killed worker leaves no half file."""
    half = path.with_suffix(f".{os.getpid()}.part")
    with half.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(summaries[0]))
        writer.writeheader()
        writer.writerows(summaries)
    half.replace(path)


# The activities.


@task.decorate(timeout=120)
def make_output(
    start: str, end: str, countries: list[str] | None = None, output: str | None = None
) -> dict[str, str]:
    """Check the whole input, make the result file and return its absolute path."""
    first, last = read_range(start, end)
    read_countries(countries)
    path = read_output(output, first, last)
    make_result_file(path, first, last)
    return {"metrics.output": str(path)}


@task.decorate(timeout=120)
def store_day(day: str, country: str, output: str, busy_timeout_s: float) -> None:
    """Store the row of one day and country."""
    when = date.fromisoformat(day)
    with closing(connect(output, busy_timeout_s)) as connection:
        rate = rate_on(connection, facts.currency_of(country, when), when)
        save_row(connection, facts.row_of(when, country, rate))


@task.decorate(timeout=300)
def write_summary(
    start: str, end: str, output: str, countries: list[str] | None = None
) -> dict[str, str]:
    """Write the summary beside the result file; print its path and return it.

    Raises:
        ValueError: the file lacks rows of this range.
    """
    first, last = read_range(start, end)
    wanted = set(read_countries(countries))
    with closing(connect(output)) as connection:
        rows = [row for row in load_rows(connection, first, last) if row.country in wanted]
    expected = ((last - first).days + 1) * len(wanted)
    if len(rows) != expected:
        raise ValueError(f"{output} holds {len(rows)} rows of {first} to {last}, not {expected}")
    path = Path(output).with_suffix(".csv")
    save_summary(path, list(facts.summarize(rows)))
    print(path)
    return {"metrics.summary": str(path)}


prepare = create(
    name="prepare",
    run=runner.Sync(
        make_output.fill(start="start", end="end", countries="countries", output="output")
    ),
)

country_day = create(
    name="country_day",
    requires=[prepare],
    generators=[days, countries],
    retry=3,
    run=runner.Sync(
        store_day.fill(
            day="day",
            country="country",
            output=Param("metrics.output"),
            busy_timeout_s=StaticParam(BUSY_TIMEOUT_S),
        )
    ),
)

summary = create(
    name="summary",
    requires=[country_day],
    run=runner.Sync(
        write_summary.fill(start="start", end="end", output="metrics.output", countries="countries")
    ),
)

"""Facts that `flows.metrics` stores, against the packages they come from."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from flows import facts
from tests.sources import random_hundred, source_facts

FIRST, LAST = date(2026, 2, 1), date(2026, 3, 31)
DAYS = [(FIRST + timedelta(days=n)).isoformat() for n in range((LAST - FIRST).days + 1)]


@pytest.fixture(scope="module")
def rates():
    """Return all rates of the range by currency and day."""
    return {(code, day): value for code, day, value in facts.bank_rates(FIRST, LAST)}


def last_rate(rates, currency, day):
    """Return day and value of the last rate, looked up day by day."""
    for back in range(facts.RATE_AGE_DAYS + 1):
        quoted = (day - timedelta(days=back)).isoformat()
        if (currency, quoted) in rates:
            return quoted, rates[currency, quoted]
    return (day.isoformat(), 1.0) if currency == facts.EURO else None


def test_a_random_hundred_of_rows_is_what_the_packages_say(rates):
    """Holiday, name, business day, currency and rate equal the packages' own answers."""
    for day, country in random_hundred((d, c) for d in DAYS for c in facts.COUNTRIES):
        when = date.fromisoformat(day)
        rate = last_rate(rates, facts.currency_of(country, when), when)

        row = facts.row_of(when, country, rate)

        expected = source_facts(day, country)
        assert expected == {key: getattr(row, key) for key in expected}, (day, country)


def test_there_are_250_countries_without_aliases():
    """The fan-out of one day is 250 wide, each country once."""
    assert 250 == len(facts.COUNTRIES) == len(set(facts.COUNTRIES))


def test_about_105_countries_have_a_reference_rate(rates):
    """Less than half of the countries use a currency that the bank quotes."""
    quoted = {currency for currency, _ in rates} | {facts.EURO}

    with_rate = [c for c in facts.COUNTRIES if facts.currency_of(c, FIRST) in quoted]

    assert 100 <= len(with_rate) <= 110


def test_rates_start_14_days_before_the_range_and_end_with_it():
    """What is read serves a first day after a closed week, and no more."""
    first = date(2026, 4, 6)  # Easter Monday: the last quote is of Thursday, 2 April

    days = {day for _, day, _ in facts.bank_rates(first, first)}

    assert "2026-04-02" == max(days)
    assert "2026-03-23" == min(days)


def test_a_currency_the_bank_gave_up_has_no_rate():
    """The rouble was last quoted in March 2022; a range of 2026 does not see it."""
    assert "RUB" not in {code for code, _, _ in facts.bank_rates(FIRST, LAST)}


def test_a_year_the_source_does_not_know_is_none_and_not_a_business_day():
    """Beyond the years that `holidays` covers nothing is claimed of the day."""
    year = facts.calendar("FR", 2026).end_year + 1

    row = facts.row_of(date(year, 5, 1), "FR", None)

    assert (None, None, None) == (row.is_holiday, row.holiday, row.is_business_day)


def test_names_do_not_follow_the_environment(monkeypatch):
    """A worker with a German locale writes the same name as its siblings."""
    monkeypatch.setenv("LANGUAGE", "de")
    facts.calendar.cache_clear()

    row = facts.row_of(date(2026, 5, 1), "DE", None)

    facts.calendar.cache_clear()
    assert "Labor Day" == row.holiday


def test_a_working_saturday_is_a_business_day():
    """China works on some weekend days to make up for long holidays."""
    makeup = date(2026, 2, 14)

    assert facts.row_of(makeup, "CN", None).is_business_day


def row(day, country="US", **facts_of):
    """Return a row whose facts are None but for `facts_of`."""
    nothing = dict.fromkeys(("is_holiday", "holiday", "is_business_day", "currency"))
    return facts.Row(day, country, **{**nothing, "rate": None, "rate_day": None, **facts_of})


def test_a_summary_counts_days_and_compares_the_ends_of_the_range():
    """Business days and holidays are counted, the rate's change is from first to last day."""
    rows = [
        row("2026-01-01", is_holiday=True, is_business_day=False, currency="USD", rate=1.0),
        row("2026-01-02", is_holiday=False, is_business_day=True, currency="USD", rate=3.0),
        row("2026-01-03", is_holiday=False, is_business_day=False, currency="USD", rate=1.1),
    ]

    (summary,) = facts.summarize(rows)

    assert {
        "country": "US",
        "days": 3,
        "business_days": 1,
        "holidays": 1,
        "currency": "USD",
        "rate_first": 1.0,
        "rate_last": 1.1,
        "rate_change_percent": 10.0,
    } == summary


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"rate": 7.5, "currency": "HRK"}, {"rate": 1.0, "currency": "EUR"}),
        ({"rate": None, "currency": "AFN"}, {"rate": None, "currency": "AFN"}),
    ],
)
def test_a_rate_change_that_cannot_be_told_is_none(first, last):
    """Another currency at the end, or no rate, gives no change rather than a wrong one."""
    change = facts.rate_change_percent(row("2022-12-31", **first), row("2023-01-01", **last))

    assert change is None


def test_a_summary_has_one_line_per_country():
    """Rows of two countries never run together."""
    rows = [row("2026-01-01", "DE"), row("2026-01-02", "DE"), row("2026-01-01", "FR")]

    assert [("DE", 2), ("FR", 1)] == [(s["country"], s["days"]) for s in facts.summarize(rows)]

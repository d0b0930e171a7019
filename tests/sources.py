"""The facts of `flows.metrics` asked of the source packages another way than the flow asks them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any

import holidays
from babel.numbers import get_territory_currencies
from currency_converter import CurrencyConverter, RateNotFoundError

SEED = 20261123


@lru_cache(maxsize=1)
def _converter() -> CurrencyConverter:
    return CurrencyConverter(
        fallback_on_missing_rate=True, fallback_on_missing_rate_method="last_known"
    )


def random_hundred(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return a hundred of the pairs, the same ones every time."""
    return random.Random(SEED).sample(sorted(pairs), 100)


def source_facts(day: str, country: str) -> dict[str, Any]:
    """Return what the packages say of one day and country of 2026.

    Good for days on which every quoted currency has a rate of at most 14 days before.
    """
    when = date.fromisoformat(day)
    english = "en_US" in holidays.country_holidays(country).supported_languages
    calendar = holidays.country_holidays(country, language="en_US" if english else None)
    currencies = get_territory_currencies(country, start_date=when)
    currency = currencies[0] if currencies else None
    return {
        "is_holiday": calendar.get(when) is not None,
        "holiday": calendar.get(when),
        "is_business_day": calendar.is_working_day(when),
        "currency": currency,
        "rate": _rate(currency, when),
    }


def _rate(currency: str | None, when: date) -> float | None:
    converter = _converter()
    if currency not in converter.currencies:
        return None
    try:
        return converter.convert(1, "EUR", currency, date=when)
    except RateNotFoundError:
        return None

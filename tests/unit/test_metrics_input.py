"""The input of `flows.metrics`: what it refuses, and the fan-out that comes of it."""

from __future__ import annotations

from datetime import date

import pytest

from flows import facts, metrics

WEEK = {"start": "2026-01-01", "end": "2026-01-07"}


def test_days_are_every_day_of_the_range_with_both_ends():
    """A week over a month's end has seven days, in order."""
    found = list(metrics.days({"start": "2026-02-26", "end": "2026-03-04"}))

    assert ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"] == [
        one["day"] for one in found[:4]
    ]
    assert {"day": "2026-03-04"} == found[-1]
    assert 7 == len(found)


def test_one_day_is_a_range():
    """The same start and end give one day."""
    assert [{"day": "2026-01-01"}] == list(
        metrics.days({"start": "2026-01-01", "end": "2026-01-01"})
    )


@pytest.mark.parametrize("key", ["start", "end"])
@pytest.mark.parametrize("value", [None, "", "2026-13-01", "20260101", "2026-W01-1", 20260101])
def test_a_day_that_is_no_iso_date_is_refused_by_the_name_of_its_key(key, value):
    """The error names the key, the value and an example to follow."""
    with pytest.raises(ValueError, match=rf"input '{key}' must be an ISO date such as") as caught:
        list(metrics.days({**WEEK, key: value}))

    assert repr(value) in str(caught.value)


def test_a_range_that_ends_before_it_starts_is_refused():
    """Both ends are named, and the mend."""
    with pytest.raises(ValueError, match=r"'start' \(2026-01-02\) is after input 'end'.*swap"):
        metrics.read_range("2026-01-02", "2026-01-01")


def test_without_countries_all_250_run():
    """Each country comes once, as a context of its own."""
    found = [one["country"] for one in metrics.countries(WEEK)]

    assert list(facts.COUNTRIES) == found


def test_countries_narrow_the_run_and_count_once():
    """A code given twice is one instance."""
    found = list(metrics.countries({**WEEK, "countries": ["FR", "JP", "FR"]}))

    assert [{"country": "FR"}, {"country": "JP"}] == found


@pytest.mark.parametrize(
    ("countries", "text"),
    [
        ("FR", "must be a list"),
        ({"FR": 1}, "must be a list"),
        ([1], "must be a list"),
        ([], "is empty: leave it out"),
        (["FR", "XX", "fr"], "unknown codes: XX, fr"),
    ],
)
def test_countries_that_cannot_be_run_are_refused(countries, text):
    """A wrong list is named with what is wrong in it."""
    with pytest.raises(ValueError, match=f"input 'countries' .*{text}"):
        metrics.read_countries(countries)


def test_the_output_is_a_file_of_the_range_in_results_by_default(monkeypatch, tmp_path):
    """The path is absolute, so that workers in other folders find it."""
    monkeypatch.chdir(tmp_path)

    found = metrics.read_output(None, date(2026, 1, 1), date(2026, 1, 7))

    assert tmp_path / "results/metrics-2026-01-01-2026-01-07.db" == found


def test_a_given_output_is_taken_from_the_working_folder(monkeypatch, tmp_path):
    """A relative path counts from where the command runs."""
    monkeypatch.chdir(tmp_path)

    assert tmp_path / "a.db" == metrics.read_output("a.db", date.min, date.min)


@pytest.mark.parametrize("output", ["", 3, ["a.db"]])
def test_an_output_that_is_no_path_is_refused(output):
    """The key is named."""
    with pytest.raises(ValueError, match="input 'output' must be the path"):
        metrics.read_output(output, date.min, date.min)


def test_the_flow_declares_three_steps_in_a_row():
    """Prepare, then the fan-out with three retries, then the summary behind all of it."""
    assert [] == list(metrics.prepare.requires)
    assert [metrics.prepare] == list(metrics.country_day.requires)
    assert [metrics.country_day] == list(metrics.summary.requires)
    assert 3 == metrics.country_day.retry

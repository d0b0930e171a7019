"""What benchmarks make of their runs: ratios, verdicts, the page."""

from __future__ import annotations

import pytest

from benchmarks import _bodies, _page, _sides
from benchmarks import throughput as asked
from benchmarks._report import Figure, Report
from tests.acceptance.harness import Place


def figures(rate: float) -> _sides.Figures:
    """Return those of a run that was so fast."""
    return _sides.Figures(1.0, rate, 1.0, 100.0, {"engine": (0.5, 30.0)})


def table(garcon: dict[int, float], huey: dict[int, float]) -> asked.Table:
    """Return a table of two sides: rates by turn."""
    found = asked.Table("noop", quick=False)
    for name, rates in (("garcon", garcon), ("Huey", huey)):
        found.runs[name] = {turn: figures(rate) for turn, rate in rates.items()}
        found.counts[name] = 1_000
    return found


def values(report: Report, name: str) -> list[float]:
    """Return the values of a figure."""
    return next(one.values for one in report.figures if one.name == name)


def test_a_ratio_is_made_within_a_turn():
    """A turn in which one of both failed has none, and does not shift the others."""
    found = table({0: 100.0, 1: 200.0, 2: 300.0}, {0: 100.0, 2: 100.0}).report()

    assert values(found, "garcon / Huey") == [1.0, 3.0]


def test_a_side_that_failed_is_a_note_and_is_given_up(monkeypatch):
    """It is tried twice; what it said stands below the table."""
    tried = []

    def fail(side, body, count):
        tried.append(side.name)
        raise RuntimeError("no server")

    monkeypatch.setattr(_sides, "measure", fail)
    found = asked.Table("noop", quick=False)
    for turn in range(3):
        found.measure(turn, asked.others.HueySqlite, 10)

    assert tried == ["Huey", "Huey"]
    assert found.report().notes == ["Huey failed 2 times, at last: RuntimeError: no server"]


def test_the_median_decides_whether_a_goal_is_met():
    """One good run of three meets nothing; without a goal there is no verdict."""
    assert Figure("", "x", [0.8, 0.8, 1.0], 0.9).verdict == "no"
    assert Figure("", "ms", [10.0, 30.0, 12.0], 20.0, at_most=True).verdict == "yes"
    assert Figure("", "x", [1.0]).verdict == ""


@pytest.mark.parametrize(
    "lines",
    [
        "0\nfinal 2.0\n",
        "0\n1\n1\nfinal 2.0\n",
        "0\nfinal 2.0\n1\n",
        "0\n1\nfinal 2.0\nfinal 2.1\n",
    ],
)
def test_a_run_that_is_not_whole_counts_for_nothing(tmp_path, lines):
    """An instance is missing, or ran twice; the final step ran early, or twice."""
    side = _sides.Garcon(Place(tmp_path))
    side.ledger.write_text(lines)

    with pytest.raises(RuntimeError):
        side._finished_s(2)


def test_a_whole_run_ends_with_the_final_step(tmp_path, monkeypatch):
    """The bodies write what the sides look for."""
    side = _sides.Garcon(Place(tmp_path))
    monkeypatch.setenv(_bodies.LEDGER, str(side.ledger))
    monkeypatch.setattr(_bodies, "_files", {})
    for number in (1, 0):
        _bodies.run("noop", number)
    assert not _sides.is_over(side.ledger.read_bytes())
    _bodies.finish()

    assert _sides.is_over(side.ledger.read_bytes())
    assert side._finished_s(2) > 0


def test_the_page_holds_what_was_measured_and_nothing_else(tmp_path, monkeypatch):
    """A question without results is left out; a short run's page stands with its results."""
    monkeypatch.setattr("benchmarks._report.QUICK_RESULTS", tmp_path)
    report = Report("latency", "two runs", quick=True)
    report.add("one activity alone", "ms", [10.0, 12.0], 20.0, at_most=True)
    report.save()
    page = _page.make(tmp_path, tmp_path).read_text()

    assert "| one activity alone | 11 | 10 | 12 | 2 | ms | <= 20 | yes |" in page
    assert "python -m benchmarks.fanout" not in page.partition("## How long")[2]

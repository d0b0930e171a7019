"""The report: what is where, and that nothing on it is anything but text."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from garcon.backfill.cells import Cell, Grid, Mark, Told
from garcon.backfill.layout import WRAP, lay_out
from garcon.backfill.page import render, visible
from garcon.backfill.paint import Shown, grouped_failures, paint, rate_curve, slowest, totals
from garcon.manifest import Manifest

NOW = datetime(2026, 1, 8, 12, tzinfo=timezone.utc)
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><!--",
    "\"'`&amp;",
    "\u202eabc\u2067\u200f\u061c",
    "a\u2028b\x00c\ud800",
)


def entries(key, *values):
    """Return a list of a manifest."""
    return tuple({key: value} for value in values)


def a_grid(*lists, activity="each"):
    """Return a fan-out about which nothing is known."""
    return Grid(Manifest(activity, f"flow_{activity}", lists or None, 1))


def shown_of(*grids, title="2026-01-01"):
    """Return an execution with these fan-outs."""
    told = Told({(one.manifest.activity, ""): one for one in grids}, "FAILED", 100, 10, 2)
    return Shown(title, "flow-1", "run-1", told, NOW, NOW)


def script_and_style():
    """Return the page's own script and style."""
    folder = files("garcon.backfill")
    return [folder.joinpath(f"page.{end}").read_text(encoding="utf-8") for end in ("css", "js")]


def page_of(*shown, title="flow"):
    """Return a page."""
    return render(title, shown, *script_and_style(), NOW)


class Reading(HTMLParser):
    """What a browser would make of a page: tags, and texts outside of scripts."""

    def __init__(self, text):
        """Read `text`."""
        super().__init__()
        self.tags, self.texts, self.scripts, self._inside = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note a tag with its attributes."""
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        """Note that it is over."""
        del tag
        self._inside = ""

    def handle_data(self, data):
        """Note a text."""
        (self.scripts if self._inside == "script" else self.texts).append(data)


def data_of(text):
    """Return what the page's script would read."""
    return json.loads(Reading(text).scripts[0])


def test_days_are_rows_and_countries_columns():
    """A place says what it is."""
    layout = lay_out(a_grid(entries("day", "a", "b"), entries("c", "X", "Y", "Z")).manifest)

    assert (["a", "b"], ["X", "Y", "Z"]) == (layout.rows, layout.columns)
    assert [0, 1, 5] == [layout.place(n) for n in (0, 1, 5)]


def test_three_lists_multiply_into_columns():
    """Named with their keys."""
    layout = lay_out(
        a_grid(entries("day", "a", "b"), entries("c", "X", "Y"), entries("n", 1, 2)).manifest
    )

    assert ["c=X,n=1", "c=X,n=2", "c=Y,n=1", "c=Y,n=2"] == layout.columns
    assert 4 == layout.width


def test_one_list_with_two_keys_is_divided_by_the_first():
    """Wherever its entries stand."""
    listed = tuple({"day": day, "c": c} for day, c in ("aX", "bX", "aY", "bZ"))
    manifest = a_grid(listed).manifest
    layout = lay_out(manifest)

    assert (["a", "b"], ["X", "Y", "Z"]) == (layout.rows, layout.columns)
    assert [0, 3, 1, 5] == [layout.place(n) for n in range(4)]


@pytest.mark.parametrize(
    "listed",
    [
        entries("n", *range(120)),
        tuple({"a": n, "b": n} for n in range(120)),
        tuple({"a": n, **({"b": n} if n % 2 else {})} for n in range(120)),
        (),
    ],
)
def test_what_is_no_table_is_wrapped(listed):
    """In its own order."""
    manifest = a_grid(listed).manifest
    layout = lay_out(manifest)

    assert () == layout.columns
    assert (len(listed) + WRAP - 1) // WRAP == len(layout.rows)
    assert all(n == layout.place(n) for n in range(manifest.count))


def painted():
    """Return a fan-out with every state."""
    grid = a_grid(entries("day", "a", "b"), entries("c", "X", "Y", "Z"))
    grid.cells = {
        0: Cell(Mark.DONE, 1, 10.0, 10.5),
        1: Cell(Mark.DONE, 3, 10.0, 12.0, "was wrong once"),
        2: Cell(Mark.FAILED, 4, 11.0, 11.25, "ValueError: no"),
        3: Cell(Mark.RUNNING, 1, 12.0),
        4: Cell(Mark.WAITING, 1),
    }
    return grid


def test_every_instance_has_its_letter_its_time_and_its_attempts():
    """And the error of what failed, but of nothing that came right."""
    (one,) = paint([shown_of(painted())])

    assert "dtfrwm" == "".join(one.marks)
    assert [500, 2000, 250, -1, -1, -1] == one.milliseconds
    assert {1: 3, 2: 4} == one.attempts
    assert {2: 0} == one.reasons
    assert {"ValueError: no": 0} == one.texts


def test_executions_of_the_same_columns_are_one_grid():
    """31 nights of 250 countries are a month."""
    nights = [
        shown_of(a_grid(entries("day", f"d{n}"), entries("c", "X", "Y")), title=f"n{n}")
        for n in range(3)
    ]
    other = shown_of(a_grid(entries("day", "d9"), entries("c", "X")))
    singles = [shown_of(a_grid(activity="end"), title=f"n{n}") for n in range(2)]

    month, alone = paint([*nights, other])
    (ends,) = paint(singles)

    assert (["d0", "d1", "d2"], 6) == (month.rows, len(month.marks))
    assert ["d9"] == alone.rows
    assert ["n0", "n1"] == ends.rows


def test_the_slowest_and_the_failures_are_named():
    """Longest first; equal errors once, with how many and the first one's keys."""
    grid = painted()
    grid.cells[5] = Cell(Mark.FAILED, 4, 11.0, 11.1, "ValueError: no")

    shown = [shown_of(grid)]

    assert [("each", "day=a,c=Y"), ("each", "day=a,c=X")] == [one[:2] for one in slowest(shown)][:2]
    assert [("each", "ValueError: no", 2, "day=a,c=Z")] == grouped_failures(shown)
    assert {
        "done": 1,
        "retried": 1,
        "failed": 2,
        "running": 1,
        "waiting": 1,
        "missing": 0,
    } == totals(shown)


def test_the_rate_is_counted_over_the_time_of_the_run():
    """All that completed is under the curve."""
    grid = a_grid(entries("n", *range(240)))
    grid.cells = {n: Cell(Mark.DONE, 1, 100.0 + n, 101.0 + n) for n in range(240)}

    first, last, rates = rate_curve([shown_of(grid)])

    assert (101.0, 340.0) == (first, last)
    assert 240 == round(sum(rate * (last - first) / len(rates) for rate in rates))
    assert (0.0, 0.0, []) == rate_curve([shown_of(a_grid())])


def test_hostile_texts_are_text_wherever_they_stand():
    """Keys, errors, titles, names of activities and executions."""
    lists = (entries("day", *HOSTILE), entries("c", *HOSTILE))
    grid = a_grid(*lists, activity=HOSTILE[0])
    wrapped = a_grid(entries("n", *HOSTILE), activity="wrapped")
    for one in (grid, wrapped):
        for index in range(one.manifest.count):
            one.cells[index] = Cell(Mark.FAILED, 1, 1.0, 2.0, HOSTILE[index % len(HOSTILE)])
    shown = [shown_of(grid, wrapped, title=text) for text in HOSTILE]

    text = page_of(*shown, title=HOSTILE[1])
    clean = Reading(page_of(shown_of(a_grid())))
    read = Reading(text)

    assert {tag for tag, _ in clean.tags} | {"svg", "path", "text"} >= {tag for tag, _ in read.tags}
    assert 2 == len(read.scripts)
    assert HOSTILE[0] in read.texts
    data = data_of(text)
    assert visible(HOSTILE[0]) == data["grids"][0]["rows"][0]
    assert all("on" != name[:2] for _, attributes in read.tags for name in attributes)
    assert not re.search(
        "[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\x00-\x08\ud800-\udfff]", text
    )
    text.encode("utf-8")


def test_what_nobody_could_see_is_spelt_out():
    """And nothing else is touched."""
    assert "[U+202E]abc[U+2067][U+200F][U+061C]" == visible(HOSTILE[3])
    assert "a[U+2028]b[U+0000]c[U+D800]" == visible(HOSTILE[4])
    assert "Zürich 東京 مرحبا" == visible("Zürich 東京 مرحبا")


def test_the_page_loads_nothing_and_runs_only_its_own_script():
    """Its policy says so, and it names no address."""
    import base64
    import hashlib

    text = page_of(shown_of(painted()))
    read = Reading(text)
    policy = next(a["content"] for tag, a in read.tags if a.get("http-equiv"))

    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert {"data:,"} == {a[name] for _, a in read.tags for name in ("src", "href") if name in a}
    assert "http:" not in text
    assert "https:" not in text


def test_a_year_of_countries_is_a_small_page():
    """91,250 cells, a few bytes each."""
    grid = a_grid(entries("day", *map(str, range(365))), entries("c", *map(str, range(250))))
    for index in range(grid.manifest.count):
        grid.cells[index] = Cell(Mark.DONE, 1, 1.0, 1.0 + index % 100 / 100)

    text = page_of(shown_of(grid))

    assert len(text) < 1_000_000
    assert 91_250 == len(data_of(text)["grids"][0]["marks"])

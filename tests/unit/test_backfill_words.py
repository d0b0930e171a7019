"""The words of a backfill command, read and written."""

from __future__ import annotations

import shlex
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from garcon.backfill.days import DayRange
from garcon.backfill.words import read_words
from garcon.client import Engine
from garcon.errors import UsageError

LOCAL = Engine("local", path=Path("/srv/engine.db"))


def words_of(**told):
    """Return the words of a command, on 10 March 2026."""
    now = datetime(2026, 3, 10, 1, 30, tzinfo=timezone.utc)
    return read_words({"flow": "flows.metrics", **told}, now)


def test_a_setting_that_swf_cannot_keep_is_refused(tmp_path, monkeypatch):
    """A shell whose locale is not UTF-8 makes such texts; the option is named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^--set: city holds a lone surrogate"):
        words_of(settings=("city=\udcc3",))


def test_the_line_that_goes_on_is_read_as_it_was_meant(tmp_path, monkeypatch):
    """By a shell, from any folder, whatever the input holds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in put.json").write_text('{"b": 1}', encoding="utf-8")
    settings = ('text=it\'s "quoted" $HOME', "n=5")
    words = words_of(days="last-7", settings=settings, input_text="@in put.json", tz="UTC")
    (one,) = words.ranges("metrics", [])

    line = shlex.split(words.command_for("run", one, LOCAL))

    assert ["-m", "garcon.backfill", "flows.metrics", "run"] == line[1:5]
    assert ["--days", "2026-03-03..2026-03-09"] == line[5:7]
    assert ["--input", f"@{tmp_path}/in put.json", "--set", settings[0]] == line[7:11]
    assert ["--engine", "local:/srv/engine.db", "--chdir", str(tmp_path)] == line[-4:]
    assert {"start", "end", "text", "n", "b"} == set(one.input)


@pytest.mark.parametrize(
    ("engine", "word"),
    [
        (Engine("aws", region="eu-west-1"), "aws"),
        (Engine("url", url="http://127.0.0.1:80"), "http://127.0.0.1:80"),
    ],
)
def test_the_line_names_the_engine(engine, word):
    """The one that was found, whoever had named it."""
    words = words_of(days="yesterday")
    (one,) = words.ranges("metrics", [])

    assert word in shlex.split(words.command_for("run", one, engine))


def test_an_input_that_names_its_days_is_told_by_itself():
    """They are not named twice."""
    words = words_of(input_text='{"start": "2026-01-01", "end": "2026-01-02"}')
    (one,) = words.ranges("metrics", [])

    line = shlex.split(words.command_for("run", one, LOCAL))

    assert DayRange(date(2026, 1, 1), date(2026, 1, 2)) == one.days
    assert "--days" not in line


def test_yesterday_is_that_of_the_zone():
    """At half past one in London it is still the day before in New York."""
    assert "2026-03-09" == str(words_of(days="yesterday", tz="Europe/London").days)
    assert "2026-03-08" == str(words_of(days="yesterday", tz="America/New_York").days)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"each": "day"}, "--each divides days"),
        ({"days": "yesterday", "max_days": 3}, "--max-days bounds --catch-up"),
        ({"days": "yesterday", "settings": ("start=1",)}, "both give start"),
        ({"catch_up": True, "settings": ("end=1",)}, "both give end"),
        ({"days": "yesterday", "report": "/no/such/folder/x.html"}, "there is no folder"),
        ({"days": "yesterday", "keys": ("x",)}, "--keys"),
    ],
)
def test_words_that_do_not_go_together_are_told(told, text):
    """Before anything is started."""
    with pytest.raises(UsageError, match=text):
        words_of(**told)

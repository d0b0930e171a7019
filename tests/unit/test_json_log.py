"""A log of JSON lines alone."""

from __future__ import annotations

import io
import json

from garcon.log import LogSettings
from garcon.pool.json_log import JsonLines

SETTINGS = LogSettings(process="supervisor", flow="flows.metrics", json=True)


def written(text: str) -> list[str]:
    """Return the lines that come of writing `text`."""
    stream = io.StringIO()
    JsonLines(stream, SETTINGS).write(text)
    return stream.getvalue().splitlines()


def test_a_line_for_people_becomes_an_event():
    """With all that other lines have."""
    (line,) = map(json.loads, written("engine: local, engine.db\n"))

    assert ("pool.note", "engine: local, engine.db") == (line["event"], line["text"])
    assert ("INFO", "supervisor", "flows.metrics") == (line["level"], line["process"], line["flow"])


def test_a_line_that_is_json_already_passes_as_it_is():
    """A worker's own log, on its way through the supervisor."""
    line = '{"time": "now",  "event": "task.done"}'

    assert [line] == written(line + "\n")


def test_what_only_looks_like_json_is_told_as_text():
    """A dict that a task has printed; a number; half an object."""
    for text in ("{'a': 1}", "7", '{"a": '):
        (line,) = map(json.loads, written(text + "\n"))
        assert text == line["text"]


def test_stacks_come_line_by_line():
    """And no bar is drawn into such a log."""
    assert ["one", "two"] == [json.loads(line)["text"] for line in written("one\ntwo\n")]
    assert not JsonLines(io.StringIO(), SETTINGS).isatty()

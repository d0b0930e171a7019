"""Logging: the execution in the logger's name, events with fields, one set of handlers."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from garcon import log


def execution(workflow_id: str = "w") -> dict[str, Any]:
    """Return a context that names an execution."""
    return {
        "execution.domain": "dev",
        "execution.workflow_id": workflow_id,
        "execution.run_id": "r",
    }


@pytest.fixture(autouse=True)
def _own_root() -> Iterator[None]:
    """Leave the root logger, and the current execution, as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    log.GarconLogger().unset_log_context()
    root.handlers[:], root.level = handlers, level


def test_the_namespace_names_the_execution() -> None:
    """Domain, workflow id and run id under garcon's prefix."""
    assert log.LOGGER_PREFIX == "garcon"
    assert log.get_logger_namespace(execution()) == "garcon.dev.w.r"


def test_the_logger_is_named_after_the_execution_until_it_is_unset() -> None:
    """Before and after, it is garcon's own."""
    one = log.GarconLogger()
    assert (one.logger.name, one.logger_name) == ("garcon", None)

    one.set_log_context(execution())
    assert (one.logger.name, one.logger_name) == ("garcon.dev.w.r", "garcon.dev.w.r")

    one.unset_log_context()
    assert (one.logger.name, one.logger_name) == ("garcon", None)


def test_a_context_without_an_execution_changes_nothing() -> None:
    """A task run by hand has none."""
    one = log.GarconLogger()

    one.set_log_context({"execution.domain": "dev"})

    assert one.logger_name is None


def test_two_threads_never_mix_their_executions() -> None:
    """Garcon 1.1.1 kept the name on the shared activity."""
    shared = log.GarconLogger()
    both_set = threading.Barrier(2, timeout=10)
    names: dict[str, str | None] = {}

    def serve(workflow_id: str) -> None:
        shared.set_log_context(execution(workflow_id))
        both_set.wait()
        names[workflow_id] = shared.logger_name

    threads = [threading.Thread(target=serve, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert names == {"one": "garcon.dev.one.r", "two": "garcon.dev.two.r"}


def test_handlers_and_levels_of_the_nearest_registered_logger_are_inherited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Handlers set on garcon, or below it, serve every execution."""
    one = log.GarconLogger()
    with caplog.at_level(logging.DEBUG, "garcon.dev"):
        one.set_log_context(execution())
        one.logger.debug("seen")
        one.set_log_context({**execution(), "execution.domain": "other"})
        one.logger.debug("not seen")

    assert caplog.record_tuples == [("garcon.dev.w.r", logging.DEBUG, "seen")]


def test_a_logger_that_the_user_registered_for_an_execution_is_used() -> None:
    """It may have handlers of its own."""
    mine = logging.getLogger("garcon.dev.registered.r")
    one = log.GarconLogger()

    one.set_log_context(execution("registered"))

    assert one.logger is mine


def test_a_logger_of_a_past_execution_is_freed() -> None:
    """Logging's registry keeps every name for ever; a pool serves runs for months."""
    one = log.GarconLogger()
    one.set_log_context(execution("past"))
    freed = weakref.ref(one.logger)

    one.unset_log_context()
    gc.collect()

    assert freed() is None
    assert "garcon.dev.past.r" not in logging.Logger.manager.loggerDict


def test_an_event_is_text_that_can_be_searched(caplog: pytest.LogCaptureFixture) -> None:
    """A fixed name, fields in their order, quotes only where they are needed, None left out."""
    logger = logging.getLogger("garcon.pool")
    with caplog.at_level(logging.INFO, "garcon"):
        log.log_event(
            logger,
            logging.INFO,
            "slot.killed",
            slot=3,
            after_s=60.0,
            why="no answer",
            empty="",
            quote='a"b',
            nothing=None,
        )

    assert caplog.messages == [
        'event=slot.killed slot=3 after_s=60.000 why="no answer" empty="" quote="a\\"b"'
    ]


def test_an_event_below_the_level_costs_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """Its fields are not even turned into text."""

    class Unreadable:
        def __str__(self) -> str:
            raise AssertionError("read")

    with caplog.at_level(logging.INFO, "garcon"):
        log.log_event(logging.getLogger("garcon"), logging.DEBUG, "x", field=Unreadable())

    assert caplog.messages == []


def test_lines_on_stderr_tell_instant_level_process_and_logger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """UTC to the millisecond."""
    own = log.configure(log.LogSettings(process="worker-3"))
    logging.getLogger("garcon").info("hello")
    logging.getLogger("garcon").debug("not at this level")
    own.close()

    line = capsys.readouterr().err
    instant, level, process, rest = line.split(" ", 3)
    assert instant.endswith("Z")
    assert len(instant) == len("2026-01-01T00:00:00.000Z")
    assert (level, rest) == ("INFO", "garcon: hello\n")
    assert process.startswith("worker-3[")


def test_a_line_tells_the_flow_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Several pools may write to one journal."""
    own = log.configure(log.LogSettings(process="worker-3", flow="flows.metrics"))
    logging.getLogger("garcon").info("hello")
    own.close()

    assert " INFO flows.metrics worker-3[" in capsys.readouterr().err


@pytest.mark.parametrize("is_json", [False, True])
def test_a_traceback_that_another_process_has_told_follows(
    capsys: pytest.CaptureFixture[str], is_json: bool
) -> None:
    """Line by line below the event, or as a field of it."""
    own = log.configure(log.LogSettings(json=is_json))
    logger = logging.getLogger("garcon.pool")
    log.log_event(logger, logging.ERROR, "import.failed", why="no", traceback="Trace\n  last\n")
    own.close()

    first, *others = capsys.readouterr().err.splitlines()
    if is_json:
        assert json.loads(first)["traceback"] == "Trace\n  last\n"
        assert others == []
    else:
        assert first.endswith("event=import.failed why=no")
        assert others == ["Trace", "  last"]


def test_json_lines_hold_the_fields_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """An event's fields are at the top, and never hide who speaks."""
    own = log.configure(log.LogSettings(process="worker-3", json=True))
    told = {"slot": 3, "pid": 4121, "process": "x"}
    log.log_event(logging.getLogger("garcon.pool"), logging.INFO, "slot.killed", **told)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("garcon").exception("it %s", "failed")
    own.close()

    event, message = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (event["event"], event["slot"], event["process"]) == ("slot.killed", 3, "worker-3")
    assert event["pid"] == 4121
    assert message["pid"] == os.getpid()
    assert "message" not in event
    assert (message["message"], message["level"]) == ("it failed", "ERROR")
    assert message["traceback"].endswith("ValueError: no")


def test_a_json_line_tells_what_its_task_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever logs inside, a library too; threads that carry the context on as well."""
    own = log.configure(log.LogSettings(json=True, flow="flows.metrics"))
    with log.about(workflow="w", run="r"), log.about(activity="fetch"):
        logging.getLogger("some.library").info("hello")
        around = copy_context()
    around.run(logging.getLogger("some.library").info, "from a thread")
    logging.getLogger("garcon").info("outside")
    own.close()

    inside, carried, outside = map(json.loads, capsys.readouterr().err.splitlines())
    for line in (inside, carried):
        assert (line["workflow"], line["run"], line["activity"]) == ("w", "r", "fetch")
    assert inside["flow"] == outside["flow"] == "flows.metrics"
    assert "workflow" not in outside


def test_an_event_may_bring_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """In a text line below it, in a JSON line as a field."""
    for as_json in (False, True):
        own = log.configure(log.LogSettings(json=as_json))
        error = ValueError("no")
        log.log_event(logging.getLogger("garcon"), logging.ERROR, "pool.accident", exc_info=error)
        own.close()

    *text, line = capsys.readouterr().err.splitlines()
    assert text[0].endswith("event=pool.accident")
    assert text[-1] == "ValueError: no"
    assert json.loads(line)["traceback"] == "ValueError: no"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_queue_between_changes_no_line(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The writing thread formats what the caller put in."""
    logger = logging.getLogger("garcon")
    for queued in (False, True):
        own = log.configure(log.LogSettings(json=as_json, queued=queued))
        log.log_event(logger, logging.INFO, "slot.killed", slot=3)
        try:
            raise ValueError("no")
        except ValueError:
            logger.exception("it failed")
        own.close()

    lines = capsys.readouterr().err.splitlines()
    straight, through = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    without_instant = [
        [json.loads(line) | {"time": 0} if as_json else line[24:] for line in half]
        for half in (straight, through)
    ]
    assert without_instant[0] == without_instant[1]
    assert len(straight) >= 2


def test_a_full_queue_drops_debug_first_and_tells_how_many(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller never waits for the writer, here one that stands still."""
    monkeypatch.setattr(log, "QUEUE_MAX", 8)
    monkeypatch.setattr(log, "QUEUE_FULL_FOR_DEBUG", 4)
    entered, may_go_on = threading.Event(), threading.Event()

    class Stands(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - its signature
            entered.set()
            return may_go_on.wait(10)

    own = log.configure(log.LogSettings(level="DEBUG", queued=True))
    listener = own._listener
    assert listener is not None
    listener.handlers[0].addFilter(Stands())
    logger = logging.getLogger("garcon")
    logger.info("in the writer's hands")
    assert entered.wait(10)
    for number in range(6):
        logger.debug("debug %s", number)
    for number in range(6):
        logger.info("info %s", number)
    may_go_on.set()
    own.close()

    lines = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "in the writer's hands",
        *[f"debug {number}" for number in range(4)],
        *[f"info {number}" for number in range(4)],
        "event=log.dropped count=4",
    ]
    assert own.dropped == 4


def test_closing_does_not_wait_for_ever_for_a_writer_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that is gone must not hold the process."""
    monkeypatch.setattr(log, "CLOSE_S", 0.01)
    may_go_on = threading.Event()

    class Stands(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - its signature
            return may_go_on.wait(10)

    own = log.configure(log.LogSettings(queued=True))
    assert own._listener is not None
    own._listener.handlers[0].addFilter(Stands())
    logging.getLogger("garcon").info("never written")

    own.close()

    assert not may_go_on.is_set()
    may_go_on.set()


def test_a_file_is_written_and_rotated(tmp_path: Path) -> None:
    """All processes write into one."""
    path = tmp_path / "garcon.log"
    own = log.configure(
        log.LogSettings(file=str(path), process="supervisor", file_max_bytes=400, file_count=2)
    )
    for number in range(8):
        logging.getLogger("garcon").info("line %s", number)
    own.close()

    lines = [line for one in tmp_path.glob("garcon.log*") for line in one.read_text().splitlines()]
    assert any("supervisor[" in line and line.endswith("garcon: line 7") for line in lines)
    assert (tmp_path / "garcon.log.1").exists()


def test_configuring_again_replaces_what_was_set_up_here_only() -> None:
    """A child of the zygote sets up its own; handlers of the user stay."""
    mine = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(mine)
    before = len(root.handlers)

    log.configure(log.LogSettings())
    own = log.configure(log.LogSettings(level="ERROR"))

    assert len(root.handlers) == before + 1
    assert mine in root.handlers
    assert root.level == logging.ERROR
    own.close()
    assert len(root.handlers) == before


def test_boto3_never_logs_its_debug(capsys: pytest.CaptureFixture[str]) -> None:
    """It holds whole requests: results of users, and session tokens."""
    own = log.configure(log.LogSettings(level="DEBUG"))
    logging.getLogger("botocore.endpoint").debug("secret")
    logging.getLogger("garcon").debug("seen")
    own.close()

    assert "secret" not in (err := capsys.readouterr().err)
    assert "seen" in err

"""Logging: who speaks (the execution), and where to (one set of handlers a process).

The execution of the moment is held in a context variable, not on an object, so two threads that
serve two executions never mix their names; `runner.Async` carries it into its threads. Events of
garcon itself have a fixed name and fields, `event=slot.killed slot=3 pid=4121`, so that they can be
searched. Law: nothing here waits for a reader; with `queued=True` not even for a disk.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from logging.handlers import QueueHandler, QueueListener
from typing import Any

#: Root of the names of garcon's loggers; handlers set on it serve every execution.
LOGGER_PREFIX = "garcon"

#: Records that wait for the writing thread before DEBUG is dropped, and before all else is.
QUEUE_MAX = 10_000
QUEUE_FULL_FOR_DEBUG = QUEUE_MAX * 3 // 4

#: Seconds that closing waits for a writer that stands still.
CLOSE_S = 5.0

_EXECUTION_KEYS = ("execution.domain", "execution.workflow_id", "execution.run_id")

_TOO_TALKATIVE = ("boto3", "botocore", "urllib3", "s3transfer")

_current: ContextVar[logging.Logger | None] = ContextVar("garcon_logger", default=None)
_about: ContextVar[Mapping[str, Any] | None] = ContextVar("garcon_log_fields", default=None)


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Give `fields` with every JSON line that is logged inside, also by code of the user's."""
    token = _about.set({**(_about.get() or {}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


class GarconLogger:
    """Gives a class a `logger` whose name tells the execution that is being served.

    Set up at least one logger at or above `garcon`; its handlers are inherited. A formatter shows
    the execution when it holds the name, as in `%(asctime)s - %(name)s - %(levelname)s -
    %(message)s`, which gives `... - garcon.<domain>.<workflow id>.<run id> - INFO - ...`.
    """

    @property
    def logger(self) -> logging.Logger:
        """Logger of the current execution, or garcon's own while none is served."""
        return _current.get() or logging.getLogger(LOGGER_PREFIX)

    @property
    def logger_name(self) -> str | None:
        """Name of the current execution's logger, None while none is served."""
        logger = _current.get()
        return logger.name if logger else None

    def set_log_context(self, execution_context: Mapping[str, Any]) -> None:
        """Name the logger after an execution, for this thread or task alone.

        Args:
            execution_context: a context; one that lacks the execution's domain, workflow id or run
                id changes nothing.
        """
        if all(key in execution_context for key in _EXECUTION_KEYS):
            _current.set(_logger_of(get_logger_namespace(execution_context)))

    def unset_log_context(self) -> None:
        """Let the logger be garcon's own again."""
        _current.set(None)


def get_logger_namespace(execution_context: Mapping[str, Any]) -> str:
    """Return the logger's name for an execution: `garcon.<domain>.<workflow id>.<run id>`."""
    parts = [str(execution_context.get(key)) for key in _EXECUTION_KEYS]
    return ".".join([LOGGER_PREFIX, *parts])


def _logger_of(name: str) -> logging.Logger:
    """Return the logger of `name` without entering it into logging's registry.

    The registry never forgets, and a pool serves a run id after the other for months; a logger
    that hangs below its nearest registered ancestor behaves the same and is freed with its run.
    """
    registered = logging.Logger.manager.loggerDict
    if isinstance(found := registered.get(name), logging.Logger):
        return found
    logger = logging.Logger(name)
    logger.parent = logging.getLogger()
    for end in [match.start() for match in re.finditer(r"\.", name)]:
        ancestor = registered.get(name[:end])
        if isinstance(ancestor, logging.Logger):
            logger.parent = ancestor
    return logger


def log_event(
    logger: logging.Logger,
    level: int,
    event: str,
    *,
    exc_info: BaseException | None = None,
    traceback: str | None = None,
    **fields: Any,
) -> None:
    """Log what happened under a fixed name: `event=slot.killed slot=3 pid=4121`.

    Args:
        logger: where to.
        level: one of logging's levels.
        event: a fixed name, `thing.what-happened`.
        exc_info: an error whose traceback is to follow.
        traceback: one that another process has told as text, likewise.
        fields: facts in plain values; fields that are None are left out. As text, values are quoted
            where they need it; as JSON lines they stay what they are.
    """
    if not logger.isEnabledFor(level):
        return
    facts = {name: value for name, value in fields.items() if value is not None}
    text = " ".join([f"event={event}", *(f"{name}={_word(facts[name])}" for name in facts)])
    extra = {"garcon_event": {"event": event, **facts}, "garcon_traceback": traceback}
    logger.log(level, "%s", text, extra=extra, exc_info=exc_info, stacklevel=2)


def _word(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if text and re.fullmatch(r"[^\s\"'=\\]+", text) and text.isprintable():
        return text
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class LogSettings:
    """Where a process of the pool logs to.

    Attributes:
        level: lowest level that is written, by logging's name for it.
        file: path of one file that all processes share and that rotates; None is stderr.
        json: JSON lines instead of text.
        process: what this process is, such as `worker-3`; shown on each line.
        flow: the flow that it serves; told on each line.
        queued: a thread writes, so that the caller never waits for a disk or a reader.
        file_max_bytes: size at which the file is rotated.
        file_count: rotated files that are kept.
    """

    level: str = "INFO"
    file: str | None = None
    json: bool = False
    process: str = "garcon"
    flow: str | None = None
    queued: bool = False
    file_max_bytes: int = 50_000_000
    file_count: int = 5


class TextFormatter(logging.Formatter):
    """One line a record: instant in UTC, level, flow, process, logger, message."""

    def __init__(self, process: str, flow: str | None = None) -> None:
        """Show `process` and, where there is one, `flow` on each line."""
        speaker = f"{process}[%(process)d]" if flow is None else f"{flow} {process}[%(process)d]"
        super().__init__(f"%(asctime)s %(levelname)s {speaker} %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's own signature
        """Return the record's instant in UTC, to the millisecond."""
        instant = datetime.fromtimestamp(record.created, timezone.utc)
        return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as its line, and a traceback below it."""
        told = getattr(record, "garcon_traceback", None)
        line = super().format(record)
        return f"{line}\n{told.rstrip()}" if told else line


class JsonFormatter(logging.Formatter):
    """One JSON object a record, an event's fields at its top level."""

    def __init__(self, process: str, flow: str | None = None) -> None:
        """Give `process` and, where there is one, `flow` with each record."""
        super().__init__()
        self._process = process
        self._flow = {} if flow is None else {"flow": flow}
        self._instant = TextFormatter(process)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        document: dict[str, Any] = {
            "time": self._instant.formatTime(record),
            "level": record.levelname,
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            **self._flow,
        }
        own = getattr(record, "garcon_event", None) or {"message": record.getMessage()}
        facts = {**getattr(record, "garcon_about", {}), **own}
        # An event's field never hides who speaks; but its pid may be that of another process.
        document |= {name: facts[name] for name in facts if name == "pid" or name not in document}
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        elif told := record.exc_text or getattr(record, "garcon_traceback", None):
            document["traceback"] = told
        return json.dumps(document, ensure_ascii=False, default=str)


class _Dropping(QueueHandler):
    """Hands records to the writing thread; counts what finds no room, DEBUG first."""

    queue: queue.Queue[Any]
    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        if record.levelno <= logging.DEBUG and self.queue.qsize() >= QUEUE_FULL_FOR_DEBUG:
            self.dropped += 1
            return
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The base class would format here and lose the event's fields' types for JSON lines.
        record.msg, record.args = record.getMessage(), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
        return record


class _Writer(QueueListener):
    """The writing thread; it can be left behind when its reader stands still."""

    def __init__(self, records: queue.Queue[Any], target: logging.Handler) -> None:
        super().__init__(records, target)
        self._records = records

    def end(self) -> bool:
        """Let it write what waits; tell whether it has done so within `CLOSE_S`."""
        thread = self._thread
        try:
            # The base class would not wait for room, and fail when the queue is full.
            self._records.put(None, timeout=CLOSE_S)  # None ends the thread
        except queue.Full:
            return False
        if thread is not None:
            thread.join(CLOSE_S)
        return thread is None or not thread.is_alive()


class _AddAbout(logging.Filter):
    """Notes on each record what it is about, in the thread that knows."""

    def filter(self, record: logging.LogRecord) -> bool:
        fields = _about.get()
        if fields and not hasattr(record, "garcon_about"):
            record.garcon_about = fields
        return True


class Logging:
    """What `configure` installed; `close` writes out what waits and takes it down."""

    def __init__(self, handler: logging.Handler, listener: _Writer | None) -> None:
        """Hold the installed handler, and the thread behind it where there is one."""
        self._handler = handler
        self._listener = listener

    @property
    def dropped(self) -> int:
        """Records that found no room since the start."""
        return self._handler.dropped if isinstance(self._handler, _Dropping) else 0

    def close(self) -> None:
        """Write what waits, say how much was dropped, and remove the handler."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if self._listener and self._listener.end():
            for handler in self._listener.handlers:
                self._tell_dropped(handler)
                handler.close()
        self._handler.close()

    def _tell_dropped(self, handler: logging.Handler) -> None:
        if not self.dropped:
            return
        text = f"event=log.dropped count={self.dropped}"
        record = logging.LogRecord(LOGGER_PREFIX, logging.WARNING, __file__, 0, text, None, None)
        record.garcon_event = {"event": "log.dropped", "count": self.dropped}
        handler.handle(record)


def configure(settings: LogSettings) -> Logging:
    """Send this process's log where `settings` says, in place of what was set up here before.

    Call it once in each process, after the fork: a file handler that two processes share mixes
    their lines (concurrent-log-handler issue 8).

    Returns:
        The handle to close before the process ends.
    """
    root = logging.getLogger()
    for old in [one for one in root.handlers if getattr(one, "garcon_own", False)]:
        root.removeHandler(old)
    target = _file_handler(settings) if settings.file else logging.StreamHandler(sys.stderr)
    target.setFormatter(make_formatter(settings))
    handler: logging.Handler = target
    listener = None
    if settings.queued:
        handler = _Dropping(queue.Queue(QUEUE_MAX))
        listener = _Writer(handler.queue, target)
        listener.start()
    handler.addFilter(_AddAbout())
    handler.garcon_own = True  # type: ignore[attr-defined]  # how the next call knows it
    root.addHandler(handler)
    set_level(settings.level)
    return Logging(handler, listener)


def set_level(level: str) -> None:
    """Have this process log from `level` on; no library tells secrets at any level."""
    logging.getLogger().setLevel(level.upper())
    for name in _TOO_TALKATIVE:
        # Their DEBUG holds whole requests: inputs, results, and session tokens in the headers.
        logging.getLogger(name).setLevel(logging.INFO)


def make_formatter(settings: LogSettings) -> logging.Formatter:
    """Return what makes lines of records as `settings` says."""
    if settings.json:
        return JsonFormatter(settings.process, settings.flow)
    return TextFormatter(settings.process, settings.flow)


def _file_handler(settings: LogSettings) -> logging.Handler:
    # Imported here: it costs a tenth of a second, and only a run with --log-file needs it.
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    class LogFile(ConcurrentRotatingFileHandler):
        """Says once what keeps it from being written, in place of a traceback for each line."""

        is_told = False

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's own signature
            if not self.is_told:
                self.is_told = True
                why = sys.exc_info()[1]
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"garcon: log file {self.baseFilename}: {why}\n")

        def close(self) -> None:
            with suppress(OSError):  # what could not be written is still in its buffer
                super().close()

    assert settings.file is not None
    return LogFile(
        settings.file,
        maxBytes=settings.file_max_bytes,
        backupCount=settings.file_count,
        encoding="utf-8",
    )

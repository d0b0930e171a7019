"""What one `garcon pool` command was told, checked before anything starts."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from garcon.canonical import NotJsonError, canonical_json
from garcon.errors import UsageError
from garcon.log import LogSettings
from garcon.pool.bounds import CANCEL_GRACE_S
from garcon.pool.recycling import Share

#: SWF's limit for an execution's input, characters.
INPUT_MAX = 32_768

#: SWF's limit and forbidden characters for a workflow id.
WORKFLOW_ID_MAX = 256
WORKFLOW_ID_FORBIDDEN = frozenset(":/|") | {chr(code) for code in (*range(32), *range(127, 160))}

DRAIN_TIMEOUT_S = 75.0

PORT_MAX = 65_535


@dataclass(frozen=True)
class PoolConfig:
    """The words of one command.

    Attributes:
        flow: `package.module` or `package.module:attribute`.
        procs: worker processes; None sizes them from the machine and the work.
        max_procs: bound of that sizing; None for its own bound.
        deciders: decider processes.
        engine: the `--engine` option; None where it was not given.
        input: input of the execution to run; None for a pool that only serves.
        workflow_id: id of that execution; None for the one that follows from flow and input.
        priority: SWF's task priority of that execution, None for SWF's default.
        schedule_rate: activities that may be scheduled a second; None for any number, `auto` for
            what the engine asks for.
        drain_timeout_s: how long running tasks may go on after a stop.
        activities: names of the activities to serve; None for all that are the flow's own.
        cancel_grace_s: how long a canceled task may take to end by itself.
        share: what a worker may have of tasks, age and memory before it is replaced.
        metrics: address (None for all of this machine) and port of the figures for Prometheus;
            None for none.
        json: whether results are JSON lines.
        folder: the working folder, first in the flow's module search path.
        log: where log lines go.
        environ: the environment the engine is chosen from.
    """

    flow: str
    procs: int | None = None
    max_procs: int | None = None
    deciders: int = 1
    engine: str | None = None
    input: Mapping[str, Any] | None = None
    workflow_id: str | None = None
    priority: int | None = None
    schedule_rate: float | Literal["auto"] | None = "auto"
    drain_timeout_s: float = DRAIN_TIMEOUT_S
    activities: tuple[str, ...] | None = None
    cancel_grace_s: float = CANCEL_GRACE_S
    share: Share = field(default_factory=Share)
    metrics: tuple[str | None, int] | None = None
    json: bool = False
    folder: Path = field(default_factory=Path.cwd)
    log: LogSettings = field(default_factory=LogSettings)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def identity(self) -> str:
        """How histories name this pool: host and process."""
        return f"{socket.gethostname()}:{os.getpid()}"[-256:]


def parse_input(text: str) -> dict[str, Any]:
    """Return the execution's input that `--input` gives: JSON, or `@FILE` that holds it.

    Raises:
        UsageError: the file cannot be read, or the text is no JSON object within SWF's length.
    """
    source = "--input"
    if text.startswith("@"):
        source = f"--input {text}"
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{source} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{source} cannot be read: it is not UTF-8") from error
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise UsageError(f"{source} is nested too deeply; give a flat object") from error
    except ValueError as error:
        example = '{"start": "2026-01-01"}'
        raise UsageError(f"{source} is not JSON: {error}; write it like '{example}'") from error
    if not isinstance(data, dict):
        raise UsageError(
            f"{source} is a JSON {type(data).__name__}; an execution's input is an object: {{...}}"
        )
    try:
        canonical_json(data)
    except NotJsonError as error:  # Python reads NaN and lone surrogates, and SWF takes neither
        raise UsageError(f"{source}: {error}") from error
    length = len(json.dumps(data, ensure_ascii=False))
    if length > INPUT_MAX:
        raise UsageError(
            f"{source} has {length} characters; SWF takes {INPUT_MAX}: pass a key or a path to "
            "what is large"
        )
    return data


def check_execution_words(
    input_text: str | None, workflow_id: str | None, priority: int | None
) -> None:
    """Refuse what only a started execution can have where none is started.

    Raises:
        UsageError: `--workflow-id` or `--priority` without `--input`.
    """
    named = {"--workflow-id": workflow_id, "--priority": priority}
    lone = [name for name, value in named.items() if value is not None]
    if input_text is None and lone:
        raise UsageError(
            f"{lone[0]} is for the execution that --input starts, and there is no --input;"
            " for one without an input write --input '{}'"
        )


def check_sizes(procs: int | None, max_procs: int | None) -> None:
    """Refuse a fixed number of processes above its own bound.

    Raises:
        UsageError: `--procs` is above `--max-procs`.
    """
    if procs is not None and max_procs is not None and procs > max_procs:
        raise UsageError(
            f"--procs {procs} is above --max-procs {max_procs}; --max-procs bounds --procs auto"
        )


def parse_activities(text: str | None) -> tuple[str, ...] | None:
    """Return the names that `--activities a,b` lists, None where it was not given.

    Raises:
        UsageError: it names none.
    """
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--activities names none; write --activities first,second")
    return names


def parse_address(text: str | None) -> tuple[str | None, int] | None:
    """Return host and port of `--metrics HOST:PORT`; `:PORT` means all of this machine.

    Raises:
        UsageError: it is no such address.
    """
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > PORT_MAX:
        raise UsageError(
            f"--metrics {text!r} is no HOST:PORT; write 127.0.0.1:9100, or :9100 for all addresses"
        )
    return host.removeprefix("[").removesuffix("]") or None, int(port)


def parse_share(tasks: int | None, age_s: float | None, memory_mb: float | None) -> Share:
    """Return what a worker may have, as `--max-tasks`, `--max-age` and `--max-memory` say it."""
    return Share(tasks, age_s, None if memory_mb is None else round(memory_mb * 1_000_000))


def check_workflow_id(workflow_id: str) -> str:
    """Return `workflow_id` if SWF takes it.

    Raises:
        UsageError: it is empty, too long, or has a forbidden character.
    """
    if not 1 <= len(workflow_id) <= WORKFLOW_ID_MAX:
        raise UsageError(
            f"--workflow-id has {len(workflow_id)} characters; SWF takes 1 to {WORKFLOW_ID_MAX}"
        )
    wrong = sorted(set(workflow_id) & WORKFLOW_ID_FORBIDDEN)
    if wrong or workflow_id == "arn":
        told = ", ".join(repr(one) for one in wrong) or "the word 'arn'"
        raise UsageError(f"--workflow-id {workflow_id!r} holds {told}, which SWF forbids")
    return workflow_id

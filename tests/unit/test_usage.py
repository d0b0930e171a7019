"""Wrong words on a command line: one line that names them and says where help is, exit code 2."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from contextlib import suppress

import click
import pytest

import garcon
from garcon.backfill.run import check_activities
from garcon.backfill.status import OutputLost, tell, write
from garcon.cli import main
from garcon.description import ActivityDescription, FlowDescription
from garcon.engine.__main__ import main as engine
from garcon.engine.usage import INTERRUPTED, OneLineErrors
from garcon.errors import UsageError
from garcon.planning.selection import Selection
from garcon.pool.config import check_execution_words, check_sizes, parse_input

USAGE = 2


def told_by(command, words, capsys):
    """Run a command line that is expected to end by itself; return its exit code and stderr."""
    with pytest.raises(SystemExit) as ended:
        command.main(args=list(words), prog_name="garcon")
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nosuch"], "'nosuch'"),
        (["pool"], "'FLOW'"),
        (["pool", "x", "--nosuch"], "--nosuch"),
        (["pool", "x", "--procs", "0"], "'--procs'"),
        (["pool", "x", "--procs", "٣"], "'--procs'"),
        (["pool", "x", "--drain-timeout", "nan"], "'nan' is no number to count with"),
        (["pool", "x", "--max-memory", "inf"], "'--max-memory'"),
        (["pool", "x", "--max-age", "nan"], "'--max-age'"),
        (["pool", "x", "--cancel-grace", "inf"], "'--cancel-grace'"),
        (["pool", "x", "--chdir", "/no/such/folder"], "'/no/such/folder'"),
        (["backfill", "x", "nosuch"], "'nosuch'"),
        (["backfill", "x", "run", "--each", "hour"], "'hour' is not one of 'day', 'week', 'month'"),
        (["report"], "'WORKFLOW_ID'"),
    ],
)
def test_a_usage_error_is_one_line_that_leads_to_the_help(words, named, capsys):
    """As garcon's own errors look; the command whose help is meant is named."""
    code, err = told_by(main, words, capsys)

    assert USAGE == code
    (line,) = err.splitlines()
    assert line.startswith("garcon: ")
    assert named in line
    verb = [word for word in words[:1] if word in main.list_commands(click.Context(main))]
    assert f"(see {' '.join(['garcon', *verb])} " in line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--throttle", "no file"], "no file"),
        (["--lambda", "x"], "NAME=package.module:function"),
        (["--host", "0.0.0.0"], "--access-key"),
        (["--access-key", "A"], "GARCON_ENGINE_SECRET_KEY"),
        (["--db", ""], "name a file"),
        (["--db", os.curdir], "is a folder"),
        (["--db", os.devnull], "is a device"),
        (["--poll-hold", "nan"], "nan"),
        (["--idle-exit", "nan"], "nan"),
        (["stats", "--db", os.curdir], "is a folder"),
        (["prune", "--days", "nan"], "nan"),
    ],
)
def test_what_the_engine_is_told_wrong_is_a_usage_error(words, named, capsys, monkeypatch):
    """Also what only the engine itself can judge; nothing is opened for it."""
    monkeypatch.delenv("GARCON_ENGINE_SECRET_KEY", raising=False)

    code, err = told_by(engine, words, capsys)

    assert USAGE == code
    (line,) = err.splitlines()
    assert named in line


def test_a_verb_of_the_engine_takes_the_file_named_before_it(tmp_path, capsys):
    """`garcon engine --db F stats` looks at F, not at the default."""
    code, err = told_by(engine, ["--db", str(tmp_path / "other.db"), "stats"], capsys)

    assert 1 == code
    assert f"garcon: {tmp_path / 'other.db'} does not exist\n" == err


def test_a_port_that_is_taken_is_named(tmp_path, capsys):
    """The address and the reason, and no number of an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = told_by(engine, ["--db", ":memory:", "--port", str(port)], capsys)

    assert 1 == code
    assert f"garcon: cannot listen at 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}" in err
    assert "Errno" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), INTERRUPTED), (OSError(errno.ENOSPC, "No space left on device"), 1)],
)
def test_ctrl_c_and_a_full_disk_end_without_a_traceback(error, code, capsys):
    """130 is what a shell calls the one; the other is told in a line."""

    @click.group(cls=OneLineErrors, invoke_without_command=True)
    def group():
        raise error

    found, err = told_by(group, [], capsys)

    assert code == found
    assert "Traceback" not in err
    assert ("No space left" in err) == (code == 1)


def test_a_result_that_the_disk_does_not_take_is_an_error():
    """A script that keeps a plan would else keep a part of it; a reader that left is none."""
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as full:
        with pytest.raises(OutputLost, match="cannot be written: No space left"):
            write(full, ["{}"])
        tell(full, ["for people"])

    reading, writing = os.pipe()
    os.close(reading)
    with suppress(OSError), os.fdopen(writing, "w") as left:
        write(left, ["{}"])


def test_an_accident_keeps_its_traceback():
    """Only what a full disk does is summed up in a line."""

    @click.group(cls=OneLineErrors, invoke_without_command=True)
    def group():
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file"):
        group.main(args=[], prog_name="garcon")


def test_the_package_can_be_run():
    """`python -m garcon` is the command, for where it is not on the PATH."""
    command = [sys.executable, "-m", "garcon", "--version"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout == f"garcon, version {garcon.__version__}\n"


@pytest.mark.parametrize("words", [(None, "x", None), (None, None, 3)])
def test_what_only_an_execution_can_have_needs_an_input(words):
    """A pool that serves starts none: the id would be dropped without a word."""
    with pytest.raises(UsageError, match=r"^--(workflow-id|priority) .*--input"):
        check_execution_words(*words)

    check_execution_words("{}", *words[1:])


def test_a_fixed_number_above_its_bound_is_refused():
    """One of the two was meant otherwise."""
    with pytest.raises(UsageError, match="--procs 9 is above --max-procs 3"):
        check_sizes(9, 3)

    check_sizes(3, 3)
    check_sizes(None, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": [1, NaN]}', r"a\[1\] is nan"),
        ('{"a": 1e999}', "a is inf"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_an_input_that_swf_cannot_keep_is_refused_at_once(text, told):
    """Python reads more than JSON has."""
    with pytest.raises(UsageError, match=f"^--input.*{told}"):
        parse_input(text)


def test_an_activity_that_is_not_there_is_not_resumed():
    """A slip of the pen would otherwise run nothing, and end well."""
    flow = FlowDescription("d", "f", "1.0", (ActivityDescription("each", "f_each", "1.0", "l"),))

    with pytest.raises(UsageError, match=r"no activity 'eahc' \(known: each\)"):
        check_activities(flow, Selection(activities=("eahc",)))

    check_activities(flow, Selection(activities=("each",)))

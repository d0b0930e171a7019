"""`garcon engine stats` and `garcon engine prune`: looking at a file and tidying it, by command."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from garcon.engine.__main__ import main
from garcon.engine.lease import Lease
from garcon.engine.testing import engine_in_process
from tests.contract.engine.swf import Swf


def garcon_engine(*words: str) -> Result:
    """Run a command of the engine."""
    return CliRunner().invoke(main, words)


def test_a_file_is_looked_at_while_an_engine_serves_it_and_pruned_afterwards(
    tmp_path: Path,
) -> None:
    """One line a figure; prune says how many it removed, and keeps what is open."""
    db = tmp_path / "engine.db"
    with engine_in_process(db=str(db)) as engine:
        swf = Swf.prepared(engine)
        swf.start("open")
        swf.start("closed")
        swf.api.terminate_workflow_execution(domain="dom", workflowId="closed")
        shown = garcon_engine("stats", "--db", str(db))
    lines = {line[:20].strip(): line[20:].strip() for line in shown.output.splitlines()}
    assert (lines["open executions"], lines["closed executions"]) == ("1", "1")
    assert lines["oldest close"].endswith("+00:00")
    assert garcon_engine("prune", "--db", str(db), "--days", "1").output == "removed 0 executions\n"
    assert garcon_engine("prune", "--db", str(db), "--days", "0").output == "removed 1 executions\n"
    assert "closed executions    0" in garcon_engine("stats", "--db", str(db)).output
    assert garcon_engine("prune", "--db", str(db), "--days", "inf").exit_code == 0


def test_a_file_that_is_served_is_not_pruned(tmp_path: Path) -> None:
    """The error says who has it."""
    db = tmp_path / "engine.db"
    with engine_in_process(db=str(db)):
        pass
    lease = Lease.acquire(db)
    lease.publish("http://127.0.0.1:4711")
    refused = garcon_engine("prune", "--db", str(db), "--days", "1")
    lease.release()
    assert refused.exit_code == 1
    assert f"pid {os.getpid()} at http://127.0.0.1:4711" in refused.output


@pytest.mark.parametrize("words", [("stats",), ("prune", "--days", "1")])
def test_a_file_that_is_none_is_one_line_of_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Missing, or no database at all; nothing is made in its place."""
    path = tmp_path / "none.db"
    missing = garcon_engine(*words, "--db", str(path))
    assert (missing.exit_code, missing.output) == (1, f"garcon: {path} does not exist\n")
    assert list(tmp_path.iterdir()) == []
    path.write_text("no database " * 100)
    other = garcon_engine(*words, "--db", str(path))
    assert (other.exit_code, other.output) == (
        1,
        f"garcon: {path}: file is not a database\n",
    )


@pytest.mark.parametrize("words", [("stats",), ("prune", "--days", "1")])
def test_a_file_of_another_program_is_one_line_of_error(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Which says so, whatever tables it has, and leaves it as it was."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE domains (name)")
        connection.commit()
    before = path.read_bytes()
    refused = garcon_engine(*words, "--db", str(path))
    text = f"garcon: {path}: the file is a database of another program\n"
    assert (refused.exit_code, refused.output) == (1, text)
    assert path.read_bytes() == before


def test_an_empty_file_has_nothing_to_count(tmp_path: Path) -> None:
    """It is told in one line, not as a table that is missing."""
    path = tmp_path / "empty.db"
    path.touch()
    refused = garcon_engine("stats", "--db", str(path))
    text = f"garcon: {path}: no engine has written to the file\n"
    assert (refused.exit_code, refused.output) == (1, text)

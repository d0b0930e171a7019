"""The journal on disk: locks, modes, compaction, and a supervisor that was really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from garcon.errors import GarconError
from garcon.pool import journal as module
from garcon.pool.journal import (
    Journal,
    PollUnderWay,
    find_orphaned,
    journal_folder,
    read_holdings,
)

KEY = "local:/project/.garcon/engine.db"
ROOT = Path(module.__file__).resolve().parents[2]

#: A supervisor that takes tasks, says so, and waits to be killed in the middle of a line.
SUPERVISOR = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from garcon.pool.journal import Journal
journal = Journal({KEY!r}, Path(sys.argv[1]), compact_bytes=int(sys.argv[2]))
for n in range(200):
    journal.hold_activity(f"done-{{n}}")
    journal.let_go(f"done-{{n}}")
journal.poll_begun("poll-1", "PollForActivityTask", b'{{"domain": "d"}}')
journal.hold_activity("activity-1")
journal.hold_decision("decision-1")
os.write(journal._file, b'+ 999 activity ["torn')
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for journals."""
    folder = tmp_path / "journals"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("compact_bytes", [1_000_000, 2_000])
def test_tasks_of_a_killed_supervisor_are_found_and_those_of_a_living_one_are_not(
    folder: Path, compact_bytes: int
) -> None:
    """The lock falls with the process; what it held is told, whether it was compacted or not."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder), str(compact_bytes)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        assert find_orphaned(KEY, folder) == []
        supervisor.send_signal(signal.SIGKILL)

    (orphan,) = find_orphaned(KEY, folder)

    assert orphan.holdings.engine_key == KEY
    assert orphan.holdings.activities == ("activity-1",)
    assert orphan.holdings.decisions == ("decision-1",)
    assert orphan.holdings.polls == (
        PollUnderWay("poll-1", "PollForActivityTask", b'{"domain": "d"}'),
    )
    orphan.discard()
    assert list(folder.iterdir()) == []


def dead_journal(folder: Path, *tokens: str, key: str = KEY) -> Path:
    """Leave a journal behind as a dead supervisor would."""
    journal = Journal(key, folder)
    for token in tokens:
        journal.hold_activity(token)
    journal.close()
    return journal.path


def test_orphan_is_given_to_one_pool_only(folder: Path) -> None:
    """Two pools that start at once do not answer the same tasks."""
    dead_journal(folder, "a")

    (mine,) = find_orphaned(KEY, folder)

    assert find_orphaned(KEY, folder) == []
    mine.release()
    (again,) = find_orphaned(KEY, folder)
    again.release()


def test_journals_of_other_engines_are_left_alone(folder: Path) -> None:
    """A token is answered at the engine that gave it, and its journal waits for that engine."""
    path = dead_journal(folder, "a", key="aws:eu-west-1:")

    assert find_orphaned(KEY, folder) == []
    assert path.exists()
    (found,) = find_orphaned("aws:eu-west-1:", folder)
    found.release()


def test_journal_with_empty_hands_leaves_nothing(folder: Path) -> None:
    """A pool that ends well removes its file; one that cannot is cleared away by the next."""
    with Journal(KEY, folder) as journal:
        journal.hold_activity("a")
        journal.let_go("a")
        journal.let_go("never held")
    assert not journal.path.exists()

    left = folder / "77-1.journal"
    left.write_bytes(f"garcon-journal 1\t{KEY}\n".encode())
    assert find_orphaned(KEY, folder) == []
    assert not left.exists()


def test_growing_journal_is_written_anew_and_stays_locked(folder: Path) -> None:
    """The file stays small while much passes through the hand, and is nobody's orphan."""
    with Journal(KEY, folder, compact_bytes=5_000) as journal:
        journal.hold_decision("kept")
        for number in range(2_000):
            journal.hold_activity(f"{number}-{'x' * 300}")
            journal.let_go(f"{number}-{'x' * 300}")
            assert journal.path.stat().st_size < 6_000
        assert find_orphaned(KEY, folder) == []
        assert [one.name for one in folder.iterdir()] == [journal.path.name]

    (orphan,) = find_orphaned(KEY, folder)
    assert orphan.holdings.decisions == ("kept",)
    assert orphan.holdings.activities == ()
    orphan.release()


def test_full_hand_is_not_written_again_at_every_line(folder: Path) -> None:
    """When all that is written is still held, compaction gains nothing and keeps away."""
    with Journal(KEY, folder, compact_bytes=1_000) as journal:
        inodes = set()
        for number in range(500):
            journal.hold_activity(f"{number}-{'x' * 100}")
            inodes.add(journal.path.stat().st_ino)
        assert len(inodes) < 10
        for number in range(500):
            journal.let_go(f"{number}-{'x' * 100}")


def test_only_the_user_can_read_a_journal(folder: Path) -> None:
    """Tokens are as good as passwords for their tasks."""
    with Journal(KEY, folder, compact_bytes=100) as journal:
        journal.hold_activity("x" * 200)
        assert journal.path.stat().st_mode & 0o777 == 0o600
        journal.let_go("x" * 200)


def test_folder_is_the_runtime_folder_or_one_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without XDG_RUNTIME_DIR: a folder that only the user can enter."""
    runtime, temporary = tmp_path / "run", tmp_path / "tmp"
    runtime.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert journal_folder() == runtime / "garcon"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert journal_folder() == temporary / f"garcon-{os.getuid()}"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert journal_folder().stat().st_mode & 0o777 == 0o700


def test_folder_that_others_may_enter_or_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have been there first: nothing is written where others can read."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "garcon"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(GarconError, match="chmod 700"):
        Journal(KEY)
    folder.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    with pytest.raises(GarconError, match="not this user's folder"):
        Journal(KEY)


def test_disk_that_is_full_stops_no_pool(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal is advice: a write that fails is told once and the pool goes on."""
    journal = Journal(KEY, folder)

    def fail(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(module.os, "write", fail)
        journal.hold_activity("a")
        journal.hold_activity("b")
    for token in ("a", "b"):
        journal.let_go(token)
    journal.close()

    assert caplog.text.count("event=journal.not_written") == 1


def test_line_that_a_full_disk_cuts_off_takes_no_other_along(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held afterwards is found by the pool after this one."""
    journal = Journal(KEY, folder)
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(module.os, "write", lambda file, data: write(file, data[: len(data) // 2]))
        journal.hold_activity("cut-off")
    journal.hold_activity("whole")
    journal.close()

    (orphan,) = find_orphaned(KEY, folder)

    assert orphan.holdings.activities == ("whole",)
    orphan.discard()


def test_journal_that_cannot_take_its_name_anew_tries_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft that is left behind would keep it growing for ever."""
    with Journal(KEY, folder, compact_bytes=200) as journal:

        def fail(_: Path, __: Path) -> Path:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(Path, "replace", fail)
            for number in range(20):
                journal.hold_activity(f"token-{number}")
                journal.let_go(f"token-{number}")
        assert journal.path.stat().st_size > 200
        journal.hold_activity("last")

        assert journal.path.stat().st_size < 200
        journal.let_go("last")


def test_lines_wait_for_the_loops_turn_and_go_before_the_next_poll(folder: Path) -> None:
    """One write for all of a turn; a poll is on file before it is sent, with all that came before.

    Whatever death takes was the end of it: a task without its line has the line of its poll.
    """
    turns: list[Callable[[], None]] = []
    with Journal(KEY, folder, later=turns.append) as journal:
        journal.poll_begun("p1", "PollForActivityTask", b"{}")
        journal.hold_activity("t1")
        journal.poll_ended("p1")
        found = read_holdings(journal.path.read_bytes())
        assert found is not None
        assert (found.activities, [one.invocation_id for one in found.polls]) == ((), ["p1"])
        assert len(turns) == 2

        journal.poll_begun("p2", "PollForActivityTask", b"{}")
        found = read_holdings(journal.path.read_bytes())
        assert found is not None
        assert (found.activities, [one.invocation_id for one in found.polls]) == (("t1",), ["p2"])

        journal.let_go("t1")
        for turn in turns:
            turn()
        found = read_holdings(journal.path.read_bytes())
        assert found is not None
        assert found.activities == ()
        journal.poll_ended("p2")
    assert not journal.path.exists()

"""The supervisor's journal of what is in its hands, for the pool after this one.

A supervisor that is killed leaves tasks that SWF counts as started until a timeout finds them. So
each token is written down while it is held, and each poll while it is under way; the next pool on
the host finds the journal, sees that its lock is free, and answers for the dead.

One file a supervisor, in a folder that only its user can enter. A line is `+`, a number, what it
is and JSON for what comes into hand, and `-` and the number for what leaves it. A line torn by
death is passed over. Tokens are secrets of a kind: the files have mode 0600.

Law: the journal is advice, never truth. Written too late it costs a timeout, read twice it costs
an UnknownResourceFault; so nothing here is synced to disk and no failure to write stops the pool.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from garcon.errors import GarconError
from garcon.log import log_event

logger = logging.getLogger("garcon.pool")

_SUFFIX = ".journal"
_HEAD = "garcon-journal 1"

#: A journal is written anew when it has grown past this and holds mostly what has left the hand.
COMPACT_BYTES = 1_000_000

_ACTIVITY, _DECISION, _POLL, _LIST = "activity", "decision", "poll", "list"


@dataclass(frozen=True)
class PollUnderWay:
    """A poll whose answer was not taken in.

    Attributes:
        invocation_id: what an engine knows the poll by when it is asked again.
        operation: SWF's name of the operation.
        body: its input, JSON.
    """

    invocation_id: str
    operation: str
    body: bytes


@dataclass(frozen=True)
class OwnList:
    """The list of one pool alone, to which decisions of the runs that it keeps come.

    Attributes:
        name: the list.
        domain: SWF's domain.
        home: the list that all pools of its flow poll.
    """

    name: str
    domain: str
    home: str


@dataclass(frozen=True)
class Holdings:
    """What a journal says was in hand at its end.

    Attributes:
        engine_key: `Engine.key` of the engine that gave the tokens.
        activities: tokens of activity tasks, oldest first.
        decisions: tokens of decision tasks, oldest first.
        polls: polls under way, oldest first.
        lists: lists that nobody polls any more.
    """

    engine_key: str
    activities: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    polls: tuple[PollUnderWay, ...] = ()
    lists: tuple[OwnList, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to be answered or polled."""
        return not (self.activities or self.decisions or self.polls or self.lists)


def read_holdings(data: bytes) -> Holdings | None:
    """Return what is in hand at the end of a journal's bytes; pure.

    Args:
        data: the file; its last line may be torn, and so may any line.
    Returns:
        None where it is no journal.
    """
    lines = data.split(b"\n")[:-1]  # what follows the last newline was torn off
    head = lines[0].decode(errors="replace") if lines else ""
    version, _, engine_key = head.partition("\t")
    if version != _HEAD or not engine_key:
        return None
    held: dict[bytes, tuple[str, list[str]]] = {}
    for line in lines[1:]:
        sign, _, rest = line.partition(b" ")
        if sign == b"-":
            held.pop(rest, None)
        elif sign == b"+":
            number, _, text = rest.partition(b" ")
            entry = _entry(text)
            if entry is not None:
                held[number] = entry
    return Holdings(
        engine_key,
        tuple(words[0] for kind, words in held.values() if kind == _ACTIVITY),
        tuple(words[0] for kind, words in held.values() if kind == _DECISION),
        tuple(
            PollUnderWay(words[0], words[1], words[2].encode())
            for kind, words in held.values()
            if kind == _POLL and len(words) == 3
        ),
        tuple(
            OwnList(*words) for kind, words in held.values() if kind == _LIST and len(words) == 3
        ),
    )


def _entry(text: bytes) -> tuple[str, list[str]] | None:
    kind, _, rest = text.partition(b" ")
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    if not isinstance(words, list) or not words or not all(isinstance(one, str) for one in words):
        return None
    return kind.decode(errors="replace"), words


def journal_folder() -> Path:
    """Return the folder of journals, made if need be; only this user may enter it.

    Raises:
        GarconError: somebody else owns it, or others may enter it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        folder = Path(runtime) / "garcon"
    else:
        folder = Path(tempfile.gettempdir()) / f"garcon-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise GarconError(f"journal: cannot make {folder}: {error}") from error
    # In a folder that all may write to, somebody could have been there first.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise GarconError(f"journal: {folder} is not this user's folder; remove it")
    if found.st_mode & 0o077:
        raise GarconError(f"journal: others may enter {folder}; chmod 700 it")
    return folder


class Journal:
    """One supervisor's journal. A context manager; a method is one write to a file.

    With `later`, only the beginning of a poll is written at once, with all that waits; the rest
    goes out together at the loop's next turn. What waits is always the newest, in its order, and
    a poll is ended behind the task that it brought: where that is lost, the poll is asked again.
    """

    def __init__(
        self,
        engine_key: str,
        folder: Path | None = None,
        *,
        compact_bytes: int = COMPACT_BYTES,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """Begin a journal.

        Args:
            engine_key: `Engine.key` of the engine whose tokens it will hold.
            folder: where to; `journal_folder()` if None.
            compact_bytes: size from which it is written anew.
            later: calls a function at the loop's next turn; None to write each line at once.
        Raises:
            GarconError: the folder cannot be used.
        """
        folder = folder or journal_folder()
        self.path = folder / f"{os.getpid()}-{time.time_ns():x}{_SUFFIX}"
        self._head = f"{_HEAD}\t{engine_key}\n".encode()
        self._compact_bytes = compact_bytes
        self._next_number = 0
        self._held: dict[str, bytes] = {}
        self._lines: dict[bytes, bytes] = {}
        self._silent = False
        self._is_torn = False
        self._later = later
        self._waiting: list[bytes] = []
        try:
            self._file = self._begun_with(self._head)
        except OSError as error:
            raise GarconError(f"journal: cannot write in {folder}: {error}") from error
        self._size = len(self._head)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def hold_activity(self, token: str) -> None:
        """Note the token of an activity task that has come into hand."""
        self._hold(token, _ACTIVITY, [token])

    def hold_decision(self, token: str) -> None:
        """Note the token of a decision task that has come into hand."""
        self._hold(token, _DECISION, [token])

    def hold_list(self, own: OwnList) -> None:
        """Note that decisions come to a list that only this pool polls; let go of by its name."""
        self._hold(own.name, _LIST, [own.name, own.domain, own.home])

    def poll_begun(self, invocation_id: str, operation: str, body: bytes) -> None:
        """Note a poll before it is sent."""
        self._hold(invocation_id, _POLL, [invocation_id, operation, body.decode()])
        self.flush()

    def let_go(self, token: str) -> None:
        """Note that a token has been answered; one that is not held changes nothing."""
        number = self._held.pop(token, None)
        if number is not None:
            del self._lines[number]
            self._write(b"- %b\n" % number)

    def poll_ended(self, invocation_id: str) -> None:
        """Note that a poll's answer has been taken in."""
        self.let_go(invocation_id)

    def close(self) -> None:
        """End the journal; it stays for the next pool only where something is still in hand."""
        if self._file < 0:
            return
        self.flush()
        if not self._held:
            self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def _hold(self, name: str, kind: str, words: list[str]) -> None:
        if name in self._held:
            return
        self._next_number += 1
        number = b"%d" % self._next_number
        line = b"+ %b %b %b\n" % (number, kind.encode(), json.dumps(words).encode())
        self._held[name] = number
        self._lines[number] = line
        self._write(line)

    def _write(self, line: bytes) -> None:
        self._waiting.append(line)
        if self._later is None:
            self.flush()
        elif len(self._waiting) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting or self._file < 0:
            return
        # A line that a full disk has cut off must not take the next one along.
        lines = b"".join([b"\n"] * self._is_torn + self._waiting)
        self._waiting.clear()
        self._is_torn = True
        try:
            written = os.write(self._file, lines)
            self._is_torn = written < len(lines)
            self._size += written
            if self._size > self._compact_bytes:
                self._compact()
        except OSError as error:
            if not self._silent:
                log_event(logger, logging.WARNING, "journal.not_written", why=error)
            self._silent = True

    def _compact(self) -> None:
        """Replace the file by one that holds only what is in hand.

        Whoever has locked the old file in between sees that it has lost its name.
        """
        data = self._head + b"".join(self._lines.values())
        old, self._file = self._file, self._begun_with(data)
        os.close(old)
        self._is_torn = False
        self._size = len(data)
        # A hand that holds this much is not made to write it all again at each line.
        self._compact_bytes = max(self._compact_bytes, 4 * len(data))

    def _begun_with(self, data: bytes) -> int:
        """Return a new, locked file under the journal's name.

        It is locked before it takes the name, so that there is no moment at which another pool
        could take it for an orphan.
        """
        draft = self.path.with_suffix(".draft")
        file = _locked_file(draft, data)
        try:
            draft.replace(self.path)
        except BaseException:
            os.close(file)
            draft.unlink(missing_ok=True)  # it would keep every later one from being made
            raise
        return file


def _locked_file(path: Path, data: bytes) -> int:
    """Return a descriptor that has just made `path` with `data` and locked it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_all(file, data)
    except BaseException:
        os.close(file)
        path.unlink(missing_ok=True)
        raise
    return file


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


@dataclass
class OrphanedTasks:
    """What a dead supervisor left; locked, so that only one pool answers it.

    Attributes:
        path: its journal.
        holdings: what was in its hands.
    """

    path: Path
    holdings: Holdings
    _file: int = field(repr=False)

    def discard(self) -> None:
        """Remove the journal, after everything in it was answered."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Leave the journal to another pool."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def find_orphaned(engine_key: str, folder: Path | None = None) -> list[OrphanedTasks]:
    """Return what dead supervisors of this host left at one engine, oldest first.

    Journals of the living are passed over, those of other engines left alone, empty ones removed.

    Args:
        engine_key: `Engine.key` of the engine that can be answered to.
        folder: where to look; `journal_folder()` if None.
    """
    folder = folder or journal_folder()
    found = (_orphan(path, engine_key) for path in _by_age(folder.glob(f"*{_SUFFIX}")))
    return [one for one in found if one is not None]


def _by_age(paths: Iterable[Path]) -> Iterator[Path]:
    dated = []
    for path in paths:
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # its pool has ended well meanwhile
    return (path for _, path in sorted(dated))


def _orphan(path: Path, engine_key: str) -> OrphanedTasks | None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            data = _read_all(file)
            # Not read further where it is another engine's: a host may have many of them.
            own = data.startswith(f"{_HEAD}\t{engine_key}\n".encode())
            holdings = read_holdings(data) if own else None
            if holdings is not None and holdings.is_empty:
                path.unlink(missing_ok=True)
            elif holdings is not None:
                return OrphanedTasks(path, holdings, file)
    except OSError:
        pass  # locked: its supervisor lives; or gone meanwhile: it has ended well
    os.close(file)
    return None


def _read_all(file: int) -> bytes:
    with os.fdopen(os.dup(file), "rb") as journal:
        return journal.read()

"""Many processes write one log file through its rotation: no line is lost, none is torn.

    python -m tests.soak.log_rotation [--processes 16] [--lines 200000] [--max-bytes 2000000]

Each process sets its log up as a worker does. Exit code 0: every line is there, whole and once; 1:
the first thing that is not so is on stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from garcon.log import LogSettings, configure, log_event

#: Fills a line up to what pools write, characters.
FILLING = "x" * 80


def write_all(folder: Path, processes: int, lines: int, max_bytes: int) -> Counter[str]:
    """Have `processes` write `lines` in all; return how often each name was found in the files.

    Raises:
        AssertionError: a line is torn, or a process did not end well.
    """
    share = lines // processes
    # More files than are ever written: what is to be counted must not be rotated away.
    count = 4 + 4 * lines * len(FILLING) // max_bytes
    pids = [_fork_writer(folder, number, share, max_bytes, count) for number in range(processes)]
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        assert status == 0, f"a writer ended with {os.waitstatus_to_exitcode(status)}"
    found: Counter[str] = Counter()
    files = sorted(folder.glob("pool.log*"))
    assert len(files) > 2, "nothing was rotated"
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            parts = line.split(" ")
            assert len(parts) == 7 and parts[6] == f"filling={FILLING}", f"torn: {line!r}"  # noqa: PT018 - one message for both
            found[parts[5]] += 1
    return found


def _fork_writer(folder: Path, number: int, lines: int, max_bytes: int, count: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        settings = LogSettings(
            file=str(folder / "pool.log"),
            process=f"worker-{number}",
            file_max_bytes=max_bytes,
            file_count=count,
        )
        own = configure(settings)
        logger = logging.getLogger("garcon.pool")
        for line in range(lines):
            log_event(logger, logging.INFO, "task.done", id=f"{number}.{line}", filling=FILLING)
        own.close()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> int:
    """Write, count, and say what is missing; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--max-bytes", type=int, default=2_000_000)
    words = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = write_all(Path(folder), words.processes, words.lines, words.max_bytes)
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
    took_s = time.monotonic() - began_s
    wanted = words.lines // words.processes * words.processes
    twice = sum(count > 1 for count in found.values())
    print(f"{len(found)} of {wanted} lines, {twice} twice, in {took_s:.1f} s")
    return 0 if len(found) == wanted and not twice else 1


if __name__ == "__main__":
    sys.exit(main())

"""Workers that leak five MB a task, under a bound of a hundred.

    python -m tests.soak.pool_memory [--tasks 400] [--procs 4] [--bound 100] [--size 5]

Every worker's private memory is read all the time. Exit code 0: none was above its own baseline by
more than the bound and one task's growth, and with a bound below the baseline nobody was replaced
and that was said once; 1: what was otherwise is on stderr.
"""

from __future__ import annotations

import sys
import time

import psutil

from tests.acceptance.harness import Command, grandchildren_of
from tests.soak.pool_ground import Ground, ground, run_soak, words_of

MB = 1_000_000

#: What a worker touches once for its first task (modules, buffers), besides what tasks leak, bytes.
FIRST_TOUCH = 4 * MB

#: Between two looks at the workers, seconds.
LOOK_S = 0.02

RUN_S = 300.0


def private_of(process: psutil.Process) -> int | None:
    """Return the bytes that a process shares with nobody, None where it is gone."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return None


def watch(one: Ground, pool: Command, run: dict[str, str]) -> tuple[int, int]:
    """Look until the run has closed; return the largest growth of a worker, and their number."""
    fresh: dict[int, int] = {}
    largest = 0
    until_s, ask_s = time.monotonic() + RUN_S, 0.0
    while True:
        now_s = time.monotonic()
        assert now_s < until_s, f"the run did not end within {RUN_S:g} s"
        if now_s >= ask_s:
            ask_s = now_s + 0.5
            status = one.status(run)
            if status != "OPEN":
                assert status == "COMPLETED", status
                return largest, len(fresh)
        for process in grandchildren_of(pool):
            size = private_of(process)
            if size is not None:
                largest = max(largest, size - fresh.setdefault(process.pid, size))
        time.sleep(LOOK_S)


def keeps_the_bound(one: Ground, words: object) -> str:
    """Check that no worker passes the bound by more than a task's growth."""
    tasks, procs, bound, size = (
        getattr(words, name) for name in ("tasks", "procs", "bound", "size")
    )
    pool = one.pool("--max-memory", str(bound), procs=procs)
    run = one.start("leaks", tasks, size=size * MB)
    largest, workers = watch(one, pool, run)
    most = (bound + size) * MB + FIRST_TOUCH
    assert largest <= most, f"a worker grew by {largest / MB:.1f} MB, {most / MB:.0f} are allowed"
    worn = len(pool.lines_with("event=worker.worn"))
    expected = tasks * size // (bound + size) - procs
    assert worn >= expected, f"{worn} workers were replaced; that is less than {expected}"
    assert not pool.lines_with("event=task.oversized")
    pool.process.terminate()
    assert pool.wait() == 0, pool.err()
    return f"{largest / MB:.1f} MB at most over {workers} children, {worn} replaced at {bound} MB"


def does_not_loop(one: Ground) -> None:
    """Check that a bound below what a fresh worker has sends nobody away."""
    pool = one.pool("--max-memory", "1", procs=2)
    run = one.start("leaks", 50, size=100)
    assert one.wait_closed(run, RUN_S) == "COMPLETED"
    said = pool.lines_with("event=memory.low_bound")
    assert len(said) == 1, f"said {len(said)} times: {said}"
    assert not pool.lines_with("event=worker.worn"), pool.err()


def main() -> int:
    """Read the words, look, and tell how it went."""
    words = words_of(
        __doc__,
        tasks=(400, "instances"),
        procs=(4, "worker processes"),
        bound=(100, "MB of growth that are allowed"),
        size=(5, "MB that a task leaks"),
    )

    def soak() -> str:
        with ground() as one:
            told = keeps_the_bound(one, words)
            does_not_loop(one)
        return f"{told}; nobody at 1 MB"

    return run_soak("pool_memory", soak, 2 * RUN_S)


if __name__ == "__main__":
    sys.exit(main())

"""Tasks that hear nothing: one holds the interpreter in C, one has a program that ignores TERM.

    python -m tests.soak.pool_stubborn [--seconds 60]

Exit code 0: the first keeps its heartbeat for so long and completes; another of its kind is ended
within three seconds of its cancel, worker and program too; 1: what was otherwise is on stderr.
"""

from __future__ import annotations

import sys
import time

from tests.acceptance.harness import is_alive, of_type, wait_until
from tests.soak.pool_ground import (
    Ground,
    failures_of,
    ground,
    living_programs,
    run_soak,
    words_of,
)

#: From the request to the end of worker, program and task, seconds.
CANCEL_S = 3.0


def holds_its_heartbeat(one: Ground, seconds: int) -> None:
    """Check that a task whose worker runs no Python is not taken for dead."""
    run = one.start("holds", 1, seconds=seconds)
    status = one.wait_closed(run, seconds + 60.0)
    events = one.events(run)
    assert status == "COMPLETED", f"it is {status}: {failures_of(events)}"
    started = len(list(of_type(events, "ActivityTaskStarted")))
    assert started == 1, f"it ran {started} times: {failures_of(events)}"


def ends_when_canceled(one: Ground) -> float:
    """Cancel a task that hears nothing; return the seconds until all of it is gone."""
    before = len(one.notes("holding"))
    run = one.start("holds", 1, seconds=600, deaf=True)
    wait_until(lambda: len(one.notes("holding")) > before, "a task that holds the interpreter")
    worker = int(one.notes("holding")[-1][0])
    assert living_programs(one), "it has no program"
    began_s = time.monotonic()
    one.cancel(run)

    def is_over() -> bool:
        ended = is_alive(worker) or living_programs(one)
        return not ended and any(of_type(one.events(run), "ActivityTaskCanceled"))

    wait_until(is_over, "the end of the task and of all that it started", 30.0, 0.05)
    took_s = time.monotonic() - began_s
    assert took_s <= CANCEL_S, f"the cancel took {took_s:.1f} s"
    assert one.wait_closed(run, 30.0) == "CANCELED"
    return took_s


def main() -> int:
    """Read the words, look, and tell how it went."""
    words = words_of(__doc__, seconds=(60, "how long the interpreter is held"))

    def soak() -> str:
        with ground() as one:
            one.pool(procs=2)
            took_s = ends_when_canceled(one)
            holds_its_heartbeat(one, words.seconds)
        return f"canceled in {took_s:.1f} s, heartbeat kept over {words.seconds} s in C"

    return run_soak("pool_stubborn", soak, words.seconds + 180)


if __name__ == "__main__":
    sys.exit(main())

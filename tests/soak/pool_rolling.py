"""Fifty rolling restarts under load: two pools of one engine, replaced in turn.

    python -m tests.soak.pool_rolling [--restarts 50] [--procs 8] [--reloads 10]

One pool is told to stop, and a new one takes its place when it has gone; then the other. Now and
then a pool is reloaded (HUP) instead. Exit code 0: no start-to-close and no heartbeat timeout, no
attempt failed or lost, nothing run twice to its end; 1: what was otherwise is on stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter

from tests.acceptance.harness import Command
from tests.acceptance.legal import assert_legal_history
from tests.soak.pool_ground import (
    Ground,
    completed_twice,
    failures_of,
    ground,
    reason_of,
    run_soak,
    words_of,
)

#: Executions that run beside each other, and the instances of each.
OPEN = 3
TASKS = 300
SECONDS = 0.1

#: A pool that is told to stop has to be gone so soon: tasks are short, and the local engine calls
#: the pool's polls off.
STOP_S = 30.0

CLOSING_S = 120.0

#: What a stop may do to a task: give it back unrun, which draws on nothing.
ALLOWED = {"handed_back"}


class Rolling:
    """Two pools and the work that they share."""

    def __init__(self, one: Ground, procs: int) -> None:
        self.one = one
        self._procs = procs
        self.pools = [one.pool(procs=procs) for _ in range(2)]
        self.runs: list[dict[str, str]] = []
        self._open: list[dict[str, str]] = []

    def keep_busy(self) -> None:
        """Start what is missing of the open executions."""
        self._open = [run for run in self._open if self.one.status(run) == "OPEN"]
        while len(self._open) < OPEN:
            run = self.one.start("works", TASKS, seconds=SECONDS)
            self._open.append(run)
            self.runs.append(run)

    def restart(self, number: int) -> None:
        """Replace one of the pools by a new one."""
        old: Command = self.pools[number % 2]
        os.kill(old.pid, signal.SIGTERM)
        code = old.wait(STOP_S)
        assert code == 0, f"a pool that was told to stop ended with {code}:\n{old.err()}"
        self.pools[number % 2] = self.one.pool(procs=self._procs)

    def reload(self, number: int) -> None:
        """Have one of the pools load its flow anew."""
        pool = self.pools[number % 2]
        before = pool.err().count("event=pool.reloading")
        os.kill(pool.pid, signal.SIGHUP)
        pool.wait_for_text("event=pool.reloading")
        assert pool.err().count("event=pool.reloading") >= before

    def close(self) -> None:
        """Let everything end and the pools leave."""
        for run in self._open:
            self.one.wait_closed(run, CLOSING_S)
        for pool in self.pools:
            os.kill(pool.pid, signal.SIGTERM)
        codes = [pool.wait(STOP_S) for pool in self.pools]
        assert codes == [0, 0], f"the pools ended with {codes}"
        assert [] == self.one.place.pool_pids(), "processes are left"

    def check(self) -> Counter[str]:
        """Compare what SWF saw, and what the tasks noted, with what was asked for."""
        ends: Counter[str] = Counter()
        for run in self.runs:
            events = self.one.events(run)
            status = self.one.status(run)
            assert status == "COMPLETED", f"{run['workflowId']} is {status}: {reason_of(events)}"
            assert_legal_history(events)
            assert [] == completed_twice(events)
            ends += failures_of(events)
        wrong = {kind: count for kind, count in ends.items() if kind not in ALLOWED}
        assert not wrong, f"attempts that ended otherwise than well: {wrong}"
        noted = Counter(int(number) for number, _ in self.one.notes("ended"))
        twice = [number for number, count in noted.items() if count > 1]
        assert not twice, f"run twice to their end: {twice[:10]}"
        assert len(noted) == self.one.tasks, f"{len(noted)} of {self.one.tasks} have ended"
        return ends


def main() -> int:
    """Read the words, restart, and tell how it went."""
    words = words_of(
        __doc__,
        restarts=(50, "pools that are replaced"),
        reloads=(10, "reloads among them"),
        procs=(8, "worker processes of each pool"),
    )

    def soak() -> str:
        with ground() as one:
            rolling = Rolling(one, words.procs)
            every = max(1, words.restarts // max(1, words.reloads))
            for number in range(words.restarts):
                rolling.keep_busy()
                if number % every == every - 1 and words.reloads:
                    rolling.reload(number + 1)
                rolling.restart(number)
            rolling.close()
            ends = rolling.check()
        return (
            f"{words.restarts} restarts, {one.tasks} instances run once, "
            f"{ends['handed_back']} handed back"
        )

    return run_soak("pool_rolling", soak, words.restarts * 2 * STOP_S + CLOSING_S)


if __name__ == "__main__":
    sys.exit(main())

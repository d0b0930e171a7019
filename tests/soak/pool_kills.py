"""A pool under fire: for ten minutes a random child of any kind is killed every two seconds.

    python -m tests.soak.pool_kills [--minutes 10] [--every 2] [--procs 16]

Workers, deciders and the zygote itself die by SIGKILL while executions run one beside the other.
Exit code 0: every instance completed exactly once as SWF sees it, no `retry` was drawn on, no
process was left behind, and the supervisor's memory stayed flat (5 % after the first minute); 1:
the first of it that did not hold is on stderr.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tests.acceptance.harness import Command, kill, wait_until
from tests.acceptance.legal import assert_legal_history
from tests.soak.pool_ground import (
    Ground,
    completed_twice,
    failures_of,
    family_of,
    ground,
    living_programs,
    reason_of,
    run_soak,
    words_of,
)

#: Executions that run beside each other, and the instances of each.
OPEN = 3
TASKS = 400
SECONDS = 0.15

#: One instance in so many starts a program, which has to go with its worker.
PROGRAMS = 40

#: Every run is to be over so long after the last kill, seconds.
CLOSING_S = 120.0

GROWTH = 0.05
SAMPLE_S = 1.0

#: What may be lost besides: deaths of workers only.
ALLOWED = {"lost", "handed_back"}


@dataclass
class Fire:
    """One pool, and what was done to it."""

    one: Ground
    pool: Command
    kills: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    runs: list[dict[str, str]] = field(default_factory=list)
    open: list[dict[str, str]] = field(default_factory=list)

    def strike(self) -> None:
        """Kill one child, whatever it is."""
        family = family_of(self.pool)
        # A zygote that has no children yet is still importing: killed there again and again, it is
        # one that cannot boot, and ends the pool by right.
        if len(family) > 1:
            victim = random.choice(family)
            is_zygote = victim.ppid() == self.pool.pid
            kill(victim.pid)
            self.kills["zygote" if is_zygote else "child"] += 1

    def keep_busy(self) -> None:
        """Start what is missing of the open executions."""
        self.open = [run for run in self.open if self.one.status(run) == "OPEN"]
        while len(self.open) < OPEN:
            run = self.one.start("works", TASKS, seconds=SECONDS, programs=PROGRAMS)
            self.open.append(run)
            self.runs.append(run)

    def sample(self) -> None:
        """Note how much memory the supervisor has for itself."""
        self.sizes.append(psutil.Process(self.pool.pid).memory_full_info().uss)

    def burn(self, minutes: float, every_s: float) -> None:
        """Go on for so long."""
        now_s = time.monotonic()
        end_s, strike_s, sample_s = now_s + minutes * 60, now_s + every_s, now_s
        while (now_s := time.monotonic()) < end_s:
            assert self.pool.process.poll() is None, f"the pool has ended:\n{self.pool.err()}"
            if now_s >= strike_s:
                strike_s += every_s
                self.strike()
            if now_s >= sample_s:
                sample_s += SAMPLE_S
                self.sample()
                self.keep_busy()
            time.sleep(0.05)

    def close(self) -> None:
        """Let everything end and the pool leave."""
        for run in self.open:
            self.one.wait_closed(run, CLOSING_S)
        # What a killed worker's task had started went with it; what still runs is its task's own.
        wait_until(lambda: not living_programs(self.one), "the end of the tasks' programs", 5.0)
        self.pool.process.terminate()
        code = self.pool.wait()
        assert code == 0, f"the pool ended with {code}:\n{self.pool.err()}"
        assert [] == self.one.place.pool_pids(), "processes are left"

    def check_histories(self) -> Counter[str]:
        """Compare what SWF saw with what was asked for."""
        ends: Counter[str] = Counter()
        for run in self.runs:
            events = self.one.events(run)
            status = self.one.status(run)
            told = f"{failures_of(events)} {reason_of(events)}"
            assert status == "COMPLETED", f"{run['workflowId']} is {status}: {told}"
            assert_legal_history(events)
            assert [] == completed_twice(events)
            completed = sum(one["eventType"] == "ActivityTaskCompleted" for one in events)
            assert completed == TASKS, f"{run['workflowId']}: {completed} of {TASKS} completed"
            ends += failures_of(events)
        wrong = {kind: count for kind, count in ends.items() if kind not in ALLOWED}
        assert not wrong, f"attempts that ended otherwise than lost: {wrong}"
        return ends

    def check_memory(self, minutes: float) -> tuple[float, float]:
        """Compare the supervisor's last minute with what it had after its first."""
        share = len(self.sizes) // max(2, round(minutes))
        early, late = self.sizes[share : 2 * share], self.sizes[-share:]
        first, last = (sum(part) / len(part) for part in (early, late))
        grown = last / first - 1
        assert grown <= GROWTH, f"the supervisor grew by {grown:.1%}, to {last / 2**20:.1f} MB"
        return last / 2**20, grown


def main() -> int:
    """Read the words, burn, and tell how it went."""
    words = words_of(
        __doc__,
        minutes=(10.0, "how long children are killed"),
        every=(2.0, "seconds between two kills"),
        procs=(16, "worker processes"),
    )

    def soak() -> str:
        with ground() as one:
            fire = Fire(one, one.pool("--deciders", "2", procs=words.procs))
            fire.burn(words.minutes, words.every)
            fire.close()
            ends = fire.check_histories()
            size, grown = fire.check_memory(words.minutes)
        return (
            f"{sum(fire.kills.values())} kills ({fire.kills['zygote']} of the zygote), "
            f"{one.tasks} instances completed once, {ends['lost']} attempts lost, "
            f"supervisor {size:.1f} MB ({grown:+.1%})"
        )

    return run_soak("pool_kills", soak, words.minutes * 60 + 300)


if __name__ == "__main__":
    sys.exit(main())

"""How long do one activity alone, and a chain of ten, take while their pool serves?

    python -m benchmarks.latency [--quick]

From the call that starts the execution to the event that completes it, by the machine's clock.
Executions come one after the other; nothing else runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import _sides as sides
from benchmarks._report import Report
from benchmarks._stopping import clear_when_stopped
from tests.acceptance.harness import list_runs, read_history, wait_until

LENGTH = 10

#: Between an end, the questions about it, and the next start, seconds.
QUIET_S = 0.1


class Chain(sides.Garcon):
    """A pool that serves a chain: each execution names how many of its links it wants."""

    name = "chain"
    flow = "benchmarks._flow_chain"

    def seconds(self, client: Any, number: int, length: int) -> float:
        """Run one execution; return how long it took."""
        seen = self.ledger.stat().st_size
        clock_s = time.time() - time.monotonic()
        began_s = clock_s + sides.start_run(client, f"w{number}", {"length": length})
        wait_until(lambda: self._last(self.ledger, seen), "the end", pause_s=0.005)
        # Its last decision is still under way, and must not share the CPU with the questions.
        time.sleep(QUIET_S)
        lines = self.ledger.read_text()[seen:].split("\n")[:-1]
        if len(lines) != 1:
            raise RuntimeError(f"the final step ran {len(lines)} times")
        return completed_s(client, f"w{number}") - began_s

    @staticmethod
    def _last(ledger: Path, seen: int) -> bool:
        return ledger.stat().st_size > seen and ledger.read_bytes().endswith(b"\n")


def completed_s(client: Any, workflow_id: str) -> float:
    """Return when an execution completed, seconds since the epoch."""

    def closed() -> float | None:
        runs = {one["workflowId"]: one for one in list_runs(client, sides.DOMAIN)}
        last = read_history(client, sides.DOMAIN, runs[workflow_id])[-1]
        is_over = last["eventType"] == "WorkflowExecutionCompleted"
        return last["eventTimestamp"].timestamp() if is_over else None

    return float(wait_until(closed, "the completion"))


def run(*, quick: bool) -> Report:
    """Measure both."""
    runs = 5 if quick else 30
    about = f"{runs} executions one after the other, 16 idle workers"
    report = Report("latency", about, quick=quick)
    with sides.started(Chain) as pool, pool.place.client() as client:
        assert isinstance(pool, Chain)
        for length, goal_ms in ((1, 20.0), (LENGTH, 150.0)):
            found = []
            for number in range(runs + 1):
                found.append(1e3 * pool.seconds(client, 100 * length + number, length))
                time.sleep(QUIET_S)
            what = "one activity alone" if length == 1 else f"a chain of {length}"
            report.add(what, "ms", found[1:], goal_ms, at_most=True)
    return report


def main(words: list[str] | None = None) -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="seconds from start to completion")
    parser.add_argument("--quick", action="store_true", help="few executions")
    return int(run(quick=parser.parse_args(words).quick).show() > 0)


if __name__ == "__main__":
    clear_when_stopped()
    sys.exit(main())

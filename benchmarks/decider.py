"""What does a decision cost, and does it stay the same however much lies behind it?

    python -m benchmarks.decider [--without-old] [--quick]

A declared flow of one fan-out is played over a made-up SWF, 20 completions a decision, in one
history: the bounds that keep a real one below 25,000 events are lifted. Cost is CPU time of the
decision alone, without the reading of JSON. Told for decisions with about 100, 1,000 and 10,000
instances behind them, beside what garcon 1.1.1 (installed from PyPI for this) takes on the same
histories; and what a real pool fetches over a day of `flows.metrics`. Exit code 1: the cost is not
flat within 20 %, more than 1.2 x a history was fetched, or a cold decider takes a second for 10,000
events.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

if not __package__:  # run as a file: what it imports lies in the folder above its own
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flows import metrics
from garcon.deciding.flowdecider import FlowDecider
from garcon.deciding.kept import DecisionTask
from tests.acceptance.harness import Place
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf

INSTANCES = 11_000
WORKERS = 20

#: Instances that have ended before the decisions that are compared: from, to.
BEHIND = {100: (80, 200), 1_000: (940, 1_060), 10_000: (9_940, 10_060)}

#: The run is played so often, and the quietest counts: other programs only ever add.
ROUNDS = 5

FLAT = 1.2
FETCHED = 1.2
COLD_EVENTS = 10_000
COLD_S = 1.0

OLD = "garcon==1.1.1"
OLD_SCRIPT = Path(__file__).parent / "_old_decider.py"


@dataclass
class Fetched:
    """Events that deciders were given.

    Attributes:
        polled: with the decision tasks.
        older: asked for besides, because of a gap.
    """

    polled: int = 0
    older: int = 0

    def pages(self, swf: Swf) -> Iterator[Any]:
        """Yield older pages, counting them."""
        for page in swf.older(1_000):
            self.older += len(page)
            yield page


@dataclass
class Played:
    """A run and what its decisions took.

    Attributes:
        swf: the run.
        cpu_s: CPU seconds of decisions, by the number of instances behind them.
        events: how many events lay behind one such decision.
        fetched: events that were given or asked for.
        checks: decisions that were checked against the whole history on purpose.
    """

    swf: Swf
    cpu_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    given: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    events: dict[int, int] = field(default_factory=dict)
    fetched: Fetched = field(default_factory=Fetched)
    checks: int = 0

    def decide(self, decider: FlowDecider, done: int) -> None:
        """Answer the pending decision task and note what it took."""
        task = self.swf.poll()
        before = self.fetched.older
        began_s = time.process_time()
        answer = decider.decide(task, lambda: self.fetched.pages(self.swf))
        took_s = time.process_time() - began_s
        self.fetched.polled += len(task.events)
        for behind, (begin, end) in BEHIND.items():
            if begin <= done < end:
                self.cpu_s[behind].append(took_s)
                self.given[behind].append(len(task.events) + self.fetched.older - before)
                self.events.setdefault(behind, task.started_event_id)
        self.swf.respond(answer.decisions, answer.execution_context)


def a_flow() -> Any:
    """Return the flow that is played."""
    return flow_of(many={"generators": [numbers(INSTANCES)], "shard_size": None})


def play() -> Played:
    """Play the flow to its end."""
    played = Played(Swf())
    decider = decider_of(a_flow())
    swf, done = played.swf, 0
    while swf.status is None:
        while swf.has_decision_task:
            played.decide(decider, done)
        for one in swf.start(WORKERS):
            swf.now_s += 0.01
            swf.complete(one)
            done += 1
        if not swf.has_decision_task and swf.status is None:
            swf.advance(1.0)
    played.checks = decider._kept.checks
    return played


def cold_s(swf: Swf) -> float:
    """Return how long a decider takes that is given `COLD_EVENTS` events at once, CPU seconds."""
    started = next(
        event["eventId"]
        for event in swf.events[COLD_EVENTS:]
        if event["eventType"] == "DecisionTaskStarted"
    )
    events = swf.events[:started]
    task = DecisionTask("domain", "workflow", "run", "flow", "1.0", started, 0, events)
    decider = decider_of(a_flow())
    began_s = time.process_time()
    decider.decide(task, lambda: iter(()))
    return time.process_time() - began_s


def old_costs(played: Played, folder: Path) -> list[tuple[float, int, int]] | None:
    """Return CPU seconds, events fetched and decisions of 1.1.1; None if it is not to be had."""
    python = folder / "old" / "bin" / "python"
    history = folder / "history.json"
    history.write_text(json.dumps(played.swf.events), encoding="utf-8")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        install = [python, "-m", "pip", "install", "--quiet", OLD]
        subprocess.run(install, check=True, **quiet)  # type: ignore[call-overload]  # by mypy's stub
    except subprocess.CalledProcessError:
        return None
    seen = [str(played.events[behind]) for behind in BEHIND]
    ended = subprocess.run(
        [python, OLD_SCRIPT, history, str(INSTANCES), *seen],
        check=True, capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    return [(cost[0], cost[1], cost[2]) for cost in json.loads(ended.stdout)]


def pool_share() -> tuple[float, int]:
    """Run a day of the metrics with a real pool; return events fetched by its events, and those."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            data = {"start": "2026-01-01", "end": "2026-01-01"}
            command = place.start_pool("flows.metrics", "--log-level", "info", data=data)
            if command.wait():
                raise SystemExit(command.err())
            events = sum(len(history) for history in place.histories(metrics.domain))
            (line,) = command.lines_with("event=decisions.made")
        finally:
            place.clear()
    fetched = re.findall(r"events_(?:polled|read)=(\d+)", line)
    return sum(map(int, fetched)) / events, events


def main() -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="what a decision costs")
    parser.add_argument("--quick", action="store_true", help="one run, and none of garcon 1.1.1")
    parser.add_argument("--without-old", action="store_true", help="without garcon 1.1.1")
    options = parser.parse_args()
    quick = options.quick
    with (
        mock.patch("garcon.planner.EVENTS_MAX", 10**9),
        mock.patch("garcon.planning.soundness.EVENTS_MAX", 10**9),
    ):
        rounds = [play() for _ in range(1 if quick else ROUNDS)]
        cold = min(cold_s(one.swf) for one in rounds)
    last = rounds[-1]
    costs = {behind: min(median(one.cpu_s[behind]) for one in rounds) for behind in BEHIND}
    fetches = {behind: median(last.given[behind]) for behind in BEHIND}
    old = None
    if not quick and not options.without_old:
        with tempfile.TemporaryDirectory() as folder:
            old = old_costs(last, Path(folder))
    print(
        f"{'instances behind':>16} {'events':>8} {'CPU':>9} {'fetched':>8} {'CPU 1.1.1':>11} ",
        end="",
    )
    print(f"{'fetched':>8} {'decisions':>9}")
    for place, behind in enumerate(BEHIND):
        line = f"{behind:16,} {last.events[behind]:8,} {1e3 * costs[behind]:6.2f} ms "
        line += f"{fetches[behind]:8,.0f}"
        if old is not None:
            cpu_s, fetched, decisions = old[place]
            line += f" {1e3 * cpu_s:8.0f} ms {fetched:8,} {decisions:9,}"
        print(line)
    ratio = max(costs.values()) / min(costs.values())
    share = (last.fetched.polled + last.fetched.older) / len(last.swf.events)
    print(f"dearest to cheapest: {ratio:.2f}   goal {FLAT}")
    print(
        f"events fetched over the run: {share:.3f} x its {len(last.swf.events):,}, "
        f"self-checks: {last.checks}   goal {FETCHED}"
    )
    in_pool, events = pool_share()
    print(f"the same in a real pool: {in_pool:.3f} x its {events:,}   goal {FETCHED}")
    print(f"a cold decider and {COLD_EVENTS:,} events: {cold:.2f} s   goal {COLD_S:.0f} s")
    return int(ratio > FLAT or max(share, in_pool) > FETCHED or cold >= COLD_S)


if __name__ == "__main__":
    sys.exit(main())

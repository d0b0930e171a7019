"""A month of 250 countries as a backfill, in every way that a month goes wrong.

    python -m tests.soak.backfill kill|broken|plan|late|cron|all

kill: pool and engine get SIGKILL at about half; `run` again runs no completed instance again and
every other once; the result file is right. broken: three in a hundred fail for good: exit code 1,
the mail names them; after the mend `run` runs exactly those. plan: for ten random states `plan
--json` is what the histories show afterwards. late: a resume of 7,750 with a few missing begins its
first instance within 3 s. cron: `env -i`, no HOME, no terminal. Exit code 0: all of it held; 1: the
first thing that did not is on stderr.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

from flows import metrics
from tests.acceptance.harness import (
    MARK,
    ROOT,
    Command,
    Place,
    count_rows,
    kill,
    of_type,
    wait_until,
)
from tests.soak.places import run_in_place
from tests.sources import random_hundred, source_facts

FLOW = "tests.soak.night_metrics"
DAYS = "2026-01-01..2026-01-31"
ROWS = 31 * 250
FLOW_NAME = "night-metrics"
WORKERS = 16
RUN_S = 600.0
FIRST_S = 3.0


def start(place: Place, verb: str, *options: str, days: str = DAYS, flow: str = FLOW) -> Command:
    """Start a backfill command."""
    told = ["--set", "output=rows.db", "--set", f"broken={place.folder / 'broken'}"]
    pool = ["--procs", str(WORKERS)] if verb in ("run", "resume") else []
    words = ["-m", "garcon.backfill", flow, verb, "--days", days, *told, *pool, *options]
    return place.start(*words, "--engine", f"local:{place.db}")


def rows_of(place: Place) -> int:
    """Return how many rows there are."""
    return count_rows(place.folder / "rows.db")


def completed(place: Place) -> Counter[tuple[str, str]]:
    """Return how often each instance completed, over all executions."""
    found: Counter[tuple[str, str]] = Counter()
    for events in place.histories(metrics.domain):
        scheduled = {}
        for event in events:
            if event["eventType"] == "ActivityTaskScheduled":
                told = event["activityTaskScheduledEventAttributes"]
                data = json.loads(told["input"])
                key = (str(data.get("day", told["activityId"])), str(data.get("country", "")))
                scheduled[event["eventId"]] = key
            elif event["eventType"] == "ActivityTaskCompleted":
                told = event["activityTaskCompletedEventAttributes"]
                found[scheduled[told["scheduledEventId"]]] += 1
    return found


def check_rows(place: Place, expected: int = ROWS) -> None:
    """Every row is there, and a random hundred are what the sources say."""
    path = place.folder / "rows.db"
    assert rows_of(place) == expected, f"{rows_of(place)} rows"
    connection = metrics.connect(path)
    rows = {
        (row.day, row.country): row for row in metrics.load_rows(connection, date.min, date.max)
    }
    connection.close()
    for day, country in random_hundred(rows):
        facts = source_facts(day, country)
        assert facts == {key: getattr(rows[day, country], key) for key in facts}


def kill_both(place: Place) -> str:
    """Kill pool and engine at about half, and go on."""
    first = start(place, "run")
    wait_until(lambda: rows_of(place) >= ROWS // 2, "half of the rows", RUN_S)
    kill(first.pid)
    place.kill_engine()
    first.wait()
    done = rows_of(place)
    second = start(place, "run")
    assert second.wait(RUN_S) == 0, second.err()
    check_rows(place)
    counts = completed(place)
    assert len(counts) == ROWS + 2, f"{len(counts)} instances"
    assert set(counts.values()) == {1}, "an instance completed twice"
    return f"killed at {done} rows, every instance completed once"


def broken(place: Place) -> str:
    """Three in a hundred fail; the mail names them; after the mend exactly those run."""
    (place.folder / "broken").touch()
    first = start(place, "run", "--quiet")
    assert first.wait(RUN_S) == 1, first.err()
    mail = first.out()
    (told,) = re.findall(r"failed \(first 20 of ([\d,]+)\)", mail)
    failed = int(told.replace(",", ""))
    assert rows_of(place) == ROWS - failed
    assert len(re.findall(r"^    country_day day=", mail, re.MULTILINE)) == 20
    (place.folder / "broken").unlink()
    before = scheduled(place)
    second = start(place, "run", "--quiet")
    assert second.wait(RUN_S) == 0, second.err()
    assert (second.out(), second.err()) == ("", "")
    check_rows(place)
    again = scheduled(place) - before
    named = set(re.findall(r"^    (country_day) (day=\S+)$", mail, re.MULTILINE))
    assert named <= set(again), "the mail named others"
    assert Counter(name for name, _ in again) == {"country_day": failed, "summary": 1}
    assert set(again.values()) == {1}
    return f"{failed} of {ROWS} failed, exactly those ran after the mend"


def plans(place: Place) -> str:
    """`plan --json` before is what the histories show after, for ten random states."""
    rng = random.Random(7)
    for number in range(10):
        day = f"2026-{number + 1:02}-05"
        days = f"{day}..2026-{number + 1:02}-{5 + rng.randrange(1, 3):02}"
        _bring_to_random_state(place, rng, days)
        (place.folder / "broken").unlink(missing_ok=True)
        told = start(place, "plan", "--json", days=days)
        assert told.wait(RUN_S) == 0, told.err()
        (plan,) = json.loads(told.out())["ranges"]
        before = scheduled(place)
        ran = start(place, "run", "--quiet", days=days)
        assert ran.wait(RUN_S) == 0, ran.out() + ran.err()
        after = scheduled(place) - before
        wanted = Counter(
            (one["activity"], key) for one in plan["activities"] for key in one["keys"]
        )
        assert wanted == after, f"{days}: planned {wanted.total()}, ran {after.total()}"
        print(f"  {days}: {plan['act']}, {wanted.total()} instances as planned")
    return "ten plans were what then ran"


def _bring_to_random_state(place: Place, rng: random.Random, days: str) -> None:
    state = rng.choice(["none", "failed", "canceled", "terminated", "completed"])
    if state == "none":
        return
    if state == "failed":
        (place.folder / "broken").touch()
    before = rows_of(place)
    first = start(place, "run", "--quiet", days=days)
    if state in ("canceled", "terminated"):
        wait_until(lambda: rows_of(place) > before + rng.randrange(20, 150), "some rows", RUN_S)
        how = ["--terminate"] if state == "terminated" else []
        asked = start(place, "cancel", *how, days=days)
        assert asked.wait(RUN_S) == 0, asked.err()
    first.wait(RUN_S)


def scheduled(place: Place) -> Counter[tuple[str, str]]:
    """Return what was scheduled in all executions and shards: activity, and keys."""
    histories = place.histories(metrics.domain)
    return Counter(
        _key(one) for events in histories for one in of_type(events, "ActivityTaskScheduled")
    )


def _key(scheduled: dict[str, Any]) -> tuple[str, str]:
    data = json.loads(scheduled["input"])
    name = scheduled["activityType"]["name"].removeprefix(f"{FLOW_NAME}_")
    if "day" not in data:
        return name, ""
    return name, f"day={data['day']},country={data['country']}"


def late(place: Place) -> str:
    """A resume of 7,750 with few missing begins its first instance within three seconds."""
    first = start(place, "run", "--quiet")
    wait_until(lambda: rows_of(place) >= ROWS - 40, "nearly all rows", RUN_S, pause_s=0.005)
    first.process.terminate()
    assert first.wait(RUN_S) == 6, first.err()
    asked = start(place, "cancel", "--terminate")
    assert asked.wait(RUN_S) == 0, asked.err()
    left = ROWS - rows_of(place)
    began_s = time.time()
    second = start(place, "run")
    assert second.wait(RUN_S) == 0, second.err()
    check_rows(place)
    moments = [
        event["eventTimestamp"].timestamp()
        for events in place.histories(metrics.domain)
        for event in events
        if event["eventType"] == "ActivityTaskStarted"
    ]
    took_s = min(moment for moment in moments if moment > began_s) - began_s
    assert took_s < FIRST_S, f"the first instance began after {took_s:.2f} s"
    return f"{left} missing of {ROWS}: the first instance began after {took_s:.2f} s"


def cron(place: Place) -> str:
    """No HOME, no PATH, no terminal; twice."""
    line = [sys.executable, "-m", "garcon.backfill", "flows.metrics", "run", "--days", "last-7"]
    line += ["--quiet", "--engine", f"local:{place.db}"]
    environment = {"PYTHONPATH": str(ROOT), MARK: place.mark}
    for _ in range(2):
        done = subprocess.run(
            line, env=environment, cwd=place.folder, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=RUN_S, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done
    (output,) = (place.folder / "results").glob("*.db")
    assert count_rows(output) == 7 * 250
    return "ran once, said nothing"


SOAKS: dict[str, Callable[[Place], str]] = {
    "kill": kill_both,
    "broken": broken,
    "plan": plans,
    "late": late,
    "cron": cron,
}


def soak(name: str, place: Place) -> None:
    """Run one of them and tell what it came to."""
    began_s = time.monotonic()
    told = SOAKS[name](place)
    print(f"{name}: {told} ({time.monotonic() - began_s:.0f} s)")


def main() -> int:
    """Read the words, run, and tell how it went."""
    parser = argparse.ArgumentParser(description="Backfill a month, in every way it goes wrong.")
    parser.add_argument("what", choices=[*SOAKS, "all"])
    words = parser.parse_args()
    names = SOAKS if words.what == "all" else [words.what]
    return int(any(run_in_place(name, partial(soak, name)) for name in names))


if __name__ == "__main__":
    sys.exit(main())

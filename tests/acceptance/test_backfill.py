"""Backfills as a user and as cron run them: whole commands against an engine of their own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections import Counter

from tests.acceptance.harness import MARK, ROOT, kill, of_type, wait_until

FLOW = "tests.acceptance.flows_ok.nights"
DOMAIN = "garcon-tests"
DAYS = "2026-01-01..2026-01-03"
ITEMS = 20
ALL = 3 * ITEMS


def words(place, verb, *options, items=ITEMS, days=DAYS, procs=2):
    """Return the arguments of a backfill command."""
    told = ["--set", f"folder={place.folder}", "--set", f"items={items}"]
    pool = ["--procs", str(procs)] if verb in ("run", "resume") else []
    start = ["-m", "garcon.backfill", FLOW, verb, "--days", days]
    return [*start, *told, *pool, "--engine", f"local:{place.db}", *options]


def start(place, verb, *options, **named):
    """Start a backfill command."""
    return place.start(*words(place, verb, *options, **named))


def ran(place):
    """Return how often each instance ran to its end."""
    path = place.folder / "ran"
    return Counter(path.read_text(encoding="utf-8").splitlines() if path.exists() else ())


def break_items(place, *numbers):
    """Make these items fail for good."""
    text = "".join(f"no, {number}\n" for number in numbers)
    (place.folder / "broken").write_text(text, encoding="utf-8")


def planned(place):
    """Return what `plan --json` says of the one range."""
    command = start(place, "plan", "--json")
    assert 0 == command.wait(), command.err()
    (found,) = json.loads(command.out())["ranges"]
    return found


def scheduled_of(place, number):
    """Return how many instances of each activity one of the place's executions scheduled."""
    events = place.histories(DOMAIN)[number]
    return Counter(one["activityType"]["name"] for one in of_type(events, "ActivityTaskScheduled"))


def test_what_failed_is_mailed_and_the_next_run_runs_exactly_that(place):
    """Exit code 1 and a mail with its keys; after the mend 0, and nothing ran twice."""
    break_items(place, 3, 7)
    first = start(place, "run", "--quiet", "--report", "report.html")

    assert 1 == first.wait(), first.err()

    mail = first.out()
    assert "FAILED after" in mail
    assert "3 x ValueError: no, 3 is broken" in mail
    assert 'each day=2026-01-02,item="no, 7"' in mail
    assert "failed (first 6 of 6)" in mail
    assert ALL - 6 == ran(place).total()
    assert "<canvas" in (place.folder / "report.html").read_text(encoding="utf-8")
    (place.folder / "broken").unlink()
    plan = planned(place)
    assert ("resume", 7) == (plan["act"], plan["forecast"]["instances"])
    assert [6, 1] == [one["run"] for one in plan["activities"]]
    (line,) = re.findall(r"go on with it: (.+)$", mail, re.MULTILINE)

    second = place.start("-c", f"import os; os.execvp('sh', ['sh', '-c', {line!r}])")

    assert 0 == second.wait(), second.err()
    assert {1} == set(ran(place).values())
    assert ALL == len(ran(place))
    assert {"nights_each": 6, "nights_total": 1} == scheduled_of(place, 1)
    third = start(place, "run", "--quiet")
    assert 0 == third.wait()
    assert ("", "") == (third.out(), third.err())
    assert 2 == len(place.histories(DOMAIN))


def test_a_backfill_killed_with_its_engine_goes_on_where_it_was(place):
    """SIGKILL to both at about half: what completed never runs again, all else once."""
    first = start(place, "run", "--set", "seconds=0.02")
    wait_until(lambda: ran(place).total() >= ALL // 3, "a third of it")
    kill(first.pid)
    place.kill_engine()
    first.wait()
    wait_until(lambda: not place.pool_pids(), "the end of the pool")

    second = start(place, "run", "--set", "seconds=0.02")

    assert 0 == second.wait(), second.err()
    assert "joined" in second.err()
    assert ALL == len(ran(place))
    (events,) = place.histories(DOMAIN)
    assert ALL + 1 == len(list(of_type(events, "ActivityTaskCompleted")))
    # An instance that was cut off between its note and its answer may have run once more.
    assert ran(place).total() <= ALL + 2


def test_an_interrupted_backfill_says_so_and_goes_on(place):
    """Exit code 6; the same line goes on."""
    first = start(place, "run", "--set", "seconds=0.05")
    wait_until(lambda: ran(place).total() >= 4, "the first instances")
    first.process.send_signal(signal.SIGTERM)

    assert 6 == first.wait(), first.err()
    second = start(place, "run", "--set", "seconds=0.05")
    assert 0 == second.wait(), second.err()
    assert {1} == set(ran(place).values())


def test_cron_needs_no_environment(place):
    """No HOME, no PATH, no terminal, no word unless something is wrong."""
    options = ["--days", "last-2", "--quiet", "--procs", "4", "--engine", f"local:{place.db}"]
    options += ["--set", 'countries=["FR","JP","US"]', "--set", "output=rows.db"]
    line = [sys.executable, "-m", "garcon.backfill", "flows.metrics", "run", *options]
    environment = {"PYTHONPATH": str(ROOT), MARK: place.mark}
    for _ in range(2):
        done = subprocess.run(
            line, env=environment, cwd=place.folder, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip

        assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)
    (events,) = place.histories("garcon-samples")
    assert 2 * 3 + 2 == len(list(of_type(events, "ActivityTaskCompleted")))


def test_other_pools_do_the_work_where_none_is_wanted(place):
    """`--no-workers` starts and watches; a pool that serves runs it."""
    pool = place.start_pool(FLOW, procs=2)
    command = place.start(*[one for one in words(place, "run") if one not in ("--procs", "2")],
                          "--no-workers", "--json")  # fmt: skip

    assert 0 == command.wait(), command.err()

    events = [json.loads(line) for line in command.out().splitlines()]
    assert ["began", "ended", "summary"] == [
        one["event"] for one in events if one["event"] != "progress"
    ]
    assert ALL == len(ran(place))
    pool.process.terminate()
    assert 0 == pool.wait()


def test_parts_of_what_is_left_can_be_resumed(place):
    """By key, by activity, or only what failed; the rest stays for `run`."""
    break_items(place, 3, 7)
    assert 1 == start(place, "run").wait()
    (place.folder / "broken").unlink()

    part = start(place, "resume", "--keys", "day=2026-01-02,item='no, 7'")

    assert 0 == part.wait(), part.err()
    assert {"nights_each": 1} == scheduled_of(place, 1)
    rest = start(place, "resume", "--activity", "each", "--only-failed")
    assert 0 == rest.wait(), rest.err()
    assert {"nights_each": 5} == scheduled_of(place, 2)
    end = start(place, "run")
    assert 0 == end.wait(), end.err()
    assert {"nights_total": 1} == scheduled_of(place, 3)
    assert {1} == set(ran(place).values())


def test_canceled_work_can_be_gone_on_with(place):
    """`cancel` winds it down, `run` runs the rest."""
    first = start(place, "run", "--set", "seconds=0.01")
    wait_until(lambda: ran(place).total() >= 6, "the first instances")
    shut = place.folder / "shut"
    shut.touch()
    asked = start(place, "cancel", "--set", "seconds=0.01")
    assert 0 == asked.wait(), asked.err()
    shut.unlink()
    assert 1 == first.wait(), first.err()
    assert "CANCELED" in first.out()

    second = start(place, "run", "--set", "seconds=0.01")

    assert 0 == second.wait(), second.err()
    assert ALL == len(ran(place))


def test_a_terminal_sees_bars_and_workers(place):
    """Drawn in place, and summed up at the end."""
    ours, theirs = pty.openpty()
    line = [sys.executable, *words(place, "run", "--set", "seconds=0.1", procs=4)]
    process = subprocess.Popen(
        line, cwd=place.folder, env=place.environment(TERM="xterm", COLUMNS="120"),
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen = bytearray()

    def read():
        while True:
            try:
                data = os.read(ours, 65_536)
            except OSError:
                return
            seen.extend(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    code = process.wait(60)
    reader.join(60)
    os.close(ours)
    text = seen.decode("utf-8", "replace")

    assert 0 == code, text
    assert re.search(r"[1-4] of 4 workers busy", text)
    assert "█" in text
    assert "2026-01-02" in text
    assert "COMPLETED after" in text


def garcon(place, verb, *options):
    """Run a verb of its own, successfully; return what it said."""
    main = "import sys; from garcon.cli import main; main(args=sys.argv[1:])"
    command = place.start("-c", main, verb, *options, "--engine", f"local:{place.db}")
    assert 0 == command.wait(), command.err()
    return command.out()


def test_what_looks_at_a_backfill_afterwards_is_right(place):
    """A page, a history, a clean bill, and one instance tried with what its execution knows."""
    assert 0 == start(place, "run").wait()
    (listed,) = garcon(place, "backfill", FLOW, "list", "--json").splitlines()
    name = json.loads(listed)["workflow_id"]

    page = garcon(place, "report", name).strip()
    history = json.loads(garcon(place, "history", name))
    findings = garcon(place, "doctor", FLOW, "--json").splitlines()
    tried = garcon(place, "try", FLOW, "total", *words(place, "x")[4:-2])

    assert page.endswith(f"report-{name}.html")
    (events,) = place.histories(DOMAIN)
    assert len(events) == len(history["events"])
    assert {"ok", "warn"} >= {json.loads(line)["level"] for line in findings}
    assert {"sum": ALL} == json.loads(tried)

"""What `garcon status` shows of a pool's document."""

from __future__ import annotations

import json

from garcon.pool.status_view import pool_lines

WORKER = {
    "slot": 1, "kind": "worker", "state": "busy", "pid": 4124, "generation": 1, "age_s": 61.2,
    "memory": 12_300_000, "cpu_s": 9.1, "cpu": 0.456,
    "tasks": [
        {"activity": "fetch", "id": "flow_fetch-" + "ab" * 20, "workflow": "w", "run": "r",
         "for_s": 5.0, "canceled": False},
    ],
}  # fmt: skip
EMPTY = {
    "slot": 2, "kind": "worker", "state": "empty", "pid": None, "generation": 0, "age_s": None,
    "memory": None, "cpu_s": None, "cpu": None, "tasks": [],
}  # fmt: skip
DECIDER = {**WORKER, "slot": 3, "kind": "decider", "tasks": [
    {"workflow": "w", "run": "r", "for_s": 0.2},
]}  # fmt: skip


def a_document(**changes) -> dict:
    """Return what a pool with one busy and one empty place tells."""
    return {
        "pid": 4120, "flow": "flows.metrics", "state": "serving", "uptime_s": 7325.0,
        "engine": "local, /srv/engine.db", "engine_reachable": True,
        "wanted": {"worker": 2, "decider": 1}, "workers": [WORKER, EMPTY], "deciders": [DECIDER],
        "supervisor": {"memory": 50_000_000, "cpu_s": 3.0, "cpu": 0.1},
        "tally": {"completed": 12345, "handed_back": 1},
        "rates_per_s": {"completed": 31.25, "handed_back": 0.0},
        "backlog": {"flow_fetch": {"tasks": 1200, "truncated": True}, "flow": None},
        **changes,
    }  # fmt: skip


def test_a_pool_is_shown_with_its_processes_and_their_tasks():
    """Everything that an operator looks for, one line a process."""
    lines = pool_lines(a_document())

    assert lines[:5] == [
        "flows.metrics  serving  pid 4120  up 2:02:05",
        "  engine   local, /srv/engine.db",
        "  workers  2 wanted: 1 busy, 1 empty; in all 74.6 MB, 1.01 CPUs",
        "  tasks    completed 12,345, handed back 1; 31.2/s completed lately",
        "  backlog  flow_fetch 1,200+, flow ?",
    ]
    head, busy, empty, decider = lines[6:]
    assert head.split() == ["slot", "process", "pid", "state", "age", "memory", "cpu", "task"]
    assert busy.split()[:7] == ["1", "worker", "4124", "busy", "1:01", "12.3", "MB"]
    assert busy.endswith("0.46  fetch …" + "ab" * 12 + " of w for 0:05")
    assert empty.split() == ["2", "worker", "empty"]
    assert decider.endswith("decision of w for 0:00")


def test_columns_stand_below_each_other():
    """Whatever the widths of their texts."""
    _, busy, _, decider = pool_lines(a_document())[6:]

    assert busy.index("fetch") == decider.index("decision")


def test_a_cut_line_and_a_canceled_task_are_told():
    """Both are what somebody looks at the status for."""
    task = {**WORKER["tasks"][0], "canceled": True}
    lines = pool_lines(
        a_document(engine_reachable=False, workers=[{**WORKER, "tasks": [task]}], backlog={})
    )

    assert lines[1].endswith("(unreachable)")
    assert lines[4].endswith("not known")
    assert lines[7].endswith("(canceled)")


def test_a_task_that_was_tried_before_says_so():
    """What fails or loses its worker again and again is what somebody looks for."""

    def shown(**changes) -> str:
        task = {**WORKER["tasks"][0], **changes}
        return pool_lines(a_document(workers=[{**WORKER, "tasks": [task]}]))[7]

    assert shown(attempt=1).endswith(" for 0:05")
    assert shown(attempt=3).endswith(" for 0:05 (attempt 3)")
    assert shown(attempt=3, canceled=True).endswith(" for 0:05 (attempt 3, canceled)")


def test_a_pool_that_only_starts_has_little_to_show():
    """No engine, no counts, no processes."""
    lines = pool_lines(a_document(engine=None, tally={}, workers=[], deciders=[], backlog={}))

    assert lines[1:4] == [
        "  engine   not chosen yet",
        "  workers  2 wanted: none; in all 50.0 MB, 0.10 CPUs",
        "  tasks    none yet",
    ]


def test_a_pool_that_does_not_answer_is_one_line():
    """It cannot be asked for more than its name."""
    document = json.loads('{"pid": 4120, "error": "it does not answer"}')

    assert pool_lines(document) == ["pool 4120: it does not answer"]

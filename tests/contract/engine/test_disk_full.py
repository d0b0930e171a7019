"""A file that cannot grow any more: nothing that was answered is lost, and callers hear so."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

from tests.contract.engine.swf import Swf, client, schedule
from tests.contract.engine.test_durability import engine_process, prepared


def let_grow(process: subprocess.Popen[str], most_bytes: int) -> None:
    """Bound the size of the files that a process writes."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, hard))


def test_a_file_that_cannot_grow_loses_nothing_and_says_so(tmp_path: Path) -> None:
    """Calls fail, reads go on, tokens stay good; then all goes on, over a kill too."""
    db = tmp_path / "engine.db"
    big = "x" * 32_000
    with engine_process(db) as (process, url):
        swf = prepared(url)
        run_id = swf.start()
        swf.step(schedule("a1"), schedule("a2"))
        task = swf.activity()
        token = task["taskToken"]
        before = swf.history("w", run_id)
        let_grow(process, os.path.getsize(f"{db}-wal"))
        refused = swf.refusal("respond_activity_task_completed", taskToken=token, result=big)
        assert refused[0] == "InternalFailure"
        refused = swf.refusal("poll_for_activity_task", domain="dom", taskList={"name": "work"})
        assert refused[0] == "InternalFailure"
        assert swf.history("w", run_id) == before
        assert swf.describe("w", run_id)["openCounts"]["openActivityTasks"] == 2
        let_grow(process, resource.RLIM_INFINITY)
        swf.api.respond_activity_task_completed(taskToken=token, result=big)
        after = swf.history("w", run_id)
        process.kill()
        assert process.stderr is not None
        assert "could not be kept" in process.stderr.read()
    with engine_process(db) as (_, url):
        swf = Swf(None, client(url))  # type: ignore[arg-type]
        assert swf.history("w", run_id) == after
        assert swf.activity()["activityId"] == "a2"

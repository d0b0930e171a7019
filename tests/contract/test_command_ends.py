"""How the pool's command ends where its streams or its log file are not what they should be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PATIENCE_S = 60.0
NO_FLOW = f"{sys.executable} -m garcon.pool nowhere.flow --engine http://127.0.0.1:9 --procs 1"


def run(line: str, **words) -> subprocess.CompletedProcess[str]:
    """Run a line of shell from the project's folder."""
    return subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        **words,
    )  # fmt: skip


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_closed_streams_and_a_full_disk_change_no_exit_code(closed):
    """A cron line may close what nobody reads."""
    ended = run(f"exec {NO_FLOW} {closed}")

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("path", ["nowhere/pool.log", "."])
def test_a_log_file_that_cannot_be_written_is_a_usage_error(tmp_path, path):
    """Told at once and in one line, not once for each line of the log."""
    ended = run(f"exec {NO_FLOW} --log-file {tmp_path / path}")

    assert ended.returncode == 2
    assert "--log-file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_log_file_on_a_full_disk_is_told_once_and_stops_nothing(tmp_path):
    """The work is worth more than its log."""
    script = """
import logging, resource, signal, sys
from garcon.log import LogSettings, configure
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = configure(LogSettings(file=sys.argv[1], queued=True))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for number in range(100):
    logging.getLogger("garcon.pool").error("line %s", number)
log.close()
print("done")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "pool.log")],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=os.environ,
    )  # fmt: skip

    assert ended.stdout == "done\n"
    assert ended.returncode == 0
    (line,) = ended.stderr.splitlines()
    assert "pool.log" in line
    assert "File too large" in line


def test_the_most_talkative_log_holds_no_request(tmp_path):
    """A session token must not end up in a log because somebody looked for something else."""
    ended = run(
        f"exec {NO_FLOW.replace('nowhere.flow', 'tests.acceptance.flows_ok.gated')}"
        " --log-level debug",
        env={**os.environ, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cret",
             "AWS_SESSION_TOKEN": "t0ken", "AWS_MAX_ATTEMPTS": "1"},
    )  # fmt: skip

    assert ended.returncode == 4
    assert "DEBUG" in ended.stderr
    for secret in ("AKIDEXAMPLE", "s3cret", "t0ken", "Signature"):
        assert secret not in ended.stderr

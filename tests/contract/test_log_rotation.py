"""One log file, many processes, many rotations: every line whole, and once."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.source_tree import ROOT


def test_no_line_is_lost_or_torn_when_many_processes_rotate_one_file():
    """The soak of that name, with a hundredth of its lines; it forks, so it has its own process."""
    command = "tests.soak.log_rotation --processes 4 --lines 2000 --max-bytes 30000"
    found = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == found.stderr
    assert found.stdout.startswith("2000 of 2000 lines, 0 twice")
    assert 0 == found.returncode

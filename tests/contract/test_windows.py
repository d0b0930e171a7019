"""A start on Windows, played: the platform's name, and no module that only Unix has."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: click chooses its console by the platform when it is imported, so it comes first.
PLAYED = """
import click, sys
sys.platform = "win32"
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
import runpy
"""

COMMANDS = {
    "garcon": "sys.argv = ['garcon', '--help']; from garcon.cli import main; main()",
    "garcon pool": "sys.argv = ['garcon', 'pool', 'flows.metrics'];"
    " from garcon.cli import main; main()",
    "python -m garcon.pool": "sys.argv = ['garcon.pool', 'flows.metrics'];"
    " runpy.run_module('garcon.pool', run_name='__main__')",
    "python -m garcon.engine": "sys.argv = ['garcon.engine'];"
    " runpy.run_module('garcon.engine', run_name='__main__')",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_windows_is_told_of_wsl_in_one_line(command):
    """Exit code 2, before anything that Windows lacks is imported."""
    found = subprocess.run(
        [sys.executable, "-c", PLAYED + COMMANDS[command]],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == found.returncode
    assert "" == found.stdout
    (line,) = found.stderr.splitlines()
    assert line.startswith("garcon: does not run on Windows itself; run it in WSL")

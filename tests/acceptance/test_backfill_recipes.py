"""The recipes of docs/backfill.md for schedulers are run, each in the environment it gives."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.acceptance.harness import MARK, ROOT
from tests.acceptance.pages import blocks_of

PAGE = ROOT / "docs" / "backfill.md"
BLOCKS = blocks_of(PAGE)
HOME = "/srv/sales"

ENGINE = re.compile(r"GARCON_ENGINE=(\S+)")


def block(language):
    """Return the page's one block of a language."""
    (found,) = [one.text for one in BLOCKS if one.language == language]
    return found


def of_cron():
    """Return the line that cron gives a shell, and its engine."""
    text = block("crontab")
    (line,) = re.findall(r"^\d+ \d+ \* \* \* +(.+)$", text, re.MULTILINE)
    return line, ENGINE.search(text)[1]


def of_systemd():
    """Return what systemd starts in its working folder, and its engine."""
    text = block("ini")
    (line,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    (folder,) = re.findall(r"^WorkingDirectory=(.+)$", text, re.MULTILINE)
    return f"cd {folder} && exec {line}", ENGINE.search(text)[1]


def of_kubernetes():
    """Return what the container runs in its working folder; AWS is left to a local engine."""
    text = block("yaml")
    (words,) = re.findall(r"command: (\[.+\])$", text, re.MULTILINE)
    (folder,) = re.findall(r"workingDir: (.+)$", text, re.MULTILINE)
    line = shlex.join(json.loads(words)).replace("garcon", f"{HOME}/.venv/bin/garcon", 1)
    return f"cd {folder} && exec {line}", f"local:{HOME}/engine.db"


@pytest.mark.parametrize("recipe", [of_cron, of_systemd, of_kubernetes])
def test_a_recipe_runs_without_an_environment(recipe, place):
    """No HOME, no terminal, no PATH to speak of; twice, and the second time nothing is left."""
    (flow,) = [one.text for one in BLOCKS if one.name == "sales.py"]
    (place.folder / "sales.py").write_text(flow, encoding="utf-8")
    tool = place.folder / ".venv" / "bin" / "garcon"
    tool.parent.mkdir(parents=True)
    run = f"import sys; sys.path.append({str(ROOT)!r}); from garcon.cli import main; main()"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(run)} "$@"\n')
    tool.chmod(0o755)
    line, engine = (text.replace(HOME, str(place.folder)) for text in recipe())
    environment = {"GARCON_ENGINE": engine, MARK: place.mark}

    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            env=environment,
            cwd=os.sep,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )

        assert 0 == done.returncode, done.stderr.decode()
        if "--quiet" in line:
            assert (b"", b"") == (done.stdout, done.stderr)
    assert b"COMPLETED" not in done.stdout
    assert 1 == len(place.histories("shops"))

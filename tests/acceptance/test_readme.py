"""What the README shows is run as it stands there."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from garcon.cli import main
from garcon.pool.execution import default_workflow_id
from tests.acceptance.harness import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(heading, language=""):
    """Return the first code block of a language below a heading."""
    below = README.split(f"\n## {heading}\n")[1]
    found = re.search(rf"```{language}\n(.*?)```", below, re.DOTALL)
    assert found is not None, f"no {language} block below {heading!r}"
    return found[1]


def test_the_small_flow_runs_as_the_readme_says(place):
    """The code and the command below it, in an empty folder."""
    (place.folder / "breakfast.py").write_text(block("A small flow", "python"), encoding="utf-8")
    command = next(line for line in README.splitlines() if line.startswith("garcon pool breakfast"))
    program, verb, *words = shlex.split(command)
    assert ["garcon", "pool"] == [program, verb]

    pool = place.start("-m", "garcon.pool", *words, "--procs", "2")

    assert 0 == pool.wait(), pool.err()
    assert "the kitchen is clean" in pool.out()
    assert "cook: 3 of 3 done, 0 failed" in pool.out()


def test_the_readme_lists_the_options_that_there_are():
    """Neither an option that is gone nor one that is missing."""
    options = {name for one in main.commands["pool"].params for name in one.opts if "--" in name}
    shown = set(re.findall(r"--[a-z-]+", block("The pool")))

    assert options == shown
    for name in options:
        assert f"| `{name}" in README, f"{name} is not explained"


@pytest.mark.parametrize("code", range(7))
def test_the_readme_and_the_help_know_the_same_exit_codes(code):
    """A cron line depends on them."""
    assert re.search(rf"^\| {code} \| ", README, re.MULTILINE)
    assert re.search(rf"^ .*\b{code}  \w", main.commands["pool"].epilog, re.MULTILINE)


def test_the_two_commands_begin_the_readme():
    """A newcomer finds them before anything else, and they are make's."""
    assert re.findall(r"^```\n(.*)\n```", README, re.MULTILINE)[:2] == ["make run", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("run", "test"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_make_run_is_the_main_job():
    """Seven days, all countries, sixteen processes, an engine of its own."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert "-m garcon.pool flows.metrics --procs 16 --engine local --input '$(input)'" in makefile
    data = {"start": "2026-01-01", "end": "2026-01-07"}
    assert f"input := {json.dumps(data)}\n" in makefile
    assert f"started execution {default_workflow_id('metrics', data)} (run" in README

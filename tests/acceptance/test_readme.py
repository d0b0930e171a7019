"""What the README shows is run as it stands there."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess

import botocore.session
import pytest
from botocore import xform_name

from garcon.cli import main
from garcon.pool.execution import default_workflow_id
from tests.acceptance.harness import ROOT
from tests.acceptance.pages import blocks_of

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
    """A month, all countries, sixteen processes, an engine of its own."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert "-m garcon.pool flows.metrics --procs 16 --engine local --input '$(input)'" in makefile
    data = {"start": "2026-01-01", "end": "2026-01-31"}
    assert f"input := {json.dumps(data)}\n" in makefile
    assert f"started execution {default_workflow_id('metrics', data)} (run" in README


#: How each block of the README begins, and the test here that reads it.
BLOCKS = {
    "make run": "test_the_two_commands_begin_the_readme",
    "engine: local,": "test_make_run_is_the_main_job",
    "make test": "test_the_two_commands_begin_the_readme",
    "from garcon import": "test_the_small_flow_runs_as_the_readme_says",
    "garcon pool breakfast": "test_the_small_flow_runs_as_the_readme_says",
    "garcon pool FLOW": "test_the_readme_lists_the_options_that_there_are",
    "15 2 * * *": "test_lines_that_need_aws_are_commands",
    "AWS_REGION=": "test_lines_that_need_aws_are_commands",
    "{": "test_the_policy_allows_what_garcon_asks_for",
}


def test_every_block_of_the_readme_is_read_by_a_test():
    """A new one needs a test before it is shown."""
    first = [one.text.splitlines()[0] for one in blocks_of(ROOT / "README.md")]

    assert [] == [line for line in first if not line.startswith(tuple(BLOCKS))]
    assert set(BLOCKS.values()) <= globals().keys()


@pytest.mark.parametrize("heading", ["Cron", "AWS"])
def test_lines_that_need_aws_are_commands(heading):
    """Their options are the pool's, their input is JSON once the shell has seen it."""
    line = block(heading).strip()
    if heading == "Cron":
        fields = line.split(None, 5)
        assert re.fullmatch(r"[\d*/,-]+", "".join(fields[:5]))
        line = fields[5].replace("\\%", "%")  # cron's own escape
    words = shlex.split(line.split("garcon pool", 1)[1].split("||")[0])
    options = {name for one in main.commands["pool"].params for name in one.opts}
    given = subprocess.run(
        ["bash", "-c", f"printf %s {_input_word(line)}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "flows.metrics" in words
    assert {"start", "end"} == set(json.loads(given.stdout))
    assert {word for word in words if word.startswith("--")} <= options


def _input_word(line):
    """Return the word behind --input as the shell is given it, quotes and all."""
    rest = line.split("--input ", 1)[1]
    quote = rest[0]
    end = re.search(rf"(?<!\\){quote}(?= |$)", rest[1:])
    assert end is not None
    return rest[: end.end() + 1]


def test_the_policy_allows_what_garcon_asks_for():
    """Every operation and decision that the package names, and nothing that SWF does not have."""
    operations = botocore.session.get_session().get_service_model("swf").operation_names
    batch = (ROOT / "garcon" / "planning" / "batch.py").read_text(encoding="utf-8")
    decisions = set(re.findall(r'_decision\("(\w+)"', batch))
    policy = json.loads(block("AWS", "json"))
    allowed = {name.removeprefix("swf:") for name in policy["Statement"][0]["Action"]}

    assert decisions
    assert set() == (_operations_named(operations) | decisions) - allowed
    assert allowed <= {*operations, *decisions}


def _operations_named(operations):
    """Return the operations that the package calls, by boto3's name for them or SWF's."""
    words = set()
    for path in (ROOT / "garcon").rglob("*.py"):
        if "engine" not in path.relative_to(ROOT).parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    words.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    words.add(node.value)
    return {name for name in operations if words & {name, xform_name(name)}}

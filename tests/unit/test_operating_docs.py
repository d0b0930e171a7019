"""The pages for operators, held against the code: options, figures, fields and times."""

from __future__ import annotations

import asyncio
import configparser
import json
import re
import shlex

import pytest

from garcon.cli import main
from garcon.pool.config import DRAIN_TIMEOUT_S
from garcon.pool.metrics import PoolMetrics
from garcon.pool.status_command import status
from garcon.pool.tally import TaskEnd
from tests.contract.test_metrics import tell
from tests.unit.source_tree import ROOT

DEPLOY = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")

#: From the kill of what is left to the last answer, seconds; deploy.md says how it comes about.
MARGIN_S = 30


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def unit() -> configparser.ConfigParser:
    """Return the unit file of the page."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(blocks(DEPLOY, "ini")[0])
    return parser


def pool_options(words: list[str]) -> dict:
    """Return what the pool's command line makes of these words; fails on one it does not know."""
    pool = main.get_command(None, "pool")
    return pool.make_context("pool", list(words)).params


def commands() -> list[list[str]]:
    """Return the words after `garcon pool` of every command that deploy.md shows."""
    entry = json.loads(re.search(r"ENTRYPOINT (\[.*\])", DEPLOY)[1])[2:]
    started = shlex.split(unit()["Service"]["ExecStart"])
    images = [json.loads(found) for found in re.findall(r"(?:CMD|args:) (\[.*\])", DEPLOY)]
    ecs = json.loads(blocks(DEPLOY, "json")[0])["containerDefinitions"][0]["command"]
    return [started[2:], *([*entry, *one] for one in [*images, ecs])]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_that_is_shown_is_one_that_garcon_takes(words):
    """An option that was renamed would keep a service from starting."""
    options = pool_options(words)

    assert "flows.metrics" == options["flow"]
    assert "json" == options["log_format"]


def test_stop_timeouts_leave_time_for_the_drain():
    """Each example gives its pool what it needs after the drain."""
    service = unit()["Service"]
    container = json.loads(blocks(DEPLOY, "json")[0])["containerDefinitions"][0]
    grace_s = int(re.search(r"terminationGracePeriodSeconds: (\d+)", DEPLOY)[1])

    assert DRAIN_TIMEOUT_S + MARGIN_S <= int(service["TimeoutStopSec"])
    assert DRAIN_TIMEOUT_S + MARGIN_S <= grace_s
    drain_s = pool_options(["flows.metrics", *container["command"]])["drain_timeout"]
    assert drain_s + MARGIN_S <= container["stopTimeout"] <= 120


def test_the_unit_tells_the_supervisor_alone_and_keeps_its_journal():
    """What the page explains is what the file says."""
    service = unit()["Service"]

    assert ("notify", "mixed") == (service["Type"], service["KillMode"])
    assert "yes" == service["RuntimeDirectoryPreserve"]
    assert f"XDG_RUNTIME_DIR=/run/{service['RuntimeDirectory']}" in service["Environment"]
    assert "2 3 5" == service["RestartPreventExitStatus"]


def test_every_figure_is_described():
    """By its full name, in the table of operating.md."""
    metrics = PoolMetrics(tell)
    metrics.observe(TaskEnd("fetch", "completed", 1.0, cpu_s=1.0, peak_kb=1))
    text = asyncio.run(metrics.text()).decode()
    families = set(re.findall(r"^# TYPE (\w+) \w+$", text, re.MULTILINE))
    families = {name for name in families if not name.endswith("_created")}

    assert set() == families - set(re.findall(r"`(garcon_\w+)", OPERATING))


def test_every_option_of_status_is_described():
    """The line of the page is the command's."""
    line = next(one for one in OPERATING.splitlines() if one.startswith("garcon status ["))
    options = {name for option in status.params for name in option.opts if name.startswith("--")}

    assert options == set(re.findall(r"--\w+", line))

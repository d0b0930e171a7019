"""Histories in files: replayed by the command, by pytest, and to guard the decider itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from garcon.cli import main
from garcon.errors import UsageError
from garcon.replay import ReplayMismatch, check_files
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.stored_histories import FOLDER, SETS, documents
from tests.unit.swf_histories import Swf, World, play_world

FLOW = """
from garcon import activity, runner

domain, name = "domain", "flow"
create = activity.create(domain, name)


def numbers(context):
    yield from ({"number": number} for number in range(COUNT))


many = create(name="many", generators=[numbers], shard_size=20, run=runner.Sync(print))
"""


def write(folder: Path, world: World) -> list[Path]:
    """Write the histories of `world` into files, the root's first."""
    paths = []
    for number, document in enumerate(documents(world)):
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(json.dumps(document), encoding="utf-8")
    return paths


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with the histories of an execution and its shards, and its flow in a file."""
    flow = flow_of(many={"generators": [numbers(60)], "shard_size": 20})
    world = World(Swf())
    play_world(world, decider_of(flow), lambda swf, one: swf.complete(one))
    write(tmp_path, world)
    (tmp_path / "a_replayed_flow.py").write_text(FLOW.replace("COUNT", "60"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "a_replayed_flow", raising=False)
    yield tmp_path
    sys.modules.pop("a_replayed_flow", None)


def replay(capsys, *words):
    """Run `garcon replay` and return its exit code and what it said."""
    with pytest.raises(SystemExit) as ended:
        main(["replay", "a_replayed_flow", *words], standalone_mode=False)
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


@pytest.mark.parametrize("name", SETS)
def test_the_stored_executions_and_their_shards_are_decided_as_they_were(name):
    """Running executions look like these: a decider that decides otherwise breaks them."""
    paths = sorted((FOLDER / name).glob("*.json"))

    assert check_files(SETS[name](), paths) > len(paths)


def test_a_changed_flow_is_found_out_in_a_test(place):
    """As a user's own test does it."""
    flow = flow_of(many={"generators": [numbers(60)], "shard_size": 20})
    assert check_files(flow, sorted(place.glob("*.json"))) > 4

    with pytest.raises(ReplayMismatch, match="control was"):
        check_files(flow_of(many={"generators": [numbers(60)], "shard_size": 30}), ["0.json"])


def test_the_command_shows_every_decision_and_ends_well(place, capsys):
    """One line each, and the count for each history."""
    code, out, _ = replay(capsys, *(str(path) for path in sorted(place.glob("*.json"))))

    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "decision 3: marker, 3 x shard; the same now"
    assert lines[-1].endswith("none would differ")
    assert sum(line.startswith("decision") for line in lines) > 8


def test_the_command_fails_where_a_decision_would_differ(place, capsys):
    """With the first field that does."""
    changed = FLOW.replace("COUNT", "60").replace("=20", "=30")
    (place / "a_replayed_flow.py").write_text(changed, encoding="utf-8")

    code, out, _ = replay(capsys, "0.json")

    assert code == 1
    assert "DIFFERS: decision 3, number 2: StartChildWorkflowExecution workflow.many.1.1" in out
    assert out.splitlines()[-1].endswith("1 would differ")


def test_the_command_tells_that_generators_give_something_else(place, capsys):
    """It is no difference: the run goes by what was frozen."""
    (place / "a_replayed_flow.py").write_text(FLOW.replace("COUNT", "61"), encoding="utf-8")

    code, out, _ = replay(capsys, "0.json")

    assert code == 0
    assert "(the generators of many give others now: 61 instances, 60 were frozen)" in out


def test_the_command_tells_machines_the_same(place, capsys):
    """One object a line."""
    code, out, _ = replay(capsys, "--json", "0.json")

    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert told[0] == {
        "event": "decision",
        "workflow_id": "workflow",
        "started_event_id": 3,
        "decided": {"RecordMarker": 1, "StartChildWorkflowExecution": 3},
        "planned": {"RecordMarker": 1, "StartChildWorkflowExecution": 3},
        "difference": None,
        "notes": [],
    }


@pytest.mark.parametrize("text", ["", "[]", '{"events": []}', "null"])
def test_what_is_no_history_is_a_usage_error(place, capsys, text):
    """With the command that writes one."""
    (place / "x.json").write_text(text, encoding="utf-8")

    code, _, err = replay(capsys, "x.json")

    assert code == 2
    assert "x.json is no history; `garcon history WORKFLOW_ID` writes one" in err


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    """Named, with the system's word for it."""
    with pytest.raises(UsageError, match=r"nothing\.json cannot be read"):
        check_files(flow_of(only={}), [tmp_path / "nothing.json"])

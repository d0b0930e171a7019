"""One execution from the command's side, its engine scripted."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from garcon.client import Engine
from garcon.description import FlowDescription
from garcon.errors import EngineError, EngineUnreachable, OpenWithAnotherInput, ServiceError
from garcon.pool import watch
from garcon.pool.display import Display
from garcon.pool.execution import Ending, Look, Run, Started
from garcon.pool.mission import Desk
from garcon.pool.watch import SingleRun, Wanted, Watch
from garcon.progress import Counts

FLOW = FlowDescription("dev", "flow", "1.0", ())
RUN = Run("w", "r")
OPEN = Look(None, {"a": Counts(total=4, done=1)})
PATIENCE_S = 30.0


class Script:
    """What `Executions` would say, call by call; an error among it is raised."""

    def __init__(self, *looks: Any, started: Any = None, ending: Any = None) -> None:
        self.looks = list(looks)
        self.starts = list(started or [Started(RUN, joined=False)])
        self.endings = list(ending or [Ending()])
        self.asked: list[tuple[Any, ...]] = []

    def start_or_join(self, *words: Any) -> Any:
        self.asked.append(words)
        return _next(self.starts)

    def look(self, _run: Run) -> Any:
        return _next(self.looks)

    def ending(self, _run: Run) -> Any:
        return _next(self.endings)


def _next(told: list[Any]) -> Any:
    one = told.pop(0)
    if isinstance(one, Exception):
        raise one
    return one


class _Desk(Desk):
    @property
    def executions(self) -> Any:
        return self.connect()


async def control(call: Any, *args: Any) -> Any:
    """Run a blocking call: here at once."""
    return call(*args)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Let no look wait."""
    monkeypatch.setattr(watch, "LOOK_S", 0.0)
    monkeypatch.setattr(watch, "FIRST_LOOKS_S", 0.0)


def desk_of(script: Script, closed: list[str], display: Display | None = None) -> Desk:
    """Return a desk at which executions are looked at as the script says."""
    display = display or Display(io.StringIO(), io.StringIO())
    engine = Engine("url", url="http://x")
    return _Desk(FLOW, engine, lambda: script, control, display, seen_closed=closed.append)


def run(script: Script, wanted: Wanted | None = None) -> tuple[int, str, str]:
    """Return exit code, results and notes of a mission with this script."""
    out, err = io.StringIO(), io.StringIO()
    desk = desk_of(script, [], Display(out, err))
    mission = asyncio.wait_for(SingleRun(wanted or Wanted({})).run(desk), PATIENCE_S)
    return asyncio.run(mission), out.getvalue(), err.getvalue()


def test_a_run_that_completes_is_exit_code_0_and_its_counts_are_summed_up():
    """What was seen last stands in the summary."""
    code, out, err = run(Script(OPEN, Look("COMPLETED", {"a": Counts(total=4, done=4)})))

    assert code == 0
    assert "w COMPLETED" in out
    assert "a: 4 of 4 done, 0 failed" in out
    assert "started execution w" in err


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "CANCELED", "TERMINATED"])
def test_a_run_that_closes_otherwise_is_exit_code_1_and_says_why(status):
    """On stdout for who reads results, on stderr for who reads only errors."""
    code, out, err = run(Script(Look(status, {}), ending=[Ending(reason="2 of 7 failed")]))

    assert code == 1
    assert status in out
    assert f"execution w {status}: 2 of 7 failed" in err


def test_the_last_counts_that_were_told_are_kept():
    """A closing decision may tell less than the one before."""
    _, out, _ = run(Script(OPEN, Look("COMPLETED", {})))

    assert "a: 1 of 4 done" in out


def test_the_default_id_follows_from_flow_and_input_and_a_given_one_is_taken():
    """So that the same command line finds its run again."""
    script, named = Script(Look("COMPLETED", {})), Script(Look("COMPLETED", {}))
    run(script, Wanted({"day": 1}))
    run(named, Wanted({"day": 1}, "nightly", 7))

    ((workflow_id, data, priority),) = script.asked
    assert workflow_id.startswith("flow-")
    assert (data, priority) == ({"day": 1}, None)
    assert named.asked == [("nightly", {"day": 1}, 7)]


def test_an_engine_that_is_away_for_a_moment_is_asked_again_at_every_step():
    """At the start, at a look, and at the ending, which is there as long as the history."""
    away = EngineUnreachable("engine unreachable: Connection refused")
    throttled = ServiceError("ThrottlingException", "Rate exceeded")
    script = Script(
        away,
        throttled,
        Look("COMPLETED", {}),
        started=[throttled, away, Started(RUN, joined=True)],
        ending=[away, Ending(reason="")],
    )

    code, _, err = run(script)

    assert code == 0
    assert "joined the open execution w" in err


@pytest.mark.parametrize(
    "script",
    [
        Script(started=[ServiceError("UnknownResourceFault", "Unknown type")]),
        Script(ServiceError("UnknownResourceFault", "Unknown execution")),
    ],
)
def test_a_refusal_that_waiting_does_not_mend_ends_the_command(script):
    """With the engine's exit code."""
    with pytest.raises(EngineError) as refused:
        run(script)

    assert refused.value.exit_code == 4


def test_an_id_that_is_open_with_another_input_is_not_asked_for_again():
    """It is an answer, not a fault."""
    with pytest.raises(OpenWithAnotherInput):
        run(Script(started=[OpenWithAnotherInput("open with another input")]))


def test_an_engine_that_stays_away_ends_the_watch(monkeypatch):
    """A command must end some time, and the same one goes on later."""
    monkeypatch.setattr(watch, "PATIENCE_S", -1.0)

    with pytest.raises(EngineUnreachable):
        run(Script(EngineUnreachable("engine unreachable: Connection refused")))


def test_a_hint_that_the_run_has_closed_hurries_the_next_look(monkeypatch):
    """The pool's own deciders know it first; the command does not wait for its next turn."""
    monkeypatch.setattr(watch, "FIRST_LOOKS_S", 3600.0)
    closed: list[str] = []

    async def scenario() -> Look:
        script = Script(OPEN, Look("COMPLETED", {}))
        one = Watch(desk_of(script, closed), RUN)
        seen = asyncio.Event()
        looking = asyncio.ensure_future(one.wait_closed(lambda *_: seen.set()))
        await seen.wait()
        one.hurry("another run")
        await asyncio.sleep(0)
        assert not looking.done()
        assert closed == []
        one.hurry("r")
        return await asyncio.wait_for(looking, PATIENCE_S)

    assert asyncio.run(scenario()).close_status == "COMPLETED"
    assert closed == ["r"], "whoever has waited for its decisions is told"

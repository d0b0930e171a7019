"""Histories that take longer to read than a decision has time: read on, never in vain."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from garcon.deciding.kept import DecisionTask
from garcon.flow import describe
from garcon.history import ANEW_TIMER
from garcon.planning.batch import start_timer
from garcon.pool import decider_child
from garcon.pool.frames import Channel, encode
from garcon.pool.readings import PASSING_MAX, Readings
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, play

RUN = ("w", "r")
PAGE = 10


def a_task(first: int, started: int) -> DecisionTask:
    """Return a decision task whose events are `first` to `started`."""
    events = [{"eventId": number} for number in range(first, started + 1)]
    return DecisionTask("d", *RUN, "flow", "1", started, first, events)


def test_a_reading_that_was_broken_off_goes_on_with_its_next_page():
    """And in front of it comes what the attempt itself had brought."""
    readings = Readings()
    readings.begin(a_task(8, 10))
    readings.of(*RUN).add(b"seven", "six")
    readings.of("other", "run").add(b"else", "")
    readings.end([b"eight", b"ten"])

    readings.begin(a_task(10, 13))

    assert [b"ten", b"eight", b"seven"] == readings.of(*RUN).pages
    assert "six" == readings.of(*RUN).token
    assert [b"else"] == readings.of("other", "run").pages
    assert readings.of("other", "run").token is None


def test_a_reading_that_does_not_join_what_came_is_begun_anew():
    """Another decider has decided in between; what was read of other runs is still good."""
    readings = Readings()
    readings.begin(a_task(8, 10))
    readings.of(*RUN).add(b"seven", "six")
    readings.of("other", "run").add(b"else", "")
    readings.end([b"eight"])

    readings.begin(a_task(12, 15))

    assert ([], "") == (readings.of(*RUN).pages, readings.of(*RUN).token)
    assert [b"else"] == readings.of("other", "run").pages


def test_a_decision_that_was_made_needs_its_readings_no_more():
    """Nor one that failed otherwise: what it had may be wrong."""
    readings = Readings()
    readings.begin(a_task(8, 10))
    readings.of(*RUN).add(b"seven", "six")
    readings.end(None)

    readings.begin(a_task(10, 13))

    assert [] == readings.of(*RUN).pages


def test_a_reading_that_came_no_further_is_begun_anew():
    """The engine may take its token no more, and each attempt would meet that again."""
    readings = Readings()
    readings.begin(a_task(8, 10))
    readings.of("other", "run").add(b"else", "expired")
    readings.end([b"ten"])
    readings.begin(a_task(10, 13))
    assert "expired" == readings.of("other", "run").token
    readings.end([b"thirteen"])

    readings.begin(a_task(13, 16))

    assert ([], "") == (readings.of("other", "run").pages, readings.of("other", "run").token)


def attempt(readings: Readings, run_id: str, page: bytes, pages: int) -> bool:
    """Read one page more for a run; return whether it has all of its `pages`."""
    readings.begin(DecisionTask("d", "w", run_id, "flow", "1", 10, 0, ()))
    reading = readings.of("w", run_id)
    reading.add(page, "more")
    is_read = len(reading.pages) == pages
    readings.end(None if is_read else [])
    return is_read


def kept(readings: Readings) -> list[str]:
    """Return the runs of which pages are kept."""
    return [run_id for _, run_id in readings._kept]


def test_readings_are_bounded_but_for_the_first():
    """What was begun later goes: the first will be done, and then there is room again."""
    readings = Readings(bytes_max=9)
    for run_id in ("0", "1", "2"):
        attempt(readings, run_id, b"1234", 9)
    assert ["0", "1"] == kept(readings)

    for _ in range(3):
        attempt(readings, "0", b"1234", 9)

    assert ["0"] == kept(readings)


@pytest.mark.parametrize(("runs", "pages"), [(2, 2), (5, 10)])
def test_runs_that_are_too_large_together_are_read_one_after_the_other(runs, pages):
    """Each of them gone for the next, none would ever be read to its end."""
    page = bytes(60 // pages)
    readings = Readings(bytes_max=60)
    left = [str(number) for number in range(runs)]
    for _ in range((pages + 1) * runs):
        left = [one for one in left if not attempt(readings, one, page, pages + 1)]
        assert readings._size() <= 60

    assert [] == left
    assert [] == kept(readings)


def test_a_reading_that_nobody_goes_on_with_is_given_up_for_others():
    """Its run was taken by another decider, or has closed: nobody says so."""
    readings = Readings(bytes_max=60)
    for _ in range(9):
        attempt(readings, "gone", b"12345", 10)
    tries = 1
    while not attempt(readings, "here", b"12345", 10):
        tries += 1
        assert tries < 20

    assert "gone" not in kept(readings)


def test_a_reading_that_is_gone_on_with_is_not_given_up():
    """However many others come between; and who has come is not remembered for ever."""
    readings = Readings(bytes_max=30)
    for number in range(3 * PASSING_MAX):
        attempt(readings, f"{number}", b"12345", 10)
        attempt(readings, f"{number}", b"12345", 10)
        assert len(readings._passing) <= PASSING_MAX
        if number % 100 == 0:
            readings.begin(DecisionTask("d", "w", "0", "flow", "1", 10, 0, ()))
            assert readings.of("w", "0").pages
            readings.of("w", "0").add(b"", "more")
            readings.end([])


class Engine:
    """Plays the supervisor of one decider: serves pages, a few each attempt."""

    def __init__(self, flow: Any, runs: dict[str, Swf]) -> None:
        self.runs = runs
        self.asked: list[tuple[str, str]] = []
        ours, theirs = socket.socketpair()
        self._ours, self.channel = ours, Channel(ours)
        serving = Channel(theirs)

        def serve() -> None:
            decider_child.main(serving, flow, describe(flow), serving.receive())
            theirs.close()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()

    def decide(self, task: DecisionTask, pages: int, read_s: float = 1_000.0) -> Any:
        """Have `task` decided, and break off after so many pages. Return the last frame."""
        number = task.started_event_id
        self._ours.sendall(
            encode(
                "task", task=number, pages=1, domain="domain", workflow_id=task.workflow_id,
                run_id=task.run_id, workflow_type="flow", version="1.0", started=number,
                previous=task.previous_started_event_id, read_s=read_s,
            )
            + encode("page", json.dumps({"events": task.events}).encode(), task=number)
        )  # fmt: skip
        while True:
            frame = self.channel.receive()
            assert frame is not None
            if frame.kind != "need":
                return frame
            if pages == 0:
                self._ours.sendall(encode("gone", task=number))
                continue
            pages -= 1
            self._ours.sendall(self._page(number, frame.head))

    def _page(self, number: int, wanted: dict[str, Any]) -> bytes:
        self.asked.append((wanted["run_id"], wanted["token"]))
        events = self.runs[wanted["run_id"]].events
        top = int(wanted["token"] or len(events))
        found = events[max(0, top - PAGE) : top][::-1]
        rest = str(top - PAGE) if top > PAGE else ""
        body = json.dumps({"events": found}).encode()
        return encode("page", body, task=number, next=rest)

    def close(self) -> None:
        """End the decider."""
        self._ours.sendall(encode("stop"))
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._ours.close()


def until_decided(engine: Engine, swf: Swf, work: Callable[[], None], **how: Any) -> list[Any]:
    """Have the run decided as often as it takes; return the last frames of all attempts."""
    frames = []
    while len(frames) < 100:
        frames.append(engine.decide(swf.poll(), **how))
        decisions = [start_timer(ANEW_TIMER, 0)]
        if frames[-1].kind == "answer":
            decisions = json.loads(frames[-1].body)["decisions"]
        swf.respond(decisions)
        if decisions != [start_timer(ANEW_TIMER, 0)]:
            engine.close()
            return frames
        swf.advance(0)
        work()
    raise AssertionError("it was never decided")


@pytest.mark.parametrize(
    ("how", "pages"),
    [
        pytest.param({"pages": 3}, 3, id="the supervisor breaks off"),
        pytest.param({"pages": 1_000, "read_s": 0.0}, 1, id="the decider itself gives up"),
    ],
)
def test_an_earlier_execution_that_is_long_to_read_is_read_on_at_each_attempt(how, pages):
    """No page of it is asked for twice, and the resume succeeds in the end."""
    flow = flow_of(many={"generators": [numbers(60)]})
    earlier = Swf(run_id="earlier")
    play(earlier, decider_of(flow), lambda swf, one: swf.complete(one))
    named = {"workflow_id": "workflow", "run_id": "earlier"}
    swf = Swf({"garcon.resume": named}, run_id="later")
    engine = Engine(flow, {"earlier": earlier, "later": swf})

    frames = until_decided(engine, swf, lambda: None, **how)

    of_earlier = [token for run_id, token in engine.asked if run_id == "earlier"]
    assert len(of_earlier) == len(set(of_earlier)) == -(-len(earlier.events) // PAGE)
    assert len(frames) - 1 <= -(-len(engine.asked) // pages)
    assert len(frames) > 2
    assert "WorkflowExecutionCompleted" == swf.status or swf.kinds("MarkerRecorded")


@pytest.mark.parametrize("how", [{"pages": 2}, {"pages": 1_000, "read_s": 0.0}])
def test_a_history_of_its_own_that_is_long_to_read_is_read_on_at_each_attempt(how):
    """A cold decider comes to a run in full course, which goes on between its attempts."""
    flow = flow_of(many={"generators": [numbers(60)], "max_open": 5})
    swf = Swf(run_id="r")
    warm = decider_of(flow)

    def work() -> None:
        for one in swf.start(1):
            swf.complete(one)

    for _ in range(20):
        if swf.has_decision_task:
            swf.respond(warm.decide(swf.poll(), lambda: iter(())).decisions)
        work()
        swf.advance(0)
    engine = Engine(flow, {"r": swf})

    frames = until_decided(engine, swf, work, **how)

    assert len(frames) > 2
    tokens = [token for _, token in engine.asked]
    assert len(tokens) == len(set(tokens))

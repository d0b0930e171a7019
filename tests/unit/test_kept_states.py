"""Kept states: what fits is continued, a gap is read newest first and no further than needed."""

from __future__ import annotations

import pytest

from garcon.deciding.flowdecider import FlowDecider
from garcon.deciding.kept import DecisionTask, KeptStates, older_events
from garcon.flow import describe
from garcon.history import HistoryGap
from garcon.planning.batch import start_timer
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide


class Pages:
    """The older pages of a run, counting how many are read."""

    def __init__(self, swf, size=10):
        self.swf, self.size, self.read = swf, size, 0

    def __call__(self):
        for page in self.swf.older(self.size):
            self.read += 1
            yield page


def run_of(decisions, decider=None):
    """Return a run that has been decided so many times, with the next task pending."""
    swf = Swf()
    decider = decider or decider_of(flow_of(many={"generators": [numbers(300)]}))
    for _ in range(decisions):
        decide(swf, decider)
        swf.advance(0)
        swf.complete(swf.start(1)[0])
    return swf


def test_first_task_needs_no_older_pages():
    """It brings the whole history."""
    swf = Swf()
    pages = Pages(swf)

    state = KeptStates().folded(swf.poll(), pages)

    assert (3, 0) == (state.last_event_id, pages.read)


def test_a_state_that_fits_is_continued_without_reading():
    """Polls bring what is new since the last decision started."""
    kept = KeptStates()
    swf = Swf()
    pages = Pages(swf)
    flow = decider_of(flow_of(many={"generators": [numbers(300)]}))
    for _ in range(5):
        task = swf.poll()
        kept.folded(task, pages)
        swf.respond(flow.decide(task, pages).decisions)
        swf.advance(0)
        swf.complete(swf.start(1)[0])

    state = kept.folded(swf.poll(), pages)

    assert (len(swf.events), 0) == (state.last_event_id, pages.read)


def test_a_cold_start_reads_down_to_the_first_event():
    """Nothing is kept: the whole history comes, newest first."""
    swf = run_of(4)
    pages = Pages(swf)

    state = KeptStates().folded(swf.poll(), pages)

    assert len(swf.events) == state.last_event_id
    assert pages.read == -(-len(swf.events) // 10)


def test_a_gap_is_read_no_further_than_the_kept_state():
    """Another decider had the run for a while: only its part is read."""
    kept = KeptStates()
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(300)]}))
    for _ in range(3):
        decide(swf, decider)
        swf.advance(0)
        swf.complete(swf.start(1)[0])
    task = swf.poll()
    state = kept.folded(task, Pages(swf))
    had = state.last_event_id
    swf.respond(decider.decide(task, swf.older).decisions)
    for _ in range(4):
        swf.complete(swf.start(1)[0])
        decide(swf, decider)
    swf.complete(swf.start(1)[0])
    task = swf.poll()
    pages = Pages(swf)

    assert task.events[0]["eventId"] > had + 1
    assert state is kept.folded(task, pages)
    assert pages.read <= (len(swf.events) - had) // 10 + 1


def test_the_same_task_again_is_decided_again():
    """A poll that is repeated gives the same task; nothing is folded twice."""
    swf = run_of(2)
    kept = KeptStates()
    task = swf.poll()
    once = kept.folded(task, swf.older).last_event_id

    assert once == kept.folded(task, swf.older).last_event_id


def test_a_state_ahead_of_its_task_is_built_anew():
    """An older task of the run must not be decided on what came after it."""
    swf = run_of(2)
    kept = KeptStates()
    early = swf.poll()
    swf.time_out_decision()
    kept.folded(swf.poll(), swf.older)

    assert early.started_event_id == kept.folded(early, swf.older).last_event_id


def test_missing_events_are_never_decided_on():
    """The history is eventually consistent; a part of it decides nothing."""
    swf = run_of(3)
    task = swf.poll()

    with pytest.raises(HistoryGap):
        KeptStates().folded(task, lambda: iter([swf.events[20:2:-1]]))
    with pytest.raises(HistoryGap):
        older_events([[{"eventId": 5}, {"eventId": 3}]], 1, 5)
    with pytest.raises(HistoryGap):
        KeptStates().folded(task, lambda: iter(()))


def test_states_are_bounded_in_number():
    """The run that was decided longest ago goes first."""
    kept = KeptStates(max_runs=2)
    tasks = []
    for number in range(3):
        task = Swf().poll()
        tasks.append(type(task)(**{**task.__dict__, "run_id": str(number)}))
        kept.folded(tasks[-1], iter)

    assert 2 == len(kept)


def test_states_are_bounded_in_bytes_but_the_last_one_stays():
    """A run above the bound alone is kept until the next one comes."""
    kept = KeptStates(max_bytes=1)
    swf = run_of(2)
    task = swf.poll()
    kept.folded(task, swf.older)
    other = run_of(2)
    second = other.poll()
    kept.folded(type(second)(**{**second.__dict__, "run_id": "other"}), other.older)

    assert 1 == len(kept)


def test_sampled_decisions_are_checked_against_the_whole_history():
    """A kept state that has gone wrong is found, counted and replaced."""
    kept = KeptStates(check_every=1)
    swf = Swf()
    decider = decider_of(flow_of(many={"generators": [numbers(300)]}))
    for _ in range(3):
        task = swf.poll()
        state = kept.folded(task, swf.older)
        swf.respond(decider.decide(task, swf.older).decisions)
        swf.advance(0)
        swf.complete(swf.start(1)[0])
    assert (2, 0) == (kept.checks, kept.mismatches)

    state.open += 1
    task = swf.poll()
    mended = kept.folded(task, swf.older)

    assert (3, 1) == (kept.checks, kept.mismatches)
    assert len(swf.tasks) == mended.open


def test_a_state_that_had_gone_wrong_is_told_with_the_answer():
    """Nobody should have to find out by what is scheduled twice."""
    swf = run_of(2)
    decider = decider_of(flow_of(many={"generators": [numbers(300)]}))
    decider._kept = KeptStates(check_every=1)
    assert () == decide(swf, decider).notes
    swf.advance(0)
    swf.complete(swf.start(1)[0])
    (kept,) = decider._kept._states.values()

    kept.open += 1

    (note,) = decide(swf, decider).notes
    assert "differed from its history" in note


def test_few_decisions_are_checked():
    """One in five thousand, by the task: the same wherever it is decided."""
    kept = KeptStates()
    tasks = [
        DecisionTask("d", "w", str(run), "f", "1", event, 0, ())
        for run in range(10)
        for event in range(5_000)
    ]

    assert 2 <= sum(kept._is_sampled(task) for task in tasks) <= 30


def test_a_history_that_takes_too_long_is_asked_for_again():
    """Never decided on a part; as each attempt reads further, none counts against the run."""
    swf = run_of(6)
    flow = flow_of(many={"generators": [numbers(300)]})
    ticks = iter(range(0, 10_000, 6))

    for _ in range(4):
        slow = FlowDecider(flow, describe(flow), clock=lambda: float(next(ticks)))
        answer = slow.decide(swf.poll(), lambda: swf.older(10))
        assert answer.is_unread
        assert ["garcon.anew"] == [
            one["startTimerDecisionAttributes"]["timerId"] for one in answer.decisions
        ]
        swf.respond(answer.decisions)
        swf.advance(1)

    decide(swf, decider_of(flow))

    assert swf.status is None


def test_an_attempt_reads_one_page_however_slow_it_is():
    """Else the next one would begin where this one did, and none would ever end."""
    swf = run_of(2)
    flow = flow_of(many={"generators": [numbers(300)]})
    ticks = iter(range(0, 10_000, 600))
    slow = FlowDecider(flow, describe(flow), clock=lambda: float(next(ticks)))

    answer = slow.decide(swf.poll(), lambda: swf.older(1_000))

    assert not answer.is_unread


def test_a_history_that_was_read_the_second_time_counts_no_more():
    """One answered decision in between, and the count begins anew."""
    swf = run_of(6)
    flow = flow_of(many={"generators": [numbers(300)]})
    for _ in range(4):
        task = swf.poll()
        swf.respond([start_timer("garcon.again", 0)])
        swf.advance(0)
        assert task
        decide(swf, decider_of(flow))
        swf.complete(swf.start(1)[0])

    assert swf.status is None


@pytest.mark.parametrize(
    ("timers", "status"),
    [
        (["garcon.anew"] * 5, None),
        (["garcon.again", "garcon.anew", "garcon.again"], None),
        (
            ["garcon.again", "garcon.anew", "garcon.again", "garcon.anew", "garcon.again"],
            "WorkflowExecutionFailed",
        ),
    ],
)
def test_what_had_nothing_to_do_with_the_run_does_not_count_against_it(timers, status):
    """A pool that stops or a zygote that dies: neither counted, nor a proof that all is well."""
    swf = run_of(6)
    flow = flow_of(many={"generators": [numbers(300)]})
    for timer in timers:
        assert swf.poll()
        swf.respond([start_timer(timer, 0)])
        swf.advance(0)

    decide(swf, decider_of(flow))

    assert status == swf.status

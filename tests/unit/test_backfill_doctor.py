"""What the doctor finds, and the mend that comes with it."""

from __future__ import annotations

import pytest

from garcon.backfill.findings import (
    Level,
    container_finding,
    domain_finding,
    duration_findings,
    finding_lines,
    forecast_finding,
    input_findings,
    list_finding,
    type_finding,
)
from garcon.backfill.forecast import Forecast
from garcon.backfill.sampled import ListSeen, Sample
from garcon.description import ActivityDescription, FlowDescription
from tests.unit.deciding import decider_of, flow_of, numbers
from tests.unit.swf_histories import Swf, decide, play

FLOW = FlowDescription(
    "d", "flow", "1.0", (ActivityDescription("each", "flow_each", "1.0", "flow_each"),)
)


def domain(days, status="REGISTERED"):
    """Return what DescribeDomain says."""
    period = {"workflowExecutionRetentionPeriodInDays": days}
    return {"domainInfo": {"status": status}, "configuration": period}


@pytest.mark.parametrize(
    ("told", "level", "text"),
    [
        (None, Level.WARN, "not registered"),
        (domain("90"), Level.OK, "90 days"),
        (domain("7"), Level.OK, "7 days"),
        (domain("6"), Level.WARN, "6 days only"),
        (domain("0"), Level.ERROR, "nothing can be resumed"),
        (domain("NONE"), Level.ERROR, "nothing can be resumed"),
        (domain("90", "DEPRECATED"), Level.ERROR, "deprecated"),
    ],
)
def test_a_domain_is_judged(told, level, text):
    """By what resuming and reporting need of it."""
    found = domain_finding("d", told)

    assert (level, True) == (found.level, text in found.text)
    assert bool(found.mend) is (level is not Level.OK)


def test_a_type_is_judged():
    """Missing is mended by any pool, deprecated by nobody but its owner."""
    levels = [type_finding("t", one).level for one in (None, "REGISTERED", "DEPRECATED")]

    assert [Level.WARN, Level.OK, Level.ERROR] == levels


@pytest.mark.parametrize(
    ("pending", "seen", "level"),
    [
        (0, None, Level.OK),
        (500, None, Level.OK),
        (500, ListSeen(500, 900.0, 999.0), Level.OK),
        (1, ListSeen(1, 990.0, 0.0), Level.OK),
        (1, ListSeen(1, 800.0, 0.0), Level.ERROR),
        (500, ListSeen(500, 800.0, 900.0), Level.ERROR),
    ],
)
def test_a_list_that_nobody_serves_is_found(pending, seen, level):
    """Not by its length, but by who waits and since when nobody came."""
    found = list_finding("flow_each", pending, seen, now_s=1_000.0)

    assert level is found.level
    if level is Level.ERROR:
        assert "nobody takes any" in found.text
        assert "start a pool" in found.mend


def test_histories_tell_how_long_attempts_took_and_who_waits():
    """Durations from being taken to the end; what is open and not taken waits."""
    swf = Swf(now_s=1_000.0)
    decider = decider_of(flow_of(each={"generators": [numbers(5)], "retry": 1}))
    decide(swf, decider)
    swf.now_s = 1_010.0
    first, second, _ = swf.start(3)
    swf.now_s = 1_014.0
    swf.complete(first)
    swf.fail(second)
    sample, closed = Sample(), Sample()

    sample.add(swf.events, is_open=True)
    closed.add(swf.events, is_open=False)

    assert {"flow_each": [4.0]} == sample.durations_s
    assert (2, 1_000.0, 1_010.0) == (
        sample.lists["flow_each"].waiting,
        sample.lists["flow_each"].oldest_s,
        sample.lists["flow_each"].taken_s,
    )
    assert 1 == sample.lists["flow"].waiting
    assert 0 == closed.lists["flow_each"].waiting
    assert sample.inputs["flow_each"] > 2


def test_a_piece_of_a_history_may_begin_anywhere():
    """What began before it is left out."""
    swf = Swf()
    play(swf, decider_of(flow_of(each={"generators": [numbers(30)]})))
    whole = Sample()
    whole.add(swf.events, is_open=False)

    for start in range(0, len(swf.events), 7):
        sample = Sample()
        sample.add(swf.events[start:], is_open=True)

        assert len(sample.durations_s.get("flow_each", [])) <= 30
        assert not any(one.waiting for one in sample.lists.values())
    assert 30 == len(whole.durations_s["flow_each"])


@pytest.mark.parametrize(("longest", "level"), [(100.0, Level.OK), (400.0, Level.WARN)])
def test_a_timeout_is_held_against_the_durations_seen(longest, level):
    """Past half of it there is little room for a bad day."""
    (found,) = duration_findings(FLOW, Sample(durations_s={"flow_each": [1.0, longest]}))

    assert level is found.level
    assert "of 600 s, in 2 attempts" in found.text
    assert [] == list(duration_findings(FLOW, Sample()))


@pytest.mark.parametrize(("length", "level"), [(900, Level.OK), (20_000, Level.WARN)])
def test_an_input_is_held_against_swfs_length(length, level):
    """The mend is to send less."""
    (found,) = input_findings(FLOW, Sample(inputs={"flow_each": length}))

    assert level is found.level
    assert bool(found.mend) is (level is Level.WARN)


def test_a_forecast_is_held_against_the_executions_timeout():
    """A run that cannot end in its time need not begin."""
    small = forecast_finding(FLOW, Forecast(91_250, 92, 300_000, 456.0))
    large = forecast_finding(FLOW, Forecast(10**9, 10**6, 3 * 10**9, 5e6))

    assert (Level.OK, Level.ERROR) == (small.level, large.level)
    assert "--each month" in large.mend


@pytest.mark.parametrize(
    ("environ", "marks", "mend"),
    [
        ({}, (), ""),
        ({}, ("/.dockerenv",), "--stop-timeout"),
        ({"KUBERNETES_SERVICE_HOST": "x"}, ("/.dockerenv",), "terminationGracePeriodSeconds"),
        ({"ECS_CONTAINER_METADATA_URI_V4": "x"}, (), "stopTimeout"),
    ],
)
def test_a_container_is_told_how_long_a_pool_takes_to_leave(environ, marks, mend):
    """Each kind by its own word for it."""
    found = container_finding(environ, marks)

    assert mend in found.mend
    assert (Level.WARN if mend else Level.OK) is found.level


def test_findings_are_listed_with_their_mends_and_counted():
    """One line each, the mend below."""
    lines = list(finding_lines([domain_finding("d", None), type_finding("type", "REGISTERED")]))

    assert lines[0].startswith("warn   domain d  not registered yet")
    assert "mend: start a pool" in lines[1]
    assert "0 errors, 1 warning" == lines[-1]

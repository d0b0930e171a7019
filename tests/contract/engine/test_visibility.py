"""Lists and counts of executions: filters, order, pages."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import pytest

from tests.contract.engine.swf import Swf, decide

EVER = {"oldestDate": 0}


def ids(page: dict[str, Any]) -> list[str]:
    """Return the workflow ids of a page in their order."""
    return [one["execution"]["workflowId"] for one in page["executionInfos"]]


@pytest.fixture
def peopled(swf: Swf) -> Swf:
    """Two open runs and three closed ones, each started and closed at its own time."""
    swf.api.register_workflow_type(domain="dom", name="flow", version="2")
    second = {"name": "flow", "version": "2"}
    for number, close in enumerate(("CompleteWorkflowExecution", "FailWorkflowExecution")):
        swf.start(f"closed{number}", tagList=["t", f"n{number}"])
        swf.engine.skip(10)
        swf.step(decide(close))
        swf.engine.skip(10)
    swf.start("closed2", workflowType=second)
    swf.start("open0", tagList=["t"], taskList={"name": "x"})
    swf.engine.skip(10)
    swf.start("open1", workflowType=second, taskList={"name": "x"})
    swf.engine.skip(10)
    swf.api.terminate_workflow_execution(domain="dom", workflowId="closed2")
    return swf


def test_open_runs_are_listed_newest_first_and_the_other_way(peopled: Swf) -> None:
    """By start time."""
    listing = peopled.api.list_open_workflow_executions
    assert ids(listing(domain="dom", startTimeFilter=EVER)) == ["open1", "open0"]
    reverse = listing(domain="dom", startTimeFilter=EVER, reverseOrder=True)
    assert ids(reverse) == ["open0", "open1"]


def test_closed_runs_are_ordered_by_the_time_that_was_asked_for(peopled: Swf) -> None:
    """Start and close time give different orders."""
    listing = peopled.api.list_closed_workflow_executions
    by_start = ids(listing(domain="dom", startTimeFilter=EVER))
    by_close = ids(listing(domain="dom", closeTimeFilter=EVER, reverseOrder=True))
    assert by_start == ["closed2", "closed1", "closed0"]
    assert by_close == ["closed0", "closed1", "closed2"]
    shown = listing(domain="dom", closeTimeFilter=EVER)["executionInfos"][0]
    assert (shown["executionStatus"], shown["closeStatus"]) == ("CLOSED", "TERMINATED")
    assert shown["closeTimestamp"] - shown["startTimestamp"] == datetime.timedelta(seconds=20)


@pytest.mark.parametrize(
    ("given", "open_ids", "closed_ids"),
    [
        ({"executionFilter": {"workflowId": "open0"}}, ["open0"], []),
        ({"typeFilter": {"name": "flow", "version": "2"}}, ["open1"], ["closed2"]),
        (
            {"typeFilter": {"name": "flow"}},
            ["open1", "open0"],
            ["closed2", "closed1", "closed0"],
        ),
        ({"typeFilter": {"name": "none"}}, [], []),
        ({"tagFilter": {"tag": "t"}}, ["open0"], ["closed1", "closed0"]),
        ({"tagFilter": {"tag": "n1"}}, [], ["closed1"]),
    ],
)
def test_a_filter_narrows_lists_and_counts(
    peopled: Swf, given: dict[str, Any], open_ids: list[str], closed_ids: list[str]
) -> None:
    """By id, by type with and without version, by tag."""
    api, when = peopled.api, {"domain": "dom", "startTimeFilter": EVER}
    assert ids(api.list_open_workflow_executions(**when, **given)) == open_ids
    assert ids(api.list_closed_workflow_executions(**when, **given)) == closed_ids
    by_close = {"domain": "dom", "closeTimeFilter": EVER}
    assert ids(api.list_closed_workflow_executions(**by_close, **given)) == closed_ids
    assert api.count_open_workflow_executions(**when, **given)["count"] == len(open_ids)
    counted = api.count_closed_workflow_executions(**by_close, **given)
    assert (counted["count"], counted["truncated"]) == (len(closed_ids), False)


def test_a_count_that_is_cut_off_says_so(peopled: Swf, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its bound it is still exact; above it, it is the bound and truncated."""
    api, when = peopled.api, {"domain": "dom", "startTimeFilter": EVER}
    monkeypatch.setattr("garcon.engine.service.visibility.COUNT_BOUND", 2)
    counts = (
        api.count_open_workflow_executions(**when),
        api.count_closed_workflow_executions(**when),
    )
    assert [(one["count"], one["truncated"]) for one in counts] == [(2, False), (2, True)]


def test_closed_runs_are_filtered_by_how_they_closed(peopled: Swf) -> None:
    """Each status for itself."""
    for status, wanted in (("COMPLETED", 1), ("FAILED", 1), ("TERMINATED", 1), ("CANCELED", 0)):
        given = {
            "domain": "dom",
            "startTimeFilter": EVER,
            "closeStatusFilter": {"status": status},
        }
        assert peopled.api.count_closed_workflow_executions(**given)["count"] == wanted
        assert len(ids(peopled.api.list_closed_workflow_executions(**given))) == wanted


def test_times_bound_a_list_at_both_ends(peopled: Swf) -> None:
    """Both dates belong to the range."""
    listing = peopled.api.list_closed_workflow_executions
    everything = listing(domain="dom", startTimeFilter=EVER, reverseOrder=True)
    times = [one["startTimestamp"] for one in everything["executionInfos"]]
    only = {"oldestDate": times[1], "latestDate": times[1]}
    assert ids(listing(domain="dom", startTimeFilter=only)) == ["closed1"]
    refused = peopled.refusal(
        "list_closed_workflow_executions",
        domain="dom",
        startTimeFilter={"oldestDate": 2, "latestDate": 1},
    )
    assert refused[0] == "ValidationException"


def test_pages_join_without_gap_or_repeat_though_runs_share_their_second(swf: Swf) -> None:
    """Forwards and backwards; the last page carries no token."""
    names = [f"w{number}" for number in range(7)]
    for name in names:
        swf.start(name)
    for reverse, wanted in ((False, names[::-1]), (True, names)):
        seen: list[str] = []
        given: dict[str, Any] = {
            "domain": "dom",
            "startTimeFilter": EVER,
            "maximumPageSize": 3,
            "reverseOrder": reverse,
        }
        while True:
            page = swf.api.list_open_workflow_executions(**given)
            seen.extend(ids(page))
            if "nextPageToken" not in page:
                break
            given["nextPageToken"] = page["nextPageToken"]
        assert seen == wanted


def test_a_page_token_belongs_to_its_filters_and_order(peopled: Swf) -> None:
    """With other arguments it is refused; with its own it goes on."""
    invalid = ("ValidationException", "Invalid token")
    listing = peopled.api.list_closed_workflow_executions
    by_type = {"typeFilter": {"name": "flow"}}
    given = {"domain": "dom", "startTimeFilter": EVER}
    token = {"nextPageToken": listing(**given, **by_type, maximumPageSize=1)["nextPageToken"]}
    refused = functools.partial(peopled.refusal, "list_closed_workflow_executions", **token)
    assert refused(**given) == invalid
    assert refused(**given, typeFilter={"name": "flow", "version": "1"}) == invalid
    assert refused(**given, **by_type, reverseOrder=True) == invalid
    assert refused(domain="dom", startTimeFilter={"oldestDate": 1}, **by_type) == invalid
    assert refused(domain="dom", closeTimeFilter=EVER, **by_type) == invalid
    other = peopled.refusal("list_open_workflow_executions", **given, **by_type, **token)
    assert other == invalid
    assert ids(listing(**given, **by_type, **token)) == ["closed1", "closed0"]


def test_a_listing_needs_one_time_filter_and_takes_one_other(swf: Swf) -> None:
    """None, two times, or two filters are refused."""
    closed = {"domain": "dom"}
    refused = swf.refusal("list_closed_workflow_executions", **closed)
    assert refused == ("ValidationException", "Must specify time filter")
    code, _ = swf.refusal(
        "count_closed_workflow_executions", **closed, startTimeFilter=EVER, closeTimeFilter=EVER
    )
    assert code == "ValidationException"
    code, _ = swf.refusal(
        "list_open_workflow_executions",
        **closed,
        startTimeFilter=EVER,
        tagFilter={"tag": "t"},
        executionFilter={"workflowId": "w"},
    )
    assert code == "ValidationException"


def test_a_run_changes_lists_when_it_closes(swf: Swf) -> None:
    """Open before, closed after, never both."""
    swf.start(tagList=["t"])
    when = {"domain": "dom", "startTimeFilter": EVER, "tagFilter": {"tag": "t"}}
    assert ids(swf.api.list_open_workflow_executions(**when)) == ["w"]
    assert ids(swf.api.list_closed_workflow_executions(**when)) == []
    swf.step(decide("CompleteWorkflowExecution"))
    assert ids(swf.api.list_open_workflow_executions(**when)) == []
    assert ids(swf.api.list_closed_workflow_executions(**when)) == ["w"]

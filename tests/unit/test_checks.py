"""Decisions that SWF would refuse are told before they are sent."""

from __future__ import annotations

import pytest

from garcon.errors import DecisionError
from garcon.planning import batch
from garcon.planning.checks import check_decisions

GOOD = {
    "activityType": {"name": "flow_many", "version": "1.0"},
    "activityId": "flow_many-1",
    "taskList": {"name": "flow_many"},
    "input": "{}",
    "startToCloseTimeout": "600",
    "heartbeatTimeout": "NONE",
}


def schedule(**changed):
    """Return a good schedule but for what is changed."""
    return batch.schedule_activity(**{**GOOD, **changed})


def test_good_decisions_pass():
    """At the bounds as well."""
    check_decisions(
        [
            schedule(activityId="x" * 256, input="y" * 32_768),
            batch.start_timer("garcon.more", 0),
            batch.record_marker("name", "d" * 32_768),
            batch.fail_execution("r" * 256, "d" * 32_768),
        ]
    )


@pytest.mark.parametrize(
    ("decision", "texts"),
    [
        (schedule(activityId="x" * 257), ("activityId", "257")),
        (schedule(activityId=""), ("activityId", "0 characters")),
        (schedule(activityId="a/b"), ("activityId", "'/'")),
        (schedule(activityId="a\nb"), ("activityId", "'\\n'")),
        (schedule(activityId="arn"), ("activityId", "arn")),
        (schedule(taskList={"name": " list"}), ("taskList.name", "blanks")),
        (schedule(activityType={"name": "a", "version": "v" * 65}), ("version", "65")),
        (schedule(input="y" * 32_769), ("input", "32,769")),
        (schedule(heartbeatTimeout="-1"), ("heartbeatTimeout", "-1")),
        (schedule(heartbeatTimeout="1.5"), ("heartbeatTimeout", "1.5")),
        (schedule(heartbeatTimeout="123456789"), ("heartbeatTimeout", "8 digits")),
        (batch.record_marker("a|b", ""), ("markerName", "'|'")),
        (batch.fail_execution("r" * 257), ("reason", "257")),
    ],
)
def test_what_swf_refuses_is_named(decision, texts):
    """The text names the field and the bound."""
    with pytest.raises(DecisionError) as caught:
        check_decisions([schedule(), decision])

    assert all(text in str(caught.value) for text in texts)

"""What a decider does with the frames that it gets, over a real socketpair."""

from __future__ import annotations

import json
import socket
import threading
import types

from garcon import activity, runner
from garcon.flow import describe
from garcon.pool import decider_child
from garcon.pool.frames import Channel, encode
from tests.unit.swf_histories import Swf

PATIENCE_S = 20.0


def a_flow() -> types.SimpleNamespace:
    """Return a flow of one activity."""
    create = activity.create("dev", "flow")
    only = create(name="only", run=runner.Sync())
    return types.SimpleNamespace(name="flow", domain="dev", version="1.0", only=only)


def test_on_exception_of_the_flow_hears_why_an_execution_fails():
    """Behind the answer, with the decider and what the flow's own code raised."""
    ours, theirs = socket.socketpair()
    told = []
    flow = a_flow()

    def decide(schedule):
        raise KeyError("cup")

    flow.decider = decide
    flow.on_exception = lambda actor, error: told.append((actor.domain, repr(error))) or 1 / 0
    events = Swf().poll().events

    def serve() -> None:
        channel = Channel(theirs)
        decider_child.main(channel, flow, describe(flow), channel.receive())

    ours.sendall(
        encode(
            "task", task=1, pages=1, domain="dev", workflow_id="w", run_id="r",
            workflow_type="flow", version="1.0", started=3, previous=0,
        )
        + encode("page", json.dumps({"events": events}).encode(), task=1)
        + encode("stop")
    )  # fmt: skip
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)

    answer = Channel(ours).receive()
    assert answer is not None
    assert ("answer", True) == (answer.kind, answer.head["closes"])
    assert [("dev", "KeyError('cup')")] == told
    ours.close()
    theirs.close()


def test_an_order_to_leave_that_comes_amid_a_task_is_obeyed_after_it():
    """It must not be passed over because it belongs to no task."""
    ours, theirs = socket.socketpair()
    flow = a_flow()
    ended: list[int] = []

    def serve() -> None:
        channel = Channel(theirs)
        ended.append(decider_child.main(channel, flow, describe(flow), channel.receive()))

    page = json.dumps({"events": []}).encode()
    ours.sendall(
        encode(
            "task", task=1, pages=1, domain="dev", workflow_id="w", run_id="r",
            workflow_type="flow", version="1.0", started=3, previous=0,
        )
        + encode("stop")
        + encode("page", page, task=1)
        + encode("gone", task=1)
    )  # fmt: skip
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)

    assert not thread.is_alive()
    assert ended == [0]
    ours.close()
    theirs.close()

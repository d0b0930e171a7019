"""Decides with garcon 1.1.1 what `benchmarks.decider` decided; run by the Python that has it.

    OLD_PYTHON benchmarks/_old_decider.py HISTORY COUNT EVENTS...

HISTORY is a file of events, COUNT the instances of its one fan-out, EVENTS the numbers of events
that each decision sees. Prints a JSON list: for each decision the CPU seconds, the events fetched
and the decisions that it came to.
"""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

from garcon import activity, decider, event, runner, task

PAGE = 100  # 1.1.1 names no page size


class Client:
    """Gives the pages of one history."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self._events = events
        self.fetched = 0

    def page(self, number: int) -> dict[str, Any]:
        """Return one page of a decision task."""
        events = self._events[number * PAGE : (number + 1) * PAGE]
        self.fetched += len(events)
        more = {"nextPageToken": str(number + 1)} if (number + 1) * PAGE < len(self._events) else {}
        names = {"workflowId": "workflow", "runId": "run"}
        return {"events": events, "workflowExecution": names, "taskToken": "token", **more}

    def poll_for_decision_task(self, **words: Any) -> dict[str, Any]:
        """Return the page that the token names."""
        return self.page(int(words["nextPageToken"]))


def flow_of(client: Any, count: int) -> Any:
    """Return the flow of the histories as 1.1.1 declares it."""

    def numbers(context: Any) -> Any:  # noqa: ARG001 - the form of a generator
        return ({"number": number} for number in range(count))

    create = activity.create(client, "domain", "flow")

    @task.decorate()
    def noop() -> None:
        pass

    many = create(name="many", generators=[numbers], tasks=runner.Sync(noop.fill()))
    return SimpleNamespace(client=client, domain="domain", name="flow", many=many)


def with_old_ids(events: list[dict[str, Any]], flow: Any) -> list[dict[str, Any]]:
    """Return the events with the ids that 1.1.1 gives the same instances."""
    ids = [instance.id for instance in flow.many.instances({})]
    for one in events:
        if one["eventType"] == "ActivityTaskScheduled":
            told = one["activityTaskScheduledEventAttributes"]
            told["activityId"] = ids[json.loads(told["control"])["n"]]
    return events


def decide(events: list[dict[str, Any]], count: int) -> tuple[float, int, int]:
    """Make one decision as `DeciderWorker.run` does."""
    client = Client(events)
    flow = flow_of(client, count)
    worker = decider.DeciderWorker(flow, register=False)
    began_s = time.process_time()
    poll = client.page(0)
    history = worker.get_history("", poll)
    states = worker.get_activity_states(history)
    context = event.get_current_context(history)
    context.set_workflow_execution_info(poll, "domain")
    decisions: list[Any] = []
    worker.create_decisions_from_flow(decisions, states, context)
    return time.process_time() - began_s, client.fetched, len(decisions)


def main() -> None:
    """Decide each and print."""
    path, count, *seen = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        events = json.load(file)
    events = with_old_ids(events, flow_of(Client([]), int(count)))
    print(json.dumps([decide(events[: int(one)], int(count)) for one in seen]))


if __name__ == "__main__":
    main()

"""A decider: gets decision tasks as raw pages of history, gives decisions back.

It parses what the supervisor passes on unread, asks it for older pages where its kept state does
not reach far enough, and answers with the decisions as JSON text. It has no client of SWF and no
task token. Law: one decision at a time, and never one on a part of the history: a page that cannot
be had ends the attempt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from garcon.decider import Answer, DecisionTask, FlowDecider
from garcon.deciding.flowdecider import tell_failure
from garcon.deciding.kept import RunUnknown
from garcon.description import FlowDescription
from garcon.errors import GarconError
from garcon.planning.batch import is_schedule
from garcon.planning.shardfold import is_shard_type
from garcon.pool.frames import Channel, Frame
from garcon.pool.readings import Readings


class PageGone(GarconError):
    """The supervisor cannot get the rest of the history."""


def main(channel: Channel, flow: Any, described: FlowDescription, first: Frame | None) -> int:
    """Decide what comes over `channel` until told to stop; return the exit code.

    Args:
        channel: frames from and to the supervisor.
        flow: the flow, with its generators.
        described: what it is.
        first: the first frame that came, None for the end of them.
    """
    decider, readings = FlowDecider(flow, described), Readings()
    frame = first
    while frame is not None and frame.kind != "stop":
        if frame.kind == "task":
            decision = _Decision(channel, decider, readings, frame)
            decision.run()
            if decision.is_stopping:
                return 0
        frame = channel.receive()
    return 0


class _Decision:
    """One decision task.

    Attributes:
        is_stopping: the order to leave came meanwhile.
    """

    def __init__(
        self, channel: Channel, decider: FlowDecider, readings: Readings, frame: Frame
    ) -> None:
        self._channel = channel
        self._decider = decider
        self._readings = readings
        self._head = frame.head
        self._task = int(frame.head["task"])
        self.is_stopping = False

    def run(self) -> None:
        pages: list[bytes] = []
        try:
            pages.extend(self._first_pages())
            task = self._decision_task([event for page in pages for event in _events(page)])
            self._readings.begin(task)
            answer = self._decider.decide(
                task,
                self._older,
                self._head.get("allowance"),
                self._pages_of,
                self._head.get("read_s"),
            )
            self._readings.end(pages if answer.is_unread else None)
        except BaseException as error:
            self._readings.end(pages if isinstance(error, PageGone) else None)
            # SystemExit included: user code decides here, and cannot end its decider.
            self._give_up(error)
        else:
            self._answer(answer)
            if answer.error is not None and not is_shard_type(self._head["workflow_type"]):
                # Behind the answer: an alert may take its time, the execution need not wait for it.
                hook = getattr(self._decider.flow, "on_exception", None)
                tell_failure(self._decider, hook, answer.error)

    def _decision_task(self, events: list[dict[str, Any]]) -> DecisionTask:
        head = self._head
        return DecisionTask(
            domain=head["domain"],
            workflow_id=head["workflow_id"],
            run_id=head["run_id"],
            workflow_type=head["workflow_type"],
            version=head["version"],
            started_event_id=int(head["started"]),
            previous_started_event_id=int(head["previous"]),
            events=events,
        )

    def _older(self) -> Iterator[list[dict[str, Any]]]:
        """Yield older pages of the history, newest first, down to its begin."""
        return self._pages_of(self._head["workflow_id"], self._head["run_id"])

    def _pages_of(self, workflow_id: str, run_id: str) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of any execution's history, newest first.

        Raises:
            RunUnknown: the engine does not know it.
        """
        reading = self._readings.of(workflow_id, run_id)
        # With what an earlier attempt has read comes a page that it has not: each reads further.
        events = [event for page in reading.pages for event in _events_down(page)]
        while reading.token is not None:
            self._channel.send(
                "need",
                task=self._task,
                workflow_id=workflow_id,
                run_id=run_id,
                token=reading.token,
                is_check=self._decider.is_checking,
            )
            frame = self._next_page()
            if frame is None:
                raise RunUnknown(workflow_id, run_id)
            reading.add(frame.body, frame.head["next"])
            yield [*events, *_events(frame.body)]
            events = []
        if events:
            yield events

    def _first_pages(self) -> Iterator[bytes]:
        """Yield the pages that come with the task."""
        for _ in range(int(self._head["pages"])):
            page = self._next_page()
            assert page is not None
            yield page.body

    def _next_page(self) -> Frame | None:
        """Return the frame with the next page; None if there is no such history."""
        while True:
            frame = self._channel.receive()
            if frame is None:
                raise PageGone("the supervisor is gone")
            if frame.kind == "stop":
                self.is_stopping = True
            if frame.head.get("task") != self._task:
                continue
            if frame.kind == "gone":
                raise PageGone("the rest of the history could not be read")
            return None if frame.kind == "unknown" else frame

    def _answer(self, answer: Answer) -> None:
        document: dict[str, Any] = {"decisions": answer.decisions}
        if answer.execution_context is not None:
            document["executionContext"] = answer.execution_context
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._channel.send(
            "answer",
            body,
            task=self._task,
            hold_s=answer.hold_s,
            closes=answer.closes,
            count=len(answer.decisions),
            scheduled=sum(is_schedule(decision) for decision in answer.decisions),
            cancels=any(
                decision["decisionType"] == "RequestCancelActivityTask"
                for decision in answer.decisions
            ),
            throttled=answer.throttled,
            terminate=answer.terminate,
            notes=list(answer.notes),
        )

    def _give_up(self, error: BaseException) -> None:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self._channel.send("gave_up", task=self._task, text=text)


def _events_down(body: bytes) -> list[dict[str, Any]]:
    """Return a page's events, newest first, whichever way it came."""
    return sorted(_events(body), key=lambda event: -int(event["eventId"]))


def _events(body: bytes) -> list[dict[str, Any]]:
    document: Mapping[str, Any] = json.loads(body)
    return list(document.get("events", ()))

"""One attempt at an instance: what a task gets as `activity`, and how the attempt is told.

`ActivityExecution` is the only thing here that calls SWF, in three methods; the pool puts others
in their place. A result is checked before it is sent, because SWF refuses a bad one with a fault
that says nothing of the activity. Law: whatever a task raises ends as one line with a class name.

`garcon.activity` exports these names; import them from there.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from garcon.attempt import ATTEMPT_KEY
from garcon.canonical import NotJsonError, canonical_json
from garcon.errors import ActivityCanceled, FlowError, ResultError
from garcon.log import GarconLogger
from garcon.outcome import DETAILS_MAX, TRACEBACK_MAX, Failure, Kind, cut, encode_failure

if TYPE_CHECKING:
    from garcon.activity import Activity

#: SWF's limit for a result, in characters.
RESULT_MAX = DETAILS_MAX

#: SWF's limit for what a heartbeat says, in characters.
HEARTBEAT_MAX = 2_048


class ActivityExecution(GarconLogger):
    """One attempt at an instance; tasks get it as `activity`.

    Attributes:
        client: boto3's SWF client; None in a pool, where the supervisor speaks to SWF.
        activity_id: SWF's activity id; None when a poll brought nothing.
        task_token: SWF's token for this attempt.
        context: the input.
        activity: the activity, once the attempt has begun.
        cancel_requested: whether SWF answered a heartbeat with the wish to cancel.
        answered: whether SWF has been told how the attempt ended.
    """

    def __init__(
        self,
        client: Any,
        activity_id: str | None,
        task_token: str | None,
        context: dict[str, Any] | None,
    ) -> None:
        """Hold one attempt."""
        self.client = client
        self.activity_id = activity_id
        self.task_token = task_token
        self.context: dict[str, Any] = {} if context is None else context
        self.activity: Activity | None = None
        self.cancel_requested = False
        self.answered = False

    @property
    def name(self) -> str | None:
        """Full name of the activity: SWF's activity type and task list."""
        return self.activity.name if self.activity else None

    @property
    def domain(self) -> str | None:
        """SWF's domain."""
        return self.activity.domain if self.activity else None

    @property
    def version(self) -> str | None:
        """Version of the activity."""
        return self.activity.version if self.activity else None

    @property
    def task_list(self) -> str | None:
        """SWF's task list that the attempt came from."""
        return self.activity.task_list if self.activity else None

    def heartbeat(self, details: str | None = None) -> None:
        """Tell SWF that the attempt goes on.

        A throttle or a lost connection is no reason to stop: the next heartbeat makes up for it.

        Args:
            details: what to tell, at most 2,048 characters; kept if the attempt times out.

        Raises:
            ActivityCanceled: the attempt is over for SWF: timed out, or its execution closed.
        """
        told = {} if details is None else {"details": cut(str(details), HEARTBEAT_MAX)}
        try:
            answer = self.client.record_activity_task_heartbeat(taskToken=self.task_token, **told)
        except ClientError as error:
            if _code(error) == "UnknownResourceFault":
                raise ActivityCanceled(
                    "SWF no longer waits for this attempt: it timed out, or its execution closed"
                ) from error
            self.logger.warning("heartbeat not delivered: %s", error)
        except BotoCoreError as error:
            self.logger.warning("heartbeat not delivered: %s", error)
        else:
            self.cancel_requested = bool(answer.get("cancelRequested"))

    def fail(self, reason: str | None = None, details: str | None = None) -> None:
        """Tell SWF that the attempt failed.

        Args:
            reason: one line; cut to 256 characters.
            details: more of it; cut to 32,768 characters.

        Raises:
            botocore.exceptions.ClientError: SWF refuses, mostly because the attempt is over.
        """
        self.answered = True
        told = {"reason": cut(str(reason or "failed"), 256)}
        if details is not None:
            told["details"] = cut(details, DETAILS_MAX)
        self.client.respond_activity_task_failed(taskToken=self.task_token, **told)

    def complete(self, context: Mapping[str, Any] | str | None = None) -> None:
        """Tell SWF that the attempt completed.

        Args:
            context: the result, which joins the execution's context; a text is JSON already.

        Raises:
            ResultError: it cannot be a result.
            botocore.exceptions.ClientError: SWF refuses, mostly because the attempt is over.
        """
        text = context if isinstance(context, str) else result_text(context, self.name)
        self.answered = True
        self.client.respond_activity_task_completed(taskToken=self.task_token, result=text)


def run_instance(activity: Activity, execution: ActivityExecution) -> str:
    """Run one attempt in this process and return its checked result as JSON text.

    The activity's `on_exception` hears of an error before it is passed on.

    Raises:
        ResultError: the result is no dict, holds what JSON lacks, or exceeds 32,768 characters.
        Exception: whatever a task raised.
    """
    execution.activity = activity
    try:
        return result_text(activity.execute_activity(execution), activity.short_name)
    except ActivityCanceled:
        raise
    except Exception as error:
        activity.tell_exception(error)
        raise


def read_input(text: str | None) -> dict[str, Any]:
    """Return the context that an attempt's input holds; no input is an empty one.

    Raises:
        FlowError: it is no JSON object.
    """
    try:
        context = json.loads(text or "{}")
    except ValueError as error:
        raise FlowError(f"the activity's input is no JSON: {error}") from None
    if not isinstance(context, dict):
        raise FlowError(f"the activity's input is no JSON object but {type(context).__name__}")
    context.pop(ATTEMPT_KEY, None)
    return context


def result_text(result: Any, name: str | None) -> str:
    """Return the JSON text of a result of activity `name`; nothing is `{}`.

    Raises:
        ResultError: see `run_instance`.
    """
    if result is None:
        return "{}"
    if not isinstance(result, Mapping):
        raise ResultError(
            f"activity {name}: the result is a {type(result).__name__}; return a dict, or nothing"
        )
    text = _json(dict(result), name)
    if len(text) > RESULT_MAX:
        raise ResultError(
            f"activity {name}: the result has {len(text):,} characters, SWF takes {RESULT_MAX:,};"
            " write it to a file or table and return where it is"
        )
    return text


def _json(result: dict[str, Any], name: str | None) -> str:
    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(
            f"activity {name}: the result is not JSON: {_what_is_wrong(result, error)};"
            " return text, numbers, lists and dicts"
        ) from None
    return text


def _what_is_wrong(result: dict[str, Any], error: Exception) -> str:
    try:
        canonical_json(result)
    except NotJsonError as named:
        return str(named)
    return str(error)


def describe_error(error: BaseException) -> Failure:
    """Return `error` as the history keeps it: one line, class names, the traceback's tail."""
    classes = tuple(one.__name__ for one in type(error).__mro__ if one is not object)
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = "".join(lines)
    # Python 3.10 does not print notes.
    text += "".join(f"{note}\n" for note in getattr(error, "__notes__", ()) if note not in text)
    return Failure(Kind.FAILED, one_line(error), classes, text[-TRACEBACK_MAX:])


def one_line(error: BaseException) -> str:
    """Return `<Class>: <message>` on one line, the class alone where there is no message."""
    try:
        message = " ".join(str(error).split())
    except Exception as broken:
        message = f"(its text cannot be read: {type(broken).__name__})"
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def fail_with(execution: ActivityExecution, error: BaseException) -> None:
    """Answer that the attempt failed with `error`."""
    reason, details = encode_failure(describe_error(error))
    execution.fail(reason, details)


@contextmanager
def beating(execution: ActivityExecution, every_s: float) -> Iterator[None]:
    """Keep SWF told, every `every_s` seconds, for as long as the block runs.

    A task that calls no heartbeat of its own, or holds one call for long, is not taken for dead.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            try:
                execution.heartbeat()
            except ActivityCanceled:
                return  # the task learns of it at its own next heartbeat

    thread = threading.Thread(target=beat, name="garcon-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))

"""Every error that garcon raises on purpose.

One tree below `GarconError`, so that a caller can tell garcon's own errors from accidents;
`exit_code` is what a command that fails with one ends with. Nothing in the package raises a bare
`Exception`. Law: a message names the thing, the value and the mend, and fits on one line.
"""

from __future__ import annotations


class GarconError(Exception):
    """What garcon refuses, or could not do, in one line.

    Attributes:
        exit_code: what a command that ends because of it returns to the shell.
    """

    exit_code = 1


class UsageError(GarconError):
    """The command's words are wrong: an option, a JSON text, a path."""

    exit_code = 2


class FlowError(GarconError):
    """The flow as written cannot run: not found, no activity, a cycle, a name used twice."""

    exit_code = 2


class BootError(GarconError):
    """Children of the pool cannot start: the flow raises while it is imported."""

    exit_code = 3


class EngineError(GarconError):
    """The engine cannot be used: not started, no credentials, a refusal."""

    exit_code = 4


class EngineUnreachable(EngineError):
    """No answer came from the engine: connection refused, cut or timed out."""


class ServiceError(EngineError):
    """The engine answered with a fault of SWF.

    Attributes:
        code: the fault's name without its prefix, such as `UnknownResourceFault`.
        message: the engine's own text.
        status: HTTP status; 400 for a caller's fault, 500 for the engine's.
    """

    THROTTLES = frozenset({"ThrottlingException", "Throttling", "LimitExceededFault"})

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.status = status

    @property
    def is_throttle(self) -> bool:
        """Whether waiting is the mend: a rate or a limit on concurrent polls."""
        return self.code in self.THROTTLES

    @property
    def is_passing(self) -> bool:
        """Whether the same call may succeed later without a change to it."""
        return self.is_throttle or self.status >= 500

    @property
    def is_unknown_resource(self) -> bool:
        """Whether the task or execution is gone: closed, timed out or never there."""
        return self.code == "UnknownResourceFault"


class OpenWithAnotherInput(GarconError):
    """An execution of this id is open, but was started with another input."""

    exit_code = 5


class StillOpen(GarconError):
    """The execution that is to be resumed is open: another would run the same instances."""

    exit_code = 5


class Interrupted(GarconError):
    """Stopped by the user before the execution closed; the same command goes on with it."""

    exit_code = 6


class DecisionError(GarconError):
    """Deciding is impossible and the execution has to fail with this text.

    Attributes:
        details: what does not fit one line, such as the traceback of the user's code.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class GeneratorError(DecisionError):
    """A generator raised, or yielded something that cannot be an instance's context."""


class ManifestError(DecisionError):
    """A fan-out cannot be frozen: too large, not JSON, or not what the code knows."""


class ResultError(GarconError):
    """What a task returned cannot be an activity's result: no dict, not JSON, too long."""


class ActivityCanceled(GarconError):
    """The attempt is over for SWF while its task still runs: canceled, timed out or closed."""


class TimeoutRangeError(GarconError):
    """A timeout is no whole number of seconds of at least one."""

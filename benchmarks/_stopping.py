"""What a signal does to a benchmark: it ends after it has cleared the processes it started."""

from __future__ import annotations

import signal


def clear_when_stopped() -> None:
    """Have SIGTERM and SIGINT raise KeyboardInterrupt, so that what is open is left in order."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    # Once: a second signal must not keep the first from clearing.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt

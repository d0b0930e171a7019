"""What Linux offers a process that must not outlive its parent, called through ctypes.

Prepared once per process (the zygote, before it forks), so that a child does a bare C call in its
first microseconds. Elsewhere than on Linux every call is a polite no.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _load() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    # Both sides of the first call are resolved here rather than in a fresh child.
    function.argtypes = [ctypes.c_int, ctypes.c_ulong]
    function.restype = ctypes.c_int
    return function


_PRCTL = _load()


def die_with_parent(parent_pid: int) -> bool:
    """Have the kernel SIGKILL this process when its parent's forking thread ends.

    The parent may have died between the fork and this call; then the signal would never come, so
    the process ends here.

    Args:
        parent_pid: who the parent was at the fork.
    Returns:
        Whether the kernel took it; False elsewhere than on Linux.
    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if _PRCTL is None or _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        return False
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return True


def outlive_parent() -> None:
    """Take `die_with_parent` back."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, 0)

"""What the pool tells the kernel of its work: that it is batch work.

Nobody waits for one message between supervisor, engine and workers; what counts is how many are
got through. So whoever is woken by one need not interrupt who is computing: its turn comes when
that one waits or its time slice ends, and then it finds several messages and goes round once for
all of them. Law: only the policy is set, never a priority: each process gets its share of the
processors as ever, and on a machine with an idle one nothing waits.
"""

from __future__ import annotations

import os


def run_as_batch() -> bool:
    """Run this thread, and all that it starts from now on, under SCHED_BATCH.

    One that runs under another policy than the ordinary one, because somebody chose it, stays so.

    Returns:
        Whether the kernel took it; False elsewhere than on Linux.
    Source: sched(7), SCHED_BATCH.
    """
    try:
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            return False
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or a sandbox that forbids it
        return False
    return True

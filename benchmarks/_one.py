"""Runs one benchmark so that one that breaks can be told from one that misses a goal.

    python -m benchmarks._one MODULE [WORD ...]

Exit code: that of its `main`, 1 for a missed goal; 3 where it raised, or was interrupted before it
had anything to tell.
"""

from __future__ import annotations

import importlib
import signal
import sys
import traceback

BROKE = 3


def main() -> int:
    """Run it."""
    # A stop by SIGTERM clears what it started, as one by SIGINT does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    module = importlib.import_module(f"benchmarks.{sys.argv[1]}")
    sys.argv = [str(module.__file__), *sys.argv[2:]]
    try:
        return int(module.main() or 0)
    except (Exception, KeyboardInterrupt):
        traceback.print_exc()
        return BROKE


if __name__ == "__main__":
    sys.exit(main())

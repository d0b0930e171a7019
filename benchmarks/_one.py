"""Runs one benchmark so that one that breaks can be told from one that misses a goal.

    python -m benchmarks._one MODULE [WORD ...]

Exit code: that of its `main`, 1 for a missed goal; 3 where it raised or was interrupted.
"""

from __future__ import annotations

import importlib
import sys
import traceback

from benchmarks._stopping import clear_when_stopped

BROKE = 3


def main() -> int:
    """Run it."""
    clear_when_stopped()
    module = importlib.import_module(f"benchmarks.{sys.argv[1]}")
    sys.argv = [str(module.__file__), *sys.argv[2:]]
    try:
        return int(module.main() or 0)
    except KeyboardInterrupt:
        return BROKE
    except Exception:
        traceback.print_exc()
        return BROKE


if __name__ == "__main__":
    sys.exit(main())

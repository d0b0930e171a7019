"""The process of one function call: JSON in on stdin, one JSON answer out on stdout.

What it never does: let the function's own prints reach the answer. Its one law: whatever the
function raises becomes a reason and details.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def run(target: str, event: Any) -> dict[str, str]:
    """Import and call a function; its result as JSON text, or why there is none."""
    module, _, name = target.partition(":")
    try:
        sys.path.insert(0, os.getcwd())
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        return {"result": json.dumps(function(event, None))}
    except Exception as error:
        return {"reason": type(error).__name__, "details": traceback.format_exc()}


def main() -> None:
    """Answer on the real stdout, with the function's prints sent to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    text = sys.stdin.read()
    try:
        event = json.loads(text)
    except ValueError:
        event = text  # SWF's input is free text; what is no JSON comes as it is
    json.dump(run(sys.argv[1], event), answer)
    answer.close()


if __name__ == "__main__":
    main()

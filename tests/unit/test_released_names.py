"""Every public name of the released garcon 1.1.1 is there, with the parameters that it had.

`tests/released_names.txt` was read from that release by `inspect`: a dotted name a line, and the
names of its parameters.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

LINES = (Path(__file__).parents[1] / "released_names.txt").read_text(encoding="utf-8").splitlines()

#: Parameters that go by another name, where the documentation of 0.0.4 or the list of what flows
#: use has that one.
RENAMED = {
    "garcon.activity.Activity.execute_activity": {"activity": "context"},
    "garcon.context.ExecutionContext.add_activity_result": {"activity_event": "event"},
    "garcon.context.ExecutionContext.set_execution_input": {"execution_event": "event"},
    "garcon.context.ExecutionContext.set_workflow_execution_info": {"execution_info": "info"},
    "garcon.utils.non_throttle_error": {"exception": "swf_response_error"},
}


def thing(full: str) -> Any:
    """Return what stands under a dotted name, as its class holds it."""
    package, module, *rest = full.split(".")
    found: Any = importlib.import_module(f"{package}.{module}")
    for part in rest:
        found = inspect.getattr_static(found, part)
    return found


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split()[0])
def test_a_released_name_is_there_with_its_parameters(line: str) -> None:
    """A flow or a program of 1.1.1 may use any of them."""
    full, *parameters = line.split()
    found = thing(full)

    if not parameters:
        return
    function = found.fget if isinstance(found, property) else found
    taken = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        return  # create and Activity take their words by name; their own tests have them
    renamed = RENAMED.get(full, {})
    assert [] == [one for one in parameters if renamed.get(one, one) not in taken]

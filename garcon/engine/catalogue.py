"""What the engine understands, as tables for its documentation.

What it never does: say more than the code does; both tables are made from what runs.
"""

from __future__ import annotations

from typing import Any

from garcon.engine.core.buckets import AWS_RATES
from garcon.engine.core.tables import DECISIONS
from garcon.engine.service.operations import OPERATIONS
from garcon.engine.servicemodel import service_model


def _rate(name: str) -> str:
    rate = AWS_RATES.get(name)
    return f"{rate.size:,.0f} / {rate.refill:,.0f}" if rate else "-"


def _members(shape: dict[str, Any], *, required: bool) -> str:
    needed = shape.get("required", ())
    names = [name for name in shape["members"] if (name in needed) == required]
    return ", ".join(names) or "-"


def operations_table() -> str:
    """Every operation with its members and AWS's default rate (bucket / refill a second)."""
    model = service_model()
    lines = [
        "| operation | required | optional | rate with `--throttle aws` |",
        "|---|---|---|---|",
    ]
    for name in sorted(OPERATIONS):
        shape = model["shapes"][model["operations"][name]["input"]["shape"]]
        required, optional = _members(shape, required=True), _members(shape, required=False)
        lines.append(f"| {name} | {required} | {optional} | {_rate(name)} |")
    return "\n".join(lines)


def decisions_table() -> str:
    """Every decision with its members and the causes by which it can fail."""
    shapes = service_model()["shapes"]
    lines = ["| decision | required | fails by cause | rate |", "|---|---|---|---|"]
    for name in sorted(DECISIONS):
        required = _members(shapes[f"{name}DecisionAttributes"], required=True)
        causes = [
            cause
            for cause in shapes[f"{name}FailedCause"]["enum"]
            if cause != "OPERATION_NOT_PERMITTED"  # IAM's, which is not here
        ]
        lines.append(f"| {name} | {required} | {', '.join(causes) or '-'} | {_rate(name)} |")
    return "\n".join(lines)

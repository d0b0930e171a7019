"""A flow that raises while it is imported."""

from __future__ import annotations

raise RuntimeError("no beans left")

"""A flow that declares nothing to do."""

from __future__ import annotations

domain = "garcon-tests"
name = "no_activity"

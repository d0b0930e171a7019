"""What tests of whole pools share."""

from __future__ import annotations

import pytest

from garcon.engine.testing import engine_in_process


@pytest.fixture
def engine():
    """Run an engine."""
    with engine_in_process() as running:
        yield running


@pytest.fixture
def gate(tmp_path):
    """Return the file that lets the tasks of the gated flow end."""
    return tmp_path / "gate"

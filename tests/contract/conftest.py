"""What tests of whole pools share."""

from __future__ import annotations

import pytest

from garcon.engine.testing import engine_in_process


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path_factory, monkeypatch):
    """Keep journals and sockets of these pools from those of others."""
    folder = tmp_path_factory.mktemp("runtime", numbered=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture
def engine():
    """Run an engine."""
    with engine_in_process() as running:
        yield running


@pytest.fixture
def gate(tmp_path):
    """Return the file that lets the tasks of the gated flow end."""
    return tmp_path / "gate"

"""A place of its own for each acceptance test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return an empty folder with an engine file to be; kill all that is left there afterwards."""
    made = Place(tmp_path)
    yield made
    made.clear()

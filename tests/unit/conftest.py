"""What tests of the source leave behind is given back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit import source_tree


@pytest.fixture(autouse=True, scope="module")
def _no_tree_is_kept() -> Iterator[None]:
    """Half a million nodes would be looked at by each collection of the tests that follow."""
    yield
    source_tree.tree.cache_clear()

"""pytest plugin: the fixture ``swf_engine``, an engine on virtual time for each test.

What it never does: import the engine before a test asks for the fixture, or pytest at all: only
pytest loads this module (``-p garcon.engine.pytest_plugin``, or ``pytest_plugins`` in a
``conftest.py``), so pytest is there already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from garcon.engine.testing import Engine

_pytest: Any = sys.modules["pytest"]


def _swf_engine() -> Iterator[Engine]:
    """A fresh engine in this process; its time stands still until ``skip`` is called."""
    from garcon.engine.testing import engine_in_process

    with engine_in_process(clock="virtual") as engine:
        yield engine


swf_engine: Any = _pytest.fixture(name="swf_engine")(_swf_engine)

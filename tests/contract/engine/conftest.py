"""A fresh engine on virtual time for each test, and a client that knows SWF's ways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from garcon.engine.testing import Engine, engine_in_process
from tests.contract.engine.swf import Swf


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine that keeps nothing and whose time stands still; empty polls return soon."""
    with engine_in_process(clock="virtual", poll_hold_s=0.1) as running:
        yield running


@pytest.fixture
def swf(engine: Engine) -> Swf:
    """A client with a domain and one type of each kind."""
    return Swf.prepared(engine)

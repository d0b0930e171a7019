"""A place for a soak: an empty folder with an engine file to be, cleared whatever happens.

Law: what a soak started does not outlive it, and its last word is the first thing that did not
hold.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.harness import Place


@contextmanager
def a_place() -> Iterator[Place]:
    """Give a place, and kill all that is left there afterwards."""
    # `timeout` and a service manager send TERM; what was started here must not stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            yield place
        finally:
            place.clear()


def run_in_place(name: str, soak: Callable[[Place], None]) -> int:
    """Run a soak in a place of its own; return its exit code, 1 where something did not hold."""
    with a_place() as place:
        try:
            soak(place)
        except AssertionError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0

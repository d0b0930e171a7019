"""Room for open files."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource, sys
from garcon.pool.descriptors import make_room
soft, hard, connections, children = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(make_room(connections, children))
"""


def room(soft: int, hard: int, connections: int, children: int) -> int:
    """Return the bound that a process with these limits has afterwards."""
    words = map(str, (soft, hard, connections, children))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, check=True, timeout=60
    )
    return int(done.stdout)


def test_a_large_pool_is_given_room_for_its_connections_and_children():
    """A thousand workers do not fit under the usual bound."""
    assert 800 + 2 * 100 < room(256, 4096, 800, 100) <= 4096


def test_a_bound_that_is_enough_is_left_alone():
    """Most pools are small."""
    assert room(256, 4096, 20, 4) == 256


def test_the_hard_bound_is_not_passed():
    """What the system does not allow is done without."""
    assert room(256, 512, 4000, 1000) == 512

"""Huey with SQLite: N tasks; its driver waits for their results and enqueues the final one."""

import os
import sys
import time

import _bodies
from huey import SqliteHuey

huey = SqliteHuey("bench", filename=os.environ["HUEY_DB"])


@huey.task()
def work(kind, number):
    """Run the body; a result that is not None is kept."""
    _bodies.run(kind, number)
    return 1


@huey.task()
def end():
    """Note that all is done."""
    _bodies.finish()


if __name__ == "__main__":
    import peer_huey

    kind, count = sys.argv[1], int(sys.argv[2])
    _bodies.begin()
    for i in range(count):
        peer_huey.work(kind, i)
    while peer_huey.huey.result_count() < count:
        time.sleep(0.05)
    peer_huey.end()
    _bodies.stay()

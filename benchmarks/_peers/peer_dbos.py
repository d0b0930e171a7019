"""DBOS with SQLite: a workflow that enqueues N others, 16 at a time, and then ends with a step."""

import os
import sys

import _bodies
from dbos import DBOS

DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{os.environ['DBOS_DB']}"})


@DBOS.workflow()
def work(kind, number):
    """Run the body."""
    step(kind, number)


@DBOS.step()
def step(kind, number):
    """Run the body once."""
    _bodies.run(kind, number)


@DBOS.step()
def end():
    """Note that all is done."""
    _bodies.finish()


@DBOS.workflow()
def flow(kind, count):
    """All of it."""
    for handle in [DBOS.retrieve_queue("bench").enqueue(work, kind, i) for i in range(count)]:
        handle.get_result()
    end()


if __name__ == "__main__":
    DBOS.launch()
    DBOS.register_queue("bench", concurrency=16, polling_interval_sec=0.05)
    _bodies.begin()
    flow(sys.argv[1], int(sys.argv[2]))
    _bodies.stay()

"""Prefect with a server of its own on SQLite: a flow that maps a task over N numbers."""

import sys

import _bodies
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner


@task
def work(kind, number):
    """Run the body."""
    _bodies.run(kind, number)


@task
def end(_results):
    """Note that all is done."""
    _bodies.finish()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=16))
def whole(kind, count):
    """All of it; when this begins, the server runs."""
    _bodies.begin()
    end(work.map([kind] * count, range(count)))
    _bodies.stay()


if __name__ == "__main__":
    whole(sys.argv[1], int(sys.argv[2]))

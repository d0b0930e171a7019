"""Celery with Redis as broker and result store: a chord of N tasks and a final one."""

import os
import sys

import _bodies
from celery import Celery, chord

app = Celery("peer_celery", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.task_acks_late = bool(os.environ.get("LATE"))
app.conf.broker_connection_retry_on_startup = True


@app.task
def work(kind, number):
    """Run the body."""
    _bodies.run(kind, number)


@app.task
def end(_results):
    """Note that all is done."""
    _bodies.finish()


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    import peer_celery

    _bodies.begin()
    chord((peer_celery.work.s(kind, i) for i in range(count)), peer_celery.end.s())()
    _bodies.stay()

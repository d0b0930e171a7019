"""Dramatiq with Redis: a group of N messages with a completion callback."""

import os
import sys

import _bodies
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

broker = RedisBroker(url=os.environ["REDIS_URL"])
broker.add_middleware(GroupCallbacks(RedisBackend(url=os.environ["REDIS_URL"])))
dramatiq.set_broker(broker)


@dramatiq.actor
def work(kind, number):
    """Run the body."""
    _bodies.run(kind, number)


@dramatiq.actor
def end():
    """Note that all is done."""
    _bodies.finish()


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    _bodies.begin()
    group = dramatiq.group([work.message(kind, i) for i in range(count)])
    group.add_completion_callback(end.message())
    group.run()
    _bodies.stay()

"""A hundred thousand spoilt requests: an error or a right answer, never a failure or a change.

python -m tests.soak.engine_mutations [--requests 100000] [--seed N]
"""

from __future__ import annotations

import argparse
import http.client
import random

from garcon.engine.testing import engine_in_process
from tests.contract.engine.mutate import Mutator, judge, snapshot
from tests.contract.engine.swf import Swf, schedule


def main() -> None:
    """Send them; a broken promise ends with the request that broke it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}")
    with engine_in_process(clock="virtual") as engine:
        swf = Swf.prepared(engine)
        run_id = swf.start()
        swf.step(schedule())
        mutator = Mutator(random.Random(wanted.seed), run_id)
        connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=30)
        before = snapshot(connection)
        for number in range(wanted.requests):
            target, body = mutator.request(raw=number % 4 == 0)
            before = judge(connection, target, body, before)
            if number % 1000 == 999:
                print(f"\r{number + 1}", end="", flush=True)
    print("\nnothing broke")


if __name__ == "__main__":
    main()
